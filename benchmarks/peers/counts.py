"""How many rows of each set each system is measured on, as a command line says it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of rows: "" for all, else under a set, a system, `slow`, `slow/SET`, or `SYSTEM/SET`.

    `SYSTEM/SET` counts as said; without it the least of what the others say, and all rows where none says anything.
    """

    said: Mapping[str, int]

    @classmethod
    def parse(cls, given: str | None, names: set[str]) -> Counts:
        """Of `40,qmsum_val=10,slow=5,llmlingua/qmsum_val=2`. Raises ValueError for anything else, and for names not among `names`."""
        said = {}
        for part in given.split(",") if given else ():
            name, _, number = part.rpartition("=")
            if not number.isdecimal() or not int(number):
                raise ValueError(f"--n {part}: must read N or NAME=N, N at least 1")
            unknown = [one for one in name.split("/") if name and one not in {*names, SLOW}]
            if unknown:
                raise ValueError(f"--n {part}: {unknown[0]!r} is neither a set nor a system of this run")
            said[name] = int(number)
        return cls(said)

    def of_set(self, name: str) -> int | None:
        """The rows that a set is cut to before any system takes its own of them; None for all."""
        return self._least("", name)

    def of(self, system: str, name: str, slow: bool) -> int | None:
        """The rows of a set for a system, out of those of the set."""
        exact = self.said.get(f"{system}/{name}")
        return exact if exact is not None else self._least("", name, system, *([SLOW, f"{SLOW}/{name}"] if slow else []))

    def _least(self, *names: str) -> int | None:
        return min((self.said[name] for name in names if name in self.said), default=None)
