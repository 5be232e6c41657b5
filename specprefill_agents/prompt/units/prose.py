"""Prose: sentences in paragraphs, and the turns of transcripts. Any text can be read as prose.

The rules are this package's own: sentence splitters to be had as libraries want the language named, do not tile the text, or
bring a model along.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from specprefill_agents.prompt.units.filled_blocks import FilledBlocks
from specprefill_agents.prompt.units.layout import Layout, LayoutBuilder, Limits
from specprefill_agents.prompt.units.paragraphs import gathered, paragraphs, unwrapped
from specprefill_agents.prompt.units.sentences import sentence_units, weight
from specprefill_agents.prompt.units.transcript import Turn, looks_like_transcript, speaker_turns

__all__ = ["add_paragraphs", "looks_like_prose", "looks_like_transcript", "split_prose", "split_transcript"]

_SAMPLE_CHARS = 4_000
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?:\s|\Z)|[。！？।۔؟።។။]|[\u0e00-\u0eff] ")
_MARKS = re.compile("[\u0300-\u036f\u0900-\u109f\u1780-\u17ff]")
_SIGNS = re.compile(r"[<>\[\]=|/\\_;#$%^&*+~@`]")
_INDENTED = re.compile(r"^[ \t]+\S", re.MULTILINE)
_LEAST_LETTERS = 0.78
_MOST_SIGNS = 0.03
_CHARS_PER_SENTENCE = 400


def looks_like_prose(text: str) -> bool:
    """Whether a sample reads like language: mostly letters, hardly a sign, now and then the end of a sentence, few indented lines."""
    is_short = len(text) <= 2 * _SAMPLE_CHARS
    sample = text if is_short else text[:_SAMPLE_CHARS] + text[-_SAMPLE_CHARS // 2 :]
    written = sum(map(len, sample.split()))
    letters = sum(map(str.isalpha, sample)) + len(_MARKS.findall(sample))
    return (
        letters > _LEAST_LETTERS * written
        and len(_SIGNS.findall(sample)) <= _MOST_SIGNS * written
        and len(_SENTENCE_END.findall(sample)) * _CHARS_PER_SENTENCE >= written
        and 2 * len(_INDENTED.findall(sample)) <= sample.count("\n") + 1
    )


def split_prose(text: str, limits: Limits) -> Layout:
    """Sentences in blocks that are paragraphs, or a transcript where `text` turns out to be one."""
    return _layout(text, speaker_turns(text), limits)


def split_transcript(text: str, limits: Limits) -> Layout | None:
    """Sentences in blocks that are speaker turns; of a long turn, each unit drags the speaker's label along."""
    turns = speaker_turns(text)
    return _layout(text, turns, limits) if turns else None


def _layout(text: str, turns: Sequence[Turn], limits: Limits) -> Layout:
    builder = LayoutBuilder("transcript" if turns else "prose")
    add_paragraphs(FilledBlocks(builder, limits), text, turns[0].start if turns else len(text), limits)
    shared = limits.block_chars // 2  # short turns of several speakers share a block, a long one has its own
    if len(builder):
        builder.begin_block()
    _add_turns(FilledBlocks(builder, limits, enough=shared, room=shared), text, turns, limits)
    return builder.build()


def add_paragraphs(blocks: FilledBlocks, text: str, end: int, limits: Limits) -> None:
    """Units and blocks for the paragraphs between `blocks.end` and `end`."""
    for start, stop in gathered(text, paragraphs(text, blocks.end, end), limits):
        parts = unwrapped(text, start, stop, limits) if stop - start > limits.block_chars else [(start, stop)]
        for part, part_end in parts:
            blocks.open_for(part_end)
            blocks.add_all(sentence_units(text, part, part_end, limits))


def _add_turns(blocks: FilledBlocks, text: str, turns: Sequence[Turn], limits: Limits) -> None:
    at = 0
    while at < len(turns):
        brief = _brief_turns(text, turns, at, limits)
        if brief:
            at += brief
            blocks.open_for(turns[at - 1].end)
            blocks.add(turns[at - 1].end)
        else:
            blocks.open_for(turns[at].end)
            _add_turn(blocks, text, turns[at], limits)
            at += 1


def _brief_turns(text: str, turns: Sequence[Turn], first: int, limits: Limits) -> int:
    """How many turns from the `first` on say so little that they make one unit."""
    count = 0
    for at in range(first, len(turns)):
        turn = turns[at]
        if max(weight(text, turn.start, turn.end), weight(text, turns[first].start, turn.start)) >= limits.min_chars:
            break
        count += 1
    return count


def _add_turn(blocks: FilledBlocks, text: str, turn: Turn, limits: Limits) -> None:
    """One turn; when it is more than one unit, all others need the first, which is then the label and at most a few words."""
    ends = sentence_units(text, turn.start, turn.end, limits)
    if len(ends) == 1:
        blocks.add(turn.end)
    elif ends[0] - turn.start <= limits.min_chars:
        blocks.add_all(ends[1:], needs=[blocks.add(ends[0])])
    else:
        label = blocks.add(turn.label_end)
        blocks.add_all(sentence_units(text, turn.label_end, turn.end, limits), needs=[label])
