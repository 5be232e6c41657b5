"""A scoring service under constant load for long: its memory and open files, minute by minute.

    python -m benchmarks.soak --minutes 30 --out benchmarks/results/soak-smollm2.json

Texts come again after `--texts` of them, so that caches are filled, hit and turned over as in a day's work. Linux only: reads
`/proc`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load.conversations import Asked, ask_all, conversation
from benchmarks.load.services import service
from benchmarks.machine import git_commit, machine_kind, shown_command, versions
from benchmarks.results import write_rows
from benchmarks.tables import table
from specprefill_agents.draft.registry import DEFAULT_DRAFT

FIGURES = ("minute", "requests", "p50_ms", "p99_ms", "rss_mb", "open_files", "threads")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Memory and open files of a service under load.")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, metavar="NAME")
    parser.add_argument("--minutes", type=float, default=30, metavar="N")
    parser.add_argument("--conversations", type=int, default=8, metavar="N")
    parser.add_argument("--texts", type=int, default=4_000, metavar="N", help="different texts")
    parser.add_argument("--chars", type=int, default=600, metavar="N", help="characters of a text")
    parser.add_argument("--out", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace, keep: Any) -> list[dict[str, Any]]:
    """A row a minute, the first before any load; `keep(rows)` is called after each."""
    rows: list[dict[str, Any]] = []
    with service(options.draft) as started:
        rows.append({"minute": 0, "requests": 0, "p50_ms": None, "p99_ms": None, **_process(started.pid)})
        numbers = count()
        ends = time.monotonic() + 60 * options.minutes
        while time.monotonic() < ends:
            seconds, minute_ends = [], min(ends, time.monotonic() + 60)
            while time.monotonic() < minute_ends:
                seconds += asyncio.run(_round(started.url, next(numbers), options))
            times = np.array(seconds) * 1000
            p50, p99 = (round(float(np.percentile(times, share)), 1) for share in (50, 99))
            rows.append({"minute": len(rows), "requests": len(seconds), "p50_ms": p50, "p99_ms": p99, **_process(started.pid)})
            keep(rows)
    return rows


async def _round(url: str, number: int, options: argparse.Namespace) -> list[float]:
    """Each conversation's next eight requests; connections are made anew each time, as agents come and go."""
    each = 8
    of = max(1, options.texts // each)
    begun = number * options.conversations
    talks = [conversation((begun + one) % of, each, options.chars) for one in range(options.conversations)]
    talks = [[Asked(asked.contexts, f"{asked.query} {number}") for asked in talk] for talk in talks]
    answered, _ = await ask_all(url, talks)
    return [one.seconds for one in answered]


def _process(pid: int) -> dict[str, Any]:
    folder = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    return {
        "rss_mb": round(int(status["VmRSS"].split()[0]) / 1024, 1),
        "open_files": len(list((folder / "fd").iterdir())),
        "threads": int(status["Threads"]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, store after each minute, and print."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    head = {
        "command": shown_command("benchmarks.soak", given),
        "commit": git_commit(),
        "machine": machine_kind(),
        "versions": versions(),
        "settings": {"draft": options.draft, "conversations": options.conversations, "texts": options.texts, "chars": options.chars},
    }

    def keep(rows: Sequence[dict[str, Any]]) -> None:
        print(rows[-1], file=sys.stderr)
        if options.out:
            write_rows(head, "minutes", rows, options.out)

    rows = measure(options, keep)
    print(table(FIGURES, [[row[name] for name in FIGURES] for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
