"""What a splitter hands over: units that tile the text, with their blocks, needs and gap forms."""

from __future__ import annotations

import pytest

from specprefill_agents.prompt.units.layout import LayoutBuilder, check_layout
from specprefill_agents.types import Unit


def test_units_follow_each_other_and_blocks_count_up() -> None:
    builder = LayoutBuilder("json")
    builder.begin_block()
    builder.begin_block()
    opening = builder.add(1)
    first = builder.add(5, needs=[opening], gap="item", lift=0.5)
    builder.begin_block()
    builder.begin_block()  # a second time before any unit changes nothing
    closing = builder.add(6)
    builder.also_needs(opening, [closing])
    layout = builder.build()
    check_layout("[abcd]", layout)
    assert layout.units == (Unit(0, 1), Unit(1, 5), Unit(5, 6))
    assert layout.blocks == (0, 0, 1)
    assert (layout.gaps[first], layout.lift[first]) == ("item", 0.5)


def test_needs_are_followed_through_other_units_and_round_in_circles() -> None:
    builder = LayoutBuilder("json")
    opening, item, closing = builder.add(1), builder.add(2, needs=[0]), builder.add(3)
    builder.also_needs(opening, [closing])
    builder.also_needs(closing, [opening])
    assert builder.build().with_needs(item) == {opening, item, closing}


def test_a_unit_ends_behind_where_it_begins() -> None:
    builder = LayoutBuilder("plain")
    builder.add(3)
    with pytest.raises(ValueError, match="unit ends at 3"):
        builder.add(3)


def test_an_empty_text_has_an_empty_layout() -> None:
    check_layout("", LayoutBuilder("plain").build())


def test_a_layout_of_another_text_is_noticed() -> None:
    builder = LayoutBuilder("plain")
    builder.add(3)
    with pytest.raises(AssertionError, match="end with the text"):
        check_layout("four", builder.build())
