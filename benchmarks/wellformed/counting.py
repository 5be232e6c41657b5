"""What was checked and what failed, by set, content kind and keep ratio."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.wellformed.checks import OF_ALL, OF_COMPRESSED, within_budget
from benchmarks.wellformed.outputs import Call, Output
from benchmarks.wellformed.statements import long_ones_cut
from specprefill_agents.prompt.render import gaps_between


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that did not hold; `segment` is None, and `kind` is `call`, where a whole call failed."""

    set: str
    row: str
    segment: int | None
    keep: str
    kind: str
    check: str
    reason: str


@dataclass(slots=True)
class Count:
    """Sums over the outputs of one set, kind and keep ratio. `checks` holds [made, failed] by the check's name.

    `long_statements_cut` is no failure: a statement longer than a unit may be cut between lines.
    """

    outputs: int = 0
    compressed: int = 0
    gaps: int = 0
    long_statements_cut: int = 0
    checks: dict[str, list[int]] = field(default_factory=dict)

    def note(self, check: str, fault: str | None) -> None:
        """Add what one check said."""
        if fault is not None:
            made = self.checks.setdefault(check, [0, 0])
            made[0] += 1
            made[1] += bool(fault)


@dataclass
class Tally:
    """Everything found so far; counts are by (set, kind, keep)."""

    counts: dict[tuple[str, str, str], Count] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add_call(self, name: str, row: str, keep: str, call: Call) -> None:
        """Check the outputs of one call, each and together."""
        for output in call.outputs:
            count = self._count(name, output.layout.kind, keep)
            count.outputs += 1
            if output.decided.outcome == "compressed":
                count.compressed += 1
                count.gaps += len(gaps_between(len(output.text), output.decided.spans))
                count.long_statements_cut += long_ones_cut(output)
            for check, fault in _faults(output):
                self._note(Failure(name, row, output.index, keep, output.layout.kind, check, fault or ""), fault)
        self._note(Failure(name, row, None, keep, "call", "within budget", ""), within_budget(call))

    def add_crash(self, name: str, row: str, keep: str, error: Exception) -> None:
        """A row that could not be compressed at all."""
        self._note(Failure(name, row, None, keep, "call", "no exception", ""), f"{type(error).__name__}: {error}")

    def to_rows(self) -> list[dict[str, Any]]:
        """The counts as plain values."""
        return [{"set": name, "kind": kind, "keep": keep, **asdict(count)} for (name, kind, keep), count in self.counts.items()]

    def _note(self, found: Failure, fault: str | None) -> None:
        self._count(found.set, found.kind, found.keep).note(found.check, fault)
        if fault:
            self.failures.append(Failure(found.set, found.row, found.segment, found.keep, found.kind, found.check, fault))

    def _count(self, name: str, kind: str, keep: str) -> Count:
        return self.counts.setdefault((name, kind, keep), Count())


def _faults(output: Output) -> Iterator[tuple[str, str | None]]:
    checks = {**OF_ALL, **(OF_COMPRESSED if output.decided.outcome == "compressed" else {})}
    for name, check in checks.items():
        yield name, check(output)
