"""RULER (arXiv 2404.06654) as made with the generator for one length, such as 8192: a Parquet file of several tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.tasks.rows import Asked

REPOSITORY = "simonjegou/ruler"
FILE = "{part}/test-00000-of-00001.parquet"


def read(path: Path, part: str) -> Iterator[Asked]:
    """The questions of every task of a length; a question-answering task takes any answer, the others want all.

    Raises ValueError with the pip command where pyarrow is not installed.
    """
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise ValueError("RULER's files are Parquet. Install a reader with: pip install pyarrow") from error
    columns = ["context", "question", "answer", "task"]
    for index, row in enumerate(parquet.read_table(path, columns=columns).to_pylist()):
        task = row["task"]
        answers = tuple(map(str, row["answer"]))
        wants_all = not task.startswith("qa")
        yield Asked(f"ruler-{part}-{index}", row["context"], row["question"], answers, wants_all, {"task": task})
