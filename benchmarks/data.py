"""Readers of evaluation data: JSON Lines, gzipped or not -> frozen questions and trajectories.

A set is a file's name without its suffix, or `file:task` for the files that mix several tasks (`ruler_8k:vt`), or a set of the hub
(`hub:longbench/hotpotqa`, see `tasks.hub`). Any file of the folder whose rows follow the schema is a set; whether it holds
questions or agent runs is told by its first row. Knows the files' schema and nothing of scorers.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from benchmarks.tasks import hub
from specprefill_agents import Segment

QUESTION_SETS = ("nq_20doc", "hotpotqa", "kv_140", "qmsum_val", "quixbugs", "ruler_8k", "langgraph_frames")
TRAJECTORY_SETS = ("agentdojo", "sweagent", "langgraph_seed")
"""The development sets, in the order of reports; another folder may hold others."""
SUFFIX = ".jsonl.gz"
SUFFIXES = (SUFFIX, ".jsonl")

NeedleKind = Literal["answer", "evidence"]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Needle:
    """A group of verbatim strings of which at least one must survive."""

    kind: NeedleKind
    alternatives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Segments, what is asked of them, and what must survive to answer it."""

    id: str
    segments: tuple[Segment, ...]
    query: str
    needles: tuple[Needle, ...]


@dataclass(frozen=True, slots=True)
class NeededValue:
    """A value that an earlier tool result shows and that the assistant message at index `used_in` depends on."""

    value: str
    used_in: int


@dataclass(frozen=True, slots=True)
class Trajectory:
    """An agent run in OpenAI message form, and the values that later messages took from tool results.

    `answer` is what the run ended with where `messages` stop at the tool results before it; None where they hold its end.
    Runs of one `suite` had the same tools.
    """

    id: str
    messages: tuple[Mapping[str, Any], ...]
    needed: tuple[NeededValue, ...]
    answer: str | None = None
    suite: str = ""


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of one file. Only a newline ends a row: the texts hold Unicode line separators."""
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def file_of(directory: Path, name: str) -> Path:
    """The file of a set. Raises ValueError for a set that is not in the folder, OSError for one that the hub does not give."""
    if hub.is_hub(name):
        return hub.parsed(name).path()
    stem = name.partition(":")[0]
    found = next((file for suffix in SUFFIXES if (file := directory / f"{stem}{suffix}").is_file()), None)
    if found is None:
        raise ValueError(f"unknown set {name!r}; there are: {', '.join(sets_in(directory)) or f'none in {directory}'}, and hub:SOURCE/PART")
    return found


def rows_of(directory: Path, name: str) -> Iterator[dict[str, Any]]:
    """The rows of a set, as they are stored; of `file:task` those of the task."""
    if hub.is_hub(name):
        yield from hub.parsed(name).rows()
        return
    task = name.partition(":")[2]
    yield from (row for row in read_rows(file_of(directory, name)) if not task or row["meta"].get("task") == task)


def sets_in(directory: Path) -> list[str]:
    """The sets of a folder: the development sets in their order, then others by name. Files of texts stored once are none."""
    known = (*QUESTION_SETS, *TRAJECTORY_SETS)
    stems = sorted({file.name.removesuffix(suffix) for suffix in SUFFIXES for file in directory.glob(f"*{suffix}")})
    ordered = sorted(stems, key=lambda stem: known.index(stem) if stem in known else len(known))
    return [stem for stem in ordered if _kind(directory, stem)]


def is_runs(directory: Path, name: str) -> bool:
    """Whether a set holds agent runs rather than questions."""
    return not hub.is_hub(name) and _kind(directory, name) == "messages"


def _kind(directory: Path, name: str) -> str:
    """The key by which the first row of a set is recognised: `messages`, `segments`, or none."""
    first = next(read_rows(file_of(directory, name)), {})
    return next((key for key in ("messages", "segments") if key in first), "")


def expand(directory: Path, names: Sequence[str]) -> list[str]:
    """Set names with the files that mix tasks replaced by one set for each of their tasks. Raises ValueError for an unknown one."""
    sets: list[str] = []
    for name in names:
        if hub.is_hub(name):
            sets += hub.parsed(name).by_task()
            continue
        file, _, task = name.partition(":")
        tasks = dict.fromkeys(row["meta"].get("task") for row in rows_of(directory, file))
        if task and task not in tasks:
            raise ValueError(f"{file} has no task {task!r}")
        sets += [name] if task or None in tasks else [f"{file}:{each}" for each in tasks]
    return list(dict.fromkeys(sets))


def expand_runs(directory: Path, names: str | None) -> list[str]:
    """The sets of agent runs named, separated by commas; all of the folder for None. Raises ValueError for an unknown one."""
    known = [name for name in sets_in(directory) if is_runs(directory, name)]
    wanted = list(dict.fromkeys(names.split(","))) if names else known
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise ValueError(f"--sets {', '.join(unknown)}: sets of agent runs in the folder are {', '.join(known) or 'none'}")
    return wanted


def is_left_alone(name: str, directory: Path | None = None) -> bool:
    """Whether a set shows what the product does of itself, short outputs left alone included, rather than a binding budget.

    So do agent runs; those of a folder's own sets are recognised with `directory`.
    """
    return name in (*TRAJECTORY_SETS, "langgraph_frames") or (directory is not None and is_runs(directory, name))


def load(directory: Path, name: str) -> list[Question] | list[Trajectory]:
    """The rows of a set."""
    return load_trajectories(directory, name) if is_runs(directory, name) else load_questions(directory, name)


def load_questions(directory: Path, name: str) -> list[Question]:
    """The questions of a set, with texts that are stored once put where they are referred to."""
    rows = list(rows_of(directory, name))
    stored: dict[str, str] = {}
    if any("ref" in segment for row in rows for segment in row["segments"]):
        texts = file_of(directory, f"{name.partition(':')[0]}_meetings")
        stored = {row["id"]: row["text"] for row in read_rows(texts)}
    return [_question(row, stored) for row in rows]


def _question(row: Mapping[str, Any], stored: Mapping[str, str]) -> Question:
    segments = [
        Segment(part["text"] if "text" in part else stored[part["ref"]], part["kind"], part["name"], f"{row['id']}-{index}")
        for index, part in enumerate(row["segments"])
    ]
    needles = [Needle(kind, tuple(group)) for kind, group in zip(row["meta"]["needle_kinds"], row["needles"], strict=True)]
    return Question(row["id"], tuple(segments), row["query"], tuple(needles))


def load_trajectories(directory: Path, name: str) -> list[Trajectory]:
    """The runs of a set that need a value of an earlier tool result; the others show nothing about recall."""
    return [run for run in load_runs(directory, name) if run.needed]


def load_runs(directory: Path, name: str) -> list[Trajectory]:
    """All runs of a set."""
    return [
        Trajectory(
            row["id"],
            tuple(row["messages"]),
            tuple(NeededValue(needed["value"], needed["used_in_message"]) for needed in row["needed_values"]),
            row["meta"].get("final_answer"),
            row["meta"].get("suite", ""),
        )
        for row in rows_of(directory, name)
    ]


def sample(rows: Sequence[Row], count: int | None, seed: int) -> list[Row]:
    """`count` rows spread evenly: a seeded choice of one from each of `count` equal stretches, in order.

    A fixed stride would follow the period in which some sets place their needle.
    """
    if count is None or count >= len(rows):
        return list(rows)
    generator = np.random.default_rng(seed)
    edges = [index * len(rows) // count for index in range(count + 1)]
    return [rows[int(generator.integers(start, end))] for start, end in pairwise(edges)]


def checksum(directory: Path, name: str) -> str:
    """16 hex digits of a set's file."""
    digest = hashlib.sha256()
    with file_of(directory, name).open("rb") as stream:
        while block := stream.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()[:16]
