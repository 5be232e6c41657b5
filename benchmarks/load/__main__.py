"""Load on a scoring service by real clients over loopback, with real draft scores.

    python -m benchmarks.load --out benchmarks/results/load-smollm2.json

For each number of concurrent conversations: requests a second, and the time from a request to its answer. Each request brings one
new text, which the draft reads, beside up to three that it read before. `--check` answers are compared, byte for byte, with those
of a scorer in this process. Where Ray Serve is installed, the same load on 1 and 2 replicas. Client and service share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load.conversations import Answered, ask_all, conversation
from benchmarks.load.services import Started, running, service
from benchmarks.machine import git_commit, machine_kind, shown_command, versions
from benchmarks.results import write_rows
from benchmarks.tables import table
from specprefill_agents import CompressionConfig
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.scoring.score_format import packed

FIGURES = ("engine", "replicas", "conversations", "requests", "seconds", "requests_per_s", "p50_ms", "p99_ms", "refused", "start_s")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="Throughput and latency of a scoring service.")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, metavar="NAME")
    parser.add_argument("--conversations", default="1,16,64", metavar="N,..", help="how many at once, one after the other")
    parser.add_argument("--requests", type=int, default=320, metavar="N", help="requests of each of these, about")
    parser.add_argument("--check", type=int, default=1000, metavar="N", help="answers to compare with the embedded scorer's")
    parser.add_argument("--chars", type=int, default=600, metavar="N", help="characters of a text")
    parser.add_argument("--replicas", default="1,2", metavar="N,..", help="on Ray Serve, where it is installed; empty: none")
    parser.add_argument("--out", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[Answered]]:
    """A row for each load, and every answer of the service on one host."""
    rows, answers, begun = [], [], 0
    with service(options.draft) as started:
        for count in _numbers(options.conversations):
            row, answered, begun = _load(started, count, options, begun)
            rows.append({"engine": "uvicorn", "replicas": 1, **row})
            answers += answered
    for replicas in _numbers(options.replicas) if find_spec("ray") else []:
        with _on_ray(options.draft, replicas) as started:
            row, _, begun = _load(started, max(_numbers(options.conversations)), options, begun)
            rows.append({"engine": "ray", "replicas": replicas, **row})
    return rows, answers


def _load(started: Started, count: int, options: argparse.Namespace, begun: int) -> tuple[dict[str, Any], list[Answered], int]:
    """One load of `count` conversations, numbered from `begun`, so that no text comes twice."""
    each = max(1, options.requests // count)
    talks = [conversation(number, each, options.chars) for number in range(_first(begun, each), _first(begun, each) + count)]
    print(f"{count} conversations of {each} requests ...", file=sys.stderr)
    answered, seconds = asyncio.run(ask_all(started.url, talks))
    times = np.array([one.seconds for one in answered]) * 1000
    row = {
        "conversations": count,
        "requests": len(answered),
        "seconds": round(seconds, 2),
        "requests_per_s": round(len(answered) / seconds, 2),
        "p50_ms": round(float(np.percentile(times, 50)), 1),
        "p99_ms": round(float(np.percentile(times, 99)), 1),
        "refused": sum(one.refused for one in answered),
        "start_s": round(started.seconds, 1),
    }
    return row, answered, (_first(begun, each) + count) * each


def _first(begun: int, each: int) -> int:
    """The first conversation of `each` requests whose texts lie behind the `begun` texts used before."""
    return -(-begun // each)


def _on_ray(draft: str, replicas: int) -> AbstractContextManager[Started]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return running([sys.executable, "-m", "benchmarks.load.replicas", str(port), draft, str(replicas)], port)


def compared(answers: Sequence[Answered], draft: str) -> dict[str, int]:
    """How many answers have the bytes of a scorer in this process."""
    embedded = make_scorer(CompressionConfig(), draft, "auto", None)
    identical = 0
    for one in answers:
        expected = packed(embedded.score(one.asked.contexts, one.asked.query))
        identical += [_bytes(row) for row in expected] == [_bytes(row) for row in one.scores]
    return {"compared": len(answers), "identical": identical}


def _bytes(row: dict[str, Any]) -> tuple[str, str]:
    return row["offsets"], row["scores"]


def _numbers(names: str) -> list[int]:
    return [int(name) for name in names.split(",") if name]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, compare, store and print; the exit status is 1 when an answer had other bytes."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    rows, answers = measure(options)
    print("comparing ...", file=sys.stderr)
    bytes_found = compared(answers[-options.check :] if options.check else [], options.draft)
    head = {
        "command": shown_command("benchmarks.load", given),
        "commit": git_commit(),
        "machine": machine_kind(),
        "versions": versions(),
        "settings": {"draft": options.draft, "chars": options.chars, "texts_in_view": 4, "client": "the same machine"},
        "ray": "measured" if any(row["engine"] == "ray" for row in rows) else "not measured",
        "bytes": bytes_found,
    }
    if options.out:
        write_rows(head, "rows", rows, options.out)
    print(table(FIGURES, [[row[name] for name in FIGURES] for row in rows]))
    print(f"{bytes_found['identical']} of {bytes_found['compared']} answers have the bytes of the embedded scorer")
    return 0 if bytes_found["identical"] == bytes_found["compared"] else 1


if __name__ == "__main__":
    sys.exit(main())
