"""Rows of the local benchmark -> Markdown tables: medians, and ratios of what was measured in the same repetition."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.speed.timing import ratio
from benchmarks.tables import table

Rows = Sequence[Mapping[str, Any]]


def markdown(document: Mapping[str, Any]) -> str:
    """All tables of one result."""
    settings, machine = document["settings"], document["machine"]
    where = [machine["processor"], f"{machine['cores']} cores", *([machine["gpu"]] if "gpu" in machine else [])]
    heading = f"`{document['command']}`\non {', '.join(map(str, where))}; {settings['device']}, {settings['dtype']}, "
    heading += f"{settings['threads']} threads; draft {settings['sizes']['draft']}"
    rows = document["rows"]
    parts = {
        "First token behind an output read for the first time": _first_token(_of(rows, "first_token")),
        "The scorer alone": _scorer(_of(rows, "scorer")),
        "First token of a step of an agent loop": _loop(_of(rows, "loop")),
        "Speed of an answer": _decoding(_of(rows, "decoding")),
        "Memory": _memory(_of(rows, "memory")),
    }
    return "\n\n".join([heading, *(f"**{title}**\n\n{shown}" for title, shown in parts.items() if shown)])


def _of(rows: Rows, part: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["part"] == part]


def _first_token(rows: Rows) -> str:
    wholes = {(row["target"], row["length"]): row for row in rows if row["form"] == "whole"}
    lines = []
    for row in rows:
        whole = wholes[row["target"], row["length"]]["first_token_ms"]
        spent = with_compression(row)
        lines.append(
            [
                *(row[name] for name in ("target", "length", "form", "keep")),
                round(statistics.median(row["prompt_tokens"])),
                *(_ms(row[name]) for name in ("scorer_ms", "choice_ms", "first_token_ms")),
                _ms(spent),
                *("" if row["form"] == "whole" else _times(whole, over) for over in (row["first_token_ms"], spent)),
            ]
        )
    head = ["target", "output tokens", "form", "keep", "prompt tokens", "scorer ms", "choice ms", "first token ms", "all ms"]
    return table([*head, "faster, scorer excluded", "included"], lines) if lines else ""


def with_compression(row: Mapping[str, Any]) -> list[float]:
    """Milliseconds to the first token, those of compression included, for each repetition."""
    return [sum(each) for each in zip(row["scorer_ms"], row["choice_ms"], row["first_token_ms"], strict=True)]


def _scorer(rows: Rows) -> str:
    lines = [[row["target"], row["length"], row["scorer"], _ms(row["fresh_ms"]), _ms(row["again_ms"])] for row in rows]
    return table(["measured before", "output tokens", "scorer", "fresh ms", "another question ms"], lines) if lines else ""


def _loop(rows: Rows) -> str:
    bases = {(row["target"], row["cached"], row["step"]): row["first_token_ms"] for row in rows if row["form"] == "whole"}
    measured = {row["step"] for row in rows if not row["cached"]}
    lines = []
    for row in rows:
        if row["step"] not in measured:
            continue
        spent = [first + own for first, own in zip(row["first_token_ms"], row["compress_ms"], strict=True)]
        base = bases[row["target"], row["cached"], row["step"]]
        lines.append(
            [
                *(row[name] for name in ("target", "form")),
                "yes" if row["cached"] else "no",
                row["step"],
                round(statistics.median(row["prompt_tokens"])),
                round(statistics.median(row["cached_tokens"])),
                *(_ms(row[name]) for name in ("compress_ms", "first_token_ms")),
                *("" if row["form"] == "whole" else _times(base, over) for over in (row["first_token_ms"], spent)),
            ]
        )
    head = ["target", "form", "keeps readings", "step", "prompt tokens", "read before", "compression ms", "first token ms"]
    return table([*head, "faster, compression excluded", "included"], lines) if lines else ""


def _decoding(rows: Rows) -> str:
    bases = {(row["target"], row["task"]): row for row in rows if row["variant"] == "plain"}
    lines = []
    for row in rows:
        base = bases[row["target"], row["task"]]
        guessed = sum(row["guessed"])
        lines.append(
            [
                *(row[name] for name in ("target", "task", "variant")),
                f"{statistics.median(tokens_per_s(row)):.1f}",
                "" if row is base else _times(tokens_per_s(row), tokens_per_s(base)),
                guessed,
                f"{sum(row['accepted']) / guessed:.0%}" if guessed else "",
                f"{sum(row['same'])} of {len(row['same'])}",
            ]
        )
    head = ["target", "task", "variant", "tokens/s", "over plain", "guessed", "accepted", "same answer"]
    return table(head, lines) if lines else ""


def tokens_per_s(row: Mapping[str, Any]) -> list[float]:
    """Tokens per second after the first, for each repetition; 0 for an answer of one token."""
    return [1000 * (tokens - 1) / taken if tokens > 1 else 0.0 for tokens, taken in zip(row["tokens"], row["after_first_ms"], strict=True)]


def _memory(rows: Rows) -> str:
    names = ("name", "tokens", "prompt_tokens", "conversations", "loaded_mib", "peak_mib", "cache_mib", "seconds")
    lines = [[row["target"], *(row[name] for name in names), row.get("peak_gpu_mib", "")] for row in rows]
    head = ["target", "case", "output tokens", "prompt tokens", "conversations", "loaded MiB", "peak MiB", "cache MiB", "s", "GPU MiB"]
    return table(head, lines) if lines else ""


def _ms(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f}"


def _times(slower: Sequence[float], faster: Sequence[float]) -> str:
    if 0 in faster:
        return ""
    found = ratio(slower, faster)
    return f"{found.median:.2f}x [{found.low:.2f}, {found.high:.2f}]"
