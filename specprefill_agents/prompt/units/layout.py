"""Layout: how one text may be cut. What every splitter returns, and the builder that splitters make it with.

A layout is read column by column: unit `i` of a text stands in block `blocks[i]`, drags the units `needs[i]` along, and
so on. Units tile the text by construction, so joining them gives the text back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from specprefill_agents.types import GapForm, Unit

ContentKind: TypeAlias = Literal["plain", "prose", "transcript", "markdown", "code", "json", "table", "log", "diff", "grep", "markup"]
"""What a text is made of, as far as cutting it is concerned."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in characters: units shorter than `min_chars` are merged where that is natural, longer than `max_chars` are
    split where that is possible, and a block holds at most `block_chars` unless it is one unit or one definition."""

    min_chars: int = 48
    max_chars: int = 192
    block_chars: int = 1_500


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text of `kind` may be cut: U units that tile it, and what is known about each of them (U entries a column).

    `blocks`: number of the block a unit stands in, from 0, never falling. `needs`: indices of units that must be kept
    with it (their own needs included by `with_needs`). `gaps`: how a gap that starts here is marked. `lift`: added to a
    unit's score, where the best unit of a call has 1; what the form of the text says about importance, in [0, 1].
    """

    kind: ContentKind
    units: tuple[Unit, ...]
    blocks: tuple[int, ...]
    needs: tuple[tuple[int, ...], ...]
    gaps: tuple[GapForm, ...]
    lift: tuple[float, ...]

    def with_needs(self, index: int) -> set[int]:
        """Unit `index` and all units that it drags along, directly or through others."""
        found: set[int] = set()
        waiting = [index]
        while waiting:
            at = waiting.pop()
            if at not in found:
                found.add(at)
                waiting.extend(self.needs[at])
        return found


class Splitter(Protocol):
    """One content kind: text -> layout, or None when the text is not of this kind after all. Pure and linear in time."""

    def __call__(self, text: str, limits: Limits) -> Layout | None:
        """The layout of `text`; never raises for any string."""


class LayoutBuilder:
    """Collects units in the order of the text; each begins where the one before ended."""

    def __init__(self, kind: ContentKind) -> None:
        self._kind = kind
        self._ends: list[int] = []
        self._blocks: list[int] = []
        self._needs: list[tuple[int, ...]] = []
        self._gaps: list[GapForm] = []
        self._lift: list[float] = []
        self._block = -1
        self._begins_block = True

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def end(self) -> int:
        """Where the next unit begins."""
        return self._ends[-1] if self._ends else 0

    def begin_block(self) -> None:
        """Let the next unit begin a new block."""
        self._begins_block = True

    def add(self, end: int, *, needs: Sequence[int] = (), gap: GapForm = "plain", lift: float = 0.0) -> int:
        """The unit from `self.end` to `end`, which must lie behind it; returns the unit's index."""
        if end <= self.end:
            raise ValueError(f"unit ends at {end}, where the one before ended at {self.end}")
        if self._begins_block:
            self._block += 1
            self._begins_block = False
        self._ends.append(end)
        self._blocks.append(self._block)
        self._needs.append(tuple(needs))
        self._gaps.append(gap)
        self._lift.append(lift)
        return len(self._ends) - 1

    def also_needs(self, index: int, needs: Sequence[int]) -> None:
        """Add units that came later (a closing bracket) to what unit `index` drags along."""
        self._needs[index] += tuple(needs)

    def build(self) -> Layout:
        """The layout of everything added; its units tile the text when the last one ends where the text ends."""
        starts = [0, *self._ends[:-1]]
        units = tuple(Unit(start, end) for start, end in zip(starts, self._ends, strict=False))
        return Layout(self._kind, units, tuple(self._blocks), tuple(self._needs), tuple(self._gaps), tuple(self._lift))


def check_layout(text: str, layout: Layout) -> None:
    """Raise AssertionError unless `layout` is a layout of `text`: units tile it, columns agree, blocks and needs are in order."""
    ends = [0, *(unit.end for unit in layout.units)]
    assert [unit.start for unit in layout.units] == ends[:-1], "units must tile the text"
    assert ends[-1] == len(text), "the last unit must end with the text"
    assert all(unit.start < unit.end for unit in layout.units), "no unit is empty"
    columns = (layout.blocks, layout.needs, layout.gaps, layout.lift)
    assert {len(column) for column in columns} <= {len(layout.units)}, "every column has one entry per unit"
    steps = [after - before for before, after in zip((-1, *layout.blocks), layout.blocks, strict=False)]
    assert all(step in (0, 1) for step in steps), "block numbers count up from 0"
    assert all(0 <= need < len(layout.units) for needs in layout.needs for need in needs), "needs must be units"
    assert all(0 <= lift <= 1 for lift in layout.lift), "lift lies in [0, 1]"
