"""How HTML and XML are cut: at elements, whatever state they are in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from specprefill_agents.prompt.units.markup import looks_like_markup, split_markup
from specprefill_agents.prompt.units.markup_tags import tags
from specprefill_agents.prompt.units.markup_tree import elements
from tests.layouts import block_texts, unit_texts
from tests.strategies import TEXTS
from tests.units.damage import damaged

LIMITS = Limits()
SMALL = Limits(min_chars=8, max_chars=32, block_chars=120)

NAMES = st.sampled_from("p div ul li table tr td th b a br record Name x:y script style h2 pre".split())
WORDS = st.lists(st.sampled_from('It rained. “Why?” 3 < 4 & 値は。 a="b" \' > - x'.split()), max_size=12).map(" ".join)
ATTRIBUTES = st.sampled_from(["", "", ' class="x"', " id='a>b'", ' title="3 > 2"', ' broken="', " a" * 50, "/"])
NODES: st.SearchStrategy[str] = st.recursive(
    st.one_of(WORDS, st.sampled_from(["<!-- <b> -->", "<![CDATA[ <x> ]]>", "<?pi?>", "<!--", "</li>", "</", "<br/>"])),
    lambda inner: st.builds(
        lambda name, attributes, children, closed: f"<{name}{attributes}>" + "\n".join(children) + (f"</{name}>" if closed else ""),
        NAMES,
        ATTRIBUTES,
        st.lists(inner, max_size=5),
        st.sampled_from([True, True, True, False]),
    ),
    max_leaves=25,
)
DOCUMENTS = st.tuples(st.sampled_from(["", "<!DOCTYPE html>\n", '<?xml version="1.0"?>\n', "text "]), NODES, NODES).map("".join)


def layout(text: str, limits: Limits = LIMITS) -> Layout:
    found = split_markup(text, limits)
    assert found is not None
    check_layout(text, found)
    return found


def pieces(text: str, limits: Limits = LIMITS) -> list[str]:
    return unit_texts(text, layout(text, limits))


def kept_with(text: str, shown: str, limits: Limits = LIMITS) -> list[str]:
    """What the unit that shows `shown` drags along, in the order of the text."""
    found, said = layout(text, limits), pieces(text, limits)
    index = next(at for at, piece in enumerate(said) if shown in piece)
    return [said[need].strip() for need in sorted(found.with_needs(index) - {index})]


def blocks(text: str, limits: Limits = LIMITS) -> list[str]:
    return block_texts(text, layout(text, limits))


def words(name: str, sentences: int = 1) -> str:
    return " ".join(f"Sentence {number} about {name}, which is of <b>some</b> length, says little." for number in range(sentences))


def test_tags_are_found_in_whatever_form() -> None:
    text = "a < b <p class='x>y'>t<br/><!-- <i> --></P ><script>if (a < b) '<b>'</script><![CDATA[<u>]]><?php x ?><1>"
    found = [(tag.kind, tag.name) for tag in tags(text)]
    assert found == [("open", "p"), ("empty", "br"), ("aside", ""), ("close", "P"), ("raw", "script"), ("raw", ""), ("aside", "")]


def test_closing_tags_that_html_lets_one_omit_are_supplied() -> None:
    text = "<ul><li>a<li>b</ul><table><tr><td>1<td>2<tr><td>3</table><p>x<p>y<div>z</div>"
    found = [(element.name, text[element.start : element.end]) for element in elements(text, tags(text), html=True)]
    assert [piece for name, piece in found if name in ("li", "p", "td")] == ["<li>a", "<li>b", "<td>1", "<td>2", "<td>3", "<p>x", "<p>y"]


def test_paragraphs_are_units_and_tags_inside_a_line_divide_nothing() -> None:
    paragraphs = [f"<p>{words(name)}</p>\n" for name in ("cats", "dogs", "cows")]
    assert pieces(f"{''.join(paragraphs)}") == paragraphs


def test_short_siblings_share_a_unit_but_not_with_their_parents_siblings() -> None:
    text = "<div><p>a</p><p>b</p><p>c</p><p>d</p></div><div><p>e</p></div>"
    expected = ["<div><p>a</p>", "<p>b</p><p>c</p>", "<p>d</p></div>", "<div><p>e</p></div>"]
    assert pieces(text, Limits(min_chars=12, max_chars=32, block_chars=120)) == expected


def test_a_long_paragraph_is_cut_after_sentences_and_never_inside_a_tag() -> None:
    text = f'<p>{words("cats", 3)} <a href="x" title="A title. With sentences. {"And more. " * 50}">link</a>. {words("dogs", 3)}</p>'
    found = pieces(text)
    assert len(found) > 4
    assert all(piece.count("<") == piece.count(">") for piece in found)


def test_closing_tags_go_with_the_last_child() -> None:
    text = f"<div><section><p>{words('cats', 2)}</p><p>{words('dogs', 2)}</p></section></div>\n<p>{words('cows', 3)}</p>"
    assert any(piece.endswith("</p></section></div>\n") for piece in pieces(text))


def test_rows_stay_whole_and_drag_the_header_along() -> None:
    rows = "".join(f"<tr><td>{number}</td><td>{words(str(number))}</td></tr>\n" for number in range(40))
    text = f"<p>Before.</p><table>\n<tr><th>n</th><th>text</th></tr>\n{rows}</table><p>After.</p>"
    assert kept_with(text, "about 7,") == ["<table>", "<tr><th>n</th><th>text</th></tr>"]
    assert kept_with(text, "After") == []
    thead = f"<table><thead><tr><th>n</th><th>text</th></tr></thead><tbody>{rows}</tbody></table>"
    assert kept_with(thead, "about 7,") == ["<table>", "<thead><tr><th>n</th><th>text</th></tr></thead>"]


def test_rows_without_a_header_need_none() -> None:
    rows = "".join(f"<tr><td>{number}</td><td>{words(str(number))}</td></tr>\n" for number in range(40))
    assert kept_with(f"<table>{rows}</table>", "about 7,") == ["<table>"]


def test_the_contents_of_an_xml_element_drag_its_short_opening_tag_along() -> None:
    items = "".join(f"<item><title>Title {number}</title><note>{words(str(number), 3)}</note></item>" for number in range(9))
    text = f'<?xml version="1.0"?>\n<feed lang="en"><list {"a" * 90}="long">{items}</list></feed>'
    assert kept_with(text, "Sentence 1 about 7,") == ['<feed lang="en">', "<item>", "<note>"]


def test_xml_of_text_with_tags_in_it_is_cut_after_sentences() -> None:
    text = f"<doc><para>{words('cats', 3)} <em>Really.</em> {words('dogs', 3)}</para></doc>"
    assert [piece.count("Sentence") for piece in pieces(text) if "Sentence" in piece] == [1] * 6


def test_scripts_and_comments_are_units_of_their_own_and_hide_what_is_in_them() -> None:
    script = "<script>" + "".join(f"let x{number} = '<p>{number}</p>';\n" for number in range(4)) + "</script>\n"
    comment = f"<!-- {words('nothing', 4)} -->\n"
    assert pieces(f"<p>{words('cats')}</p>{script}{comment}<p>{words('dogs')}</p>")[1:-1] == [script, comment]


def test_a_large_script_is_cut_at_lines() -> None:
    script = "<script>\n" + "".join(f"let variable_{number} = compute({number});\n" for number in range(90)) + "</script>"
    assert len(pieces(f"<p>a</p>{script}")) > 40


def test_records_are_blocks_and_rows_fill_them() -> None:
    records = [f"<record><name>{number}</name><text>{words(str(number), 4)}</text></record>\n" for number in range(9)]
    assert blocks(f"<records>\n{''.join(records)}</records>")[1:-1] == records[1:-1]
    rows = "".join(f"<tr><td>{number}</td></tr>\n" for number in range(500))
    assert all(len(block) > LIMITS.block_chars // 2 for block in blocks(f"<table>{rows}</table>")[:-1])


def test_without_a_tag_a_text_is_no_markup() -> None:
    assert split_markup("a < b and c > d", LIMITS) is None
    assert split_markup("", LIMITS) is None


@given(damaged(st.one_of(DOCUMENTS, TEXTS)), st.sampled_from([LIMITS, SMALL, Limits(1, 1, 1)]))
def test_any_text_has_a_layout_whose_needs_are_few_and_short(text: str, limits: Limits) -> None:
    found = split_markup(text, limits)
    looks_like_markup(text)
    if found is None:
        return
    check_layout(text, found)
    for index in range(len(found.units)):
        needed = found.with_needs(index) - {index}
        assert len(needed) <= 8
        assert all(len(text[found.units[need].start : found.units[need].end].strip()) <= max(80, 2 * limits.max_chars) for need in needed)


@given(damaged(DOCUMENTS))
def test_no_tag_and_no_comment_is_cut(text: str) -> None:
    found = split_markup(text, SMALL)
    cuts = {unit.end for unit in found.units} if found else set()
    assert not any(cut in range(tag.start + 1, tag.end) for tag in tags(text) if tag.kind != "raw" for cut in cuts)


@given(damaged(DOCUMENTS))
def test_tags_are_disjoint_and_elements_are_nested(text: str) -> None:
    found = list(tags(text))
    assert all(tag.end <= after.start for tag, after in pairwise(found))
    open_ends: list[int] = []
    for element in elements(text, found, html=False):
        while open_ends and open_ends[-1] <= element.start:
            open_ends.pop()
        assert element.start < element.open_end <= element.close_start <= element.end <= (open_ends[-1] if open_ends else len(text))
        open_ends.append(element.end)


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html>\n<html>",
        '<?xml version="1.0"?>\n<a/>',
        "<div><p>One.</p><p>Two.</p><ul><li>a</li></ul></div>",
        "Content of the page:\n" + "<p>Some words.</p>\n" * 12,
        "<feed>" + "<entry><title>t</title></entry>" * 3 + "</feed>",
    ],
)
def test_markup_looks_like_markup(text: str) -> None:
    assert looks_like_markup(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "If a < b and b > c, then <b>this</b> holds.",
        "<file>\n" + "A line of plain text that somebody wrapped in a tag.\n" * 40 + "</file>",
        "#include <vector>\n#include <map>\n" + "std::vector<int> f(std::map<int, T> x);\n" * 20,
        "import React from 'react';\nexport default function A() {\n  return <div><p>a</p><p>b</p><p>c</p><p>d</p></div>;\n}\n",
        "List<String> a = new List<String>();\n" * 20,
        "<nick> hello\n<other> hi\n" * 10,
    ],
)
def test_prose_programs_and_wrapped_texts_do_not(text: str) -> None:
    assert not looks_like_markup(text)


@pytest.mark.parametrize(
    "text",
    [
        "<p>" + "x" * 1_000_000,
        "<b>a</b>\n" * 50_000,
        "<div>" * 50_000 + "x" + "</div>" * 50_000,
        "<x>" * 50_000,
        "<ul><li>" * 25_000,
        "<!--" * 100_000 + "<p>",
        "<script>" * 50_000 + "</script",
        "<a><c>" * 30_000 + "</b>" * 50_000,
        "<a \"'<b '\"" * 50_000 + "<p>",
        "<p>" + "<" * 300_000,
        "<![CDATA[" * 50_000 + "<p>",
        "<table><tr><th>h</th></tr>" + "<tr><td>1</td></tr>" * 20_000,
    ],
)
def test_long_deep_and_broken_markup_is_split(text: str) -> None:
    layout(text)
