"""Texts of every content kind as tools return them, at any size; and texts that are hard to cut.

A text is built from pieces until it is long enough, so that one of twice the size has twice of everything. Nothing here
knows how a splitter tells the kinds apart.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from random import Random

from benchmarks.made.code import c_function, go_function, python_class, typescript_class
from benchmarks.made.words import cjk_sentence, noun, paragraph, phrase, record, sentence

Piece = Callable[[Random, int], str]
Whole = Callable[[Random, int], str]


def made_text(name: str, chars: int, seed: int = 0) -> str:
    """A text of the kind or worst case `name`, of about `chars` characters. Raises KeyError for an unknown name."""
    return {**KINDS, **WORST}[name](Random(f"{name}/{seed}"), chars)


def _pieces(piece: Piece, random: Random, chars: int) -> Iterator[str]:
    size = index = 0
    while size < chars:
        text = piece(random, index)
        yield text
        size, index = size + len(text), index + 1


def _joined(piece: Piece, head: str = "", tail: str = "") -> Whole:
    return lambda random, chars: head + "".join(_pieces(piece, random, chars - len(head) - len(tail))) + tail


def _records(random: Random, chars: int, indent: int = 0) -> list[dict[str, object]]:
    """As many records as make a JSON text of `chars` characters."""
    records: list[dict[str, object]] = []
    size = 0
    while size < chars:
        records.append(record(random, len(records)))
        size += len(json.dumps(records[-1], indent=indent or None)) + 2 + indent * 15
    return records


def _json(indent: int) -> Whole:
    def whole(random: Random, chars: int) -> str:
        records = _records(random, chars, indent)
        return json.dumps({"status": "ok", "total": len(records), "results": records}, indent=indent or None)

    return whole


def _files(random: Random, chars: int) -> str:
    """What a tool returns that reads files: their contents, in JSON."""
    files: list[dict[str, object]] = []
    size = 0
    while size < chars:
        piece = random.choice((python_class, typescript_class, _section))
        content = "".join(piece(random, len(files) + at) for at in range(random.randint(1, 3)))
        files.append({"path": f"src/{noun(random)}_{len(files)}", "content": content, "is_whole": random.random() < 0.5})
        size += len(json.dumps(files[-1])) + 2
    return json.dumps(files)


def _yaml(random: Random, index: int) -> str:
    owner, note = noun(random).title(), sentence(random)
    return (
        f"- id: {noun(random)}-{index:05d}\n  name: {phrase(random, 1, 3)}\n  count: {random.randint(0, 9_999)}\n"
        f"  note: {note}\n  tags:\n  - {noun(random)}\n  - {noun(random)}\n  owner:\n    name: {owner}\n    city: {noun(random)}\n"
    )


def _turn(random: Random, _: int) -> str:
    speaker = random.choice(("Project Manager", "Industrial Designer", "Ann Miller", "Bo"))
    return f"{speaker}: {' '.join(sentence(random) for _ in range(random.randint(1, 5)))}\n"


def _log_entry(random: Random, index: int) -> str:
    stamp = f"2026-03-{1 + index // 86_400 % 28:02d} {index // 3_600 % 24:02d}:{index // 60 % 60:02d}:{index % 60:02d},{index % 1_000:03d}"
    level = random.choice(("INFO", "INFO", "INFO", "DEBUG", "WARNING", "ERROR"))
    entry = f"{stamp} {level} service.{noun(random)}: {phrase(random)} took {random.randint(1, 900)} ms\n"
    if level == "ERROR":
        frames = "".join(f'  File "/srv/{noun(random)}.py", line {random.randint(1, 900)}, in {noun(random)}\n' for _ in range(3))
        entry += f"Traceback (most recent call last):\n{frames}ValueError: {phrase(random)}\n"
    return entry


def _file_hits(random: Random, index: int) -> str:
    path, line = f"src/{noun(random)}/{noun(random)}_{index}.py", 0
    hits = []
    for _ in range(random.randint(1, 12)):
        line += random.randint(1, 90)
        hits.append(f"{path}:{line}:    {noun(random)} = fetch({noun(random)!r}, {random.randint(0, 999)})\n")
    return "".join(hits)


def _section(random: Random, index: int) -> str:
    points = "".join(f"- {sentence(random)}\n" for _ in range(random.randint(2, 6)))
    rows = "".join(f"| {noun(random)} | {random.randint(0, 999)} | {phrase(random)} |\n" for _ in range(random.randint(2, 6)))
    table = f"| place | count | note |\n| --- | ---: | --- |\n{rows}"
    code = f"```python\n{noun(random)} = {random.randint(0, 999)}\nprint({noun(random)})\n```"
    return f"## {phrase(random, 1, 3).title()} {index}\n\n{paragraph(random)}\n\n{points}\n{table}\n{code}\n\n"


def _item(random: Random, index: int) -> str:
    return (
        f'<article id="a{index}"><h2>{phrase(random, 1, 3).title()}</h2>\n<p>{paragraph(random)}</p>\n'
        f'<ul><li><a href="/{noun(random)}/{index}">{phrase(random)}</a></li><li>{sentence(random)}</li></ul>\n</article>\n'
    )


def _file_diff(random: Random, index: int) -> str:
    path, line = f"src/{noun(random)}_{index}.py", 1
    hunks = []
    for _ in range(random.randint(1, 4)):
        line += random.randint(5, 90)
        same = [f"     {noun(random)} = {random.randint(0, 99)}\n" for _ in range(6)]
        out = [f"-    {phrase(random).replace(' ', '_')} = {random.randint(0, 99)}\n" for _ in range(random.randint(1, 4))]
        into = [f"+    {phrase(random).replace(' ', '_')} = {random.randint(0, 99)}\n" for _ in range(random.randint(0, 6))]
        head = f"@@ -{line},{6 + len(out)} +{line},{6 + len(into)} @@ def {noun(random)}():\n"
        hunks.append("".join([head, *same[:3], *out, *into, *same[3:]]))
    return f"diff --git a/{path} b/{path}\nindex 3fa1c2d..9be04f1 100644\n--- a/{path}\n+++ b/{path}\n{''.join(hunks)}"


def _csv_row(random: Random, index: int) -> str:
    note = sentence(random).replace(", ", ",\n") if random.random() < 0.2 else phrase(random)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow([index, noun(random), random.randint(0, 9_999), round(random.uniform(0, 9), 2), note])
    return stream.getvalue()


def _drawn_row(random: Random, index: int) -> str:
    return f"| {index:>7} | {noun(random):<10} | {random.randint(0, 9_999):>6} | {phrase(random, 2, 3):<26} |\n"


def _aligned_row(random: Random, index: int) -> str:
    state = random.choice(("Running", "Pending", "Error"))
    name, age = f"{noun(random)}-{index}", f"{random.randint(1, 90)}d"
    return f"{name:<20} {random.randint(0, 3)}/3     {state:<9} {random.randint(0, 40):<10} {age}\n"


_RULE = f"+{'-' * 9}+{'-' * 12}+{'-' * 8}+{'-' * 28}+\n"
_DRAWN_HEAD = f"{_RULE}| {'id':>7} | {'place':<10} | {'count':>6} | {'note':<26} |\n{_RULE}"

KINDS: dict[str, Whole] = {
    "json": _json(indent=0),
    "json indented": _json(indent=2),
    "json of files": _files,
    "json lines": _joined(lambda random, index: json.dumps(record(random, index)) + "\n"),
    "printed": lambda random, chars: repr(_records(random, chars)),
    "yaml": _joined(_yaml),
    "python": _joined(python_class, "from dataclasses import dataclass\n\nfrom base import Base\n\n\n"),
    "typescript": _joined(typescript_class, 'import { Base } from "./base";\n\n'),
    "go": _joined(go_function, 'package depot\n\nimport "fmt"\n\n'),
    "c": _joined(c_function, "#include <stdio.h>\n\n"),
    "prose": _joined(lambda random, _: paragraph(random) + "\n\n"),
    "prose cjk": _joined(lambda random, _: "".join(cjk_sentence(random) for _ in range(6)) + "\n"),
    "transcript": _joined(_turn),
    "markdown": _joined(_section, "# Notes\n\n"),
    "markup": _joined(_item, "<html><body>\n", "</body></html>\n"),
    "log": _joined(_log_entry),
    "grep": _joined(_file_hits),
    "diff": _joined(_file_diff),
    "table csv": _joined(_csv_row, "id,place,count,share,note\n"),
    "table drawn": _joined(_drawn_row, _DRAWN_HEAD, _RULE),
    "table aligned": _joined(_aligned_row, f"{'NAME':<20} {'READY':<7} {'STATUS':<9} {'RESTARTS':<10} AGE\n"),
}
"""Name -> text of about so many characters."""

WORST: dict[str, Whole] = {
    "one line": lambda random, chars: "".join(_pieces(lambda inner, _: phrase(inner) + " ", random, chars)).strip(),
    "one word": lambda random, chars: "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=chars)),
    "deep json": lambda _, chars: "[" * (chars // 2) + "]" * (chars // 2),
    "short lines": lambda random, chars: "".join(random.choices(("a\n", "b\n", "7\n", "}\n"), k=chars // 2)),
}
"""What takes a splitter longest, or would, were it not linear."""
