"""Generated texts of every content kind, as tools return them."""

from __future__ import annotations

import json

from hypothesis import strategies as st

NAMES = st.sampled_from("harbour sawmill lantern orchard ferry granary beacon quarry meadow viaduct".split())
WORDS = st.lists(NAMES, min_size=3, max_size=12).map(" ".join)
NUMBERS = st.integers(0, 9999)
SENTENCES = WORDS.map(lambda words: f"{words.capitalize()} was repaired before winter. ")
SCALARS = st.one_of(NUMBERS, WORDS, st.booleans(), st.none(), st.text(max_size=12), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(NAMES, inner, max_size=5)), max_leaves=25
)
RECORDS = st.lists(st.dictionaries(NAMES, VALUES, min_size=1, max_size=5), min_size=2, max_size=25)


def _many(line: st.SearchStrategy[str], least: int = 6, most: int = 60) -> st.SearchStrategy[str]:
    return st.lists(line, min_size=least, max_size=most).map("".join)


def _function(name: str, number: int, words: str) -> str:
    body = f"    total = value + {number}\n    if total > 3:\n        return total\n    return None\n\n\n"
    return f'def {name}_{number}(value):\n    """{words.capitalize()}."""\n{body}'


FUNCTIONS = st.builds(_function, NAMES, NUMBERS, WORDS)
TURNS = st.builds(lambda name, words: f"{name}: {words}. And then we go on.\n", st.sampled_from(["Ann", "Bo", "Project Manager"]), WORDS)
ENTRIES = st.builds(
    lambda second, level, words: f"2026-03-04 10:11:{second:02d},123 {level} service.{words.split()[0]}: {words}\n",
    st.integers(0, 59),
    st.sampled_from(["INFO", "WARNING", "ERROR", "DEBUG"]),
    WORDS,
)
HITS = st.builds(lambda name, number, words: f"src/{name}.py:{number}:    {words} = 1\n", NAMES, st.integers(1, 400), WORDS)
SECTIONS = st.builds(
    lambda name, words, code: f"## {name.title()}\n\n{words}.\n\n- {words}\n- `{name}` is new\n\n```\n{code}\n```\n\n", NAMES, WORDS, WORDS
)
ITEMS = st.builds(lambda name, words: f'<li class="{name}"><a href="/{name}">{words}</a></li>\n', NAMES, WORDS)
HUNKS = st.builds(
    lambda number, words: f"@@ -{number},3 +{number},3 @@ def f():\n context line\n-    {words}\n+    {words} again\n context line\n",
    st.integers(1, 900),
    WORDS,
)
ROWS = st.builds(lambda name, a, b: f"{name},{a},{b}\n", NAMES, NUMBERS, NUMBERS)
BLOCKS = st.builds(lambda number, name, words: f"- id: {number}\n  name: {name}\n  note: {words}\n", NUMBERS, NAMES, WORDS)

BY_KIND: dict[str, st.SearchStrategy[str]] = {
    "json": st.one_of(RECORDS.map(json.dumps), RECORDS.map(lambda value: json.dumps(value, indent=2, ensure_ascii=False))),
    "json lines": RECORDS.map(lambda records: "".join(json.dumps(record) + "\n" for record in records)),
    "printed": RECORDS.map(repr),
    "records": _many(BLOCKS),
    "code": _many(FUNCTIONS, 3, 20),
    "transcript": _many(TURNS, 12),
    "prose": st.lists(_many(SENTENCES, 2, 9), min_size=2, max_size=8).map("\n\n".join),
    "log": _many(ENTRIES, 12),
    "grep": _many(HITS, 12),
    "markdown": _many(SECTIONS, 3, 12).map(lambda text: "# Notes\n\n" + text),
    "markup": _many(ITEMS, 8).map(lambda items: f"<html><body><ul>\n{items}</ul></body></html>\n"),
    "diff": _many(HUNKS, 2, 15).map(lambda hunks: "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n" + hunks),
    "table": _many(ROWS, 10).map(lambda rows: "place,first,second\n" + rows),
}
"""Content kind -> texts of it, long enough to be recognised."""
