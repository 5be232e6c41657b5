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
from benchmarks.evaluate import row_metrics
from benchmarks.memo import MemoScorer
from benchmarks.metrics import FoldedText
from benchmarks.peers import __main__ as peers
from benchmarks.peers.chart import plot
from benchmarks.peers.counts import Counts
from benchmarks.peers.environment import OFFLINE, PEERS, WORKERS, PeerError, System, interpreter, last_line, worker_environment
from benchmarks.peers.journal import Journal, Peer
from benchmarks.peers.measure import METRICS, Asked, kept_in_question, new_results
from benchmarks.peers.ours import Own, kept_text, timed
from benchmarks.peers.plan import PeerHost, Plan
from benchmarks.peers.protocol import Reply, Request, Worker
from benchmarks.peers.report import brief, markdown
from benchmarks.peers.summary import Comparison, mean_of_sets
from benchmarks.peers.weights import draft_folder, fingerprint
from benchmarks.peers.words import shows, words, words_in_order, words_kept
from benchmarks.results import Cell, Results, load
from specprefill_agents import Compressor, Segment
from specprefill_agents.accounting.tokens import FunctionCounter
from specprefill_agents.prompt.units import Limits
from specprefill_agents.scoring.lexical import LexicalScorer
from tests.tiny_gguf import write_tiny_gguf

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


# How many rows


def test_the_least_number_of_rows_counts_and_a_pair_counts_as_said() -> None:
    counts = Counts.parse("40,qmsum_val=10,slow=5,llmlingua=8,llmlingua/qmsum_val=12", {"qmsum_val", "llmlingua"})
    assert (counts.of_set("nq_20doc"), counts.of_set("qmsum_val")) == (40, 10)
    assert counts.of("fused", "qmsum_val", slow=False) == 10
    assert counts.of("other", "qmsum_val", slow=True) == 5
    assert counts.of("llmlingua", "qmsum_val", slow=True) == 12
    assert Counts.parse("40,slow=5,slow/kv_140=1", {"kv_140"}).of("other", "kv_140", slow=True) == 1
    assert Counts.parse(None, set()).of("fused", "nq_20doc", slow=True) is None


@pytest.mark.parametrize("given", ["none", "0", "nobody=3", "slow=", "nobody/qmsum_val=3"])
def test_a_number_of_rows_that_means_nothing_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="--n"):
        Counts.parse(given, {"qmsum_val"})


def test_a_slow_system_is_measured_on_rows_that_the_others_are_measured_on_too(folder: Path) -> None:
    plan = Plan(folder, ("nq_20doc",), ("fused", "llmlingua"), (0.1,), Counts({"": 3, "slow": 2}), 7, PeerHost())
    few, more = ([row.id for row in plan.rows("nq_20doc", system)] for system in ("llmlingua", "fused"))
    assert (len(few), len(more)) == (2, 3)
    assert {*few} < {*more}


# The report


def cell(
    name: str, system: str, ids: Sequence[str], share: float | None = 0.1, seconds: float = 2.0, **metrics: Sequence[float | None]
) -> Cell:
    columns = {metric: [None] * len(ids) for metric in METRICS}
    columns |= {"share": [share] * len(ids), "seconds": [seconds] * len(ids), "tokens": [500.0] * len(ids)}
    rows = {keep: {**columns, **{metric: list(values) for metric, values in metrics.items()}} for keep in ("0.1", "0.5")}
    return Cell(name, system, list(ids), rows, 0, 1.0, 1.0, None)


def results(*cells: Cell) -> Results:
    settings = {"keep_ratios": [0.1, 0.5], "jobs": 1, "threads": 1, "draft": "d", "dtype": "float32", "target_tokenizer": "t"}
    return Results({"settings": settings, "machine": {"processor": "p", "cores": 2}}, cells)


NQ_PEER = cell("nq", "peer", ["a", "b", "c"], evidence=[0.0, 1.0, None], evidence_words=[0.5, 1.0, None])
NQ_FUSED = cell("nq", "fused", ["c", "b", "x", "a"], evidence=[1.0, 1.0, 0.0, 1.0], evidence_words=[1.0, 1.0, 0.0, 1.0])
RUNS = [cell("runs", "peer", ["r"], values=[1.0]), cell("runs", "fused", ["r"], values=[0.0]), cell("runs", "fails", ["r"], share=None)]


def test_means_are_taken_on_the_rows_that_all_systems_have_and_sets_count_alike() -> None:
    one = Comparison(results(NQ_PEER, NQ_FUSED, *RUNS))
    shared = one.shared(["peer", "fused"], "verbatim")
    assert shared == {"nq": ["a", "b"], "runs": ["r"]}
    means = [one.mean(system, "0.1", "verbatim", shared) for system in ("peer", "fused")]
    assert [mean and (mean.mean, mean.n) for mean in means] == [(0.75, 3), (0.5, 3)]


def test_a_difference_is_taken_row_by_row_on_the_rows_of_both() -> None:
    found = Comparison(results(NQ_PEER, NQ_FUSED)).difference("peer", "0.1", "verbatim")
    assert found is not None
    assert (found.mean, found.n, found.low, found.high) == (0.5, 2, 0.0, 1.0)


def test_a_mean_of_sets_varies_with_the_rows_of_each() -> None:
    assert mean_of_sets([]) is None
    found = mean_of_sets([[0.0, 1.0], [0.5] * 9])
    assert found is not None
    assert (found.mean, found.low, found.high, found.n) == (0.5, 0.25, 0.75, 11)


def test_where_another_system_leads_within_the_budget_is_listed_and_elsewhere_not() -> None:
    over = cell("nq", "keeps_more", ["a"], share=0.3, evidence=[1.0])
    behind = Comparison(results(NQ_PEER, cell("nq", "fused", ["a", "b"], evidence=[0.0, 0.0]), over, *RUNS)).behind()
    assert [(one.set, one.keep, one.system, one.difference.mean) for one in behind] == [
        ("nq", "0.1", "peer", 0.5),  # at .1 `keeps_more` is over the budget
        ("nq", "0.5", "keeps_more", 1.0),
        ("runs", "0.1", "peer", 1.0),
        ("runs", "0.5", "peer", 1.0),
    ]


def test_the_report_says_how_much_was_kept_what_it_cost_and_what_is_missing() -> None:
    absent = Cell("nq", "gone", [], {}, 0, 0.0, 0.0, None, {"not_measured": "no matching distribution"})
    said = markdown(results(NQ_PEER, NQ_FUSED, *RUNS, absent))
    assert "| peer | 0.100 [0.10 to 0.10] |" in said
    assert "| fused | 4 | 4 | 4 |" in said  # seconds for 1,000 tokens: nq, runs, mean
    assert "- gone was not measured: no matching distribution" in said
    assert "| verbatim | peer | 0.75 [" in said
    assert "| runs | verbatim | 0.1 | peer | 1 | 0.00 | 1.00 | +1.00 [" in said


def test_in_short_every_system_stands_beside_the_library_on_the_rows_of_both() -> None:
    said = brief(results(NQ_PEER, NQ_FUSED, *RUNS))
    # nq: 1 against .5 on rows a and b; runs: 0 against 1; the sets count alike
    assert "| peer | 3 | .75/.75 | .50/.50 | -0.25 [-0.50, +0.00] | -0.38 [" in said
    assert "fails" not in said
    assert "**At .1/.5 of the tokens, .50/.50 of what answers need is still there; of the others that keep as much, peer is best" in said
    assert "Of 4 sets and budgets, another system within the budget is ahead in 2: peer on runs at 0.1 (1.00 against 0.00); peer" in said


def test_where_the_library_leads_everywhere_the_report_says_so() -> None:
    assert "0 of 6 sets" in markdown(results(NQ_PEER, NQ_FUSED))


def test_results_without_a_measured_cell_are_refused() -> None:
    with pytest.raises(ValueError, match="no system was measured"):
        markdown(results())


def test_the_drawing_has_a_line_for_each_system(tmp_path: Path) -> None:
    plot(results(NQ_PEER, NQ_FUSED, *RUNS), tmp_path / "new" / "drawn.svg")
    drawn = (tmp_path / "new" / "drawn.svg").read_text(encoding="utf-8")
    assert drawn.startswith("<?xml")
    assert all(f"<!-- {said} -->" in drawn for said in ("peer", "fused", "recall, verbatim", "recall, words in order"))


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
    return [
        "--data",
        str(folder),
        "--systems",
        "none,head_tail_text,bm25",
        "--sets",
        "nq_20doc",
        "--keep",
        "0.2",
        "--out",
        str(tmp_path / "out.json"),
    ]


def test_a_run_measures_stores_and_prints_and_a_second_finds_it_held(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main(command) == 0
    first = capsys.readouterr()
    assert "nq_20doc, head_tail_text: 4 rows" in first.err
    assert "| nq_20doc | head_tail_text | 4 | 0.75 [" in first.out
    stored = load(tmp_path / "out.json")
    recall = {one.scorer: one.rows["0.2"]["evidence"] for one in stored.cells}
    assert recall["none"] == [1.0] * 4
    assert recall["head_tail_text"] == [1.0, 0.0, 1.0, 1.0]
    assert recall["bm25"][0] == 1.0
    assert str(tmp_path) not in (tmp_path / "out.json").read_text(encoding="utf-8")
    assert peers.main(command) == 0
    again = capsys.readouterr()
    assert again.err.count("held already") == 3
    assert again.out == first.out


def test_several_jobs_tell_the_same_as_one(command: list[str], tmp_path: Path) -> None:
    assert peers.main(command) == 0
    assert peers.main([*command, "--jobs", "2", "--out", str(tmp_path / "two.json")]) == 0
    one, two = ({cell.name: cell for cell in load(tmp_path / file).cells} for file in ("out.json", "two.json"))
    assert {*one} == {*two} == {"nq_20doc/none", "nq_20doc/head_tail_text", "nq_20doc/bm25"}
    for name, cell in one.items():
        assert [cell.rows["0.2"][metric] for metric in ("evidence", "share")] == [
            two[name].rows["0.2"][metric] for metric in ("evidence", "share")
        ]


def test_a_system_that_cannot_be_had_is_recorded_with_its_cause_and_the_others_are_measured(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main([*command, "--systems", "llmlingua2,none", "--weights", f"llmlingua2={tmp_path / 'absent'}"]) == 0
    said = capsys.readouterr().out
    assert "- llmlingua2 was not measured: the weights" in said
    assert "cannot be had here" in said
    cells = {one.scorer: one for one in load(tmp_path / "out.json").cells}
    assert (cells["llmlingua2"].ids, len(cells["none"].ids)) == ([], 4)


def test_a_worker_that_ends_leaves_a_cell_that_says_why(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PEERS, "head_tail_text", System("head_tail_text", "absent_worker.py"))  # type: ignore[arg-type]
    monkeypatch.setattr(PeerHost, "subject", lambda *_: SUBJECT)
    assert peers.main(command) == 0
    assert "- head_tail_text was not measured: the worker ended with status 2" in capsys.readouterr().out


def test_tables_of_stored_results_are_printed_without_measuring(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(command) == 0
    measured = capsys.readouterr().out
    assert peers.main([*command, "--report"]) == 0
    again = capsys.readouterr()
    assert (again.out, again.err) == (measured, "")


def test_results_under_other_conditions_are_not_mixed(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(command) == 0
    assert peers.main([*command, "--keep", "0.3"]) == 2
    assert "under other conditions (settings)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--systems", "nobody"], "--systems nobody: known are none, head_tail_text, random, bm25"),
        (["--draft", "nowhere"], "unknown draft 'nowhere'"),
        (["--n", "slow=0"], "--n slow=0: must read N or NAME=N"),
        (["--weights", "llmlingua2"], "--weights must read SYSTEM=WHERE"),
        (["--jobs", "0"], "--jobs takes a number from 1 on"),
        (["--keep", "1.5"], "--keep takes numbers in (0, 1]"),
        (["--sets", "nothing"], "unknown set 'nothing'"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_runs(
    command: list[str], more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main([*command, *more]) == 2
    assert said in capsys.readouterr().err


def test_peers_read_the_weights_that_the_library_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_draft: str) -> None:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "home"))
    assert draft_folder(tiny_draft) == Path(tiny_draft)
    assert draft_folder("smollm2-135m").name == "smollm2-135m"
    written = draft_folder(str(write_tiny_gguf(tmp_path / "tiny.gguf")))
    assert written.is_relative_to(tmp_path / "home")
    assert [file.name for file in written.glob("*.safetensors")] == ["model.safetensors"]
    before = fingerprint(written)
    assert draft_folder(str(tmp_path / "tiny.gguf")) == written
    assert fingerprint(written) == before


def test_changed_weights_are_other_weights(tmp_path: Path) -> None:
    found = []
    for weights in (b"one", b"two"):
        directory = tmp_path / weights.decode()
        directory.mkdir()
        (directory / "config.json").write_text("{}")
        (directory / "model.safetensors").write_bytes(weights)
        found.append(fingerprint(directory))
    assert found[0] != found[1]
