"""The JSON file of one benchmark: cells that are finished stay, so an interrupted run goes on where it stopped.

A cell is one (set, scorer) with its rows' metrics for every keep ratio. It is reused only when nothing that can change
its numbers differs: settings, data, code, versions and machine kind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Cell:
    """The rows of one set under one scorer.

    `rows[keep][metric]` holds one value or None for each of `ids`. `seconds` is the whole cell's wall time,
    `scorer_seconds` what the scorer took of it, `draft_tokens_per_s` None for scorers without a draft.
    """

    set: str
    scorer: str
    ids: list[str]
    rows: dict[str, dict[str, list[float | None]]]
    min_tokens: int
    seconds: float
    scorer_seconds: float
    draft_tokens_per_s: float | None
    provenance: dict[str, str] = field(default_factory=dict)
    key: str = ""

    @property
    def name(self) -> str:
        """`set/scorer`."""
        return f"{self.set}/{self.scorer}"


@dataclass(frozen=True, slots=True)
class Results:
    """Everything one file holds. `conditions` are the settings, versions and machine kind that all of its cells share."""

    conditions: dict[str, Any]
    cells: tuple[Cell, ...] = ()

    def get(self, name: str, key: str = "") -> Cell | None:
        """The cell called `set/scorer`; with `key`, only if it was measured under that key."""
        return next((cell for cell in self.cells if cell.name == name and key in ("", cell.key)), None)

    def with_cell(self, cell: Cell) -> Results:
        """These results with `cell` in place of an older one of its name."""
        return Results(self.conditions, (*(other for other in self.cells if other.name != cell.name), cell))

    def save(self, file: Path) -> None:
        """Write the file in one step, so that an interruption leaves the old one."""
        write_rows({"schema": SCHEMA, **self.conditions}, "cells", [asdict(cell) for cell in self.cells], file)


def write_columns(head: Mapping[str, Any], name: str, rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """As `write_rows`, for many rows with the same keys: these are said once, as `columns`, and a row is the list of its values."""
    columns = list(rows[0]) if rows else []
    write_rows({**head, "columns": columns}, name, [[row[column] for column in columns] for row in rows], file)


def read_columns(file: Path, name: str) -> dict[str, Any]:
    """What `write_columns` wrote, its rows with their keys again."""
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    columns = document.pop("columns")
    return {**document, name: [dict(zip(columns, row, strict=True)) for row in document[name]]}


def write_rows(head: Mapping[str, Any], name: str, rows: Sequence[Mapping[str, Any] | Sequence[Any]], file: Path) -> None:
    """Write `head` and its list `name` as one JSON object, a line for each row, in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    begun = json.dumps({**head, name: []}, indent=1, ensure_ascii=False)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    written = file.with_name(f".{file.name}.part")
    written.write_text(begun.replace(f'"{name}": []', f'"{name}": [\n{lines}\n ]') + "\n", encoding="utf-8")
    written.replace(file)


def load(file: Path) -> Results:
    """The results in `file`. Raises ValueError for a file of another schema."""
    document = json.loads(file.read_text(encoding="utf-8"))
    if document.pop("schema", None) != SCHEMA:
        raise ValueError(f"{file.name} is not a benchmark result of schema {SCHEMA}")
    cells = tuple(Cell(**cell) for cell in document.pop("cells"))
    return Results(document, cells)


def begun(out: Path | None, conditions: Mapping[str, Any]) -> Results:
    """What an interrupted run left in `out`, or nothing yet. Raises ValueError when it was measured under other conditions."""
    results = load(out) if out and out.is_file() else Results(dict(conditions))
    if results.conditions != conditions:
        differing = [name for name, value in conditions.items() if results.conditions.get(name) != value]
        raise ValueError(f"{out} holds results under other conditions ({', '.join(differing)}); name another --out or remove it")
    return results


def write_document(document: Mapping[str, Any], file: Path) -> None:
    """Write one JSON object that has no list of rows."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def cell_key(conditions: Mapping[str, Any], *more: object) -> str:
    """16 hex digits of all that decides a cell's numbers."""
    canonical = json.dumps([dict(conditions), *more], sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def rounded(values: Sequence[float | None], digits: int = 4) -> list[float | None]:
    """Values as they are stored."""
    return [None if value is None else round(value, digits) for value in values]
