"""How Markdown is cut: sections, lists, fences, tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from specprefill_agents.prompt.units.markdown import looks_like_markdown, split_markdown
from specprefill_agents.prompt.units.markdown_parts import markdown_parts
from tests.layouts import unit_texts
from tests.strategies import TEXTS
from tests.units.damage import damaged

LIMITS = Limits()
SMALL = Limits(min_chars=8, max_chars=32, block_chars=120)

WORDS = st.lists(
    st.sampled_from("the value of `x` is **not** [known](a.md) yet. Really? 値は | # - > ``` 1.".split()), min_size=1, max_size=20
)
TEXT = WORDS.map(" ".join)
INDENT = st.sampled_from(["", "  ", "    ", "\t"])
PARTS = st.one_of(
    TEXT,
    st.tuples(st.sampled_from(["# ", "## ", "###### ", "#", "> ", "---\n", "***\n"]), TEXT).map("".join),
    st.tuples(TEXT, st.sampled_from(["\n===\n", "\n---\n"])).map("".join),
    st.tuples(INDENT, st.sampled_from(["- ", "* ", "1. ", "12) ", "•  "]), TEXT).map("".join),
    st.tuples(
        INDENT, st.sampled_from(["```", "~~~~", "```py"]), st.lists(TEXT, max_size=12).map("\n".join), st.sampled_from(["```", "~~~~", ""])
    ).map("\n".join),
    st.lists(WORDS.map(lambda words: "| " + " | ".join(words) + " |"), min_size=1, max_size=9).map(
        lambda rows: "\n".join([rows[0], "|---|:-:|", *rows[1:]])
    ),
)
DOCUMENTS = st.lists(st.tuples(PARTS, st.sampled_from(["\n", "\n\n", "\n \n\n"])).map("".join), max_size=14).map("".join)


def layout(text: str, limits: Limits = LIMITS) -> Layout:
    found = split_markdown(text, limits)
    check_layout(text, found)
    return found


def pieces(text: str, limits: Limits = LIMITS) -> list[str]:
    return unit_texts(text, layout(text, limits))


def kept_with(text: str, shown: str, limits: Limits = LIMITS) -> list[str]:
    """What the unit that shows `shown` drags along, in the order of the text."""
    found, said = layout(text, limits), pieces(text, limits)
    index = next(at for at, piece in enumerate(said) if shown in piece)
    return [said[need].strip() for need in sorted(found.with_needs(index) - {index})]


def block_count(text: str) -> int:
    return len(set(layout(text).blocks))


def kinds(text: str) -> list[str]:
    return [part.kind for part in markdown_parts(text)]


def a_paragraph(name: str, sentences: int = 4) -> str:
    return " ".join(f"Sentence {number} of the paragraph about {name}, which is of some length." for number in range(sentences)) + "\n\n"


def test_every_part_is_recognised() -> None:
    text = (
        "---\ntitle: x\n---\n# One\n\nTwo\n===\n\nText\nmore text\n\n- item\n  continued\n- item\n\n1. item\n"
        "> quote\n> more\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\n# no heading\n```\n~~~\nopen\n"
    )
    expected = "fence heading heading paragraph item item item quote table fence fence".split()
    assert kinds(text) == expected


def test_blank_lines_and_thematic_breaks_stay_with_what_precedes_them() -> None:
    assert pieces(f"{a_paragraph('cats', 1)}---\n\n\n***\n\n# Next\n")[-2].endswith("***\n\n")


def test_a_heading_opens_a_block_and_is_dragged_along_by_its_section_alone() -> None:
    text = f"# Animals\n\n{a_paragraph('animals')}## Cats\n\n{a_paragraph('cats')}# Plants\n\n{a_paragraph('plants')}"
    assert block_count(text) == 3
    assert kept_with(text, "Sentence 2 of the paragraph about cats") == ["## Cats"]
    assert kept_with(text, "# Plants") == []


def test_a_long_heading_is_not_dragged_along() -> None:
    assert kept_with(f"# {'very ' * 20}long\n\n{a_paragraph('cats')}", "Sentence 2") == []


def test_the_items_of_a_list_are_units_and_short_ones_share_one() -> None:
    items = [f"- Item {number} says something of reasonable length here\n" for number in range(5)]
    assert pieces("".join(items)) == items
    assert pieces("- a\n- b\n- c\n- d\n- e\n", SMALL) == ["- a\n- b\n", "- c\n- d\n", "- e\n"]


def test_an_item_keeps_its_continuation_lines() -> None:
    items = [
        "1. The first item, which somebody wrapped\n   in the middle, as one does.\n",
        "2. The second item is also rather long, but not wrapped.\n",
    ]
    assert pieces("".join(items)) == items


def test_a_nested_item_drags_the_item_above_it_along_when_that_is_short() -> None:
    nested = "".join(f"  - The option number {number} that belongs to the thing above\n" for number in range(3))
    assert kept_with(f"- Things with a name of more than forty-eight characters\n{nested}", "number 2")[0].startswith("- Things")
    assert kept_with(f"- Things {'with very long names ' * 6}\n{nested}", "number 2") == []
    assert kept_with(f"- Other things that have nothing to do with it at all\n\nText.\n\n{nested}", "number 2") == []


def test_what_is_indented_under_an_item_drags_it_along() -> None:
    fence = "   ```sh\n   make all\n   ```\n\n"
    text = f"1. Run this command on the machine and wait for its end:\n\n{fence}2. Then go on with something else entirely.\n"
    assert kept_with(text, "make all") == ["1. Run this command on the machine and wait for its end:"]


def test_a_short_fence_is_one_unit_and_what_looks_like_markdown_in_it_is_not() -> None:
    fence = "```py\n# no heading\n- no item\n\n| a |\n|---|\n```\n"
    assert pieces(f"{a_paragraph('code', 1)}{fence}")[-1] == fence


def test_the_lines_of_a_long_fence_drag_both_its_fences_along() -> None:
    code = "".join(f"value_{number} = compute_the_value({number}, with_care=True)\n" for number in range(20))
    text = f"# Code\n\n```python\n{code}```\n\nText.\n"
    assert kept_with(text, "value_7") == ["# Code", "```python", "```"]
    assert kept_with(text, "```python") == ["# Code", "```"]


def test_a_fence_that_nothing_closes_runs_to_the_end() -> None:
    code = "".join(f"value_{number} = compute_the_value({number}, with_care=True)\n" for number in range(20))
    assert kept_with(f"```python\n{code}", "value_7") == ["```python"]


def test_rows_stay_whole_and_drag_the_header_of_their_table_along() -> None:
    rows = "".join(f"| {number} | A cell that says something about number {number}. And more. |\n" for number in range(60))
    text = f"# Table\n\n| n | text |\n|--:|------|\n{rows}\nText.\n"
    assert kept_with(text, "number 7.") == ["# Table", "| n | text |\n|--:|------|"]
    assert all(piece in rows for piece in pieces(text)[2:-2])


def test_a_header_without_rows_is_a_unit() -> None:
    header = f"| {'a long name of a column | ' * 9}\n|{'---|' * 9}\n\n"
    assert pieces(f"{header}Text.\n") == [header, "Text.\n"]


def test_a_list_too_long_for_a_block_is_spread_over_blocks_of_like_size() -> None:
    text = "".join(f"- Item {number} says something of reasonable length here\n" for number in range(60))
    found = layout(text)
    sizes = [
        sum(unit.end - unit.start for unit, at in zip(found.units, found.blocks, strict=True) if at == block) for block in set(found.blocks)
    ]
    assert max(sizes) <= LIMITS.block_chars
    assert min(sizes) > LIMITS.block_chars // 2


@given(damaged(st.one_of(DOCUMENTS, TEXTS)), st.sampled_from([LIMITS, SMALL, Limits(1, 1, 1)]))
def test_any_text_has_a_layout_whose_needs_are_few_and_short(text: str, limits: Limits) -> None:
    found = layout(text, limits)
    for index in range(len(found.units)):
        needed = found.with_needs(index) - {index}
        assert len(needed) <= 9
        assert all(found.units[need].end - found.units[need].start <= max(80, 2 * limits.max_chars) for need in needed)
    looks_like_markdown(text)


@given(damaged(DOCUMENTS))
def test_the_parts_tile_the_text(text: str) -> None:
    parts = list(markdown_parts(text))
    assert "".join(text[part.start : part.end] for part in parts) == text
    assert all(part.start <= part.head_end <= part.end and part.start <= part.tail_start <= part.end for part in parts)


@pytest.mark.parametrize(
    "text",
    [
        "# Title\n\nSome words about it all.\n\n## Section\n\n- one thing\n- another thing\n",
        "Here is how to do it:\n\n```sh\nmake all\n```\n\nThat is all there is.\n",
        "| name | meaning |\n|---|---|\n| x | a value that one sets |\n",
        "---\ntitle: A page\n---\n\n## Start\n\nSee [the guide](guide.md) for **all** of it.\n",
    ],
)
def test_markdown_looks_like_markdown(text: str) -> None:
    assert looks_like_markdown(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The grass is green. The sky is blue.\n\nHere we go - there and back again.\n",
        "#!/bin/sh\n# say hello\n\n# to all\necho hello\n",
        "# settings\n\n# colour of the thing\ncolour = red\n\n# its size\nsize = 5\n",
        "# a module\nimport os\n\n# a function\ndef f(x):\n    return x\n\n## another\nclass A:\n    pass\n",
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n- one line here\n+ another line here\n",
        "- id: 1\n  name: Ann\n- id: 2\n  name: Bob\n- id: 3\n  name: Cem\n",
        "/* words\n * - one of them here\n * - another of them\n * - and a third one\n */\nint x;\n",
    ],
)
def test_prose_programs_settings_and_diffs_do_not(text: str) -> None:
    assert not looks_like_markdown(text)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        "a\n" * 300_000,
        "```\n" * 50_000,
        "- a\n" * 50_000,
        "# a\n" * 50_000,
        "|" * 300_000,
        "|-" * 200_000,
        "> a\n" * 50_000,
        "a\n---\n" * 50_000,
        "".join(" " * depth + "- item\n" for depth in range(800)),
    ],
)
def test_long_lines_many_lines_and_deep_lists_are_split(text: str) -> None:
    layout(text)
