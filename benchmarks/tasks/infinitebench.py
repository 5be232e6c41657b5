"""InfiniteBench (arXiv 2402.13718): a JSON Lines file for each task, such as `kv_retrieval`, of 40k to 2M tokens a text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.tasks.rows import Asked

REPOSITORY = "xinrongzhang2022/InfiniteBench"
FILE = "{part}.jsonl"


def read(path: Path, part: str) -> Iterator[Asked]:
    """The questions of task `part`."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            row = json.loads(line)
            answer = row["answer"]
            answers = [answer] if isinstance(answer, (str, int, float)) else answer
            query = "\n".join([row["input"], *map(str, row.get("options") or [])])
            yield Asked(f"{part}-{row['id']}", row["context"], query, tuple(map(str, answers)))
