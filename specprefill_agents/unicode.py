"""What Python allows in a string and tokenizers do not: lone surrogates."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """`text` with every surrogate code point read as U+FFFD; same length, so offsets stay valid."""
    return _SURROGATE.sub("\ufffd", text)
