"""Readers of the development evaluation data: gzip JSONL files -> frozen questions and trajectories.

A set is a file's name without its suffix, or `file:task` for the files that mix several tasks (`ruler_8k:vt`). Knows the
files' schema and nothing of scorers.
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

from specprefill_agents import Segment

QUESTION_SETS = ("nq_20doc", "hotpotqa", "kv_140", "qmsum_val", "quixbugs", "ruler_8k", "langgraph_frames")
TRAJECTORY_SETS = ("agentdojo", "sweagent", "langgraph_seed")
SUFFIX = ".jsonl.gz"

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
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)


def expand(directory: Path, names: Sequence[str]) -> list[str]:
    """Set names with the files that mix tasks replaced by one set for each of their tasks. Raises ValueError for an unknown one."""
    sets: list[str] = []
    for name in names:
        file, _, task = name.partition(":")
        if file not in (*QUESTION_SETS, *TRAJECTORY_SETS):
            raise ValueError(f"unknown set {name!r}; there are: {', '.join((*QUESTION_SETS, *TRAJECTORY_SETS))}")
        tasks = dict.fromkeys(row["meta"].get("task") for row in read_rows(directory / f"{file}{SUFFIX}"))
        if task and task not in tasks:
            raise ValueError(f"{file} has no task {task!r}")
        sets += [name] if task or None in tasks else [f"{file}:{each}" for each in tasks]
    return list(dict.fromkeys(sets))


def is_left_alone(name: str) -> bool:
    """Whether a set shows what the product does of itself, short outputs left alone included, rather than a binding budget."""
    return name in (*TRAJECTORY_SETS, "langgraph_frames")


def load(directory: Path, name: str) -> list[Question] | list[Trajectory]:
    """The rows of a set."""
    return load_trajectories(directory, name) if name in TRAJECTORY_SETS else load_questions(directory, name)


def load_questions(directory: Path, name: str) -> list[Question]:
    """The questions of a set, with texts that are stored once put where they are referred to."""
    file, _, task = name.partition(":")
    rows = [row for row in read_rows(directory / f"{file}{SUFFIX}") if not task or row["meta"]["task"] == task]
    stored: dict[str, str] = {}
    if any("ref" in segment for row in rows for segment in row["segments"]):
        stored = {row["id"]: row["text"] for row in read_rows(directory / f"{file}_meetings{SUFFIX}")}
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
        for row in read_rows(directory / f"{name}{SUFFIX}")
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
    file = directory / f"{name.partition(':')[0]}{SUFFIX}"
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
