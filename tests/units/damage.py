"""Ways in which tool output arrives damaged: cut off, with foreign line ends, colours, bytes that are no text."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

_DAMAGES: list[Callable[[str], str]] = [
    lambda text: text,
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", "\r"),
    lambda text: text.replace("\n", "\r\n", 2),
    lambda text: text.replace(" ", "\t"),
    lambda text: text.replace(":", "\x1b[31m:\x1b[0m"),
    lambda text: "\n\n \n" + text + "\n\n\n",
    lambda text: text.replace("e", "\ufffd"),
    lambda text: text.replace("o", "\ud800").replace("a", "\x00"),
    lambda text: text.replace("\n", "\n[… 142 lines omitted]\n", 1),
    lambda text: text.replace('"', "", 1),
    lambda text: bytes(range(256)).decode("latin-1") + text,
]


def damaged(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """`texts`, some of them cut short, damaged in one or two ways, or with arbitrary text in the middle."""
    ways = st.lists(st.sampled_from(_DAMAGES), max_size=2)
    return st.builds(_damage, texts, ways, st.floats(0, 1), st.one_of(st.just(""), st.text(max_size=40)))


def _damage(text: str, ways: list[Callable[[str], str]], share: float, inserted: str) -> str:
    for way in ways:
        text = way(text)
    cut = int(share * len(text))
    return text[:cut] + inserted + (text[cut:] if share < 0.8 else "")
