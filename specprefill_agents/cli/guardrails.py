"""`specprefill guardrails`: checks a file before an agent starts with it, and says what holds under it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from specprefill_agents.guardrails.kill_switch import VARIABLE, is_killed
from specprefill_agents.guardrails.settings import SECTIONS, Guardrails
from specprefill_agents.guardrails.settings_file import load_guardrails

HELP = (
    "Check a TOML file of guardrails, and show as JSON what holds under it: every setting of compression, its own and the "
    "defaults, then its other sections. A wrong key or value is named, with what is allowed, and the exit status is 2."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`FILE [--conversation ID]`."""
    parser.add_argument("file", metavar="FILE", help="the TOML file; examples/guardrails.toml shows every setting")
    parser.add_argument("--conversation", metavar="ID", help="also say which arm of the experiment this conversation is in")


def run(args: argparse.Namespace) -> int:
    """Print what holds."""
    rules = load_guardrails(args.file)
    print(json.dumps(_shown(rules, args.conversation), indent=2, ensure_ascii=False, default=str))
    return 0


def _shown(rules: Guardrails, conversation: str | None) -> dict[str, Any]:
    from specprefill_agents.guardrails.arms import arm_of

    shown: dict[str, Any] = {"id": rules.id, "version": rules.version, "switched_off_by_environment": VARIABLE if is_killed() else None}
    shown["compression"] = asdict(rules.compression_config())
    shown |= {name: asdict(getattr(rules, name)) for name in SECTIONS}
    return shown if conversation is None else {**shown, "arm": arm_of(conversation, rules)}
