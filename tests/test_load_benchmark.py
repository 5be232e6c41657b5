"""The load benchmark: what it asks, and that it would say so if a byte were wrong."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.load import __main__ as load
from benchmarks.load.conversations import OUTPUTS_IN_VIEW, ask_all, conversation
from specprefill_agents import CompressionConfig
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.serving.settings import ServiceSettings
from tests.serving.running import serving


def test_each_request_brings_one_new_text_and_a_new_question() -> None:
    talks = [conversation(number, 6, 300) for number in range(4)]
    newest = [one.contexts[-1] for talk in talks for one in talk]
    assert len({*newest}) == len({one.query for talk in talks for one in talk}) == 24
    for talk in talks:
        for before, one in pairwise(talk):
            assert one.contexts[:-1] == before.contexts[-3:]
    assert max(len(one.contexts) for one in talks[0]) == OUTPUTS_IN_VIEW


def test_loads_after_each_other_share_no_text() -> None:
    begun, seen = 0, set[str]()
    for count, each in ((1, 7), (3, 2), (2, 5)):
        first = load._first(begun, each)
        texts = {one.contexts[-1] for number in range(first, first + count) for one in conversation(number, each, 100)}
        assert len(texts) == count * each
        assert not texts & seen
        seen |= texts
        begun = (first + count) * each


def test_a_wrong_byte_is_found(embedded_draft: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bm25 = CompressionConfig(scorer="bm25")
    monkeypatch.setattr(load, "make_scorer", lambda *_: make_scorer(bm25, embedded_draft, "auto", None))
    with serving(ServiceSettings(config=bm25)) as service:
        answered, seconds = asyncio.run(ask_all(service.url, [conversation(number, 3, 300) for number in range(4)]))
    assert len(answered) == 12
    assert seconds > 0
    assert load.compared(answered, embedded_draft) == {"compared": 12, "identical": 12}
    row = {**answered[0].scores[0]}
    row["scores"] = "A" + row["scores"][1:] if row["scores"][0] != "A" else "B" + row["scores"][1:]
    wrong = replace(answered[0], scores=[row, *answered[0].scores[1:]])
    assert load.compared([wrong, *answered[1:]], embedded_draft) == {"compared": 12, "identical": 11}


def test_a_result_says_what_it_was_measured_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = dict.fromkeys(load.FIGURES, 1)
    monkeypatch.setattr(load, "measure", lambda options: ([figures], []))
    assert load.main(["--check", "0", "--out", str(tmp_path / "load.json")]) == 0
    written = json.loads((tmp_path / "load.json").read_text(encoding="utf-8"))
    assert written["rows"] == [figures]
    assert written["bytes"] == {"compared": 0, "identical": 0}
    assert {"command", "commit", "machine", "versions", "settings", "ray"} <= set(written)


def test_the_soak_sees_open_files_and_memory_of_a_process() -> None:
    before = soak._process(os.getpid())
    with Path(os.devnull).open("rb"):
        assert soak._process(os.getpid())["open_files"] == before["open_files"] + 1
    assert before["rss_mb"] > 10
