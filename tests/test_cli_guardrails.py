"""`specprefill guardrails`: a file is checked before an agent starts with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_the_example_shows_what_holds_under_it(command: Callable[..., Any], repository: Path) -> None:
    done = command("guardrails", str(repository / "examples" / "guardrails.toml"), "--conversation", "42")
    shown = json.loads(done.text)
    assert done.status == 0
    assert (shown["id"], shown["version"], shown["arm"]) == ("support-agent", 3, "treated")
    assert shown["compression"]["tool_keep_ratio"] == [["grep", 0.2], ["read_file", "auto"]]
    assert shown["compression"]["timeout_s"] == 10
    assert shown["drift"]["overlap_floor"] == 0.25


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('id = "a"\nversion = 1\n[limits]\nmax_step_s = 2\n', "limits.max_step_s"),
        ('id = "a"\nversion = 1\n[limits]\nmax_step_ms = 0.5\n', "limits.max_step_ms"),
        ('id = "a"\nversion = 1\n[drift]\nshare = 0.1\noverlap_floor = 1.5\n', "drift.overlap_floor"),
        ('id = "a"\nversion = 1\n[compression]\nkeep_ratio = 30\n', "compression.keep_ratio"),
        ("version = 1\n", "id"),
        ("id = \n", "valid TOML"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(command: Callable[..., Any], tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "guardrails.toml"
    file.write_text(text, encoding="utf-8")
    done = command("guardrails", str(file))
    assert done.status == 2
    assert named in done.err
    assert done.err.count("\n") == 1


def test_the_kill_switch_shows(command: Callable[..., Any], repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECPREFILL_DISABLED", "yes")
    done = command("guardrails", str(repository / "examples" / "guardrails.toml"))
    assert json.loads(done.text)["switched_off_by_environment"] == "SPECPREFILL_DISABLED"
