"""Bytes that were read as text, and dumps of bytes: nothing that a splitter for text could make sense of."""

from __future__ import annotations

import re

from specprefill_agents.prompt.units.line_sample import HEAD_CHARS, TAIL_CHARS, head_lines

MAX_SHARE = 0.1
"""Share of characters that are no text, up to which a text is damaged rather than binary."""
MIN_DUMP_LINES, MIN_DUMP_SHARE = 3, 0.9

# Control characters but for white space, escape and backspace; the second half of Latin-1's, replacement characters, lone
# surrogates, private characters and non-characters.
_NO_TEXT = re.compile("[\0-\x07\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ufffd-\uffff\ud800-\udfff\ue000-\uf8ff]")
_DUMPED = re.compile(r"[0-9a-fA-F]{4,16}:?[ \t]+(?:[0-9a-fA-F]{2,8}[ \t]+){2,}")


def looks_like_binary(text: str) -> bool:
    """Whether much of a sample is no text at all, or nearly all of its lines are those of `hexdump -C`, `xxd` or `od`."""
    sample = text if len(text) <= HEAD_CHARS + TAIL_CHARS else text[:HEAD_CHARS] + text[-TAIL_CHARS:]
    if len(_NO_TEXT.findall(sample)) > MAX_SHARE * len(sample):
        return True
    lines = [line for line in head_lines(text) if line]
    dumped = sum(_DUMPED.match(line) is not None for line in lines)
    return len(lines) >= MIN_DUMP_LINES and dumped >= MIN_DUMP_SHARE * len(lines)
