"""Compression of every content kind: well-formed in its own kind, within the budget, derivable, and nothing lost."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specprefill_agents import CompressedSegment, CompressionConfig, Compressor, Segment, expand
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.prompt.render import gap_marks, render
from specprefill_agents.prompt.units import DEFAULT_LIMITS, layout_of
from specprefill_agents.prompt.units.layout import check_layout
from tests.kinds import BY_KIND, NAMES, text_of
from tests.strategies import RATIOS

COUNTER = counter_for("o200k_base")
FEW = settings(max_examples=max(15, settings().max_examples // 6))  # thirteen kinds each: fewer of each in a normal run
RECOGNISED = {"numbered code": "code", **dict.fromkeys(("json lines", "printed", "json strings", "json in text", "records"), "json")}


def compressed(text: str, query: str, ratio: float) -> tuple[Compressor, CompressedSegment]:
    config = CompressionConfig(keep_ratio=ratio, scorer="bm25", min_tokens=0, min_result_tokens=0, on_error="raise")
    compressor = Compressor(config=config, counter=COUNTER, cache="memory")
    return compressor, compressor.compress([Segment(text)], query).segments[0]


def texts_of(kind: str) -> st.SearchStrategy[str]:
    return st.one_of(BY_KIND[kind], st.builds(lambda text, cut: text[:cut], BY_KIND[kind], st.integers(0, 4_000)))


@pytest.mark.parametrize("kind", BY_KIND)
def test_generated_texts_are_recognised_as_what_they_are_and_the_same_every_time(kind: str) -> None:
    made = [text_of(kind, seed, seed % 12) for seed in range(30)]
    assert made == [text_of(kind, seed, seed % 12) for seed in range(30)]
    assert len(set(made)) >= 20
    found = [layout_of(text, DEFAULT_LIMITS).kind for text in made]
    assert found.count(RECOGNISED.get(kind, kind)) >= 27


@pytest.mark.parametrize("kind", BY_KIND)
@FEW
@given(data=st.data())
def test_every_text_has_a_layout_and_each_need_is_met(kind: str, data: st.DataObject) -> None:
    text = data.draw(texts_of(kind))
    layout = layout_of(text, DEFAULT_LIMITS)
    check_layout(text, layout)


@pytest.mark.parametrize("kind", BY_KIND)
@FEW
@given(data=st.data(), query=NAMES, ratio=RATIOS)
def test_the_result_fits_is_made_of_whole_units_and_follows_from_its_spans(
    kind: str, data: st.DataObject, query: str, ratio: float
) -> None:
    text = data.draw(texts_of(kind))
    compressor, result = compressed(text, query, ratio)
    if result.outcome != "compressed":
        assert result.text == text
        return
    assert COUNTER.count(result.text) == result.kept_tokens <= ratio * result.original_tokens
    marks = gap_marks(compressor.config, "tool_result", result.marks, result.original_id)
    assert result.text == render(text, result.spans, marks, result.forms)
    layout = layout_of(text, DEFAULT_LIMITS)
    kept = [i for i, unit in enumerate(layout.units) if any(start <= unit.start and unit.end <= end for start, end in result.spans)]
    assert "".join(text[layout.units[i].start : layout.units[i].end] for i in kept) == "".join(text[a:b] for a, b in result.spans)
    assert all(layout.with_needs(i) <= set(kept) for i in kept), "what a unit needs is kept with it"


@pytest.mark.parametrize("kind", BY_KIND)
@FEW
@given(data=st.data(), query=NAMES, ratio=RATIOS)
def test_the_original_is_one_call_away_by_the_id_in_the_mark(kind: str, data: st.DataObject, query: str, ratio: float) -> None:
    text = data.draw(BY_KIND[kind])
    compressor, result = compressed(text, query, ratio)
    if not result.original_id:
        return
    assert result.original_id in re.findall(r"sp-[a-z2-7]+", result.text)
    assert compressor.originals is not None
    assert compressor.originals.get(result.original_id) == text
    assert text.splitlines()[0] in expand(compressor.originals, result.original_id, 1, 1)


@pytest.mark.parametrize("kind", ["json", "json lines"])
@FEW
@given(data=st.data(), query=NAMES, ratio=RATIOS)
def test_what_is_kept_of_json_parses_again(kind: str, data: st.DataObject, query: str, ratio: float) -> None:
    text = data.draw(BY_KIND[kind])
    _, result = compressed(text, query, ratio)
    if result.marks == "none":
        return
    if kind == "json":
        json.loads(result.text)
    else:
        for line in result.text.splitlines():
            assert line.startswith("[…") or isinstance(json.loads(line), (dict, str))
