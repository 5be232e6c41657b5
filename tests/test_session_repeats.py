"""What an earlier output of a conversation shows is referred to, not said again."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from specprefill_agents import Compressor, Segment, Session
from specprefill_agents.prompt.decided import decided_text

LINES = [f"def function_{n}(value):\n    total = value + {n}\n    return total * {n}\n\n\n" for n in range(30)]
FILE = "".join(LINES)
QUERY = "What does function_12 return?"


def call(number: int, text: str, name: str = "read_file", **more: str) -> Segment:
    return Segment(text, "tool_result", name, f"call_{number}", call=f'{name}("a.py")', **more)  # type: ignore[arg-type]


@pytest.fixture
def made(lexical: Callable[..., Compressor]) -> Compressor:
    return lexical(keep_ratio=0.3, recall_tokens=0)


def sent(made: Compressor, *segments: Segment, queries: str | list[str] = QUERY) -> list[str]:
    """The texts after stepping through `segments` one by one."""
    session = made.session("c")
    asked = [queries] * len(segments) if isinstance(queries, str) else queries
    for end, query in enumerate(asked, 1):
        result = session.step(segments[:end], query)
    assert [one.kept_tokens for one in result.segments] == [made.counter.count(one.text) for one in result.segments]
    return [one.text for one in result.segments]


def test_the_same_output_again_becomes_one_line_that_names_the_call(made: Compressor) -> None:
    first, second = sent(made, call(1, FILE), call(2, FILE))
    assert "function_12" in first
    assert second == '[same output as read_file("a.py") above]'


def test_calls_that_read_the_same_are_told_apart_by_their_ids(made: Compressor) -> None:
    *_, last = sent(made, call(1, "Quite another text.\n" * 40), call(2, FILE), call(3, FILE))
    assert last == '[same output as read_file("a.py"), call_2 above]'


def test_an_output_that_passed_whole_counts_too_however_short_it_was(lexical: Callable[..., Compressor]) -> None:
    short = "Status: pending. The build of revision 4f2a waits for a free machine in the pool.\n" * 3
    first, second = sent(lexical(min_tokens=384, min_result_tokens=32), call(1, short), call(2, short))
    assert first == short
    assert second == '[same output as read_file("a.py") above]'


def test_where_the_earlier_one_was_cut_what_the_question_now_needs_is_shown(made: Compressor) -> None:
    first, second = sent(made, call(1, FILE), call(2, FILE), queries=[QUERY, "And function_27, what does it return?"])
    assert "function_27" not in first
    assert "def function_27(value)" in second
    assert "def function_12(value)" not in second
    assert 'as in read_file("a.py") above]' not in first


def test_an_edited_file_shows_its_changed_lines_and_refers_to_the_rest(made: Compressor) -> None:
    edited = FILE.replace("    return total * 20\n", "    log(total)\n    return total * 2000\n")
    first, second = sent(made, call(1, FILE), call(2, edited))
    assert "return total * 2000" in second
    assert "log(total)" in second
    assert made.counter.count(second) < 0.5 * made.counter.count(first)


def test_a_gap_refers_to_the_earlier_output_only_where_all_its_lines_stand_there(made: Compressor) -> None:
    edited = FILE.replace("total * 20\n", "total * 2000\n").replace("value + 4\n", "value + 4000\n")
    session = made.session("c")
    second = session.step([call(1, FILE), call(2, edited)], "function_25").segments[1]
    assert second.repeat is not None
    assert second.repeat.gaps
    ends, starts = [0, *(end for _, end in second.spans)], [*(start for start, _ in second.spans), len(edited)]
    gaps = [edited[start:end] for start, end in zip(ends, starts, strict=True) if start < end]
    assert all(line in FILE for number in second.repeat.gaps for line in gaps[number].split("\n"))


def test_the_order_of_lines_matters(made: Compressor) -> None:
    session = made.session("c")
    turned = "".join(LINES[::-1])
    second = session.step([call(1, FILE), call(2, turned)], QUERY).segments[1]
    assert second.repeat is None


def test_a_reference_holds_only_where_the_earlier_output_still_stands_before_it(made: Compressor) -> None:
    one, two = call(1, FILE), call(2, FILE)
    session = made.session("c")
    reference = session.step([one, two], QUERY).segments[1]
    assert reference.repeat is not None
    alone = session.step([two], QUERY).segments[0]
    turned = session.step([two, one], QUERY).segments
    assert alone.repeat is None
    assert "def function_12" in alone.text
    assert turned[0].text == alone.text
    assert session.step([one, two], "something else").segments[1] == reference, "the first branch stays as it was sent"
    again = Session.from_dict(json.loads(json.dumps(session.to_dict())), made)
    assert again.step([one, two], "x").segments[1] == reference
    assert again.step([two], "x").segments[0] == alone


def test_references_are_derived_from_the_decision_alone(made: Compressor) -> None:
    edited = FILE.replace("total * 20\n", "total * 2000\n")
    segments = [call(1, FILE), call(2, edited), call(3, edited)]
    for segment, one in zip(segments, made.session("c").step(segments, QUERY).segments, strict=True):
        assert decided_text(made.config, segment.kind, segment.text, one, {}) == one.text


@pytest.mark.parametrize("settings", [{"repeats": False}, {"keep_ratio": 1.0}, {"enabled": False}, {"exclude_tools": ["read_file"]}])
def test_nothing_is_referred_to_where_that_is_switched_off(lexical: Callable[..., Compressor], settings: dict[str, object]) -> None:
    _, second = sent(lexical(recall_tokens=0, **settings), call(1, FILE), call(2, FILE))
    assert "same output" not in second


@pytest.mark.parametrize("kind", ["tool_error", "expanded", "user", "assistant"])
def test_only_tool_results_and_documents_are_replaced(made: Compressor, kind: str) -> None:
    session = made.session("c")
    second = session.step([call(1, FILE), Segment(FILE, kind, "read_file", "call_2")], QUERY).segments[1]  # type: ignore[arg-type]
    assert second.text == FILE


def test_a_call_named_like_a_template_or_over_many_lines_is_named_in_one_line(made: Compressor) -> None:
    one = Segment(FILE, "tool_result", "t", "1", call="t({0} {source}\n\n" + "x" * 500)
    _, second = sent(made, one, call(2, FILE))
    assert second.startswith("[same output as t({0} {source} xxx")
    assert "\n" not in second
    assert len(second) < 150


def test_an_output_that_is_cut_beside_its_references_can_be_expanded(made: Compressor) -> None:
    longer = FILE + "".join(line.replace("function_", "other_") for line in LINES[:25])
    session = made.session("c")
    session.step([call(1, FILE)], QUERY)
    second = session.step([call(1, FILE), call(2, longer)], "other_3 and function_12").segments[1]
    assert second.repeat is not None
    assert f'expand("{second.original_id}")' in second.text
    assert made.originals is not None
    assert made.originals.get(second.original_id) == longer
