"""What was run and under which conditions: `suite.json` beside the results, by which a finished benchmark is not run again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

NAME = "suite.json"


@dataclass(frozen=True, slots=True)
class Record:
    """The last run of one benchmark.

    `conditions` are a digest of its commands, machine and versions, `key` of these, its code and its data; `files` holds the
    SHA-256 of each result as the run left it, and is empty until it has ended well. `seconds` are the wall time, those of
    earlier, interrupted tries included.
    """

    conditions: str
    key: str
    commit: str
    date: str
    seconds: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)


class Journal:
    """The records of one folder of results, written after each change."""

    def __init__(self, results: Path) -> None:
        self._file = results / NAME
        held = json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else {}
        self._records = {name: Record(**record) for name, record in held.items()}

    def get(self, name: str) -> Record | None:
        """The record of a benchmark, if it was ever begun here."""
        return self._records.get(name)

    def put(self, name: str, record: Record) -> None:
        """Keep `record`, in one step."""
        self._records[name] = record
        self._file.parent.mkdir(parents=True, exist_ok=True)
        written = self._file.with_name(f".{NAME}.part")
        records = {name: asdict(self._records[name]) for name in sorted(self._records)}
        written.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        written.replace(self._file)


def digests(results: Path, names: Sequence[str]) -> dict[str, str] | None:
    """SHA-256 of each result; None when one is missing."""
    files = [results / name for name in names]
    if not all(file.is_file() for file in files):
        return None
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def digest(*parts: object) -> str:
    """16 hex digits of values that JSON can say."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
