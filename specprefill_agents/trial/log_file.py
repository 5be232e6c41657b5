"""Logs of conversations: JSON Lines, plain or gzip, one object or one list of messages per line. A bad line is named, the rest goes on.

A log of requests holds a growing conversation once for every model call; of those only the last is taken.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from specprefill_agents.errors import SpecPrefillError
from specprefill_agents.trial.messages import Message, UnreadableError, uniform

_GZIP = b"\x1f\x8b"
_BODIES = ("body", "request")
"""Under these a line may hold the request itself, as batch files do."""


class NothingReadError(SpecPrefillError):
    """A log without a single conversation that can be read."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One conversation of a log. `line` counts from 1; `tools` are as they were sent, `model` is "" where nobody says it."""

    id: str
    line: int
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    model: str = ""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that could not be read, and what is wrong with it."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Log:
    """What a file holds. `continued` lines began or repeated another conversation of the file, and count once with it."""

    name: str
    conversations: tuple[Recorded, ...]
    bad: tuple[BadLine, ...] = ()
    continued: int = 0


def read_log(path: Path, limit: int | None = None) -> Log:
    """The conversations of a file, the first `limit` of them.

    Raises OSError for a file that cannot be opened, and `NothingReadError` where no conversation could be read.
    """
    found: list[Recorded] = []
    bad: list[BadLine] = []
    with path.open("rb") as file:
        for number, line in _lines(file, bad):
            try:
                found.append(recorded_in(line, number))
            except UnreadableError as error:
                bad.append(BadLine(number, str(error)))
    whole = _longest(found)
    if not whole:
        why = f"line {bad[0].line}: {bad[0].reason}" if bad else "the file is empty"
        raise NothingReadError(f"{path}: no conversation could be read; {why}")
    return Log(path.name, tuple(whole[:limit]), tuple(bad), len(found) - len(whole))


def _lines(file: BinaryIO, bad: list[BadLine]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; where a gzip file breaks off, `bad` is told."""
    is_packed = file.peek(2)[:2] == _GZIP if hasattr(file, "peek") else False
    lines = enumerate(gzip.GzipFile(fileobj=file) if is_packed else file, 1)
    number = 0
    try:
        for number, line in lines:
            if line.strip():
                yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        bad.append(BadLine(number + 1, f"the gzip data are damaged or break off here ({error})"))


def recorded_in(line: bytes, number: int) -> Recorded:
    """The conversation of one line. Raises `UnreadableError`."""
    value = _parsed(line)
    if isinstance(value, list):
        if any(isinstance(one, list) or (isinstance(one, Mapping) and "messages" in one) for one in islice(value, 1)):
            raise UnreadableError("a list of conversations; write each on a line of its own, such as by: jq -c '.[]'")
        return Recorded(f"line {number}", number, uniform(value))
    if not isinstance(value, Mapping):
        raise UnreadableError("neither an object nor a list of messages")
    body = next((value[name] for name in _BODIES if "messages" not in value and isinstance(value.get(name), Mapping)), value)
    if "messages" not in body:
        raise UnreadableError(f'an object without "messages"; it has {", ".join(map(str, islice(body, 8))) or "nothing"}')
    if "system" in body:
        raise UnreadableError('a request in Anthropic\'s form ("system" beside "messages"); only OpenAI\'s is read')
    tools, model = body.get("tools"), body.get("model")
    return Recorded(
        _id_of(value) or f"line {number}",
        number,
        uniform(body["messages"]),
        tuple(tool for tool in tools if isinstance(tool, Mapping)) if isinstance(tools, list) else (),
        model if isinstance(model, str) else "",
    )


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UnreadableError(f"not UTF-8 (byte {error.start + 1})") from error
    except json.JSONDecodeError as error:
        raise UnreadableError(f"not JSON: {error.msg} (column {error.colno}); each line must be a whole JSON value") from error
    except (ValueError, RecursionError) as error:  # a number with too many digits, nesting too deep
        raise UnreadableError(f"not JSON that can be read: {type(error).__name__}") from error


def _id_of(value: Mapping[str, Any]) -> str:
    name = value.get("id", value.get("custom_id"))
    return str(name) if isinstance(name, (str, int)) and not isinstance(name, bool) else ""


def _longest(found: Sequence[Recorded]) -> list[Recorded]:
    """Those that are not the beginning of another one, in order; of equal ones that have one id, the first."""
    begun: set[str] = set()
    whole: set[tuple[str, str]] = set()
    kept: list[Recorded] = []
    for one in sorted(found, key=lambda one: -len(one.messages)):
        *beginnings, name = _names_of_beginnings(one.messages)
        if name not in begun and (name, one.id) not in whole:
            kept.append(one)
            whole.add((name, one.id))
            begun.update(beginnings)
    return sorted(kept, key=lambda one: one.line)


def _names_of_beginnings(messages: Sequence[Message]) -> Iterator[str]:
    state = hashlib.blake2b(digest_size=16)
    for message in messages:
        state.update(json.dumps(message, sort_keys=True).encode("ascii") + b"\n")
        yield state.hexdigest()
