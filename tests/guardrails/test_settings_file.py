"""A guardrails file is read whole or refused with the place, the value and what is allowed; the example is one of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents import ConfigError
from specprefill_agents.guardrails import settings_file
from specprefill_agents.guardrails.settings import (
    SECTIONS,
    AbSettings,
    BreakerSettings,
    BreakEvenSettings,
    DriftSettings,
    Guardrails,
    StepLimits,
    ToolSettings,
)
from specprefill_agents.guardrails.settings_file import guardrails_from, load_guardrails

HEAD = 'id = "g"\nversion = 1\n'


def loaded(tmp_path: Path, text: str) -> object:
    """What a file with this text is read as."""
    path = tmp_path / "guardrails.toml"
    path.write_text(text, encoding="utf-8")
    return load_guardrails(path)


def test_the_example_says_what_its_comments_say(repository: Path) -> None:
    guardrails = load_guardrails(repository / "examples" / "guardrails.toml")
    assert (guardrails.id, guardrails.version, guardrails.enabled) == ("support-agent", 3, True)
    assert guardrails.tools == (
        ToolSettings(name="get_policy", exclude=True),
        ToolSettings(name="grep", keep_ratio=0.2),
        ToolSettings(name="read_file", keep_ratio="auto"),
    )
    assert guardrails.limits == StepLimits(max_step_ms=10_000, max_step_tokens=60_000)
    assert guardrails.breaker == BreakerSettings(failures=5, cooldown_s=60)
    floors: dict[str, Any] = {"overlap_floor": 0.25, "action_floor": 0.9, "acceptance_floor": 0.3}
    assert guardrails.drift == DriftSettings(share=0.05, scorer="bm25", window=50, min_samples=20, **floors)
    assert guardrails.ab == AbSettings(control_share=0.1, salt="2026-11")
    assert guardrails.break_even == BreakEvenSettings(model="deepseek-flash", expected_requests=10, machine_usd_per_hour=0.1)
    config = guardrails.compression_config()
    assert (config.keep_ratio, config.keep_ratio_of("grep"), config.keep_ratio_of("read_file")) == (0.3, 0.2, "auto")
    assert (config.exclude_tools, config.force_keep, config.timeout_s) == (("get_policy",), (r"ORD-\d{6}",), 10.0)


def test_the_example_shows_every_setting_there_is(repository: Path) -> None:
    text = (repository / "examples" / "guardrails.toml").read_text(encoding="utf-8")
    shown = settings_file.tomllib.loads(text.replace("# target_prefill", "target_prefill"))
    for name, kind in SECTIONS.items():
        assert set(shown[name]) == set(settings_file._names_of(kind)), name
    assert set(shown) == set(settings_file._names_of(Guardrails))
    assert guardrails_from(shown).break_even.target_prefill_tokens_per_s == 11_000


def test_id_and_version_are_enough(tmp_path: Path) -> None:
    assert loaded(tmp_path, HEAD) == Guardrails(id="g", version=1)
    assert loaded(tmp_path, 'id = "g"\nversion = "2026-11-22"') == Guardrails(id="g", version="2026-11-22")


@pytest.mark.parametrize(
    ("text", "field", "allowed"),
    [
        ("version = 1", "id", "given"),
        ('id = "g"', "version", "given"),
        ('id = ""\nversion = 1', "id", "not empty"),
        ('id = "g"\nversion = 2026-11-22', "version", "an integer >= 1, or a text"),
        (HEAD + "enable = true", "enable", "settings named id, version, enabled, compression, tools, limits"),
        (HEAD + "[limit]\nmax_step_ms = 5", "limit", "limits"),
        (HEAD + "[limits]\nmax_step_s = 5", "limits.max_step_s", "settings named max_step_ms, max_step_tokens"),
        (HEAD + '[limits]\nmax_step_ms = "200ms"', "limits.max_step_ms", "milliseconds"),
        (HEAD + "[limits]\nmax_step_ms = 0.2", "limits.max_step_ms", "milliseconds from 1"),
        (HEAD + "limits = 5", "limits", "a table"),
        (HEAD + "[[limits]]\nmax_step_ms = 5", "limits", "a table"),
        (HEAD + "[breaker]\nfailures = 0", "breaker.failures", "an integer >= 1"),
        (HEAD + "[breaker]\ncooldown = 5", "breaker.cooldown", "settings named failures, cooldown_s"),
        (HEAD + "[drift]\nfloor = 0.5", "drift.floor", "overlap_floor, action_floor"),
        (HEAD + "[drift]\nshare = 0.1\noverlap_floor = 1.2", "drift.overlap_floor", "a share in [0, 1]"),
        (HEAD + "[drift]\nshare = 0.1\noverlap_floor = nan", "drift.overlap_floor", "a share in [0, 1]"),
        (HEAD + "[drift]\naction_floor = 0.9", "drift.action_floor", "drift.share > 0"),
        (HEAD + "[drift]\nshare = 5", "drift.share", "such as 0.05 for 5 %"),
        (HEAD + '[drift]\nscorer = "bm26"', "drift.scorer", "one of fused, key_index, bm25"),
        (HEAD + "[ab]\ncontrol_share = true", "ab.control_share", "a share"),
        (HEAD + "[break_even]\nmachine_usd_per_hour = -1", "break_even.machine_usd_per_hour", "USD per hour"),
        (HEAD + "tools = 5", "tools", "a table"),
        (HEAD + "[tools]\ngrep = 0.3", "tools.grep", "a table"),
        (HEAD + "[tools.grep]\nkeep = 0.3", "tools.grep.keep", "settings named keep_ratio, exclude"),
        (HEAD + '[tools.grep]\nname = "ls"', "tools.grep.name", "settings named keep_ratio, exclude"),
        (HEAD + '[tools.grep]\nkeep_ratio = "most"', "tools.grep.keep_ratio", "'auto'"),
        (HEAD + '[tools."a.b"]\nexclude = 1', "tools.a.b.exclude", "true or false"),
        (HEAD + "compression = 5", "compression", "a table"),
        (HEAD + "[[compression]]\nkeep_ratio = 0.3", "compression", "a table"),
        (HEAD + "[compression]\nkeep_ratio = 30", "compression.keep_ratio", "(0, 1]"),
        (HEAD + "[compression]\nkeepratio = 0.3", "compression.keepratio", "settings named keep_ratio, enabled"),
        (HEAD + '[compression]\nscorer = "bm26"', "compression.scorer", "one of fused"),
        (HEAD + "[compression]\nforce_keep = ['(']", "compression.force_keep", "valid regular expressions"),
    ],
)
def test_every_mistake_is_named_with_its_place_and_what_is_allowed(tmp_path: Path, text: str, field: str, allowed: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(allowed)) as error:
        loaded(tmp_path, text)
    assert error.value.field == field


@pytest.mark.parametrize(
    "text", ["[limits", "\x00", "id = g", HEAD + "x = " + "[" * 100_000, HEAD + HEAD, HEAD + f"[breaker]\nfailures = -1{'0' * 5000}"]
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="a file of valid TOML") as error:
        loaded(tmp_path, text)
    assert error.value.value == str(tmp_path / "guardrails.toml")


def test_an_integer_too_long_for_a_message_is_a_named_error_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a file of valid TOML"):
        loaded(tmp_path, HEAD + f"[drift]\nshare = 0x{'f' * 5000}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'id = "\xe9"')
    for path in (tmp_path / "missing.toml", tmp_path, tmp_path / "latin.toml", f"{tmp_path}/a\x00b"):
        with pytest.raises(ConfigError, match="a file of UTF-8 text that can be read") as error:
            load_guardrails(path)
        assert error.value.value == str(path)


@pytest.mark.parametrize("values", [None, [], "id", 5])
def test_what_is_no_mapping_is_no_guardrails(values: Any) -> None:
    with pytest.raises(ConfigError, match="a table"):
        guardrails_from(values)


def test_the_mapping_given_is_left_as_it_was() -> None:
    given: dict[str, Any] = {"id": "g", "version": 1, "tools": {"grep": {"keep_ratio": 0.2}}, "limits": {"max_step_ms": 10}}
    guardrails_from(given)
    assert given == {"id": "g", "version": 1, "tools": {"grep": {"keep_ratio": 0.2}}, "limits": {"max_step_ms": 10}}
