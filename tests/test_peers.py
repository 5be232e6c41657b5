"""The benchmark of other compressors: what is counted in their output, the worker protocol, resuming, the comparison."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.data import NeededValue, Needle, Question, Trajectory
from benchmarks.metrics import FoldedText
from benchmarks.peers import __main__ as peers
from benchmarks.peers import compare
from benchmarks.peers.environment import SYSTEMS, WORKERS, PeerError, interpreter, worker_environment
from benchmarks.peers.journal import Journal, Peer
from benchmarks.peers.measure import Measure, new_results
from benchmarks.peers.plan import fingerprint
from benchmarks.peers.protocol import Reply, Request, Worker
from benchmarks.peers.words import shows, words, words_in_order, words_kept
from benchmarks.results import Cell, Results, load
from specprefill_agents import Segment
from specprefill_agents.accounting.tokens import FunctionCounter

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
        assert worker.greeting == {"worker": "head_tail"}
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
    assert (environment["OMP_NUM_THREADS"], environment["HF_HUB_OFFLINE"]) == ("3", "1")


def test_a_system_without_requirements_runs_in_this_environment() -> None:
    assert interpreter(SYSTEMS["head_tail_text"]) == Path(sys.executable)


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
    outcome = Measure(compress, COUNTER, 0).row(row, 0.6)
    assert asked == [Request(tuple(segment.text for segment in row.segments), "what?", 6, 10)]
    assert outcome.metrics == {
        "answer": 1.0,
        "evidence": 0.0,
        "evidence_words": 0.25,  # "the answer is forty two and": one word of four, since "is" stands before "and"
        "evidence_chars": None,
        "values": None,
        "share": 0.6,
    }


def test_a_row_on_which_the_peer_fails_has_no_values() -> None:
    outcome = Measure(lambda _: Reply(None, "AssertionError", 2.0), COUNTER, 0).row(question([Needle("answer", ("forty",))]), 0.5)
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

    outcome = Measure(compress, COUNTER, 100).row(run(LONG, "8841-KX " + LONG), 0.5)
    assert [request.contexts for request in asked] == [(LONG,), ("8841-KX " + LONG,)]
    assert all("Find the code." in request.question for request in asked)
    assert outcome.metrics["values"] == 1.0
    assert outcome.metrics["share"] == pytest.approx((30 + 30 + 1) / (60 + 61 + 1))
    assert outcome.seconds == 1.0


def test_a_value_that_the_peer_dropped_is_missing() -> None:
    assert Measure(first_words, COUNTER, 0).row(run(LONG + "8841-KX"), 0.5).metrics["values"] == 0.0


def test_results_of_a_step_pass_unchanged_when_together_they_are_short() -> None:
    assert [index for index, _ in new_results(run(LONG, LONG), COUNTER, 120)] == [2, 3]
    assert new_results(run(LONG, LONG), COUNTER, 121) == []
    assert [index for index, _ in new_results(run(LONG, "tiny"), COUNTER, 60)] == [2]


# The comparison


def cell(name: str, scorer: str, ids: Sequence[str], **metrics: Sequence[float | None]) -> Cell:
    columns = {metric: [None] * len(ids) for metric in ("answer", "evidence", "evidence_words", "evidence_chars", "values", "share")}
    rows = {keep: {**columns, **{metric: list(values) for metric, values in metrics.items()}} for keep in ("0.1", "0.5")}
    return Cell(name, scorer, list(ids), rows, 0, 1.0, 1.0, None)


def results(*cells: Cell) -> Results:
    return Results({"settings": {"keep_ratios": [0.1, 0.5]}}, cells)


def test_differences_are_taken_on_the_rows_that_both_measured() -> None:
    theirs = results(cell("nq", "peer", ["a", "b", "c"], answer=[0.0, 1.0, None]))
    ours = results(cell("nq", "fused", ["c", "b", "x", "a"], answer=[1.0, 1.0, 0.0, 1.0]))
    (line,) = compare.differences(theirs, [ours], "fused").splitlines()[2:]
    assert line.startswith("| nq | answer | peer | 2 | 1.00 | 0.50 | +0.50 [")


def test_words_in_order_are_held_against_our_characters() -> None:
    theirs = results(cell("nq", "peer", ["a"], evidence_words=[0.5]))
    ours = results(cell("nq", "fused", ["a"], evidence_chars=[0.75], evidence_words=[0.0]))
    assert "| 0.75 | 0.50 | +0.25 [" in compare.differences(theirs, [ours], "fused")


def test_files_without_a_common_row_are_refused() -> None:
    with pytest.raises(ValueError, match="share no row of fused"):
        compare.differences(results(cell("nq", "peer", ["a"], answer=[1.0])), [results(cell("kv", "fused", ["a"], answer=[1.0]))], "fused")
    with pytest.raises(ValueError, match="share no row of fused"):
        compare.differences(results(cell("nq", "peer", ["a"], answer=[1.0])), [results(cell("nq", "fused", ["b"], answer=[1.0]))], "fused")


def test_of_several_results_the_one_that_shares_most_rows_is_compared() -> None:
    theirs = results(cell("nq", "peer", ["a", "b"], answer=[0.0, 0.0]))
    fewer, more = (results(cell("nq", "fused", ids, answer=[value, value])) for ids, value in ((["a", "x"], 0.25), (["b", "a"], 1.0)))
    assert "| 2 | 1.00 | 0.00 | +1.00 [" in compare.differences(theirs, [fewer, more], "fused")


# The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with four made questions."""
    texts = [f"Line {i} is about the weather of {1900 + i}." for i in range(40)]
    rows = [
        {
            "id": f"nq-{index}",
            "segments": [{"kind": "document", "name": "a", "text": "\n".join(texts)}],
            "query": "What was the weather of 1900?",
            "needles": [[texts[place]]],
            "meta": {"needle_kinds": ["evidence"]},
        }
        for index, place in enumerate((0, 20, 39, 1))
    ]
    with gzip.open(tmp_path / "nq_20doc.jsonl.gz", "wt", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    return tmp_path


@pytest.fixture
def command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A whole run with the control, in a home of its own."""
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "home"))
    return ["--data", str(folder), "--system", "head_tail_text", "--sets", "nq_20doc", "--keep", "0.2", "--out", str(tmp_path / "out.json")]


def test_a_run_measures_stores_and_prints_and_a_second_finds_it_held(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main(command) == 0
    first = capsys.readouterr()
    assert "nq_20doc, head_tail_text: 4 rows" in first.err
    assert "| nq_20doc (n=4) | evidence, verbatim | head_tail_text | 0.75" in first.out
    (stored,) = load(tmp_path / "out.json").cells
    assert stored.rows["0.2"]["evidence"] == [1.0, 0.0, 1.0, 1.0]
    assert str(tmp_path) not in (tmp_path / "out.json").read_text(encoding="utf-8")
    assert peers.main(command) == 0
    again = capsys.readouterr()
    assert "held already" in again.err
    assert again.out == first.out


def test_results_under_other_conditions_are_not_mixed(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(command) == 0
    assert peers.main([*command, "--keep", "0.3"]) == 2
    assert "under other conditions (settings)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--system", "nobody"], "unknown system 'nobody'; there are: llmlingua, longllmlingua, head_tail_text"),
        (["--system", "llmlingua"], "--draft must name a folder"),
        (["--keep", "1.5"], "--keep takes numbers in (0, 1]"),
        (["--sets", "nothing"], "unknown set 'nothing'"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_runs(
    command: list[str], more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main([*command, *more]) == 2
    assert said in capsys.readouterr().err


def test_changed_weights_are_other_weights(tmp_path: Path) -> None:
    found = []
    for weights in (b"one", b"two"):
        directory = tmp_path / weights.decode()
        directory.mkdir()
        (directory / "config.json").write_text("{}")
        (directory / "model.safetensors").write_bytes(weights)
        found.append(fingerprint(directory))
    assert found[0] != found[1]
