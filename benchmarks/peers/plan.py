"""What is measured: sets, systems, keep ratios; what all cells of one file share, and what identifies a cell."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.machine import machine_kind, versions
from benchmarks.peers.environment import WORKERS, System, interpreter, worker_environment
from benchmarks.peers.journal import Journal, Peer
from benchmarks.peers.protocol import Worker
from benchmarks.results import cell_key
from specprefill_agents import CompressionConfig
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.draft.registry import home

SOURCES = ("peers/measure.py", "peers/words.py", "data.py", "evaluate.py", "metrics.py")
"""Files of the benchmarks that turn a peer's answers into a cell."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    directory: Path
    sets: tuple[str, ...]
    systems: tuple[System, ...]
    keeps: tuple[float, ...]
    count: int | None
    seed: int
    draft: Path | None
    threads: int

    def conditions(self) -> dict[str, Any]:
        """What all cells of one file share."""
        settings = {
            "keep_ratios": list(self.keeps),
            "seed": self.seed,
            "draft": self.draft.name if self.draft else "none",
            "device": "cpu",
            "threads": self.threads,
            "target_tokenizer": counter_for().name,
        }
        return {"benchmark": "peers", "settings": settings, "machine": machine_kind(), "versions": versions()}

    def key(self, name: str, system: System) -> str:
        """Of a cell: all that decides its numbers."""
        code = hashlib.sha256(b"\0".join((WORKERS.parent / source).read_bytes() for source in SOURCES)).hexdigest()[:16]
        return cell_key(self.conditions(), code, data.checksum(self.directory, name), self.count, self.subject(system))

    def rows(self, name: str) -> list[data.Question | data.Trajectory]:
        """The rows of a set that are measured."""
        return data.sample([*data.load(self.directory, name)], self.count, self.seed)

    def min_tokens_for(self, name: str) -> int:
        """0 where the budget must bind, else the library's floor under which a step's results pass unchanged."""
        return CompressionConfig().min_tokens if data.is_left_alone(name) else 0

    def command(self, system: System) -> list[str]:
        """The command line of a system's worker."""
        draft = ["--draft", str(self.draft)] if system.needs_draft else []
        return [str(interpreter(system)), str(WORKERS / system.worker), *draft, *system.arguments]

    def subject(self, system: System) -> dict[str, str]:
        """All that decides what a system answers to a request."""
        worker = hashlib.sha256((WORKERS / system.worker).read_bytes()).hexdigest()
        weights = fingerprint(self.draft) if system.needs_draft and self.draft else ""
        return {"system": system.name, "needs": " ".join(system.requirements), "worker": worker, "draft": weights}

    def peer(self, system: System) -> Peer:
        """The system, with the replies of earlier runs."""
        journal = Journal(home() / "peers" / f"{system.name}.jsonl", self.subject(system))
        return Peer(lambda: Worker(self.command(system), worker_environment(self.threads)), journal)


@cache
def fingerprint(directory: Path) -> str:
    """16 hex digits of the weights, configuration and tokenizer in `directory`."""
    digest = hashlib.sha256()
    for file in sorted([*directory.glob("*.json"), *directory.glob("*.safetensors")]):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()[:16]
