"""A text seen as lines of code: what stands before the code of each line, how far it is indented, what is no code at all.

Tools show code with decorations: line numbers before each line, a header that names the file, a note on what is not shown.
Knows no programming language.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

BLANK = -1
"""The indent of a line without code."""

FRAME = -2
"""The indent of a line that the tool wrote around the code."""

_TAB_COLUMNS = 8
_MIN_NUMBERED = 3
_NUMBERED_PART = 4
GUTTER = re.compile(r"[^\S\n]{0,12}(?P<number>\d{1,7})(?P<mark>\t|→|[^\S\n]?[:|│]|[^\S\n]{1,2}|(?=\r?$))")
"""What stands before a line that is shown with its number."""

_PLAIN_GUTTER = re.compile(r"[^\S\n]{0,12}\d{1,7}(?:\t|→|[^\S\n]?[:|│]|  )")
_FRAME = re.compile(
    r"^[^\S\n]*(?:[\[(](?:open )?file: .*|\(current directory: .*\)|bash-\$"
    r"|[\[(](?:\.\.\. ?)?\d+ (?:more )?lines (?:above|below|omitted|not shown|total).*"
    r"|==> .* <==|<<<<< (?:START|END) CURSOR >>>>>)",
    re.IGNORECASE | re.MULTILINE,
)
_CURSOR = re.compile(r"^[^\S\n]*<<<<< (?:START|END) CURSOR >>>>>[^\S\n]*$", re.MULTILINE)
_UNSAFE = re.compile(r"\x1b\[[\d;?]*[ -/]*[@-~]|\r(?!\n)|[^\t\n\r\x20-\x7e]")
_NO_SIGNS = bytes(code for code in range(128) if chr(code).isalnum() or chr(code).isspace() or chr(code) == "_")


@dataclass(frozen=True, slots=True)
class CodeLines:
    """L lines of a text. `starts` (L + 1) ends with the length of the text, the other columns have L entries.

    `plain` is the text in ASCII, character for character at the same positions, fit for a parser. The code of line i begins
    at `starts[i] + gutters[i]`; `indents` counts the columns of white space there, or is BLANK or FRAME, and `margins`
    counts the same white space in characters. `tokens` (L + 1) adds up, line by line, about how many tokens the code has.
    `comments` are the lines with nothing but a comment of one line, once `with_comments` has found them.
    """

    plain: bytes
    starts: Sequence[int]
    gutters: Sequence[int]
    indents: Sequence[int]
    margins: Sequence[int]
    tokens: Sequence[int]
    comments: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.indents)

    def size(self, first: int, last: int) -> int:
        """Characters of the lines from `first` to before `last`, gutters included."""
        return self.starts[last] - self.starts[first]

    def code(self, first: int, last: int) -> bytes:
        """The lines from `first` to before `last` without their gutters."""
        lines = range(first, last)
        return b"".join([self.plain[self.starts[line] + self.gutters[line] : self.starts[line + 1]] for line in lines])

    def blanked(self, last: int) -> bytes:
        """The lines to before `last`, character for character at the same positions, with blanks for their gutters."""
        lines = zip(self.starts, self.gutters, self.starts[1:], range(last), strict=False)
        return b"".join([b" " * gutter + self.plain[start + gutter : end] for start, gutter, end, _ in lines])

    def code_of(self, line: int) -> bytes:
        """The code of one line without the white space around it."""
        return self.plain[self.starts[line] + self.gutters[line] : self.starts[line + 1]].strip()


def is_frame(line: str) -> bool:
    """Whether a tool wrote `line` around what it shows: the name of a file, a count of lines."""
    return _FRAME.match(line) is not None


def read_lines(text: str) -> CodeLines:
    """The lines of `text`; linear in its length, defined for any string."""
    lines = _split(text)
    plain = _plain(text)
    starts = [0, *accumulate(map(len, lines))]
    numbered = _numbered(lines)
    if numbered is None:
        frames = _frames(text, lines, starts)
    else:
        frames = {start for start, gutter in zip(starts, numbered, strict=False) if gutter < 0}
    gutters = [max(gutter, 0) for gutter in numbered] if numbered else [0] * len(lines)
    for match in _CURSOR.finditer(text):  # nothing is left out there: a blank line to whoever reads the code
        at = bisect_right(starts, match.start()) - 1
        frames.discard(starts[at])
        gutters[at] = match.end() - starts[at]
    indents: list[int] = []
    margins: list[int] = []
    sizes: list[int] = []
    for start, gutter, end in zip(starts, gutters, starts[1:], strict=False):
        line = plain[start + gutter : end]
        code = line.lstrip(b" \t")
        margin = len(line) - len(code)
        margins.append(margin)
        sizes.append(len(code.translate(None, _NO_SIGNS)) + code.count(b" ") + 1)
        if start in frames:
            indents.append(FRAME)
        elif not code or code[0] in b"\r\n":
            indents.append(BLANK)
        else:
            indents.append(len(line[:margin].expandtabs(_TAB_COLUMNS)) if b"\t" in line[:margin] else margin)
    return CodeLines(plain, starts, gutters, indents, margins, [0, *accumulate(sizes)])


def without_gutters(text: str) -> str:
    """`text` without line numbers, and where many lines have one without the other lines: to guess a language from."""
    lines = text.split("\n")
    gutters = [_PLAIN_GUTTER.match(line) for line in lines]
    if _NUMBERED_PART * sum(gutter is not None for gutter in gutters) < len(lines):
        return text
    return "\n".join(line[gutter.end() :] for line, gutter in zip(lines, gutters, strict=True) if gutter)


def _plain(text: str) -> bytes:
    """`text` in ASCII at the same length: letters of other scripts become letters, whatever confuses a parser a blank."""
    safe = _UNSAFE.sub(lambda match: "x" if match.group() > "\x9f" else " " * len(match.group()), text)
    return safe.encode("ascii")


def _split(text: str) -> list[str]:
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])


def _frames(text: str, lines: Sequence[str], starts: Sequence[int]) -> set[int]:
    """Where lines begin that tools write around code: names of files, counts of lines, the fences of a block."""
    frames = {match.start() for match in _FRAME.finditer(text)}
    filled = [at for at, line in enumerate(lines) if not line.isspace()]
    if len(filled) > 1 and all(lines[at].lstrip().startswith(("```", "~~~")) for at in (filled[0], filled[-1])):
        frames |= {starts[filled[0]], starts[filled[-1]]}
    return frames


def _numbered(lines: Sequence[str]) -> list[int] | None:
    """The gutter's length of each line, -1 for a line without a number; None when the lines are not numbered at all.

    A number counts when it goes up by one from the last number or to the next one, and stands before the same mark as most.
    """
    matches = {at: match for at, line in enumerate(lines) if (match := GUTTER.match(line))}
    if len(matches) < _MIN_NUMBERED:
        return None
    numbers = [int(match["number"]) for match in matches.values()]
    steps = [after - before == 1 for before, after in pairwise(numbers)]
    counted = [
        (at, match)
        for (at, match), from_last, to_next in zip(matches.items(), [False, *steps], [*steps, False], strict=True)
        if from_last or to_next
    ]
    marks = [match["mark"] for _, match in counted if match["mark"]]
    usual = max(set(marks), key=lambda mark: (marks.count(mark), mark), default="")
    gutters = [-1] * len(lines)
    for at, match in counted:
        if match["mark"] in ("", usual):
            gutters[at] = match.end()
    found = sum(gutter >= 0 for gutter in gutters)
    enough = found >= _MIN_NUMBERED and _NUMBERED_PART * found >= len(lines)
    return gutters if enough else None
