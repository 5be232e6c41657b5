"""The benchmark of well-formed outputs: it sees every sort of damage, accepts what is whole, and says where a failure is."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made import KINDS, made_text
from benchmarks.wellformed import checks, counting, outputs
from benchmarks.wellformed.__main__ import Plan, main
from benchmarks.wellformed.checks import OF_ALL, OF_COMPRESSED
from benchmarks.wellformed.outputs import Call, Output, Recorder, calls_of
from specprefill_agents import CompressedSegment, CompressionConfig, Segment
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.prompt.render import gap_marks, merge_spans, render
from specprefill_agents.scoring.lexical import LexicalScorer
from tests.wellformed_samples import PYTHON, TABLE

COUNTER = counter_for("o200k_base")

ARGUMENTS = "".join(f"        argument_{number}=value_{number},\n" for number in range(20))
LONG_CALL = PYTHON + f"\n\ndef other():\n    return fetch(\n{ARGUMENTS}    )\n"
TYPESCRIPT = made_text("typescript", 3_000)
RECORDS = "".join(f"- id: r{i}\n  name: 'the {i}th harbour'\n  count: {i}\n  owner:\n    name: Ann\n    city: Bern\n" for i in range(12))
DIFF = "--- a/x.py\n+++ b/x.py\n" + "".join(
    f"@@ -{n},3 +{n},3 @@ def f_{n}():\n same line\n-old line {n}\n+new line {n}\n same too\n" for n in range(1, 90, 9)
)
DOCUMENT = json.dumps({"status": "ok", "results": [{"id": f"r{i}", "name": f"harbour {i}", "n": i} for i in range(30)]}, indent=1)
LINES = "".join(json.dumps({"id": f"r{i}", "name": f"harbour {i}", "tags": [i, i + 1], "note": "open " * 30}) + "\n" for i in range(12))
PRINTED = repr([{"id": f"r{i}", "name": f"harbour {i}", "is_open": True} for i in range(30)])
LOG = made_text("log", 3_000)


def recorder(keep: float | str = 0.3, **settings: Any) -> Recorder:
    values = {"scorer": "bm25", "min_tokens": 0, "min_result_tokens": 0, "target_tokenizer": "o200k_base", "on_error": "raise", **settings}
    return Recorder("smollm2-135m", CompressionConfig.from_dict({"keep_ratio": keep, **values}), LexicalScorer(), COUNTER)


def kept(text: str, /, *pieces: str | tuple[int, int], **changes: Any) -> Output:
    """An output that keeps just `pieces` of `text`, with plain marks."""
    compressor = recorder()
    assert compressor.originals is not None
    name = compressor.originals.put(text)
    spans = merge_spans(
        sorted((text.index(piece), text.index(piece) + len(piece)) if isinstance(piece, str) else piece for piece in pieces)
    )
    shown = render(text, spans, gap_marks(compressor.config, "tool_result", "full", name))
    decided = CompressedSegment(shown, spans, "compressed", COUNTER.count(text), COUNTER.count(shown), original_id=name)
    decided = replace(decided, **changes)
    return Output(0, Segment(text), decided, COUNTER.count(decided.text), compressor)


def made_output(text: str, keep: float = 0.3, query: str = "harbour") -> Output:
    (call,) = calls_of(outputs.Question("q", (Segment(text),), query, ()), recorder(keep))
    return call.outputs[0]


def faults(output: Output) -> dict[str, str]:
    return {name: fault for name, check in {**OF_ALL, **OF_COMPRESSED}.items() if (fault := check(output))}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_library_makes_of_a_generated_text_is_well_formed(kind: str) -> None:
    for keep in (0.1, 0.3):
        output = made_output(made_text(kind, 3_000), keep)
        assert output.decided.outcome == "compressed"
        assert faults(output) == {}


DAMAGE: list[tuple[str, str, tuple[str, ...], str]] = [
    ("json", DOCUMENT, ('"status": "ok",\n', '"name": "harbour 3"'), "no JSON"),
    ("json lines", LINES, ('"name": "harbour 4"',), "no JSON"),
    ("printed", PRINTED, ("'id': 'r7', 'name'",), "no Python"),
    ("records", RECORDS, ("- id: r3\n  name: 'the 3th",), "no YAML"),
    ("statements", PYTHON, ("        price = fetch(\n            kind,\n",), "a statement is cut"),
    ("statements", PYTHON, ("@cached\n",), "a statement is cut"),
    ("statements", LONG_CALL, ("        argument_3=value_3,\n",), "without its first line '    return fetch("),
    ("statements", TYPESCRIPT, ("    const found = await this.client.fetch(\n",), "a statement is cut"),
    ("heads", PYTHON, ("import os\n", "        price = base * 3\n"), "without '@cached"),
    (
        "heads",
        PYTHON,
        ("@cached\ndef price_of(kind, *, base):\n", '    if kind == "lantern":\n', "        price = base * 3\n"),
        "without '    elif",
    ),
    ("lines", LOG, (LOG[100:150],), "is cut"),
    ("words", made_text("prose", 2_000), (made_text("prose", 2_000)[:1],), "is cut"),
    ("rows", TABLE, ("id,place,count,note\n", '4,harbour,28,"first line\n'), "is cut"),
    ("header", TABLE, ('4,harbour,28,"first line\nsecond line of 4"\n',), "without 'id,place,count,note"),
    ("hunks", DIFF, ("--- a/x.py\n+++ b/x.py\n", "-old line 37\n"), "without '@@ -37,3"),
    ("hunks", DIFF, ("--- a/x.py\n", "@@ -37,3 +37,3 @@ def f_37():\n", "-old line 37\n"), "without '+++ b/x.py"),
    ("spans", DIFF, ("--- a/x.py\n+++ b",), "a unit is cut"),
    ("needs", DIFF, (" same line\n-old line 37\n+new line 37\n same too\n",), "is kept without"),
]


@pytest.mark.parametrize(("check", "text", "pieces", "reason"), DAMAGE)
def test_damage_is_found_and_named(check: str, text: str, pieces: tuple[str, ...], reason: str) -> None:
    found = faults(kept(text, *pieces))
    assert reason in found[check]


WHOLE: list[tuple[str, str, tuple[str, ...]]] = [
    ("statements", PYTHON, ("import os\n", '    """What a kind costs.\n')),
    ("statements", LONG_CALL, ("def other():\n    return fetch(\n", "        argument_3=value_3,\n")),
    ("heads", PYTHON, ("@cached\ndef price_of(kind, *, base):\n", '    if kind == "lantern":\n', "    else:\n        price = fetch(\n")),
    ("heads", PYTHON, ("# the usual ones first\n",)),
    ("header", TABLE, ("id,place,count,note\n", '4,harbour,28,"first line\nsecond line of 4"\n')),
    ("hunks", DIFF, ("--- a/x.py\n+++ b/x.py\n", "@@ -37,3 +37,3 @@ def f_37():\n", "-old line 37\n")),
    ("records", RECORDS, ("- id: r3\n  name: 'the 3th harbour'\n", "- id: r7\n")),
    ("printed", PRINTED, ("[{'id': 'r0', 'name': 'harbour 0', 'is_open': True}", "]")),
]


@pytest.mark.parametrize(("check", "text", "pieces"), WHOLE)
def test_what_may_be_left_out_is_no_damage(check: str, text: str, pieces: tuple[str, ...]) -> None:
    assert OF_COMPRESSED[check](kept(text, *pieces)) == ""


def test_json_that_holds_what_the_original_does_not_is_found() -> None:
    output = made_output(DOCUMENT)
    assert checks.OF_COMPRESSED["json"](output) == ""
    for old, new in [('"status": "ok"', '"status": "no"'), ('"results"', '"result"')]:
        changed = replace(output, decided=replace(output.decided, text=output.decided.text.replace(old, new)))
        assert "original does not" in faults(changed)["json"]
        assert "derived" in faults(changed)


def test_a_text_that_does_not_follow_from_its_spans_is_found() -> None:
    good = kept(LOG, LOG[: LOG.index("\n") + 1])
    assert faults(good) == {}
    for text in (good.decided.text + "more\n", good.decided.text.replace("2026", "2025", 1), "", good.decided.text.replace("[…", "…")):
        changed = kept(LOG, LOG[: LOG.index("\n") + 1], text=text)
        assert "derived" in faults(changed)


def test_an_original_that_cannot_be_had_is_found() -> None:
    output = kept(LOG, LOG[: LOG.index("\n") + 1])
    gone = replace(output, compressor=recorder())
    assert "leads to the original" in faults(gone)["by id"]


def test_a_mark_that_names_wrong_lines_is_found() -> None:
    output = kept(LOG, LOG[: LOG.index("\n") + 1])
    last = LOG.count("\n")
    assert f"lines 2-{last} omitted" in output.decided.text
    for wrong, reason in ((f"lines 3-{last}", "goes on"), (f"lines 2-{last - 1}", "instead of")):
        text = output.decided.text.replace(f"lines 2-{last}", wrong)
        assert reason in faults(kept(LOG, LOG[: LOG.index("\n") + 1], text=text))["by lines"]


def test_lines_are_read_on_until_all_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def small(*arguments: Any, **settings: Any) -> str:
        asked.append(arguments)
        return expand(*arguments, **settings, max_chars=200)

    expand = checks.expand
    monkeypatch.setattr(checks, "expand", small)
    text = LOG + "x" * 500 + "\n" + LOG
    assert faults(kept(text, text[: text.index("\n") + 1])) == {}
    assert len(asked) > len(text) // 200


def test_tokens_are_counted_anew_and_nothing_else_may_change() -> None:
    output = kept(LOG, LOG[: LOG.index("\n") + 1])
    assert "said to have 1 tokens" in faults(replace(output, decided=replace(output.decided, kept_tokens=1)))["counted"]
    longer = replace(output.decided, original_tokens=output.decided.kept_tokens)
    assert "instead of" in faults(replace(output, decided=longer))["counted"]
    passed = replace(output, decided=replace(output.decided, outcome="protected"))
    assert OF_ALL["unchanged"](passed) == "protected, but not the original"


def test_a_budget_is_that_of_a_call() -> None:
    first, second = (kept(LOG, LOG[: LOG.index("\n") + 1]) for _ in range(2))
    assert checks.within_budget(Call((first, second))) == ""
    whole = kept(LOG, LOG[:-100])
    assert "at keep_ratio 0.3" in (checks.within_budget(Call((first, whole))) or "")
    assert checks.within_budget(Call(())) is None
    free = replace(whole, compressor=recorder("auto"))
    assert checks.within_budget(Call((free,))) is None
    assert recorder("auto").config.keep_ratio == "auto"


def write(directory: Path, name: str, rows: Sequence[dict[str, Any]]) -> None:
    with gzip.open(directory / f"{name}.jsonl.gz", "wt", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with two questions and an agent run of two tool results."""
    parts = [{"kind": "tool_result", "name": "x", "text": text} for text in (DOCUMENT, LOG, PYTHON)]
    meta = {"needle_kinds": []}
    write(tmp_path, "nq_20doc", [{"id": f"q-{i}", "segments": parts, "query": "harbour", "needles": [], "meta": meta} for i in range(2)])

    def call(index: int, text: str) -> list[dict[str, Any]]:
        asked = {"id": f"call_{index}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        answer = {"role": "tool", "tool_call_id": f"call_{index}", "name": "look", "content": text}
        return [{"role": "assistant", "content": "I look.", "tool_calls": [asked]}, answer]

    messages = [{"role": "user", "content": "harbour?"}, *call(1, DIFF), *call(2, RECORDS)]
    write(tmp_path, "sweagent", [{"id": "run", "messages": messages, "needed_values": [], "meta": {}}])
    return tmp_path


def test_every_output_is_checked_counted_and_stored(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "wellformed.json"
    arguments = ["--data", str(folder), "--sets", "nq_20doc,sweagent", "--keep", "0.2,0.5,auto", "--scorer", "random", "--out", str(out)]
    assert main(arguments) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    assert {"schema", "command", "commit", "date", "settings", "machine", "versions", "data", "rows", "counts", "failures"} <= set(document)
    assert str(folder) not in out.read_text(encoding="utf-8")
    assert document["rows"] == {"nq_20doc": 2, "sweagent": 1}
    assert document["settings"]["keep_ratios"] == ["0.2", "0.5", "auto"]
    found = {(one["set"], one["kind"], one["keep"]): one for one in document["counts"]}
    assert {kind for name, kind, keep in found if name == "nq_20doc"} == {"json", "log", "code", "call"}
    assert {kind for name, kind, keep in found if name == "sweagent"} == {"diff", "json", "call"}
    code = found["nq_20doc", "code", "0.2"]
    assert (code["outputs"], code["compressed"]) == (2, 2)
    assert code["gaps"] >= 2
    assert code["checks"]["statements"] == [2, 0]
    assert found["sweagent", "call", "0.5"]["checks"] == {"within budget": [2, 0]}
    assert "within budget" not in found.get(("sweagent", "call", "auto"), {"checks": {}})["checks"]
    shown = capsys.readouterr().out
    assert "| nq_20doc | 2 | json | 6 |" in shown
    assert "| statements |" in shown


def test_a_failure_is_listed_and_makes_the_exit_status_1(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(output: Output) -> str:
        return "it is too blue" if output.segment.text == RECORDS else ""

    monkeypatch.setattr(counting, "OF_COMPRESSED", {"colour": refused})
    out = tmp_path / "wellformed.json"
    assert main(["--data", str(folder), "--sets", "nq_20doc,sweagent", "--keep", "0.2", "--out", str(out)]) == 1
    (failure,) = json.loads(out.read_text(encoding="utf-8"))["failures"]
    assert failure == {
        "set": "sweagent",
        "row": "run",
        "segment": 1,
        "keep": "0.2",
        "kind": "json",
        "check": "colour",
        "reason": "it is too blue",
    }
    assert "- colour: sweagent, row run, segment 1, keep 0.2, json: it is too blue" in capsys.readouterr().out


def test_a_row_that_cannot_be_compressed_is_a_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(row: object, recorder: Recorder) -> list[Call]:
        raise IndexError("no such unit")

    monkeypatch.setattr("benchmarks.wellformed.__main__.calls_of", fails)
    assert main(["--data", str(folder), "--sets", "sweagent", "--keep", "0.2"]) == 1
    assert "no exception: sweagent, row run, keep 0.2, call: IndexError: no such unit" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--sets", "nonsense"], ["--keep", "2"], ["--keep", "most"], ["--scorer", "nonsense"]])
def test_a_wrong_argument_is_named_and_nothing_is_checked(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(folder), "--sets", "nq_20doc", *arguments]) == 2
    assert arguments[1] in capsys.readouterr().err


def test_keep_ratios_are_numbers_or_auto() -> None:
    plan = Plan(Path(), (), "bm25", ("0.25", "auto"), None, "smollm2-135m", "cpu", 0, 0)
    assert [plan.config(keep).keep_ratio for keep in plan.keeps] == [0.25, "auto"]
    assert plan.config("0.25").min_result_tokens == 0
    assert replace(plan, min_tokens=384).config("0.25").min_result_tokens == CompressionConfig().min_result_tokens


def test_our_own_sets_have_every_kind_and_views_with_line_numbers() -> None:
    assert outputs.set_names(Path(), ["made", "stdlib"]) == ["made", "stdlib"]
    made = outputs.load(Path(), "made")
    assert {row.id.partition("/")[0] for row in made} == set(KINDS)
    rows = outputs.load(Path(), "stdlib")
    assert len(rows) == 2 * outputs.STDLIB_FILES
    assert rows == outputs.load(Path(), "stdlib")
    view = rows[1]
    first = int(view.id.rpartition(":")[2])
    assert isinstance(view, outputs.Question)
    assert view.segments[0].text.startswith(f"{first}:")
    assert view.segments[0].text.split(":", 1)[1].split("\n")[0] in rows[0].segments[0].text
