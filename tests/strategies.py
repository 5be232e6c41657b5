"""Texts and segments for property tests: every content kind an agent meets, and what breaks tokenizers."""

from __future__ import annotations

from hypothesis import strategies as st

from specprefill_agents import Segment

WORDS = st.sampled_from("error value the import return café 日本語 id=42 /usr/bin 3.14 <|im_start|> </think> [… foo_bar 😀".split())
PROSE = st.lists(WORDS, min_size=1, max_size=60).map(lambda words: " ".join(words) + ". ")
LINES = st.lists(st.one_of(PROSE, st.just(""), st.just("    indented = 1")), max_size=30).map("\n".join)
JSON_LINES = st.lists(st.integers(), max_size=40).map(lambda ns: "[" + ",\n ".join(f'{{"id": {n}, "ok": true}}' for n in ns) + "]")
SPACES = st.sampled_from(["", " ", "\n\n\n", "\r\n" * 5, "\u2028line\u2029", "\ufeffbom"])
ODD = st.sampled_from(["\x00" * 30, "a" * 3000, "\ud800 lone", "これは長い文章です。" * 40, "[… 3 lines omitted]\n" * 9])
UGLY = st.one_of(SPACES, ODD)
TEXTS = st.one_of(LINES, JSON_LINES, UGLY, st.text(max_size=300), st.lists(st.one_of(PROSE, UGLY), max_size=8).map("".join))

SEGMENTS = st.builds(
    Segment,
    text=TEXTS,
    kind=st.sampled_from(["tool_result", "document", "tool_result", "document", "user", "system", "tool_error", "expanded"]),
    name=st.sampled_from([None, "grep", "secret"]),
    id=st.sampled_from([None, "call_1", "call_2"]),
)
QUERIES = st.one_of(st.just(""), PROSE, st.text(max_size=40))
RATIOS = st.floats(min_value=0.01, max_value=1.0)
