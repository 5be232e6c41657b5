"""What one tenant had scored is neither found nor waited for by another; the bytes are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from openai import OpenAI

from benchmarks.made.draft import write_tiny_preset
from specprefill_agents import CompressionConfig, Compressor
from specprefill_agents.scoring import key_index
from tests.gateway.running import LEXICAL, running
from tests.gateway.timetables import conversation
from tests.invariants import Records
from tests.openai_server import Recorded

MESSAGES = conversation(1)
AGAIN = [{**message, "content": "When is it back?"} if message["role"] == "user" else message for message in MESSAGES]


@pytest.mark.parametrize("scorer", ["key_index", "fused"])
@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_the_same_text_is_a_hit_for_the_same_tenant_alone(
    tiny_draft: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    upstream: Recorded,
    client: Callable[..., OpenAI],
    scorer: str,
    cache: Literal["memory", "disk"],
) -> None:
    write_tiny_preset(Path(tiny_draft), tmp_path)
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    monkeypatch.setenv("SPECPREFILL_CACHE_DIR", str(tmp_path / "cache"))
    loaded, load = list[str](), key_index.load_draft
    monkeypatch.setattr(key_index, "load_draft", lambda name, **more: loaded.append(name) or load(name, **more))
    records = Records()
    compressor = Compressor(
        tiny_draft, CompressionConfig.from_dict({**LEXICAL, "scorer": scorer}), device="cpu", cache=cache, audit=records
    )
    with running(upstream.url, compressor) as url:
        for key, messages in (("one", MESSAGES), ("two", MESSAGES), ("one", AGAIN), ("two", AGAIN), ("three", AGAIN)):
            client(url, key).chat.completions.create(model="model", messages=messages)
    seen = [(fields["cache_hits"], fields["cache_misses"]) for event, fields in records.rows if event == "compress"]
    assert seen == [(0, 1), (0, 1), (1, 0), (1, 0), (0, 1)]
    sent = [one["messages"] for one in upstream.requests]
    assert len(loaded) == 1
    assert sent[0] == sent[1]
    assert sent[2] == sent[3] == sent[4]
    assert len(sent[0][-1]["content"]) < len(MESSAGES[-1]["content"])
