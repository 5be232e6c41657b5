"""Settings for each tool: only where its own values say so, as files that the library reads again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.config import CompressionConfig
from specprefill_agents.errors import ConfigError
from specprefill_agents.guardrails.settings_file import load_guardrails
from specprefill_agents.trial.advice import Advice, Recommendation, recommend
from specprefill_agents.trial.bounds import lower_bound, upper_bound
from specprefill_agents.trial.findings import Effect, Findings, RatioRow, ToolRow
from specprefill_agents.trial.settings_text import config_snippet, guardrails_toml

KEEPS = (0.1, 0.3, 0.5)


def found(values: int, lost: tuple[int, int, int], *, saved: float = 1.0, tool: str = "grep") -> Findings:
    """Findings on one tool: of `values`, each used by a call of its own, so many lost at each ratio."""
    effects = tuple(
        Effect(keep, 1000, int(1000 * keep), values, gone, values, gone, saved, 0.1 * gone) for keep, gone in zip(KEEPS, lost, strict=True)
    )
    ratios = tuple(RatioRow(effect, Tokens(), 1.0, saved, 0, 0.0) for effect in effects)
    return Findings("log", {}, Tokens(), 2.0, ratios, (ToolRow(tool, 9, effects),), (), ())


@pytest.mark.parametrize(
    ("values", "lost", "action", "keep", "said"),
    [
        (100, (0, 0, 0), "ratio", 0.1, "none of 100 values lost; with 95% confidence fewer than 2.95 %"),
        (100, (9, 1, 0), "default", 0.3, "1 of 100 values lost"),
        (100, (9, 8, 1), "ratio", 0.5, "8 of 100 values lost at the default, 1 of 100"),
        (100, (60, 30, 20), "exclude", 1.0, "30 of 100 values lost at the default, and more than 2 %"),
        (20, (0, 0, 0), "default", 0.3, "too few model calls (20) used them"),
        (20, (0, 9, 0), "ratio", 0.5, "9 of 20 values lost at the default, none of 20"),
        (20, (0, 9, 9), "exclude", 1.0, "still save $99.1"),
        (5, (1, 1, 0), "default", 0.3, "too few values to tell"),
        (5, (5, 5, 5), "exclude", 1.0, "5 of 5 values lost"),
        (0, (0, 0, 0), "default", 0.3, "none of its values was used"),
    ],
)
def test_a_tool_is_set_otherwise_only_where_its_values_say_so(
    values: int, lost: tuple[int, int, int], action: str, keep: float, said: str
) -> None:
    (one,) = recommend(found(values, lost, saved=100.0)).tools
    assert (one.action, one.keep) == (action, keep)
    assert said in one.why


def test_a_tool_that_saves_less_than_fetching_costs_is_excluded() -> None:
    (one,) = recommend(found(40, (4, 3, 2), saved=0.1)).tools
    assert one.action == "exclude"
    assert "costs more than all ratios tried save" in one.why


def test_more_risk_allows_less_to_be_kept() -> None:
    (one,) = recommend(found(100, (9, 8, 1), saved=100.0), risk=0.1).tools
    assert (one.action, one.keep) == ("ratio", 0.1)


def test_results_without_a_name_get_no_setting_of_their_own() -> None:
    (one,) = recommend(found(100, (60, 30, 20), tool="")).tools
    assert one.action == "default"


@pytest.mark.parametrize("risk", [-0.1, 1.0, float("nan")])
def test_a_risk_that_is_no_share_is_refused(risk: float) -> None:
    with pytest.raises(ConfigError, match="risk"):
        recommend(found(1, (0, 0, 0)), risk)


names = st.text(st.characters(exclude_categories=()), min_size=1, max_size=12)
keeps = st.sampled_from([0.05, 0.1, 0.25, 0.5, 1.0, "auto"])
actions = st.sampled_from(["default", "ratio", "exclude"])


@given(st.dictionaries(names, st.tuples(actions, keeps), max_size=6), keeps, names)
def test_the_file_and_the_snippet_say_the_same_to_the_library(tmp_path_factory: pytest.TempPathFactory, tools, default, name) -> None:
    clean = {tool.encode("utf-8", "replace").decode(): setting for tool, setting in tools.items()}
    advice = Recommendation(default, 0.02, tuple(Advice(t, action, keep, 1, 0, 0.5, "why") for t, (action, keep) in clean.items()))
    path = Path(tmp_path_factory.mktemp("guardrails")) / "guardrails.toml"
    path.write_text(guardrails_toml(advice, f"bench-{name}", "bm25", ("bm25",)), encoding="utf-8")
    config = load_guardrails(path).compression_config()
    assert config.keep_ratio == default
    assert dict(config.tool_keep_ratio) == {tool: keep for tool, (action, keep) in clean.items() if action == "ratio"}
    assert set(config.exclude_tools) == {tool for tool, (action, _) in clean.items() if action == "exclude"}
    written = eval(config_snippet(advice, "bm25"), {"CompressionConfig": CompressionConfig})
    assert (written.keep_ratio, written.tool_keep_ratio, set(written.exclude_tools), written.scorer) == (
        config.keep_ratio,
        config.tool_keep_ratio,
        set(config.exclude_tools),
        config.scorer,
    )


def test_a_scorer_that_guardrails_do_not_know_is_left_out_of_their_file(tmp_path: Path) -> None:
    path = tmp_path / "guardrails.toml"
    path.write_text(guardrails_toml(Recommendation(0.3, 0.02, ()), "bench", "http://127.0.0.1:9/", ("bm25",)), encoding="utf-8")
    assert load_guardrails(path).compression_config().scorer == CompressionConfig().scorer


def test_the_bounds_are_those_of_the_tables() -> None:
    assert upper_bound(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert upper_bound(1, 10) == pytest.approx(0.3942, abs=1e-4)
    assert upper_bound(5, 20) == pytest.approx(0.4556, abs=1e-4)
    assert lower_bound(5, 20) == pytest.approx(0.1041, abs=1e-4)
    assert (upper_bound(0, 0), lower_bound(0, 0), upper_bound(4, 4), lower_bound(0, 4)) == (1.0, 0.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="5 of 4"):
        upper_bound(5, 4)


@given(st.integers(1, 300), st.data())
def test_the_bounds_enclose_the_share_and_close_in_on_it(count: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, count))
    assert lower_bound(lost, count) <= lost / count <= upper_bound(lost, count)
    assert upper_bound(2 * lost, 2 * count) <= upper_bound(lost, count) + 1e-9
