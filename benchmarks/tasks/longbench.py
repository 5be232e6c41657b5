"""LongBench (arXiv 2308.14508): one archive of JSON Lines, a file for each of 21 tasks and, as `NAME_e`, of LongBench-E."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from benchmarks.tasks.rows import Asked

REPOSITORY = "zai-org/LongBench"
FILE = "data.zip"
ABOUT_ALL = "Summarise the text."
"""Tasks that summarise ask nothing."""


def read(path: Path, part: str) -> Iterator[Asked]:
    """The questions of task `part`. Raises ValueError when the archive has no such task."""
    with zipfile.ZipFile(path) as archive:
        members = {PurePosixPath(name).stem: name for name in archive.namelist() if name.endswith(".jsonl")}
        if part not in members:
            raise ValueError(f"LongBench has no task {part!r}; there are: {', '.join(sorted(members))}")
        with archive.open(members[part]) as lines:
            for line in lines:
                row = json.loads(line)
                about = {"classes": row["all_classes"]} if row.get("all_classes") else {}
                yield Asked(row["_id"], row["context"], row["input"] or ABOUT_ALL, tuple(row["answers"]), about=about)
