"""Generated texts of every content kind, as tools return them: the same kind, seed and size give the same text in any process.

A text is worked out from its seed, not drawn piece by piece, which would cost more than all that is tested with it. The
size is the number of pieces beyond the least, and pieces do not depend on it: a failing example shrinks to few of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.units.code_samples import FILES, numbered

PLACES = tuple("harbour sawmill lantern orchard ferry granary beacon quarry meadow viaduct".split())
NAMES = st.sampled_from(PLACES)
ODD_SIGNS = "é日本語の章😀👨\u200d👩ß\"'\\/{}[]<>&#|,;:\t\n\r\x00\x1b\u2028\u202e\ufeff\u0301\ud800\udfff…"
LEVELS = ("INFO", "WARNING", "ERROR", "DEBUG")
CJK = ("港の朝は静かです。", "船は夜明けに出ます。", "潮汐表记录了每天的水位。", "渔船在清晨出海。", "등대는 밤에 빛난다. ")


@dataclass(frozen=True)
class Form:
    """How a text of one kind is put together: its pieces, how many it has at least, and what is made of them.

    `whole` gets the pieces and the text's style, an integer in [0, 12).
    """

    piece: Callable[[Random], Any]
    least: int
    whole: Callable[[Sequence[Any], int], str]


def text_of(kind: str, seed: int, size: int) -> str:
    """A text of `kind` of `size` pieces more than the least that it takes to be recognised."""
    source = Random(seed)
    form, style = FORMS[kind], source.randrange(12)
    return form.whole([form.piece(source) for _ in range(form.least + size)], style)


def words(source: Random, least: int = 3, most: int = 10) -> str:
    """Some place names."""
    return " ".join(source.choices(PLACES, k=source.randint(least, most)))


def _string(source: Random) -> str:
    if source.random() < 0.6:
        return words(source, 1, 8)
    return "".join(source.choices(ODD_SIGNS, k=source.randrange(12)))


def _value(source: Random, depth: int = 0) -> Any:
    pick = source.random() + 0.15 * depth
    if pick < 0.15:
        return [_value(source, depth + 1) for _ in range(source.randrange(6))]
    if pick < 0.3:
        return _record(source, depth + 1)
    return source.choice([source.randrange(10_000), source.random() * 1e9, source.random() < 0.5, None, _string(source), _string(source)])


def _record(source: Random, depth: int = 1) -> dict[str, Any]:
    return {name: _value(source, depth) for name in source.sample(PLACES, source.randint(1, 5))}


def _json(records: Sequence[Any], style: int) -> str:
    value = records if style % 3 else {"total": len(records), "next": None, "items": records}
    return json.dumps(value, indent=(None, 2, 1, "\t")[style // 3], ensure_ascii=style % 2 == 0)


def _printed(records: Sequence[Any], style: int) -> str:
    return repr(records) if style % 2 else "".join(f"{record!r}\n" for record in records)


def _answer(source: Random) -> dict[str, Any]:
    """What a tool answers whose output is text inside JSON: a status, and some lines in one string."""
    output = text_of(source.choice(("log", "grep", "code", "prose", "table")), source.getrandbits(32), 2)
    return {"status": source.choice(("ok", 0)), "output": output, source.choice(PLACES): _value(source, 2)}


def _among_text(records: Sequence[Any], style: int) -> str:
    """JSON with words before and after it."""
    before = ("Observation: ", "HTTP/1.1 200 OK\nContent-Type: application/json\n\n", "Searching, please wait\n")[style % 3]
    return f"{before}{_json(records, style)}\nExit code {style}\n"


def _block(source: Random) -> str:
    return f"- id: {source.randrange(10_000)}\n  name: {source.choice(PLACES)}\n  note: {words(source)}\n"


def _function(source: Random) -> str:
    head = f'def {source.choice(PLACES)}_{source.randrange(1000)}(value):\n    """{words(source).capitalize()}."""\n'
    body = f"    total = value + {source.randrange(100)}\n    if total > 3:\n        return total\n"
    return head + (body if source.random() < 0.7 else f"    return {source.choices(PLACES, k=4)!r}\n") + "\n\n"


def _code(pieces: Sequence[str], style: int) -> str:
    """Python from the pieces or, now and then, a file in another language: those take ten times as long to parse."""
    return "".join(pieces) if style < 10 else list(FILES.values())[len(pieces) % len(FILES)]


def _turn(source: Random) -> str:
    return f"{source.choice(('Ann', 'Bo', 'Project Manager'))}: {words(source)}. And then we go on.\n"


def _paragraph(source: Random) -> str:
    if source.random() < 0.15:
        return "".join(source.choices(CJK, k=source.randint(2, 8)))
    return "".join(f"{words(source).capitalize()} was repaired before winter. " for _ in range(source.randint(2, 5)))


def _entry(source: Random) -> str:
    level, said = source.choice(LEVELS), words(source)
    trace = '  File "/srv/app.py", line 3, in run\n    go()\n' * source.randint(1, 3)
    after = f"Traceback (most recent call last):\n{trace}ValueError: {said}\n" if level == "ERROR" and source.random() < 0.4 else ""
    return f"2026-03-04 10:11:{source.randrange(60):02d},123 {level} service.{source.choice(PLACES)}: {said}\n{after}"


def _hit(source: Random) -> str:
    return f"src/{source.choice(PLACES)}.py:{source.randint(1, 400)}:    {words(source)} = 1\n"


def _section(source: Random) -> str:
    name, said = source.choice(PLACES), words(source)
    table = f"| place | count |\n|---|---|\n| {name} | {source.randrange(99)} |\n| {said} | 3 |\n\n" if source.random() < 0.3 else ""
    return f"## {name.title()}\n\n{said}.\n\n- {said}\n- `{name}` is new\n\n{table}```\n{words(source)}\n```\n\n"


def _item(source: Random) -> str:
    name = source.choice(PLACES)
    return f'<li class="{name}"><a href="/{name}">{words(source)}</a></li>\n'


def _hunk(source: Random) -> str:
    line, said = source.randint(1, 900), words(source)
    return f"@@ -{line},3 +{line},3 @@ def f():\n context line\n-    {said}\n+    {said} again\n context line\n"


def _row(source: Random) -> tuple[str, int, int]:
    return source.choice(PLACES), source.randrange(10_000), source.randrange(100)


def _table(rows: Sequence[tuple[str, int, int]], style: int) -> str:
    every = [("place", "first", "second"), *rows]
    if style % 4 == 0:
        return "".join(f"{a:<12}  {b:>8}  {c:>8}\n" for a, b, c in every)
    if style % 4 == 1:
        return "".join(f"| {a} | {b} | {c} |\n" + "|---|---|---|\n" * (a == "place") for a, b, c in every)
    mark = ",\t"[style % 2]
    return "".join(f"{a}{mark}{b}{mark}{c}\n" for a, b, c in every)


def _joined(before: str = "", after: str = "", between: str = "") -> Callable[[Sequence[str], int], str]:
    return lambda pieces, style: before + between.join(pieces) + after


FORMS = {
    "json": Form(_record, 2, _json),
    "json lines": Form(_record, 2, lambda records, style: "".join(json.dumps(record) + "\n" for record in records)),
    "printed": Form(_record, 2, _printed),
    "json strings": Form(_answer, 1, lambda answers, style: json.dumps(answers[0] if style % 2 else answers, indent=style % 3 or None)),
    "json in text": Form(_record, 3, _among_text),
    "records": Form(_block, 4, _joined()),
    "code": Form(_function, 2, _code),
    "numbered code": Form(_function, 2, lambda pieces, style: numbered(_code(pieces, style), 1 + style, "\t→|:"[style % 4])),
    "transcript": Form(_turn, 8, _joined()),
    "prose": Form(_paragraph, 2, _joined(between="\n\n")),
    "log": Form(_entry, 5, _joined()),
    "grep": Form(_hit, 5, _joined()),
    "markdown": Form(_section, 2, _joined("# Notes\n\n")),
    "markup": Form(_item, 5, _joined("<html><body><ul>\n", "</ul></body></html>\n")),
    "diff": Form(_hunk, 1, _joined("diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n")),
    "table": Form(_row, 6, _table),
}
"""Content kind -> how its texts are made."""

SEEDS = st.integers(0, 2**32)
BY_KIND: dict[str, st.SearchStrategy[str]] = {
    kind: st.builds(partial(text_of, kind), SEEDS, st.integers(0, 40 if form.least > 3 else 16)) for kind, form in FORMS.items()
}
"""Content kind -> texts of it, long enough to be recognised."""
