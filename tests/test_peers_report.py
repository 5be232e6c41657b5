"""What stored results of several systems say: means on the same rows, differences, where another leads, tables and drawing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.peers.chart import plot
from benchmarks.peers.measure import METRICS
from benchmarks.peers.report import brief, markdown
from benchmarks.peers.summary import Comparison, mean_of_sets
from benchmarks.results import Cell, Results


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
