"""Line numbers are taken off what is a numbered listing, and off nothing else; layouts lead back to the text as shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units import DEFAULT_LIMITS, Limits
from specprefill_agents.prompt.units.layout import check_layout
from specprefill_agents.prompt.units.numbered import NumberedText, without_numbers
from specprefill_agents.prompt.units.plain import plain_layout
from tests.layouts import unit_texts

LINES = st.lists(st.text(st.characters(exclude_characters="\n\r"), max_size=30), min_size=3, max_size=40)


def bare(text: str) -> str:
    """`text` without its line numbers."""
    found = without_numbers(text)
    assert found is not None
    return found.text


@pytest.mark.parametrize(
    "text",
    [
        "     7\ta\n     8\tb\n     9\t\n    10\tc\n",
        "7:a\n8:b\n9:\n10:c\n",
        "7: a\n8: b\n9:\n10: c\n",
        " 7 | a\n 8 | b\n 9 |\n10 | c\n",
        " 7 a\n 8 b\n 9\n10 c\n",
    ],
)
def test_numbers_and_what_sets_them_apart_are_taken_off(text: str) -> None:
    assert bare(text) == "a\nb\n\nc\n"
    assert bare(text.removesuffix("\n")) == "a\nb\n\nc"


@pytest.mark.parametrize(
    "text", [" 8 def f():\n 9     return 1\n10 f()\n", " 8  def f():\n 9      return 1\n10  f()\n", "8:def f():\n9:    return 1\n10:f()\n"]
)
def test_what_a_line_is_indented_by_stays_with_it(text: str) -> None:
    assert bare(text) == "def f():\n    return 1\nf()\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1:a\n2:b\n",
        "1:\n2:\n3:\n",
        "no number\n" * 9,
        "1:a\n3:b\n7:c\n",
        "id\tname\n1\tAnn\n2\tBob\n3\tCleo\n",
        "1:a\n2|b\n3\tc\n",
        "1:a\n2:b\n3:c\n" + "not numbered\n" * 9,
        "10:01 wake up\n10:02 get up\n11:03 go out\n",
    ],
)
def test_other_texts_are_no_numbered_listings(text: str) -> None:
    assert without_numbers(text) is None


def test_lines_around_a_listing_stay_as_they_are() -> None:
    assert (
        bare("[File: a.md (9 lines total)]\n1:# A\n2:\n3:b\n(6 more lines below)\n")
        == "[File: a.md (9 lines total)]\n# A\n\nb\n(6 more lines below)\n"
    )


@given(LINES, st.sampled_from([DEFAULT_LIMITS, Limits(1, 2, 10), Limits(5, 20, 60)]), st.booleans())
def test_a_layout_of_the_bare_text_is_one_of_the_text_as_shown(lines: list[str], limits: Limits, is_ended: bool) -> None:
    text = "\n".join(f"{number:4d}\t{line}" for number, line in enumerate(lines, 8)) + "\n" * is_ended
    found = without_numbers(text)
    if found is None:
        assert not "".join(lines).strip()
        return
    assert isinstance(found, NumberedText)
    inner = plain_layout(found.text, limits)
    outer = found.laid_out(inner)
    check_layout(text, outer)
    assert (outer.blocks, outer.needs, outer.lift) == (inner.blocks, inner.needs, inner.lift)
    for piece, shown in zip(unit_texts(found.text, inner), unit_texts(text, outer), strict=True):
        assert "".join(piece.split()) in "".join(shown.split()) or "\n" in piece
