"""Speaker turns of a transcript: where each begins and where its label ends. Knows nothing of units.

Labels stand at the beginning of a line: `Name: text`, `Name (12:03): text`, `[12:03] Name: text`, `[Name] text`, `张三：…`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_TIME = r"[\[(]?\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?[\])]?[ \t]+"
_NAME = r"[^\W\d_][\w.'’&/ -]{0,39}"
_BRACKETED = rf"\[(?P<bracketed>{_NAME})\]:?(?=\s)"
_PLAIN = rf"(?P<plain>{_NAME})(?:\([^()\n]{{1,24}}\))?[ ]?(?::(?=\s)|：)"
_LABEL = re.compile(rf"^[ \t]{{0,8}}(?:{_TIME})?(?:{_BRACKETED}|{_PLAIN})[^\S\r\n]*", re.MULTILINE)
_MOST_WORDS = 5


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says without interruption: `text[start:end]`, of which `text[start:label_end]` names the speaker."""

    start: int
    label_end: int
    end: int


def speaker_turns(text: str) -> list[Turn]:
    """The turns of `text` in order, or none when it is no transcript.

    It is one when at least two speakers come back and labels repeat: on average each is there twice, and every eighth
    line at least begins a turn.
    """
    labels = [match for match in _LABEL.finditer(text) if _may_name_a_speaker(match)]
    counts = Counter(_speaker(match) for match in labels)
    coming_back = sum(count > 1 for count in counts.values())
    if coming_back < 2 or len(labels) < 2 * len(counts) or 8 * len(labels) < text.count("\n"):
        return []
    ends = [*(match.start() for match in labels[1:]), len(text)]
    return [Turn(match.start(), match.end(), end) for match, end in zip(labels, ends, strict=True)]


def _may_name_a_speaker(match: re.Match[str]) -> bool:
    name = _speaker(match)
    return not name[0].islower() and name.count(" ") < _MOST_WORDS


def _speaker(match: re.Match[str]) -> str:
    return str(match["bracketed"] or match["plain"]).strip()
