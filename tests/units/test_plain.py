"""Text of which nothing is known: what is announced needs its announcement, and no sentence and no bracket is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units import DEFAULT_LIMITS, Layout, Limits
from specprefill_agents.prompt.units.layout import check_layout
from specprefill_agents.prompt.units.plain import plain_layout
from tests.layouts import unit_texts
from tests.strategies import TEXTS

LIMITS = Limits(1, 60, 1_500)
POD = """\
Name: orders
Containers:
  orders:
    Image: registry.local/orders
    State: Waiting
      Reason: CrashLoopBackOff
    Ready: False
Events: none
"""
LINES = st.lists(
    st.sampled_from(["a:\n", "  b {\n", "    c\n", "  }\n", "\td: 1\n", "\n", "end\n", "[s]\n", "x = 1\n", "      y: z\n"]), max_size=60
)


def dragged(text: str, words: str, limits: Limits = LIMITS) -> list[str]:
    """The lines that the unit with `words` in it is kept with, itself left out."""
    layout = plain_layout(text, limits)
    pieces = unit_texts(text, layout)
    index = next(at for at, piece in enumerate(pieces) if words in piece)
    return [pieces[at].strip() for at in sorted(layout.with_needs(index) - {index})]


def test_what_is_indented_below_a_key_needs_that_key() -> None:
    assert dragged(POD, "CrashLoop") == ["Containers:", "orders:", "State: Waiting"]
    assert dragged(POD, "Ready") == ["Containers:", "orders:"]
    assert dragged(POD, "Events") == []


def test_what_stands_in_a_block_needs_its_opening() -> None:
    text = "server {\n    listen 80;\n    location / {\n        root /var/www;\n    }\n}\n"
    assert dragged(text, "root") == ["server {", "location / {"]


def test_what_stands_in_a_section_needs_its_name() -> None:
    text = "[server]\nhost = here\nport = 80\n\n[database]\nurl = there\n"
    assert dragged(text, "port") == ["[server]"]
    assert dragged(text, "url") == ["[database]"]


def test_lines_that_are_only_indented_need_nothing() -> None:
    assert dragged("One line of a poem\n  and one that is indented\n", "indented") == []


def test_keys_whose_colons_stand_below_each_other_are_equals() -> None:
    assert dragged("   Main PID: 1234\n      Tasks: 4\n     Memory: 61.2M\n", "Tasks") == []


def test_figures_aligned_to_the_right_are_equals() -> None:
    assert dragged("  9: nine\n 10: ten\n  8: eight\n", "eight") == []


def test_nesting_as_deep_as_one_likes_drags_a_handful_along() -> None:
    text = "".join("  " * depth + f"level {depth}:\n" for depth in range(40))
    layout = plain_layout(text, LIMITS)
    assert max(len(layout.with_needs(index)) for index in range(len(layout.units))) <= 5


@pytest.mark.parametrize("closing", ["}\n", "  });\n", "]\n", "end\n", "done\n", "    fi\n"])
def test_what_only_closes_is_no_unit(closing: str) -> None:
    text = f"something that is opened here, and long enough for a unit {{\n    and what is inside of it\n{closing}\nnext\n"
    assert not any(piece.strip() == closing.strip() for piece in unit_texts(text, plain_layout(text, LIMITS)))


def test_brackets_that_only_close_fill_no_unit_without_end() -> None:
    text = "a long enough line that opens something {\n" + "}\n\n" * 3_000
    assert max(map(len, unit_texts(text, plain_layout(text, DEFAULT_LIMITS)))) <= 2 * DEFAULT_LIMITS.max_chars + 24


def test_a_wrapped_sentence_is_not_parted_at_its_line_break() -> None:
    text = "The height of a tide depends on the width of the harbour and on\nthe depth of the water before it.\n"
    assert len(unit_texts(text, plain_layout(text, LIMITS))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "usr/lib/python3/dist-packages/some_long_module_name_here.py\nvar/lib\n",
        "One two three four five six seven eight, he said.\nand so on\n",
    ],
)
def test_other_lines_are_units_of_their_own(text: str) -> None:
    assert len(unit_texts(text, plain_layout(text, LIMITS))) == 2


def test_progress_that_is_written_over_itself_is_cut_where_it_begins_anew() -> None:
    text = "".join(f"Downloading the model: {share:3}% of all its files are here by now\r" for share in range(60))
    assert all(piece.startswith("Downloading") for piece in unit_texts(text, plain_layout(text, DEFAULT_LIMITS)))


@given(st.one_of(TEXTS, LINES.map("".join)), st.sampled_from([DEFAULT_LIMITS, LIMITS, Limits(1, 2, 10)]))
def test_any_text_has_a_layout_whose_needs_are_few_and_stand_above(text: str, limits: Limits) -> None:
    layout: Layout = plain_layout(text, limits)
    check_layout(text, layout)
    for index, needs in enumerate(layout.needs):
        assert all(need < index for need in needs)
        assert len(layout.with_needs(index)) <= 5


def test_lines_that_begin_alike_are_not_taken_for_one_wrapped_sentence() -> None:
    text = "".join(f"worker {number} started with {number * 7} tasks and nothing to report about it\n" for number in range(20))
    assert all(text[unit.start : unit.end].count("\n") == 1 for unit in plain_layout(text, DEFAULT_LIMITS).units)


def test_blank_lines_part_letters_unless_there_are_tens_of_thousands_of_them() -> None:
    few, many = "a\n\n" * 300, "a\n\n" * 30_000
    assert unit_texts(few, plain_layout(few, DEFAULT_LIMITS)) == ["a\n\n"] * 300
    layout = plain_layout(many, DEFAULT_LIMITS)
    check_layout(many, layout)
    assert all(unit.end - unit.start >= DEFAULT_LIMITS.min_chars for unit in layout.units[:-1])
