"""Speaker turns of a transcript: where each begins and where its label ends. Knows nothing of units.

Labels stand at the beginning of a line: `Name: text`, `Name (12:03): text`, `[12:03] Name: text`, `[Name] text`,
`[12:03] <nick> text`, `**Name:** text`, `张三：…`, or `Name  12:03` on a line above the text. Mail headers, settings and
records have such lines too; there the same labels come round in the same order, or some of them never say more than a word.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from specprefill_agents.prompt.units.line_sample import bounded

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?(?:[ \u202f]?[APap]\.?[Mm]\.?)?"
_DATE = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"
_TIME = rf"[\[(]?(?:{_DATE}(?P<comma>,)?[ T])?(?P<clock>{_CLOCK})[\])]?(?:[ \t]-)?[ \t]+"
_NAME = r"[^\W\d_][\w.'’&/ -]{0,39}"
_BRACKETED = rf"\[(?P<bracketed>{_NAME})\]:?(?=\s)|<(?P<nick>[^\W\d][\w.|-]{{0,29}})>(?=[ \t])"
_PLAIN = rf"(?P<plain>{_NAME})(?:\([^()\n]{{1,24}}\))?[ ]?(?::(?=\s|\*\*)|：)"
_ABOVE = rf"(?P<above>{_NAME}?)[ \t]+[\[(]?{_CLOCK}[\])]?[ \t]*\r?$"
_LABEL = re.compile(
    rf"^[ \t]{{0,8}}(?:{_TIME})?(?:{_BRACKETED}|(?:\*\*)?(?:{_PLAIN})(?:\*\*)?)[^\S\r\n]*|^{_ABOVE}",
    re.MULTILINE,
)
_MOST_WORDS, _LONGEST_PARTICLE = 5, 3
_NOT_SPEAKERS = frozenset(
    "note warning hint tip info error debug todo done fixme question answer title name url link date time subject from to cc input"
    " output example description summary status type source result score thought action observation expected actual received before"
    " after key value id pros cons step".split()
)
"""What notes, fields and steps of an agent are called, in lower case; Q and A are the parties of a hearing."""

_MIN_SAID, _MIN_SAID_BY_EACH = 0.4, 0.25
"""Shares of the turns, and of those of each main speaker, that must be more than a word or two."""

_MAIN_SHARE, _MAIN_TURNS = 0.12, 4
_MAX_IN_CYCLE = 0.8
"""Share of the changes of speaker from which on labels that follow each other in a ring of three or more are fields."""

_WIDE_WORDS = re.compile("[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff]{2}|[\u0e00-\u0eff]{5}")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*\s*\Z")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says without interruption: `text[start:end]`, of which `text[start:label_end]` names the speaker."""

    start: int
    label_end: int
    end: int


def looks_like_transcript(text: str) -> bool:
    """Whether the beginning and the end of `text` are mostly turns of speakers."""
    sample = bounded(text)
    turns = speaker_turns(sample)
    return bool(turns) and 2 * turns[0].start <= len(sample)


def speaker_turns(text: str) -> list[Turn]:
    """The turns of `text` in order, or none when it is no transcript.

    It is one when at least two speakers come back and labels repeat: on average each is there twice, every eighth line at
    least begins a turn, and most that look like labels may name a speaker. What is said must read like talk and not like
    the fields of records.
    """
    found = list(_LABEL.finditer(text))
    labels = [match for match in found if _may_name_a_speaker(match)]
    names = [_speaker(match) for match in labels]
    counts = Counter(names)
    coming_back = sum(count > 1 for count in counts.values())
    if coming_back < 2 or len(labels) < 2 * max(len(counts), len(found) - len(labels)) or 8 * len(labels) < text.count("\n"):
        return []
    ends = [*(match.start() for match in labels[1:]), len(text)]
    turns = [Turn(match.start(), match.end(), end) for match, end in zip(labels, ends, strict=True)]
    said = [text[turn.label_end : turn.end] for turn in turns]
    if _are_fields(names, counts, said) or (_are_stamped(labels) and not _are_sentences(said)):
        return []
    return turns


def _may_name_a_speaker(match: re.Match[str]) -> bool:
    words = _speaker(match).split()
    is_nick = len(words) == 1 and (match["nick"] or match["clock"]) is not None
    is_phrase = any(len(word) > _LONGEST_PARTICLE and word.islower() for word in words[1:])
    is_error = words[-1].endswith(("Error", "Exception", "Warning"))
    return (is_nick or not words[0][0].islower()) and len(words) <= _MOST_WORDS and not is_phrase and not is_error


def _speaker(match: re.Match[str]) -> str:
    return str(match["bracketed"] or match["nick"] or match["plain"] or match["above"]).strip()


def _are_fields(names: Sequence[str], counts: Counter[str], said: Sequence[str]) -> bool:
    """Whether the labels are those of records: notes, a ring of fields, or fields that hold a word or two."""
    if 2 * sum(count for name, count in counts.items() if name.lower() in _NOT_SPEAKERS) >= len(names):
        return True
    talks: Counter[str] = Counter()
    for name, words in zip(names, said, strict=True):
        talks[name] += _says_something(words)
    if sum(talks.values()) < _MIN_SAID * len(names):
        return True
    main = [(name, count) for name, count in counts.items() if count >= max(_MAIN_TURNS, _MAIN_SHARE * len(names))]
    if any(talks[name] < _MIN_SAID_BY_EACH * count for name, count in main):
        return True
    return _go_round(names) or _are_pairs(names, said)


def _says_something(words: str) -> bool:
    return len(words.split(None, 3)) > 2 or len(_WIDE_WORDS.findall(words[:80])) > 2


def _go_round(names: Sequence[str]) -> bool:
    """Whether three labels or more follow each other in a ring, as those of records do."""
    followers: dict[str, Counter[str]] = defaultdict(Counter)
    for name, following in pairwise(names):
        followers[name][following] += 1
    usual = {name: counts.most_common(1)[0] for name, counts in followers.items()}
    ring: dict[str, int] = {}
    name = Counter(names).most_common(1)[0][0]
    while name in usual and name not in ring:
        ring[name] = usual[name][1]
        name = usual[name][0]
    first = list(ring).index(name) if name in ring else len(ring)
    changes = list(ring.values())[first:]
    return len(changes) > 2 and sum(changes) >= _MAX_IN_CYCLE * (len(names) - 1)


def _are_pairs(names: Sequence[str], said: Sequence[str]) -> bool:
    """Whether there are two labels, and a blank line always follows the one and never the other."""
    if len(set(names)) != 2:
        return False
    ended = {(name, words.count("\n", len(words.rstrip())) > 1) for name, words in zip(names[:-1], said, strict=False)}
    return len(ended) == 2 and len({name for name, _ in ended}) == 2 and len({is_apart for _, is_apart in ended}) == 2


def _are_stamped(labels: Sequence[re.Match[str]]) -> bool:
    """Whether most labels have the time before them as a line of a log has it, to the second and without a comma behind the date."""
    stamped = [match for match in labels if (match["clock"] or "").count(":") > 1 and not match["comma"]]
    return 2 * len(stamped) > len(labels)


def _are_sentences(said: Sequence[str]) -> bool:
    """Whether half of what is said ends as sentences do, which messages of programs do not."""
    return 2 * sum(_SENTENCE_END.search(words.rstrip()[-8:]) is not None for words in said) >= len(said)
