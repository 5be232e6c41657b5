"""Guardrails are checked at construction, hold by value, and change a compression config in a stated order."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import CompressionConfig, Compressor, ConfigError
from specprefill_agents.guardrails.settings import (
    SCORERS,
    AbSettings,
    BreakerSettings,
    BreakEvenSettings,
    DriftSettings,
    Guardrails,
    StepLimits,
    ToolSettings,
)


def made(**values: Any) -> Guardrails:
    """Guardrails with these settings."""
    return Guardrails(**{"id": "g", "version": 1, **values})


def test_guardrails_that_say_nothing_change_nothing() -> None:
    base = CompressionConfig(keep_ratio=0.2, exclude_tools=("ls",), tool_keep_ratio={"grep": 0.1}, timeout_s=7.0, force_keep=("x",))
    assert made().compression_config(base) == base
    assert made().compression_config() == CompressionConfig()


def test_what_is_more_specific_wins() -> None:
    base = CompressionConfig(keep_ratio=0.2, scorer="bm25", tool_keep_ratio={"grep": 0.1, "ls": 0.2, "cat": 0.3}, timeout_s=7.0)
    guardrails = made(
        compression={"keep_ratio": 0.5, "timeout_s": 9.0, "tool_keep_ratio": {"ls": 0.6, "cat": 0.7}},
        tools=(ToolSettings(name="cat", keep_ratio=0.8),),
        limits=StepLimits(max_step_ms=1500),
    )
    config = guardrails.compression_config(base)
    assert config.keep_ratio == 0.5
    assert config.scorer == "bm25", "what the file leaves out stays as in the code"
    assert config.timeout_s == 1.5
    assert dict(config.tool_keep_ratio) == {"grep": 0.1, "ls": 0.6, "cat": 0.8}


def test_a_time_limit_elsewhere_holds_where_the_step_has_none() -> None:
    assert made(compression={"timeout_s": 9.0}).compression_config().timeout_s == 9.0
    assert made(limits=StepLimits(max_step_tokens=5)).compression_config(CompressionConfig(timeout_s=7.0)).timeout_s == 7.0


def test_what_the_code_protects_stays_protected() -> None:
    def keeps(segment: object) -> list[tuple[int, int]]:
        return []

    base = CompressionConfig(exclude_tools=("a", "b"), force_keep=(keeps, "x"))
    rules = {"exclude_tools": ["b", "c"], "force_keep": ["y", "x"], "tool_keep_ratio": {"a": 0.1}}
    tools = (ToolSettings(name="d", exclude=True), ToolSettings(name="a", exclude=False))
    config = made(compression=rules, tools=tools).compression_config(base)
    assert config.exclude_tools == ("a", "b", "c", "d")
    assert config.force_keep == (keeps, "x", "y")


@pytest.mark.parametrize(("code", "table", "top"), [(False, True, True), (True, False, True), (True, True, False), (False, None, True)])
def test_what_is_switched_off_anywhere_is_off(code: bool, table: bool | None, top: bool) -> None:
    compression = {} if table is None else {"enabled": table}
    assert not made(enabled=top, compression=compression).compression_config(CompressionConfig(enabled=code)).enabled


def test_the_decisions_record_holds_id_and_version_as_plain_json() -> None:
    fields = made(id="support", version="2026-11-22").audit_fields()
    assert json.loads(json.dumps(fields)) == {"guardrails_id": "support", "guardrails_version": "2026-11-22"}


def test_guardrails_are_values_whatever_order_they_are_given_in() -> None:
    rules = {"min_tokens": 5, "exclude_tools": ["a"], "tool_keep_ratio": {"b": 0.5, "a": 0.25}}
    tools = (ToolSettings(name="y", keep_ratio=0.5), ToolSettings(name="x", exclude=True))
    one = made(compression=rules, tools=tools)
    rules["exclude_tools"].append("z")  # type: ignore[attr-defined]
    other = made(compression={"tool_keep_ratio": {"a": 0.25, "b": 0.5}, "exclude_tools": ("a",), "min_tokens": 5}, tools=tools[::-1])
    assert one == other
    assert hash(one) == hash(other)
    assert one.compression_config().fingerprint() == other.compression_config().fingerprint()
    assert replace(one, version=2).compression == one.compression


RATIOS = st.one_of(st.just("auto"), st.floats(0.01, 1))
NAMES = st.text("abc", min_size=1, max_size=2)


@given(st.dictionaries(NAMES, RATIOS), st.dictionaries(NAMES, st.one_of(RATIOS, st.none())), st.one_of(st.none(), st.floats(1, 1e7)))
def test_every_tool_has_the_ratio_of_the_last_word_on_it(code: Any, tables: Any, limit: float | None) -> None:
    tools = tuple(ToolSettings(name=name, keep_ratio=ratio, exclude=ratio is None) for name, ratio in tables.items())
    config = made(tools=tools, limits=StepLimits(max_step_ms=limit)).compression_config(CompressionConfig(tool_keep_ratio=code))
    for name in {*code, *tables, "other"}:
        expected = tables.get(name) or code.get(name) or config.keep_ratio
        assert config.keep_ratio_of(name) == expected
        assert (name in config.exclude_tools) == (name in tables and tables[name] is None)
    assert config.timeout_s == (CompressionConfig().timeout_s if limit is None else limit / 1000)


def test_the_scorers_that_may_be_named_are_those_that_there_are() -> None:
    with pytest.raises(ConfigError) as error:
        Compressor(config=CompressionConfig(scorer="magic", target_tokenizer="o200k_base"), cache="memory")
    assert set(error.value.allowed.split(", ")) == set(SCORERS)


NO_NUMBERS: tuple[Any, ...] = (None, "1", True, float("nan"), float("inf"), float("-inf"), [1], -1)
NO_SHARES = (*NO_NUMBERS, 1.01, 5, 10**400)


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        (StepLimits, "limits.max_step_ms", [*NO_NUMBERS[1:], 0, 0.2, 86_400_001, 10**400]),
        (StepLimits, "limits.max_step_tokens", [*NO_NUMBERS[1:], 0, 2.0]),
        (BreakerSettings, "breaker.failures", [*NO_NUMBERS, 0, 2.0]),
        (BreakerSettings, "breaker.cooldown_s", [*NO_NUMBERS, 0, 86_401, 10**400]),
        (DriftSettings, "drift.share", NO_SHARES),
        (DriftSettings, "drift.scorer", ["", "bm26", None, 5, ["bm25"], True]),
        (DriftSettings, "drift.overlap_floor", NO_SHARES[1:]),
        (DriftSettings, "drift.action_floor", NO_SHARES[1:]),
        (DriftSettings, "drift.window", [*NO_NUMBERS, 0, 2.0, 10_001]),
        (DriftSettings, "drift.min_samples", [*NO_NUMBERS, 0, 2.0, 51]),
        (AbSettings, "ab.control_share", NO_SHARES),
        (AbSettings, "ab.salt", [None, 5, True]),
        (BreakEvenSettings, "break_even.model", ["", " ", 5, True]),
        (BreakEvenSettings, "break_even.expected_requests", [*NO_NUMBERS, 0, 0.99]),
        (BreakEvenSettings, "break_even.machine_usd_per_hour", [*NO_NUMBERS, 10_001]),
        (BreakEvenSettings, "break_even.target_prefill_tokens_per_s", [*NO_NUMBERS[1:], 0]),
    ],
)
def test_a_value_out_of_range_is_named_by_its_dotted_field(kind: type, field: str, values: Any) -> None:
    name = field.split(".")[1]
    extra = {"share": 0.5} if name.endswith("_floor") else {}
    for value in values:
        with pytest.raises(ConfigError) as error:
            kind(**{name: value, **extra})
        assert (error.value.field, error.value.allowed != "") == (field, True)
        assert error.value.value is value


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "  "}, "id"),
        ({"id": 5}, "id"),
        ({"version": 0}, "version"),
        ({"version": True}, "version"),
        ({"version": 1.5}, "version"),
        ({"version": ""}, "version"),
        ({"version": None}, "version"),
        ({"enabled": 1}, "enabled"),
        ({"enabled": "yes"}, "enabled"),
        ({"compression": 5}, "compression"),
        ({"compression": {"keep_ratio": 30}}, "compression.keep_ratio"),
        ({"compression": {"keepratio": 0.3}}, "compression.keepratio"),
        ({"compression": {"scorer": "bm26"}}, "compression.scorer"),
        ({"compression": {"tool_keep_ratio": {"grep": 2}}}, "compression.tool_keep_ratio.grep"),
        ({"limits": {"max_step_ms": 5}}, "limits"),
        ({"tools": {"grep": 0.3}}, "tools"),
        ({"tools": (ToolSettings(name="a"), ToolSettings(name="a"))}, "tools.a"),
    ],
)
def test_what_is_wrong_with_the_whole_is_named_too(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as error:
        made(**values)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "tools"),
        ({"name": 5}, "tools"),
        ({"name": "grep", "exclude": 1}, "tools.grep.exclude"),
        ({"name": "grep", "keep_ratio": 0}, "tools.grep.keep_ratio"),
        ({"name": "grep", "keep_ratio": True}, "tools.grep.keep_ratio"),
        ({"name": "grep", "keep_ratio": float("nan")}, "tools.grep.keep_ratio"),
        ({"name": "grep", "keep_ratio": 0.3, "exclude": True}, "tools.grep.keep_ratio"),
    ],
)
def test_what_is_wrong_with_a_tool_names_the_tool(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as error:
        ToolSettings(**values)
    assert error.value.field == field


@pytest.mark.parametrize("floor", ["overlap_floor", "action_floor"])
def test_a_floor_without_samples_is_refused(floor: str) -> None:
    with pytest.raises(ConfigError, match=r"drift\.share > 0"):
        DriftSettings(**{floor: 0.5})  # type: ignore[arg-type]
    assert getattr(DriftSettings(**{"share": 0.1, floor: 0.5}), floor) == 0.5  # type: ignore[arg-type]


def test_no_drift_is_measured_with_the_scorer_that_is_measured() -> None:
    drift = DriftSettings(share=0.1, scorer="bm25")
    with pytest.raises(ConfigError, match="another scorer") as error:
        made(drift=drift, compression={"scorer": "bm25"})
    assert error.value.field == "drift.scorer"
    with pytest.raises(ConfigError, match="another scorer"):
        made(drift=drift).compression_config(CompressionConfig(scorer="bm25"))
    assert made(compression={"scorer": "bm25"}).drift.share == 0, "nor does that matter where none is measured"
