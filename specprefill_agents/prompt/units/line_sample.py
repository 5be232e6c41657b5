"""A bounded look at a text: complete lines from its beginning and its end, for deciding what kind of content it is."""

from __future__ import annotations

import re

HEAD_CHARS = 8_000
TAIL_CHARS = 2_000
ANSI = r"\x1b\[[\d;?]*[A-Za-z]"
"""Pattern of one terminal control sequence, such as a change of colour."""

_ANSI = re.compile(ANSI)


def head_lines(text: str) -> list[str]:
    """The complete lines within the first `HEAD_CHARS` characters, without line ends and colour codes."""
    if len(text) <= HEAD_CHARS:
        return _lines(text)
    return _lines(text[: text.rfind("\n", 0, HEAD_CHARS) + 1])


def sample_lines(text: str) -> list[str]:
    """`head_lines`, and of a longer text the complete lines within the last `TAIL_CHARS` characters as well."""
    if len(text) <= HEAD_CHARS:
        return _lines(text)
    cut = text.find("\n", max(HEAD_CHARS, len(text) - TAIL_CHARS))
    return head_lines(text) + (_lines(text[cut + 1 :]) if cut >= 0 else [])


def bounded(text: str) -> str:
    """The lines of `sample_lines`, as one text that a splitter would take for the same kind."""
    return text if len(text) <= HEAD_CHARS else "".join(f"{line}\n" for line in sample_lines(text))


def _lines(text: str) -> list[str]:
    lines = _ANSI.sub("", text).split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.rstrip("\r") for line in lines]
