"""What a document is about, in a few words: its given name, else the phrase that it begins with."""

from __future__ import annotations

import re

from specprefill_agents.types import Segment

MAX_TITLE_CHARS = 80
_PARENTHESIS = re.compile(r"\s*\([^)]*\)")
_END_OF_PHRASE = re.compile(r"\s(?:is|was|are|were|has|had|refers?)\s|[\n.:;,–—(。：，、（]|\s-\s|是|は、|とは")


def title_of(segment: Segment) -> str | None:
    """The title of a document, without what stands in parentheses; None for any other kind, whose name is a tool's."""
    if segment.kind != "document":
        return None
    return _PARENTHESIS.sub("", segment.name or "").strip() or leading_phrase(segment.text)


def leading_phrase(text: str) -> str | None:
    """The words before the first verb of being, punctuation mark or line end: what an encyclopaedic text defines."""
    start = text[: 4 * MAX_TITLE_CHARS].lstrip(" \t\r\n#*\"'“")[:MAX_TITLE_CHARS]
    end = _END_OF_PHRASE.search(start, 2)
    return (start[: end.start()] if end else start).strip() or None
