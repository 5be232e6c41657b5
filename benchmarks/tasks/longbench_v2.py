"""LongBench v2 (arXiv 2412.15204): one JSON list of four-way choices; the answer is a letter, whose choice is the accepted text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.tasks.rows import Asked

REPOSITORY = "zai-org/LongBench-v2"
FILE = "data.json"
LETTERS = "ABCD"


def read(path: Path, part: str) -> Iterator[Asked]:
    """The questions of domain `part`, such as `Single-Document QA`; of all where it is empty. Raises ValueError for an unknown one."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    domains = sorted({row["domain"] for row in rows})
    if part and part not in domains:
        raise ValueError(f"LongBench v2 has no domain {part!r}; there are: {', '.join(domains)}")
    for row in (row for row in rows if part in ("", row["domain"])):
        choices = {letter: str(row[f"choice_{letter}"]) for letter in LETTERS}
        query = "\n".join([row["question"], *(f"({letter}) {choice}" for letter, choice in choices.items())])
        yield Asked(row["_id"], row["context"], query, (choices[row["answer"]],), about={"choice": row["answer"]})
