"""Lines in which a pattern occurs, found within a time limit whatever the pattern is.

Patterns come from a model, and a few characters can keep a backtracking matcher busy for years. The standard library's
matcher cannot be stopped, and no rule that looks at a pattern tells the slow ones from the harmless ones without refusing
many of these. So a pattern is a regular expression when the standard library accepts it, and the `regex` package, which
can be stopped, does the matching. Anything else (too long, or not a regular expression, such as `foo(`) is looked for
letter by letter.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import regex  # type: ignore[import-untyped]

MAX_PATTERN_CHARS = 300
"""A longer pattern is looked for letter by letter."""
SEARCH_SECONDS = 1.0
"""For one search of all lines."""
ALONE_SECONDS = 0.01
"""How long one line may keep every other thread waiting. Letting others run costs more than most lines take."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A line by its index, and where in it the first match begins, in characters."""

    line: int
    at: int


@dataclass(frozen=True, slots=True)
class Search:
    """What was found in the first `searched` lines; fewer than there are when time ran out.

    `is_literal` tells that the pattern was not taken for a regular expression.
    """

    hits: tuple[Hit, ...]
    searched: int
    is_literal: bool


def search_lines(lines: Sequence[str], pattern: str, seconds: float = SEARCH_SECONDS) -> Search:
    """The lines in which `pattern` matches, each looked at by itself and without its line end."""
    is_literal = not _is_expression(pattern)
    compiled = regex.compile(regex.escape(pattern) if is_literal else pattern)
    give_up = time.monotonic() + seconds
    hits: list[Hit] = []
    for index, line in enumerate(lines):
        try:
            match = _first(compiled, line.rstrip("\r\n"), give_up - time.monotonic())
        except TimeoutError:
            return Search(tuple(hits), index, is_literal)
        if match is not None:
            hits.append(Hit(index, match.start()))
    return Search(tuple(hits), len(lines), is_literal)


def _is_expression(pattern: str) -> bool:
    """Whether both matchers read `pattern` as a regular expression; what only `regex` knows, recursion say, is none."""
    if len(pattern) > MAX_PATTERN_CHARS:
        return False
    try:
        re.compile(pattern)
        regex.compile(pattern)
    except Exception:
        return False
    return True


def _first(compiled: Any, line: str, seconds: float) -> Any:
    """The first match in `line`, or None. Raises `TimeoutError` after `seconds`."""
    if seconds <= 0:
        raise TimeoutError
    try:
        return compiled.search(line, timeout=min(seconds, ALONE_SECONDS))
    except TimeoutError:
        return compiled.search(line, timeout=seconds, concurrent=True)
