"""The demo's heat map shows the longest tool output as it was really read, cut and sent."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from rich.console import Console

from specprefill_agents import CompressionConfig, Compressor
from specprefill_agents.observe.explain import visible
from specprefill_agents.scoring.key_index import KeyIndexScorer
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.types import TokenScores
from specprefill_langchain.demo import Played, draw, heat_map
from specprefill_langchain.demo.heat_map import longest_read
from specprefill_langchain.demo.model import ScriptedModel
from specprefill_langchain.demo.screen import show_heat_map
from specprefill_langchain.demo.task import QUESTION, script
from specprefill_langchain.step import compress_step
from tests.demo_runs import watch, writer


class Listening(LexicalScorer):
    """BM25 that remembers the question each text was decided for; recall asks others of it later."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, str] = {}

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        self.asked = {**dict.fromkeys(contexts, query), **self.asked}
        return super().score(contexts, query)


@pytest.fixture(autouse=True)
def without_a_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scorer beside the one that decided needs no model, except where a test says so."""
    monkeypatch.setattr(heat_map, "COMPARED", ("head_tail",))


def played(compressor: Compressor, steps: int = 4) -> Played:
    return watch(compressor, ScriptedModel(steps=script()[:steps], writer=writer(), reminder=QUESTION))[0]


def shown(explanation: heat_map.Explanation | None, page: Path) -> str:
    screen = io.StringIO()
    show_heat_map(Console(file=screen, width=200), explanation, page)
    return screen.getvalue()


def test_the_page_shows_the_longest_output_with_the_decision_and_the_question_of_its_own_step(tmp_path: Path) -> None:
    scorer, page = Listening(), tmp_path / "page.html"
    config = CompressionConfig(scorer="bm25", target_tokenizer="o200k_base")
    run = played(Compressor(config=config, scorer=scorer, cache="memory"))
    explanation = draw(run, Compressor(config=config, cache="memory"), page)
    assert explanation is not None
    longest = max(run.calls, key=lambda call: call.new_tokens)
    assert (explanation.title, explanation.original_tokens, explanation.kept_tokens) == (
        longest.label,
        longest.new_tokens,
        longest.kept_tokens,
    )
    assert explanation.query == scorer.asked[explanation.text]
    assert explanation.query.startswith(QUESTION)
    assert explanation.query != QUESTION, "the call's arguments are part of it"
    (sent,) = [m.text for m, whole in zip(run.last.sent, run.last.messages, strict=True) if whole.content == explanation.text]
    kept = [unit for unit in explanation.units if unit.kept]
    assert all(explanation.text[unit.start : unit.end].rstrip() in sent for unit in kept)
    assert 0 < len(kept) < len(explanation.units)
    assert explanation.scorers == ("bm25", "head_tail")
    assert visible(longest.label) in page.read_text(encoding="utf-8")


def test_the_screen_names_the_page_and_the_call(lexical: Callable[..., Compressor], tmp_path: Path) -> None:
    compressor, page = lexical(), tmp_path / "[bold]page.html"
    explanation = draw(played(compressor, steps=1), compressor, page)
    said = shown(explanation, page)
    assert str(page) in said
    assert "grep(negative|prefix_chars, argparse.py), the longest tool output" in said
    assert explanation is not None
    assert f"kept {explanation.kept_tokens:,} of {explanation.original_tokens:,} tokens" in said


def test_of_several_outputs_of_one_step_the_longest_is_taken_with_what_became_of_it(lexical: Callable[..., Compressor]) -> None:
    calls = [{"name": "grep", "args": {"pattern": name}, "id": name, "type": "tool_call"} for name in ("short", "long", "failed")]
    texts = [
        ToolMessage("a line about nothing\n" * lines, tool_call_id=call["id"], status="error" if call["id"] == "failed" else "success")
        for call, lines in zip(calls, (40, 90, 200), strict=True)
    ]
    compressor = lexical()
    step = compress_step(compressor, compressor.session("x"), [HumanMessage("nothing?"), AIMessage("", tool_calls=calls), *texts])
    read = longest_read(step)
    assert read is not None
    assert (read.call, read.segment.text) == ("grep(long)", texts[1].content)
    assert read.decided == step.result.segments[1]


def test_where_nothing_was_shortened_there_is_no_page(lexical: Callable[..., Compressor], tmp_path: Path) -> None:
    compressor, page = lexical(keep_ratio=1), tmp_path / "page.html"
    explanation = draw(played(compressor, steps=1), compressor, page)
    assert explanation is None
    assert not page.exists()
    assert "none" in shown(explanation, page)


def test_where_scoring_failed_there_is_no_page_that_would_explain_it_wrongly(tmp_path: Path) -> None:
    class BrokenOnce(LexicalScorer):
        calls = 0

        def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("out of order")
            return super().score(contexts, query)

    compressor = Compressor(scorer=BrokenOnce(), config=CompressionConfig(target_tokenizer="o200k_base"), cache="memory")
    run = played(compressor, steps=2)
    assert run.calls[1].fallback_reason
    assert draw(run, compressor, tmp_path / "page.html") is None
    assert not (tmp_path / "page.html").exists()


def test_the_draft_reads_nothing_again_for_the_page(embedded_draft: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heat_map, "COMPARED", ("key_index", "bm25"))
    compressor = Compressor(embedded_draft)
    run = watch(compressor, ScriptedModel(steps=script()[-1:], writer=writer(), reminder=QUESTION))[0]
    for method in ("read", "query_vectors"):
        monkeypatch.setattr(KeyIndexScorer, method, None)
    explanation = draw(run, compressor, tmp_path / "page.html")
    assert explanation is not None
    assert explanation.scorers == ("fused", "key_index", "bm25")
    assert max(explanation.heat(1)) > 0
