"""Conversations to account for: parts, a counter that counts characters, random histories, and what a provider would report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from random import Random

from hypothesis import strategies as st

from specprefill_agents.accounting.ledger import Conversation
from specprefill_agents.accounting.recording import Exchange, LedgerSettings, Recorder
from specprefill_agents.accounting.tokens import FunctionCounter
from specprefill_agents.accounting.wire import Part, message_part, tools_part

CHARS = FunctionCounter("chars", len)
START = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
"""A Saturday: no peak."""
HEAD = (
    tools_part([{"name": "grep", "description": "find lines " * 60}]),
    message_part("system", "be brief " * 80),
    message_part("user", "why did it fail?"),
)


def at(minutes: float) -> datetime:
    """A moment so many minutes after `START`."""
    return START + timedelta(minutes=minutes)


def asks(number: int, tool: str = "grep") -> Part:
    """An assistant message that calls a tool."""
    return message_part("assistant", "", [{"id": f"call-{number}", "name": tool, "args": {"p": f"x{number}"}}])


def result(number: int, size: int) -> Part:
    """A tool's answer of `size` characters."""
    return message_part("tool", (f"line {number} of output\n" * (size // 5 + 1))[:size], tool_call_id=f"call-{number}")


def deepseek_usage(hit: int, miss: int, output: int) -> dict[str, int]:
    """What the provider reports."""
    return {
        "prompt_tokens": hit + miss,
        "completion_tokens": output,
        "total_tokens": hit + miss + output,
        "prompt_cache_hit_tokens": hit,
        "prompt_cache_miss_tokens": miss,
    }


def recorded(
    sizes: Sequence[int],
    share: float = 0.3,
    *,
    expand_at: Sequence[int] = (),
    settings: LedgerSettings | None = None,
    name: str = "chat",
    model: str = "deepseek-flash",
    scorer_ms: float = 0.0,
    first_minute: float = 0.0,
) -> Conversation:
    """An agent loop over tool outputs of `sizes` characters, of which `share` is sent; a call at `expand_at` expands."""
    recorder = Recorder(name, model, CHARS, settings)
    sent, plain = list(HEAD), list(HEAD)
    for number, size in enumerate([*sizes, 0]):
        tool = "expand" if number in expand_at else "grep"
        answer = asks(number, tool) if number < len(sizes) else message_part("assistant", "done")
        usage = deepseek_usage(900 if number else 0, 100, 25)
        recorder.record(Exchange(sent, plain, answer, usage, scorer_ms), at(first_minute + number))
        kept = size if tool == "expand" else int(size * share)
        sent, plain = ([*parts, answer, result(number, length)] for parts, length in ((sent, kept), (plain, size)))
    conversation = recorder.conversation
    assert conversation is not None
    return conversation


def history(seed: int, steps: int = 8) -> list[list[Part]]:
    """The requests of a conversation in which, now and then, somebody edits, deletes, inserts, reorders or changes tools."""
    source = Random(seed)
    parts = [*HEAD[:1], message_part("system", "s" * source.randrange(2000)), message_part("user", "q" * source.randrange(1, 900))]
    requests: list[list[Part]] = []
    for number in range(steps):
        requests.append(list(parts))
        parts = [*parts, asks(number), result(number, source.randrange(3000))]
        where = source.randrange(len(parts))
        what = source.choice(("grow", "grow", "grow", "edit", "delete", "insert", "reorder", "tools", "system", "shorten"))
        if what == "edit":
            parts[where] = message_part("tool", parts[where].text[: source.randrange(400)] + "!", tool_call_id=parts[where].tool_call_id)
        elif what == "delete" and len(parts) > 1:
            del parts[where]
        elif what == "insert":
            parts.insert(where, message_part("user", f"and {number}?"))
        elif what == "reorder":
            source.shuffle(parts)
        elif what == "tools":
            parts = [tools_part([{"name": f"tool-{number}"}]), *(part for part in parts if part.section != "tools")]
        elif what == "system":
            parts = [message_part("system", f"now {number}") if part.section == "system" else part for part in parts]
        elif what == "shorten":
            parts = parts[: max(1, where)]
    return requests


SEEDS = st.integers(min_value=0, max_value=2**32)
HISTORIES = SEEDS.map(history)


def growing(seed: int, steps: int = 8) -> list[list[Part]]:
    """The requests of a conversation that only grows, with one to three tool results a step."""
    source = Random(seed)
    parts = list(HEAD)
    requests: list[list[Part]] = []
    for number in range(steps):
        requests.append(list(parts))
        results = [result(number, source.randrange(2500)) for _ in range(source.randrange(1, 4))]
        parts = [*parts, asks(number), *results]
    return requests


GROWING = SEEDS.map(growing)
