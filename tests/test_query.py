"""The scorer's query: user turn, intents, argument values, all bounded."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.query import ARGUMENT_CHARS, QUERY_CHARS, TASK_CHARS, CallContext, build_query

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
calls = st.lists(st.builds(CallContext, tool=st.text(), arguments=st.dictionaries(st.text(), values), intent=st.text()), max_size=5)


def test_the_user_turn_comes_first_then_intent_and_values_line_by_line() -> None:
    call = CallContext("grep", {"pattern": "def compress", "file": "core.py"}, "I search  the core.\n")
    assert build_query("Where is it?\n", [call]) == "Where is it?\nI search the core.\ndef compress\ncore.py"


def test_values_inside_lists_and_objects_read_as_plain_text() -> None:
    arguments = {"filter": {"city": ["Bern", "Basel"], "limit": 3, "exact": True, "page": None}}
    assert build_query("", [CallContext("search", arguments)]) == "Bern\nBasel\n3"


def test_parallel_calls_share_one_line_for_the_same_intent() -> None:
    both = [CallContext("read", {"file": name}, "Side by side.") for name in ("a.py", "b.py")]
    assert build_query("Compare them.", both) == "Compare them.\nSide by side.\na.py\nb.py"


def test_a_call_that_says_nothing_else_is_known_by_its_name() -> None:
    assert build_query("", [CallContext("list_openOrders", {"all": True})]) == "list open Orders"


def test_without_anything_known_the_query_is_empty() -> None:
    assert build_query("  ", []) == ""


def test_a_long_user_turn_keeps_its_end_and_its_words_whole() -> None:
    query = build_query("words before " * 1000 + "the question itself?", [])
    assert query.endswith("the question itself?")
    assert len(query) <= QUERY_CHARS
    assert query.split()[0] in ("words", "before")


def test_a_long_argument_keeps_its_start_and_leaves_room_for_the_next() -> None:
    query = build_query("Write it.", [CallContext("write", {"text": "line of the file " * 10_000, "file": "notes.md"})])
    lines = query.splitlines()
    assert lines[0] == "Write it."
    assert lines[1].startswith("line of the file")
    assert len(lines[1]) <= ARGUMENT_CHARS
    assert lines[2] == "notes.md"


def test_many_calls_never_crowd_out_the_user_turn() -> None:
    user = "x" * TASK_CHARS
    assert build_query(user, [CallContext("read", {"file": f"{i:05} file.py"}) for i in range(500)]).startswith(user)


def test_a_long_user_turn_never_drowns_what_the_call_asks_for() -> None:
    query = build_query("Fix the bug. " + "shell prompt " * 500, [CallContext("open", {"path": "fields.py", "line": 1474})])
    assert query.startswith("Fix the bug.")
    assert query.endswith("fields.py\n1474")
    assert len(query) < TASK_CHARS + 30


@given(st.text(max_size=5_000), calls)
def test_every_query_is_bounded_and_repeatable(user_text: str, made: list[CallContext]) -> None:
    query = build_query(user_text, made)
    assert len(query) <= QUERY_CHARS
    assert query == build_query(user_text, made)


@given(st.dictionaries(st.text(), values))
def test_arguments_are_read_never_changed(arguments: dict[str, Any]) -> None:
    before = repr(arguments)
    build_query("", [CallContext("tool", arguments)])
    assert repr(arguments) == before
