"""The benchmark of other compressors: what is counted in their output, the worker protocol, replies that are kept, rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.data import NeededValue, Needle, Question, Trajectory
from benchmarks.evaluate import row_metrics
from benchmarks.memo import MemoScorer
from benchmarks.metrics import FoldedText
from benchmarks.peers.environment import OFFLINE, PEERS, WORKERS, PeerError, interpreter, last_line, worker_environment
from benchmarks.peers.journal import Journal, Peer
from benchmarks.peers.measure import Asked, kept_in_question, new_results
from benchmarks.peers.ours import Own, kept_text, timed
from benchmarks.peers.protocol import Reply, Request, Worker
from benchmarks.peers.words import shows, words, words_in_order, words_kept
from specprefill_agents import Compressor, Segment
from specprefill_agents.accounting.tokens import FunctionCounter
from specprefill_agents.prompt.units import Limits
from specprefill_agents.scoring.lexical import LexicalScorer

REQUEST = Request(("first text, rather long", "second"), "what?", 5, 10)
SUBJECT = {"system": "head_tail_text"}
COUNTER = FunctionCounter("words", lambda text: len(text.split()))


def head_tail_worker() -> Worker:
    return Worker([sys.executable, str(WORKERS / "head_tail_worker.py")], worker_environment(1))


def script_worker(script: str) -> Worker:
    return Worker([sys.executable, "-c", script], worker_environment(1))


def first_words(request: Request) -> Reply:
    """Keeps the first words, as many as the budget has tokens: a word is a token here."""
    return Reply(" ".join(" ".join(request.contexts).split()[: request.budget_tokens]), None, 0.5)


def longest_common(wanted: Sequence[str], found: Sequence[str]) -> int:
    """The textbook recurrence, against which the bit-parallel form is held."""
    row = [0] * (len(found) + 1)
    for word in wanted:
        above, row = row, [0]
        for index, other in enumerate(found):
            row.append(above[index] + 1 if word == other else max(above[index + 1], row[index]))
    return row[-1]


# What is counted


@given(st.lists(st.sampled_from("abc"), max_size=80), st.lists(st.sampled_from("abcd"), max_size=80))
def test_words_in_order_are_a_longest_common_subsequence(wanted: list[str], found: list[str]) -> None:
    assert words_in_order(wanted, found) == longest_common(wanted, found)


def test_a_sentence_with_dropped_words_counts_by_the_words_left_and_not_as_verbatim() -> None:
    evidence = "The code of the harbour office is 8841-KX."
    kept = "weather. code harbour office is8841-KX 8841"
    assert not shows([FoldedText(kept)], [evidence])
    assert words_kept([evidence], words(kept)) == (4, 9)  # code harbour office 8841; is8841 is another word


def test_the_best_alternative_counts() -> None:
    assert words_kept(["one two three four", "five six"], words("five six one")) == (2, 2)
    assert words_kept(["..."], ["a"]) == (0, 0)


def test_needles_match_whatever_the_case_and_the_white_space() -> None:
    assert shows([FoldedText("nothing"), FoldedText("The  CODE\nis here")], ["absent", "the code is"])


# The protocol, with a real process behind it


def test_a_worker_greets_and_answers_in_turn() -> None:
    with head_tail_worker() as worker:
        assert worker.greeting == {}
        halves = [worker.ask(REQUEST), worker.ask(Request(("a" * 10,), "", 2, 10))]
    joined = "\n\n".join(REQUEST.contexts)
    assert [reply.error for reply in halves] == [None, None]
    assert halves[0].text is not None
    head, tail = halves[0].text.split("\n", 1)
    assert joined.startswith(head)
    assert joined.endswith(tail)
    assert halves[1].text == "a\na"


def test_a_full_budget_brings_back_the_whole_text_and_any_character() -> None:
    text = "これは \ud800 and \u2028 and \x00"
    with head_tail_worker() as worker:
        assert worker.ask(Request((text,), "?", 7, 7)).text == text


def test_a_worker_that_ends_early_says_why() -> None:
    with pytest.raises(PeerError, match=r"status 3: no weights"):
        script_worker("import sys; sys.stderr.write('no weights'); sys.exit(3)")


def test_a_worker_that_ends_between_requests_says_why() -> None:
    with (
        script_worker("import sys; print('{\"ready\": {}}', flush=True); sys.stdin.readline(); sys.exit('out of memory')") as worker,
        pytest.raises(PeerError, match="out of memory"),
    ):
        worker.ask(REQUEST)


def test_a_worker_that_writes_something_else_is_refused() -> None:
    with pytest.raises(PeerError, match="no JSON object: 'loading"):
        script_worker("print('loading weights')")


def test_a_worker_is_kept_from_the_network_and_from_the_modules_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    environment = worker_environment(3)
    assert "PYTHONPATH" not in environment
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment.items() >= OFFLINE.items()


def test_of_a_failed_install_the_line_that_says_why_is_told() -> None:
    said = "WARNING: retrying\nERROR: No matching distribution found for nothing==1\n\n[notice] A new release of pip is available\n"
    assert last_line(said) == "ERROR: No matching distribution found for nothing==1"
    assert last_line("\n") == "no message"


def test_a_system_without_requirements_runs_in_this_environment() -> None:
    assert interpreter(PEERS["head_tail_text"]) == Path(sys.executable)


# Resuming


def test_a_reply_is_asked_for_once(tmp_path: Path) -> None:
    started = []

    def start() -> Worker:
        started.append(1)
        return head_tail_worker()

    with Peer(start, Journal(tmp_path / "replies", SUBJECT)) as peer:
        first = peer.compress(REQUEST)
        assert peer.compress(REQUEST) == first
    with Peer(start, Journal(tmp_path / "replies", SUBJECT)) as peer:
        assert peer.compress(REQUEST) == first
    assert len(started) == 1


def test_a_half_written_reply_is_asked_for_again_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "replies"
    other = Request(("other",), "", 1, 2)
    journal = Journal(file, SUBJECT)
    journal.put(REQUEST, Reply("kept", None, 1.0))
    journal.put(other, Reply("lost", None, 1.0))
    file.write_text(file.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    again = Journal(file, SUBJECT)
    assert (again.get(REQUEST), again.get(other)) == (Reply("kept", None, 1.0), None)
    again.put(other, Reply(None, "failed", 2.0))
    assert Journal(file, SUBJECT).get(other) == Reply(None, "failed", 2.0)


def test_another_draft_or_worker_shares_no_reply(tmp_path: Path) -> None:
    Journal(tmp_path / "replies", SUBJECT).put(REQUEST, Reply("kept", None, 1.0))
    assert Journal(tmp_path / "replies", {**SUBJECT, "draft": "other"}).get(REQUEST) is None


# Rows


def question(needles: Sequence[Needle]) -> Question:
    texts = ("the answer is forty two", "and nothing else is here")
    return Question("q", tuple(Segment(text, "document", "d", str(i)) for i, text in enumerate(texts)), "what?", tuple(needles))


def test_a_question_is_compressed_within_the_budget_of_all_its_segments() -> None:
    asked: list[Request] = []

    def compress(request: Request) -> Reply:
        asked.append(request)
        return first_words(request)

    row = question([Needle("answer", ("forty two",)), Needle("evidence", ("and nothing else is",))])
    (outcome,) = Asked(compress, COUNTER, 0).outcomes(row, [0.6])
    assert asked == [Request(tuple(segment.text for segment in row.segments), "what?", 6, 10)]
    assert outcome.metrics == {
        "answer": 1.0,
        "evidence": 0.0,
        "evidence_words": 0.25,  # "the answer is forty two and": one word of four, since "is" stands before "and"
        "values": None,
        "share": 0.6,
        "seconds": 0.5,
        "tokens": 10,
    }


def test_a_row_on_which_the_peer_fails_has_no_values() -> None:
    row = question([Needle("answer", ("forty",))])
    (outcome,) = Asked(lambda _: Reply(None, "AssertionError", 2.0), COUNTER, 0).outcomes(row, [0.5])
    assert outcome.error == "AssertionError"
    assert set(outcome.metrics.values()) == {None}


def run(*results: str) -> Trajectory:
    """An agent that fetches all `results` at once, then one more, then copies a value."""

    def call(index: int, **arguments: str) -> dict[str, Any]:
        return {"id": f"c{index}", "type": "function", "function": {"name": "fetch", "arguments": json.dumps(arguments)}}

    def result(index: int, text: str) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": f"c{index}", "name": "fetch", "content": text}

    messages = [
        {"role": "user", "content": "Find the code."},
        {"role": "assistant", "content": "All of them.", "tool_calls": [call(i, page=str(i)) for i in range(len(results))]},
        *(result(i, text) for i, text in enumerate(results)),
        {"role": "assistant", "content": "One more.", "tool_calls": [call(9, page="last")]},
        result(9, "short"),
        {"role": "assistant", "content": "", "tool_calls": [call(10, code="8841-KX")]},
    ]
    return Trajectory("t", tuple(messages), (NeededValue("8841-KX", len(messages) - 1),))


LONG = "word " * 60


def test_each_new_result_is_compressed_alone_for_the_question_of_its_step() -> None:
    asked: list[Request] = []

    def compress(request: Request) -> Reply:
        asked.append(request)
        return first_words(request)

    (outcome,) = Asked(compress, COUNTER, 100).outcomes(run(LONG, "8841-KX " + LONG), [0.5])
    assert [request.contexts for request in asked] == [(LONG,), ("8841-KX " + LONG,)]
    assert all("Find the code." in request.question for request in asked)
    assert outcome.metrics["values"] == 1.0
    assert outcome.metrics["share"] == pytest.approx((30 + 30 + 1) / (60 + 61 + 1))
    assert (outcome.metrics["seconds"], outcome.metrics["tokens"]) == (1.0, 121)


def test_a_value_that_the_peer_dropped_is_missing() -> None:
    (outcome,) = Asked(first_words, COUNTER, 0).outcomes(run(LONG + "8841-KX"), [0.5])
    assert outcome.metrics["values"] == 0.0


def test_results_of_a_step_pass_unchanged_when_together_they_are_short() -> None:
    assert [index for index, _ in new_results(run(LONG, LONG), COUNTER, 120)] == [2, 3]
    assert new_results(run(LONG, LONG), COUNTER, 121) == []
    assert [index for index, _ in new_results(run(LONG, "tiny"), COUNTER, 60)] == [2]
    assert [index for index, _ in new_results(run(LONG, "tiny"), COUNTER, 0)] == [2, 3, 5]


# The library, judged as its peers are


def rows_of_both_kinds() -> list[Question | Trajectory]:
    """A question with a long second text, and a run that needs a code of a long result."""
    weather = "\n".join(f"Line {i} is about the weather of {1900 + i}." for i in range(12))
    needle = "The code of the harbour office is 8841-KX."
    segments = (Segment(weather, "document", "weather", "0"), Segment(f"{weather}\n\n{needle}\n", "document", "port", "1"))
    needles = (Needle("evidence", (needle,)), Needle("evidence", ("the weather of 1909",)), Needle("answer", ("8841-kx",)))
    return [Question("q", segments, "What is the code of the harbour office?", needles), run(weather, f"{weather}\n{needle}")]


@pytest.mark.parametrize("scorer", ["random", "bm25", "fused"])
def test_the_text_of_our_own_systems_tells_what_their_spans_tell(scorer: str, embedded_draft: str) -> None:
    own = Own(scorer, embedded_draft, 0, 0)
    for row in rows_of_both_kinds():
        keeps = (0.3, 0.6)
        by_text = [one.metrics for one in own.outcomes(row, keeps)]
        by_spans = row_metrics(row, [Compressor(embedded_draft, own.config(keep), cache="memory") for keep in keeps])
        same = ("answer", "evidence", "values", "share")
        assert [{name: one[name] for name in same} for one in by_text] == [{name: one[name] for name in same} for one in by_spans]
        assert all(one["tokens"] and one["seconds"] for one in by_text)


def test_the_library_finds_what_the_question_asks_for(embedded_draft: str) -> None:
    for row in rows_of_both_kinds():
        (found,) = Own("fused", embedded_draft, 0, 0).outcomes(row, [0.4])
        assert 1.0 in (found.metrics["answer"], found.metrics["values"])


def test_a_call_is_charged_the_scoring_that_memory_spared_it() -> None:
    memo = MemoScorer(LexicalScorer(Limits()))
    texts = ["the code of the harbour office is 8841-KX\n" * 50]
    _, first = timed(lambda: memo.score(texts, "which code?"), memo)
    scoring = memo.seconds
    _, again = timed(lambda: memo.score(texts, "which code?"), memo)
    assert (memo.seconds, memo.charged_seconds) == (scoring, 2 * scoring)
    assert min(first, again) >= scoring > 0


def test_nothing_is_found_across_a_gap_or_in_its_mark() -> None:
    text = "The code  is 88 and\n\nnot 41."
    assert kept_text(text, [(0, 15), (20, 30)]) == "The code  is 88\n\0\n\nnot 41."
    assert kept_text(text, [(0, 19), (21, 28)]) == "The code  is 88 and not 41."
    assert kept_text(text, [(4, 8)]) == "\n\0\ncode"
    row = question([Needle("evidence", ("is forty two",))])
    assert kept_in_question(row, [kept_text("is about forty two", [(0, 2), (9, 18)])])["evidence"] == 0.0
