"""What is measured: sets, systems, keep ratios; what all cells of one file share, and what identifies a cell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.machine import code_fingerprint, machine_kind, versions
from benchmarks.peers.counts import Counts
from benchmarks.peers.environment import PEERS, WORKERS, System, interpreter, worker_environment
from benchmarks.peers.journal import Journal, Peer
from benchmarks.peers.measure import Asked, Measured, whole
from benchmarks.peers.ours import OWN, Own
from benchmarks.peers.protocol import Worker
from benchmarks.peers.weights import draft_folder, fingerprint, weights_of
from benchmarks.results import cell_key
from specprefill_agents import CompressionConfig
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.draft.registry import DEFAULT_DRAFT, home, locate

SOURCES = ("peers/measure.py", "peers/ours.py", "peers/words.py", "data.py", "evaluate.py", "memo.py", "metrics.py")
"""Files of the benchmarks that turn a system's answers into a cell."""
NONE = "none"
NAMES = (NONE, "head_tail_text", *OWN, *(name for name in PEERS if name != "head_tail_text"))
"""All systems, in the order of the tables: nothing, the controls, the library, its peers."""
SETS = ("nq_20doc", "hotpotqa", "kv_140", "quixbugs", "ruler_8k:niah_single_1", "ruler_8k:vt", "ruler_8k:qa_2", "qmsum_val", "agentdojo")


@dataclass(frozen=True)
class PeerHost:
    """How peers are run: the draft, its precision, and `given`, weights by system in place of a system's own."""

    draft: str = DEFAULT_DRAFT
    dtype: str = "float32"
    threads: int = 1
    given: dict[str, str] = field(default_factory=dict)

    @cached_property
    def folder(self) -> Path:
        """The draft's weights."""
        return draft_folder(self.draft)

    def weights(self, system: System) -> str:
        """The weights a system's worker is given; "" for none. Raises `PeerError` when it needs some that cannot be had."""
        return weights_of(system, self.folder if system.weights == "draft" else Path(), self.given.get(system.name, ""))

    def command(self, system: System) -> list[str]:
        """The command line of a system's worker. Raises `PeerError` when it cannot be had here."""
        weights = self.weights(system)
        precision = ["--dtype", self.dtype] if system.weights == "draft" else []
        options = ["--weights", weights, *precision] if weights else []
        return [str(interpreter(system)), str(WORKERS / system.worker), *options, *system.arguments]

    def subject(self, system: System) -> dict[str, str]:
        """All that decides what a system answers to a request."""
        code = b"".join((WORKERS / file).read_bytes() for file in ("answering.py", system.worker))
        weights = self.weights(system)
        return {
            "system": system.name,
            "needs": system.needs,
            "worker": hashlib.sha256(code).hexdigest(),
            "weights": fingerprint(Path(weights)) if weights else "",
            "dtype": self.dtype,
        }

    def peer(self, system: System, journal: str = "") -> Peer:
        """The system, with the replies of earlier runs that went to the same `journal`. Raises `PeerError`."""
        name = "-".join(filter(None, (system.name, journal.replace(":", "-"))))
        kept = Journal(home() / "peers" / f"{name}.jsonl", self.subject(system))
        return Peer(lambda: Worker(self.command(system), worker_environment(self.threads)), kept)


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    directory: Path
    sets: tuple[str, ...]
    systems: tuple[str, ...]
    keeps: tuple[float, ...]
    counts: Counts
    seed: int
    host: PeerHost
    jobs: int = 1
    min_tokens: int | None = None

    def conditions(self) -> dict[str, Any]:
        """What all cells of one file share."""
        location = locate(self.host.draft)
        settings = {
            "keep_ratios": list(self.keeps),
            "seed": self.seed,
            "draft": self.host.draft if location.kind in ("pulled", "hub") else Path(location.path).name,
            "dtype": self.host.dtype,
            "device": "cpu",
            "threads": self.host.threads,
            "jobs": self.jobs,
            "target_tokenizer": counter_for().name,
        }
        return {"benchmark": "peers", "settings": settings, "machine": machine_kind(), "versions": versions()}

    def rows(self, name: str, system: str) -> list[data.Question | data.Trajectory]:
        """The rows of a set that a system is measured on: some of those that the set is cut to, so that systems share rows."""
        held = data.sample([*data.load(self.directory, name)], self.counts.of_set(name), self.seed)
        return data.sample(held, self.counts.of(system, name, self.is_slow(system)), self.seed)

    def is_slow(self, system: str) -> bool:
        """Whether a system needs seconds for a thousand tokens."""
        return system in PEERS and PEERS[system].slow

    def key(self, name: str, system: str) -> str:
        """Of a cell: all that decides its numbers. Raises `PeerError` when the system cannot be had here."""
        code = hashlib.sha256(b"\0".join((WORKERS.parent.parent / source).read_bytes() for source in SOURCES)).hexdigest()[:16]
        subject = self.host.subject(PEERS[system]) if system in PEERS else code_fingerprint()
        ids, floor = [row.id for row in self.rows(name, system)], self.min_tokens_for(name)
        return cell_key(self.conditions(), code, data.checksum(self.directory, name), ids, floor, subject)

    def min_tokens_for(self, name: str) -> int:
        """As asked for, else 0 where the budget must bind, and the library's floor under which a step's results pass unchanged."""
        if self.min_tokens is not None:
            return self.min_tokens
        return CompressionConfig().min_tokens if data.is_left_alone(name) else 0

    @contextmanager
    def system(self, name: str, set_name: str) -> Iterator[Measured]:
        """The system called `name`, ready to be asked. Raises `PeerError` when a peer cannot be had."""
        floor = self.min_tokens_for(set_name)
        if name in OWN:
            yield Own(name, self.host.draft, self.seed, floor)
        elif name == NONE:
            yield Asked(whole, counter_for(), floor)
        else:
            with self.host.peer(PEERS[name], set_name) as peer:
                yield Asked(peer.compress, counter_for(), floor)
