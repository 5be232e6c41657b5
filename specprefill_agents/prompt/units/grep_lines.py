"""What the lines of search results and file lists say: which file or folder each is about, and in what way.

Three forms: `path:12:text` or `path:text` ("hits"), a path with `12:text` lines below it ("headed"), and one path a line,
as `find`, `ls -R` and `ls -l` print them ("paths").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

Form: TypeAlias = Literal["hits", "headed", "paths"]
Role: TypeAlias = Literal["hit", "context", "heading", "break", "note"]
"""`hit`: a line that was found, or a path; `context`: a line beside a hit; `heading`: the name of what follows; `break`:
a separator or blank line, which belongs to what precedes it; `note`: anything else."""

MIN_LINES = 3
MIN_SHARE = 0.75
"""Share of the lines of a sample that must be of the form, blank lines and separators aside."""
MAX_SEQUENCE = 0.7
"""Share of line numbers that follow each other at once, above which numbered lines are the listing of a file."""
PATH_CHARS = 300


class Line(NamedTuple):
    """One line, which ends (line end included) at `end`; `owner` is the file or folder that it is about."""

    end: int
    role: Role
    owner: str


_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_COLOUR = r"(?:\x1b\[[\d;]*[mK])*"
_NAME = rf"{_COLOUR}((?:[A-Za-z]:[\\/])?[^\s:\x1b][^:\n\x1b]{{0,{PATH_CHARS}}}){_COLOUR}:{_COLOUR}"
_NUMBERED_HIT = re.compile(rf"{_NAME}(?P<line>\d{{1,9}}){_COLOUR}:")
_HIT = re.compile(_NAME + r"(?!:)")
_CONTEXT = re.compile(r"-\d{1,9}-")
_NUMBERED = re.compile(rf"[^\S\n]*(?:Line )?{_COLOUR}(\d{{1,9}}){_COLOUR}([:|-])")
_IS_TIME = re.compile(r"=|\d-\d\d[T_]?\d\d\Z")
_COMPLAINT = re.compile(r"(?:\d+:)?\s*(?:fatal )?(?:error|warning|note|info)\b|\s*\w*(?:Error|Warning|Exception)\b")
_ROOTED = re.compile(r"(?:[A-Za-z]:[\\/]|[~.]{0,2}/(?![/\s]))(?!(?:\S* ){5})(?!.* /)[^:*?\"<>|\n]+\Z")
_PATH = re.compile(r"[^\s:*?\"'<>|,;=(){}\[\]`]+\Z")
_EXTENSION = re.compile(r"[^\s/]\.[A-Za-z][A-Za-z0-9_]{0,9}\Z|/\Z|\A\.\w")
_LONG_LISTING = re.compile(
    r"[-dlcbps][-rwxsStT]{9}[.+@]?\s|total \d+\s*\Z|\d\d[/.]\d\d[/.]\d{4}\s+\d\d:\d\d(?: [AP]M)?\s+(?:<\w+>|[\d.,]+)\s+\S"
)
_BLOB = re.compile(r"[A-Za-z0-9+/]{48,}={0,2}\Z")
_CHANGE_OF_CLASS = re.compile(r"[a-z](?=[A-Z0-9])|[A-Z](?=[0-9])|[0-9](?=[A-Za-z])")
MAX_CHANGES = 0.25
"""Share of the characters behind which lower case, upper case and digits change, above which a line is encoded data."""


def form_of(sample: Sequence[str]) -> Form | None:
    """The form that most lines of `sample` have (they stand without their ends), or None."""
    lines = [line for line in sample if line.strip() not in ("", "--")]
    if len(lines) < MIN_LINES:
        return None
    if _are_hits(lines):
        return "hits"
    if _are_headed(lines):
        return "headed"
    return "paths" if _are_paths(lines) else None


def read_lines(text: str, form: Form) -> Iterator[Line]:
    """The lines of `text`, read as `form`."""
    return {"hits": _read_hits, "headed": _read_headed, "paths": _read_paths}[form](text)


def is_path(line: str) -> bool:
    """Whether `line` reads as one path: with a slash, or with an extension and no space."""
    if len(line) > PATH_CHARS or "://" in line or line.lstrip().startswith("//"):
        return False
    line = line.strip()
    if _ROOTED.match(line):
        return True
    if _BLOB.match(line) and len(_CHANGE_OF_CLASS.findall(line)) > MAX_CHANGES * len(line):
        return False
    return bool(_PATH.match(line)) and ("/" in line or bool(_EXTENSION.search(line)))


def _is_most(verdicts: Iterable[bool]) -> bool:
    found = list(verdicts)
    return sum(found) >= MIN_SHARE * len(found)


def _are_paths(lines: Sequence[str]) -> bool:
    entries = [is_path(line) or bool(_LONG_LISTING.match(line)) for line in lines]
    return 2 * sum(entries) >= len(lines) and _is_most(is_entry or _is_heading(line) for is_entry, line in zip(entries, lines, strict=True))


def _are_hits(lines: Sequence[str]) -> bool:
    found = _hits(lines)
    paths = {match[1] for match in found}
    if not found or not _is_most(bool(_owner_of(line, paths)) for line in lines):
        return False
    complaints = sum(bool(_COMPLAINT.match(match.string, match.end())) for match in found)
    repeated = sum(before[1] == after[1] for before, after in pairwise(found))
    is_search = found[0].re is _NUMBERED_HIT or 3 * repeated >= len(found) or all("/" in path for path in paths)
    return is_search and 2 * complaints < len(found)


def _hits(lines: Iterable[str]) -> list[re.Match[str]]:
    """The hits with line numbers; where there are none, those without."""
    numbered = [match for line in lines if (match := _NUMBERED_HIT.match(line)) and _names_file(match[1])]
    return numbered or [match for line in lines if (match := _HIT.match(line)) and is_path(match[1]) and match.end() < len(line.rstrip())]


def _are_headed(lines: Sequence[str]) -> bool:
    found = [_NUMBERED.match(line) for line in lines]
    headings = sum(
        after is not None and before is None and _is_name(line) for line, (before, after) in zip(lines, pairwise(found), strict=False)
    )
    numbers = [int(match[1]) for match in found if match and match[2] != "-"]
    steps = [after - before for before, after in pairwise(numbers)]
    has_context = any(match and match[2] == "-" for match in found)
    is_listing = not has_context and steps.count(1) > MAX_SEQUENCE * len(steps)
    return (
        headings > 0 and not is_listing and _is_most(match is not None or _is_name(line) for line, match in zip(lines, found, strict=True))
    )


def _names_file(name: str) -> bool:
    """Whether what stands before `:12:` can be a file: `Makefile` can, a time of day cannot."""
    return is_path(name) or (" " not in name and not name[0].isdigit() and not _IS_TIME.search(name))


def _is_name(line: str) -> bool:
    return is_path(line.rstrip().removesuffix(":"))


def _is_heading(line: str) -> bool:
    """Whether `line` is the name of a folder, as `ls -R` prints it before its files."""
    line = line.rstrip()
    return line.endswith(":") and (line == ".:" or is_path(line[:-1]) or bool(_PATH.match(line[:-1])))


def _owner_of(line: str, paths: set[str]) -> str:
    """Which of `paths` the line is a hit in or stands beside one, or ""."""
    match = _HIT.match(line)
    if match and match[1] in paths:
        return match[1]
    for mark in _CONTEXT.finditer(line, 0, PATH_CHARS):
        if line[: mark.start()] in paths:
            return line[: mark.start()]
    return ""


def _read_hits(text: str) -> Iterator[Line]:
    lines = _LINE.findall(text)
    paths = {match[1] for match in _hits(lines)}
    end, owner = 0, ""
    for line in lines:
        end += len(line)
        if _is_break(line):
            yield Line(end, "break", owner)
        elif owner and line.startswith(owner + "-"):
            yield Line(end, "context", owner)
        elif found := _owner_of(line, paths):
            owner = found
            yield Line(end, "context" if line.startswith(found + "-") else "hit", owner)
        else:
            yield Line(end, "note", "")


def _read_headed(text: str) -> Iterator[Line]:
    owner = ""
    for match in _LINE.finditer(text):
        line = match[0]
        if _is_break(line):
            yield Line(match.end(), "break", owner)
        elif number := _NUMBERED.match(line):
            yield Line(match.end(), "context" if number[2] == "-" else "hit", owner)
        elif _is_name(line):
            owner = line.strip()
            yield Line(match.end(), "heading", owner)
        else:
            yield Line(match.end(), "note", "")


def _read_paths(text: str) -> Iterator[Line]:
    folder = ""
    for match in _LINE.finditer(text):
        line = match[0]
        if _is_break(line):
            yield Line(match.end(), "break", folder)
        elif _is_heading(line):
            folder = line.strip()
            yield Line(match.end(), "heading", folder)
        elif _LONG_LISTING.match(line) or folder:
            yield Line(match.end(), "hit", folder)
        elif is_path(line):
            yield Line(match.end(), "hit", line.strip().rstrip("/").rpartition("/")[0])
        else:
            yield Line(match.end(), "note", "")


def _is_break(line: str) -> bool:
    return line.strip() in ("", "--")
