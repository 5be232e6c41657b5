"""Explanations: they agree with the decision they explain, and the terminal shows them without being steered by them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.observe.explain import TOP_SHARES, Explanation, explain, heat_levels, visible
from specprefill_agents.observe.explain_terminal import print_explanation
from specprefill_agents.scoring.controls import HeadTailScorer
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.types import TokenScores
from tests.conftest import Outcome
from tests.strategies import TEXTS

QUERY = "which port does the metrics server use?"
LINES = [f"worker {n} started with {n * 7} tasks and nothing to report about it\n" for n in range(60)]
LOG = "".join([*LINES[:30], "Metrics server listens on port 9187\n", *LINES[30:]])


def explained(lexical: Callable[..., Compressor], text: str = LOG, **settings: object) -> Explanation:
    scorers = {"bm25": LexicalScorer(), "head_tail": HeadTailScorer()}
    return explain(lexical(**settings), Segment(text), QUERY, scorers)


def shown(explanation: Explanation, width: int = 100, encoding: str = "utf-8") -> str:
    buffer = io.BytesIO()
    with io.TextIOWrapper(buffer, encoding=encoding, errors="replace") as stream:
        print_explanation(explanation, stream, width)
        stream.flush()
        return buffer.getvalue().decode(encoding)


def test_units_tile_the_text_and_are_kept_where_the_decision_keeps_them(lexical: Callable[..., Compressor]) -> None:
    explanation = explained(lexical)
    (decided,) = lexical().compress([Segment(LOG)], QUERY).segments
    kept = [unit for unit in explanation.units if unit.kept]
    assert "".join(LOG[unit.start : unit.end] for unit in explanation.units) == LOG
    assert "".join(LOG[unit.start : unit.end] for unit in kept) == "".join(LOG[start:end] for start, end in decided.spans)
    assert (explanation.original_tokens, explanation.kept_tokens) == (decided.original_tokens, decided.kept_tokens)
    assert 0 < explanation.kept_units < len(explanation.units)
    assert explanation.kept_tokens <= explanation.budget_tokens


@given(text=TEXTS)
def test_any_text_is_explained(text: str) -> None:
    compressor = _lexical_once()
    explanation = explain(compressor, Segment(text), QUERY, {"bm25": LexicalScorer()})
    assert "".join(text[unit.start : unit.end] for unit in explanation.units) == text
    assert len(explanation.heat()) == len(explanation.units)
    shown(explanation, width=40)


@cache
def _lexical_once() -> Compressor:
    """One compressor for all examples of a property test."""
    config = CompressionConfig(scorer="bm25", min_tokens=0, min_result_tokens=0, target_tokenizer="estimate", on_error="raise")
    return Compressor(config=config, cache="memory")


def test_the_answer_is_the_hottest_unit_of_the_scorer_that_finds_it(lexical: Callable[..., Compressor]) -> None:
    explanation = explained(lexical)
    heat = explanation.heat()
    (hottest,) = [unit for unit, level in zip(explanation.units, heat, strict=True) if level == max(heat)]
    assert "9187" in LOG[hottest.start : hottest.end]
    assert hottest.kept
    assert explanation.heat(1)[0] > explanation.heat(0)[0], "the head of the text is hot to the other scorer"


def test_forced_units_are_marked_and_kept(lexical: Callable[..., Compressor]) -> None:
    explanation = explained(lexical, force_keep=[r"worker 12 "])
    (forced,) = [unit for unit in explanation.units if unit.forced]
    assert forced.kept
    assert "worker 12 " in LOG[forced.start : forced.end]


def test_a_text_that_passes_unchanged_says_why(lexical: Callable[..., Compressor]) -> None:
    explanation = explained(lexical, min_tokens=100_000)
    assert all(unit.kept for unit in explanation.units)
    assert "min_tokens" in explanation.reason
    assert "Passed unchanged: shorter than min_tokens" in shown(explanation)


def test_where_another_scorer_decided_only_that_one_is_shown(lexical: Callable[..., Compressor]) -> None:
    class Slow:
        def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
            raise AssertionError("too long for this scorer")

    explanation = explain(lexical(max_scored_tokens=10), Segment(LOG), QUERY, {"slow": Slow()})
    assert explanation.scorers == ("bm25",)
    assert "max_scored_tokens" in shown(explanation)


SCORES = st.lists(st.tuples(st.floats(-1, 10) | st.sampled_from([0.0, 1.0, 2.0]), st.integers(1, 50)), min_size=1, max_size=60)


@given(SCORES)
def test_heat_rises_with_the_score_and_the_best_unit_is_hottest(pairs: list[tuple[float, int]]) -> None:
    scores, tokens = zip(*pairs, strict=True)
    levels = heat_levels(scores, tokens)
    order = np.argsort(scores, kind="stable")
    for low, high in pairwise(order):
        assert levels[low] <= levels[high]
        assert (scores[low] != scores[high]) or levels[low] == levels[high]
    assert all((level == 0) for level, score in zip(levels, scores, strict=True) if score <= 0)
    assert max(levels) == (len(TOP_SHARES) if max(scores) > 0 else 0)


def test_heat_levels_are_shares_of_the_tokens() -> None:
    assert heat_levels([*range(100, 0, -1)], [1] * 100)[:11] == [7, 6, 5, 5, 5, 4, 4, 4, 4, 4, 3]


@given(st.text())
def test_what_is_shown_has_the_length_of_the_text_and_no_control_characters(text: str) -> None:
    seen = visible(text + "\x1b[2J\x00\x9b\u202e\u2066\ud800\x7f")
    assert len(seen) == len(text) + 10
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", seen)


def test_the_terminal_shows_every_unit_with_its_fate(lexical: Callable[..., Compressor]) -> None:
    explanation = explained(lexical, force_keep=[r"worker 12 "])
    rows = shown(explanation).splitlines()
    text = "\n".join(rows)
    assert f"Kept {explanation.kept_tokens:,} of {explanation.original_tokens:,} tokens" in text
    assert all(line.strip() in text for line in LOG.splitlines())
    (answer,) = [row for row in rows if "9187" in row]
    assert answer.startswith("█")
    assert "●" in answer
    assert any("⚑" in row and "worker 12 " in row for row in rows)
    assert sum(" · " in row for row in rows[6:]) == len(explanation.units) - explanation.kept_units


def test_the_terminal_cannot_be_steered_by_the_text(lexical: Callable[..., Compressor]) -> None:
    text = LOG + "\x1b]0;owned\x07 \x1b[31m[bold red]markup[/] :smile:\r\x08\n"
    seen = shown(explained(lexical, text))
    assert "\x1b" not in seen, "no colour either, since this is no terminal"
    assert "\x07" not in seen
    assert "␛[31m[bold red]markup[/] :smile:" in seen


@pytest.mark.parametrize("width", [20, 40, 60, 200])
def test_the_terminal_view_fits_any_width(lexical: Callable[..., Compressor], width: int) -> None:
    assert max(map(len, shown(explained(lexical), width).splitlines())) <= width


def test_a_terminal_without_unicode_gets_plain_signs(lexical: Callable[..., Compressor]) -> None:
    seen = shown(explained(lexical), encoding="ascii")
    assert any(re.match(r"#.? +\+ Metrics server", line) for line in seen.splitlines())


@pytest.fixture
def verb(command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Outcome]:
    """`specprefill explain` of a log file, with BM25 unless told otherwise."""
    monkeypatch.chdir(tmp_path)
    Path("app.log").write_text(LOG, encoding="utf-8")
    return lambda *arguments: command("explain", "app.log", "--query", QUERY, "--tokenizer", "estimate", *arguments)


def test_the_command_prints_the_view(verb: Callable[..., Outcome]) -> None:
    done = verb("--scorers", "bm25, head_tail")
    assert (done.status, done.err) == (0, "")
    assert done.text.startswith(f"app.log\nQuestion: {QUERY}\nKept ")
    assert "Columns: bm25, head_tail; the first decided." in done.text


def test_the_command_writes_a_page_and_says_where(verb: Callable[..., Outcome]) -> None:
    done = verb("--scorers", "bm25", "--html", "out.html", "--keep", "0.2", "--force-keep", "worker 3 ")
    assert (done.status, done.err) == (0, "")
    assert done.text.startswith("Decision: kept ")
    assert done.text.endswith("heat map: out.html\n")
    page = Path("out.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<h1>app.log</h1>" in page


def test_the_command_decides_as_compress_does(verb: Callable[..., Outcome], command: Callable[..., Outcome]) -> None:
    settings = ("--query", QUERY, "--tokenizer", "estimate", "--keep-ratio", "0.15")
    assert "9187" in command("compress", "app.log", *settings, "--scorer", "bm25").text
    usage = re.search(r'"kept_tokens": (\d+)', command("compress", "app.log", *settings, "--scorer", "bm25", "--json").text)
    assert usage
    assert f"Kept {int(usage[1]):,} of" in verb("--keep", "0.15", "--scorers", "bm25").text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--scorers", "bm25,nose"), "scorer='nose'"), (("--keep", "2"), "keep_ratio=2.0"), (("--force-keep", "("), "force_keep")],
)
def test_a_wrong_setting_is_one_line(verb: Callable[..., Outcome], arguments: tuple[str, ...], said: str) -> None:
    done = verb("--scorers", "bm25", *arguments)
    assert done.status == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1
