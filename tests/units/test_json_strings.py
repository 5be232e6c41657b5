"""How long strings inside JSON are cut, and how what is kept of them reads."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.prompt.render import GapMarks, merge_spans, render
from specprefill_agents.prompt.units import layout_of
from specprefill_agents.prompt.units.json_strings import layout_inside
from specprefill_agents.prompt.units.json_values import looks_like_json, split_json
from specprefill_agents.prompt.units.layout import Layout, LayoutBuilder, Limits, check_layout
from tests.layouts import block_texts, unit_texts

LIMITS = Limits()
SMALL = Limits(min_chars=8, max_chars=24, block_chars=80)
MARK = "<…>"
MARKS = GapMarks("", "<…{original}>", note='; expand("sp-\\7")')
SENTENCES = 'The harbour was repaired before winter. Nobody asked why it took so long! Ann said: "It\'s fine." ' * 30
BODY = """    if width < 0 or height < 0:
        raise ValueError(f"a side of {min(width, height)} makes no rectangle")
    if width == height:
        print("this one is a square, by the way, and not only a rectangle")
    return width * height
"""
CODE = "".join(f"def area_{number}(width, height):\n{BODY}\n\n" for number in range(30))


def layout(text: str, limits: Limits = LIMITS) -> Layout:
    found = split_json(text, limits)
    assert found is not None
    assert looks_like_json(text)
    check_layout(text, found)
    return found


def pieces(text: str, limits: Limits = LIMITS) -> list[str]:
    return unit_texts(text, layout(text, limits))


def kept(text: str, found: Layout, *wanted: str) -> str:
    """What is sent when the units that contain `wanted` are kept, and all that they need."""
    chosen = [index for index, piece in enumerate(unit_texts(text, found)) if any(each in piece for each in wanted)]
    return rendered(text, found, set().union(*(found.with_needs(index) for index in chosen)))


def rendered(text: str, found: Layout, chosen: set[int]) -> str:
    units = found.units
    spans = merge_spans([(units[index].start, units[index].end) for index in sorted(chosen)])
    opens = [index for index in range(len(units)) if index not in chosen and (index == 0 or index - 1 in chosen)]
    return render(text, spans, MARKS, [found.gaps[index] for index in opens])


def test_a_long_string_stands_between_its_key_and_its_closing_quote() -> None:
    text = json.dumps({"path": "notes.txt", "content": SENTENCES, "more": 1})
    found = layout(text)
    opening, *inner, closing = range(2, len(found.units) - 2)
    assert pieces(text)[opening] == '"content": "'
    assert pieces(text)[closing] == '", '
    assert found.gaps[opening] == found.gaps[closing] == "member"
    assert {found.gaps[index] for index in inner} == {"string"}
    assert all(found.with_needs(index) == {0, opening, index, closing, len(found.units) - 1} for index in inner)


def test_pieces_of_a_long_string_are_its_sentences() -> None:
    inner = pieces(json.dumps([1, SENTENCES], ensure_ascii=False))[3:-2]
    assert set(inner) == {
        "The harbour was repaired before winter. Nobody asked why it took so long! ",
        'Ann said: \\"It\'s fine.\\" The harbour was repaired before winter. ',
        'Nobody asked why it took so long! Ann said: \\"It\'s fine.\\" ',
    }


def test_a_file_in_a_string_is_cut_as_the_file_itself() -> None:
    text = json.dumps({"path": "area.py", "content": CODE})
    alone = layout_of(CODE, LIMITS)
    assert alone.kind == "code"
    assert [json.loads(f'"{piece}"') for piece in pieces(text)[3:-2]] == unit_texts(CODE, alone)
    signature = next(index for index, piece in enumerate(pieces(text)) if "area_3(" in piece)
    assert signature in layout(text).with_needs(signature + 1)


def test_a_string_that_is_a_small_part_of_the_text_is_cut_at_its_lines() -> None:
    text = json.dumps([CODE] * 30)
    found = layout(text)
    inner = [index for index, piece in enumerate(pieces(text)) if len(piece) > 3]
    assert all(piece.endswith("\\n") for piece in pieces(text) if len(piece) > 3)
    assert {len(found.with_needs(index)) for index in inner} == {5, 6}  # itself, both quotes, both brackets, the line above it


def test_the_blocks_of_a_long_string_are_those_of_its_contents() -> None:
    contents = "\n\n".join(f"{'Paragraph by paragraph it goes on. ' * (14 + number % 3)}So it ends, calmly." for number in range(7))
    text = json.dumps([1, contents])
    alone = block_texts(contents, layout_of(contents, LIMITS))
    assert len(alone) > 1
    assert [json.loads(f'"{block}"') for block in block_texts(text, layout(text))[3:-2]] == alone[1:-1]


def test_a_short_string_is_kept_or_dropped_as_the_member_that_it_is() -> None:
    text = json.dumps({"a": "word " * 70, "b": "word " * 70})
    assert pieces(text) == ["{", f'"a": "{"word " * 70}", ', f'"b": "{"word " * 70}"', "}"]


def test_a_string_of_which_nothing_is_kept_is_left_out_with_its_key() -> None:
    text = json.dumps({"path": "notes.txt", "content": SENTENCES})
    assert kept(text, layout(text), '"path"') == '{"path": "notes.txt", "<…; expand(\\"sp-\\\\7\\")>": null}'


def test_gaps_inside_a_string_are_words_inside_that_string() -> None:
    text = json.dumps([1, "One and one. " * 40 + "Two and two are four, and that is all. " + "Three and three. " * 40])
    shown = json.loads(kept(text, layout(text), "Two and two"))
    words = '<…; expand("sp-\\7")>'
    assert shown[0] == words
    assert shown[1].startswith("<…> ")
    assert shown[1].endswith(" <…>")
    assert "Two and two are four, and that is all. " in shown[1]


def test_lines_left_out_of_a_string_leave_the_mark_a_line_of_its_own() -> None:
    text = json.dumps({"content": CODE})
    shown = json.loads(kept(text, layout(text), "def area_3(", "def area_5("))["content"].splitlines()
    assert shown[0] == '<…; expand("sp-\\7")>'
    assert shown[1:4] == ["def area_3(width, height):", MARK, "def area_5(width, height):"]


def test_a_text_that_is_one_string_is_cut_inside() -> None:
    text = json.dumps(SENTENCES) + "\n"
    found = layout(text)
    assert pieces(text)[0] == '"'
    assert pieces(text)[-1] == '"\n'
    assert json.loads(kept(text, found, "asked why")).count(MARK) > 5
    assert json.loads(rendered(text, found, set())) == '<…; expand("sp-\\7")>'


def test_strings_that_python_prints_are_cut_alike() -> None:
    text = str({"path": "area.py", "content": CODE + "print('it\\'s')\n", "more": b"\x00raw" * 200})
    found = layout(text)
    assert "def area_3(width, height):\\n" in pieces(text)
    shown = "{'path': 'area.py', 'content': '<…; expand(\\\"sp-\\\\7\\\")>\\ndef area_3(width, height):\\n<…>\\n', <…> }"
    assert kept(text, found, "def area_3(", "path") == shown


def test_strings_that_python_prints_as_several_are_cut_between_those() -> None:
    text = "[1,\n '" + "'\n '".join("some words of a long text " for _ in range(40)) + "']"
    found = layout(text)
    assert set(found.gaps) == {"plain"}
    assert {piece.count("some words") for piece in pieces(text)[2:-2]} == {6}


def test_json_inside_a_string_is_cut_as_json_and_its_long_strings_too() -> None:
    inner = json.dumps([{"id": number, "note": SENTENCES} for number in range(3)])
    found = layout(json.dumps({"text": inner}))
    needed = [len(found.with_needs(index)) for index in range(len(found.units))]
    assert max(needed) == 9  # itself, both quotes with the outer braces, both brackets, both braces, both inner quotes
    assert set(found.gaps) == {"item", "string"}


@pytest.mark.parametrize("levels", [3, 9, 15])
def test_json_in_json_in_json_ends_somewhere(levels: int) -> None:
    text = "plain words " * 40
    for _ in range(levels):
        text = json.dumps([text])
    assert len(layout(text).units) > 3


ESCAPED = st.lists(
    st.sampled_from(
        [
            "a",
            "é",
            "漢",
            "𝄞",
            " ",
            ". ",
            "\\n",
            "\\\\",
            '\\"',
            "\\/",
            "\\t",
            "\\b",
            "\\u00e9",
            "\\u6f22",
            "\\ud834\\udd1e",
            "\\ud834",
            "\\udd1e",
        ]
    ),
    max_size=40,
).map("".join)


def every_character(text: str) -> Layout:
    builder = LayoutBuilder("plain")
    for end in range(1, len(text) + 1):
        builder.add(end)
    return builder.build()


@given(ESCAPED)
def test_borders_never_stand_inside_an_escape_or_between_two_halves_of_a_character(escaped: str) -> None:
    text = f'["{escaped}"]'
    units = layout_inside(text, every_character, 2, len(text) - 2).units
    assert [json.loads(f'"{text[unit.start : unit.end]}"') for unit in units] == list(json.loads(f'"{escaped}"'))
    assert "".join(text[unit.start : unit.end] for unit in units) == escaped


@given(st.text("\\uUxnN{}dD8cC01f'\"a é\n", max_size=40))
def test_any_text_between_quotes_has_a_layout(text: str) -> None:
    units = layout_inside(text, every_character, 0, len(text)).units
    assert "".join(text[unit.start : unit.end] for unit in units) == text


CONTENTS = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.sampled_from(["Some words. ", "\n", "\n\n", "def f(x):\n    return x\n", '"quoted" ', "\\", "漢字。", "𝄞", "\ud800", "\x1b[0m"]),
        max_size=60,
    ).map("".join),
)


@given(st.lists(CONTENTS, min_size=1, max_size=4), st.booleans(), st.data())
def test_what_is_kept_of_strings_parses_and_is_made_of_pieces_of_them(contents: list[str], ascii_only: bool, data: st.DataObject) -> None:
    text = json.dumps({f"key {number}": each for number, each in enumerate(contents)}, ensure_ascii=ascii_only)
    found = layout(text, SMALL)
    chosen = data.draw(st.sets(st.integers(0, len(found.units) - 1)))
    shown = json.loads(rendered(text, found, set().union(*(found.with_needs(index) for index in chosen))))
    for key, value in shown.items() if isinstance(shown, dict) else ():
        if key.startswith("key"):
            assert is_made_of(value, contents[int(key[4:])])


def is_made_of(shown: str, original: str) -> bool:
    """Whether the texts between the marks in `shown`, but for white space beside a mark, stand in `original` in order."""
    at, pieces_shown = 0, shown.replace('<…; expand("sp-\\7")>', MARK).split(MARK)
    for number, piece in enumerate(pieces_shown):
        said = piece.strip(" \n") if len(pieces_shown) > 1 else piece
        at = original.find(said, at)
        if at < 0 or (number == 0 and not original.startswith(piece.rstrip(" "))):
            return False
        at += len(said)
    return True


@pytest.mark.parametrize(
    "contents",
    ["x" * 1_000_000, "\\n" * 500_000, "\\\\" * 500_000, '\\"' * 500_000, "\\u6f22" * 160_000, "\\u6f22\\n" * 120_000, "a\\tb. " * 200_000],
    ids=["one word", "line breaks", "backslashes", "quotes", "escapes", "two sorts", "sentences"],
)
def test_strings_of_a_million_characters_are_split(contents: str) -> None:
    assert "".join(pieces(f'{{"a": "{contents}"}}')[1:-1]) == contents


@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("contents", [SENTENCES, CODE], ids=["sentences", "code"])
def test_what_is_sent_of_a_file_in_json_parses_and_fits(contents: str, ratio: float) -> None:
    text = json.dumps({"path": "notes.txt", "content": contents * 3 + "The password is tango.\n", "size": len(contents)}, indent=1)
    config = CompressionConfig(
        keep_ratio=ratio, scorer="bm25", min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base", on_error="raise"
    )
    result = Compressor(config=config, cache="memory").compress([Segment(text)], "What is the password?").segments[0]
    assert result.kept_tokens <= ratio * result.original_tokens
    assert "The password is tango." in json.loads(result.text)["content"]
    assert result.text != text
