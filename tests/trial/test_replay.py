"""A trial does what an agent with this library would have done, and bills it as the provider would."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import pytest

from specprefill_agents import CompressionConfig, Compressor
from specprefill_agents.accounting.pricing import PriceTable
from specprefill_agents.errors import ConfigError, ScoringError
from specprefill_agents.gateway.messages import rounds
from specprefill_agents.session import Turn
from specprefill_agents.trial.findings import Findings
from specprefill_agents.trial.log_file import read_log
from specprefill_agents.trial.replay import Pricing, Replayer
from specprefill_agents.trial.shared_scorer import SharedScorer
from specprefill_agents.trial.trial import Settings, run_trial
from specprefill_agents.types import TokenScores
from tests.trial.logs import SECRET, conversation, request, write_log

NOW = datetime(2026, 11, 25, 7, 30, tzinfo=timezone.utc)
"""Within the peak hours of a Wednesday."""
PRICING = Pricing.of(PriceTable(), "deepseek-flash", NOW)


def tried(path: Path, lines: Sequence[object], **settings: object) -> Findings:
    """What a trial by BM25 finds in a log of these lines."""
    chosen = Settings(**{"scorer": "bm25", "keeps": (0.1, 0.3, 1.0), **settings})  # type: ignore[arg-type]
    return run_trial(read_log(write_log(path / "log.jsonl", lines)), chosen, PRICING, chosen.make_scorer())


def test_a_value_far_from_the_question_is_at_risk_with_its_gap_and_kept_whole_it_is_none(tmp_path: Path) -> None:
    found = tried(tmp_path, [{"id": "zoo", "messages": conversation()}])
    assert [row.effect.lost for row in found.ratios] == [1, 1, 0]
    (risk,) = found.risks
    assert (risk.value, risk.tool, risk.conversation, risk.source_step, risk.used_step) == (SECRET, "read_log", "zoo", 1, 2)
    assert risk.lost_at == (0.1, 0.3)
    assert risk.lines[0] <= 62 <= risk.lines[1]
    assert risk.can_expand
    assert risk.before.endswith("Settings live in ")
    assert risk.after.startswith(" today.")
    first, _, whole = found.tools[0].effects
    assert first.kept_share <= 0.1
    assert first.fetch_usd > 0
    assert (whole.kept_share, whole.fetch_usd) == (1.0, 0.0)


def test_less_is_kept_and_more_is_saved_at_a_smaller_ratio(tmp_path: Path) -> None:
    found = tried(tmp_path, [conversation(question=f"What about penguin {index}?") for index in range(3)])
    kept = [row.effect.kept_tokens for row in found.ratios]
    assert kept == sorted(kept)
    assert found.ratios[0].saved_usd > found.ratios[1].saved_usd > 0
    assert found.ratios[2].saved_usd < 0, "nothing is cut, and the tool expand is part of every request"
    assert found.ratios[2].dearer == 3
    for row in found.ratios:
        assert row.usd + row.saved_usd == pytest.approx(found.plain_usd)
        assert row.tokens.output_tokens == found.plain.output_tokens


def test_bills_are_off_peak_and_by_the_cache_of_the_provider(tmp_path: Path) -> None:
    assert (PRICING.price.window, PRICING.rule.name) == ("off-peak", "deepseek")
    found = tried(tmp_path, [conversation()])
    assert found.plain.hit_tokens > 500, "the third request reads the second from the cache"
    usd = (found.plain.hit_tokens * 0.003 + found.plain.miss_tokens * 0.15 + found.plain.output_tokens * 0.60) / 1e6
    assert found.plain_usd == pytest.approx(usd)


def test_the_request_at_the_end_of_a_log_is_billed_without_an_answer(tmp_path: Path) -> None:
    whole = tried(tmp_path, [conversation()])
    begun = tried(tmp_path, [request(conversation()[:6])])
    assert (whole.conversations[0].requests, begun.conversations[0].requests) == (3, 3)
    assert begun.plain.output_tokens < whole.plain.output_tokens


def test_a_replay_decides_what_stepping_request_by_request_decides(tmp_path: Path) -> None:
    messages = conversation()
    messages[-1:-1] = [{**message, "tool_call_id": "c3"} for message in messages[3:4]]
    messages[4]["tool_calls"][0]["id"] = "c3"
    (recorded,) = read_log(write_log(tmp_path / "log.jsonl", [messages])).conversations
    compressor = Compressor(config=CompressionConfig(keep_ratio=0.3, scorer="bm25"), cache="memory")
    session, sent = compressor.session("stepped"), []
    for end in (2, 4, 7):
        turns = [Turn(tuple(slot.segment for slot in part.slots), part.query) for part in rounds(recorded.messages[:end])]
        sent = [segment.text for result in session.steps(turns) for segment in result.segments]
    shared = SharedScorer(Settings(scorer="bm25").make_scorer())
    compressors = [Compressor(config=CompressionConfig(keep_ratio=0.3, scorer="bm25"), scorer=shared, cache="memory")]
    (attempt,) = Replayer(compressors, shared, compressor.counter, PRICING).replay(recorded).attempts
    assert [one.text for one in attempt.decided] == sent
    assert 'as in read_log("penguin") above]' in sent[-1], "it refers to the first result"


def test_ratios_share_what_was_scored_and_each_is_charged_for_it() -> None:
    class Counting:
        calls = 0

        def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
            self.calls += 1
            return Settings(scorer="bm25").make_scorer().score(contexts, query)

    inner = Counting()
    shared = SharedScorer(inner)
    first = shared.score(["a penguin"], "penguin")
    spent = shared.charged_s
    assert shared.score(["a penguin"], "penguin") is first
    assert (inner.calls, shared.charged_s) == (1, pytest.approx(2 * spent))
    assert shared.spent_s == pytest.approx(spent)
    shared.forget()
    shared.score(["a penguin"], "penguin")
    assert inner.calls == 2


def test_nothing_to_compress_finds_nothing_at_risk(tmp_path: Path) -> None:
    found = tried(tmp_path, [[{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello."}]])
    assert (found.values, found.tools, found.risks) == (0, (), ())
    assert [row.saved_usd for row in found.ratios] == [0.0, 0.0, 0.0]


def test_what_the_log_says_of_tools_and_models_is_told(tmp_path: Path) -> None:
    about = tried(tmp_path, [request(conversation()), conversation(question="Other?")]).about
    assert (about["recorded_models"], about["without_tools"], about["priced_as"]) == (["gpt-4o"], 1, "deepseek-flash")


def test_a_setting_of_one_tool_changes_its_results_alone(tmp_path: Path) -> None:
    lines = [conversation(tool="read_log"), conversation(tool="read_news")]
    found = tried(tmp_path, lines, keeps=(0.3,), exclude_tools=("read_news",))
    kept = {row.tool: row.effects[0].kept_share for row in found.tools}
    assert kept["read_log"] < 0.4
    assert kept["read_news"] == 1.0


def test_a_scorer_that_fails_is_an_error_and_no_safe_result(tmp_path: Path) -> None:
    class Broken:
        def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
            return []

    log = read_log(write_log(tmp_path / "log.jsonl", [conversation()]))
    with pytest.raises(ScoringError, match="0 results for 1 contexts"):
        run_trial(log, Settings(scorer="bm25"), PRICING, Broken())


@pytest.mark.parametrize("keeps", [(), (0.3, 0.3)])
def test_ratios_must_be_given_once_each(keeps: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="keep"):
        Settings(keeps=keeps)


def test_the_embedded_draft_keeps_the_value_that_the_question_asks_for(tmp_path: Path, embedded_draft: str) -> None:
    path = write_log(tmp_path / "log.jsonl", [conversation(question="Where do the settings live?", value="/srv/zoo/app.toml")])
    chosen = Settings(keeps=(0.2,), draft=embedded_draft)
    found = run_trial(read_log(path), chosen, PRICING, chosen.make_scorer())
    assert found.values == 1
    assert found.ratios[0].effect.lost == 0
    assert found.tools[0].effects[0].kept_share <= 0.2
    assert found.about["draft"] == embedded_draft
    assert found.ratios[0].scorer_ms > 0
