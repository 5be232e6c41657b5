"""Invariants 1, 2, 3 and 7: the identity, the strict budget, spans that give the text, originals that can be had back.

By hand with 50,000 examples each: `pytest --hypothesis-profile=thorough tests/test_invariants_texts.py`.
"""

from __future__ import annotations

import re
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import CompressedSegment, Compressor, Segment, expand
from specprefill_agents.plaintext import without_surrogates
from specprefill_agents.prompt.render import gap_marks, gaps_between, render
from specprefill_agents.prompt.units import DEFAULT_LIMITS, layout_of
from specprefill_agents.selection.adaptive import GREATEST_SHARE
from specprefill_agents.types import Span
from tests.invariants import COUNTERS, MANY, candidates, compressor, counter
from tests.kinds import SEEDS
from tests.strategies import CASES, CHARACTERS, MIXED_CASES, Case, any_query, long_text, with_pieces

A_MARK = re.compile(r'[ "]?\[…(?: lines (\d+)-(\d+) omitted)?(?:; full text: expand\(\\*"(sp-[a-z2-7]+)\\*"\))?\]')
"""A gap mark as it is shown: its lines, and the id that it names."""


@MANY
@given(MIXED_CASES)
def test_invariant_1_keeping_everything_and_being_switched_off_are_the_identity(case: Case) -> None:
    texts = [segment.text for segment in case.segments]
    for made in (compressor(1.0), compressor(case.ratio, enabled=False)):
        result = made.compress(case.segments, case.query)
        stepped = made.session("c").step(case.segments, case.query)
        for each in (result, stepped):
            assert [segment.text for segment in each.segments] == texts
            assert [segment.spans for segment in each.segments] == [((0, len(text)),) if text else () for text in texts]
            assert each.usage.original_tokens == each.usage.kept_tokens == sum(map(counter().count, texts))


@MANY
@given(CASES)
def test_invariants_2_and_3_the_result_fits_the_budget_and_follows_from_spans_of_whole_units(case: Case) -> None:
    tokenizer = case.source.choice(COUNTERS)
    made = compressor(case.ratio, tokenizer, scorer=case.source.choice(("", "bm25")))
    result = made.compress(case.segments, case.query)
    count = counter(tokenizer).count
    assert [segment.kept_tokens for segment in result.segments] == [count(segment.text) for segment in result.segments]
    original, kept = candidates(case.segments, result)
    is_whole = case.ratio == "auto" and kept == original  # of which no part stands out
    assert is_whole or kept <= int(original * (GREATEST_SHARE if case.ratio == "auto" else case.ratio))
    for segment, done in zip(case.segments, result.segments, strict=True):
        follows_from_its_spans(made, segment, done)
        is_made_of_whole_units(segment.text, done)


def follows_from_its_spans(made: Compressor, segment: Segment, done: CompressedSegment) -> None:
    """Spans are sorted, disjoint, in range and apart; with the original and the marks they give the text."""
    borders = [border for span in done.spans for border in span]
    assert all(before < after for before, after in pairwise(borders))
    assert not borders or (borders[0] >= 0 and borders[-1] <= len(segment.text))
    if done.outcome != "compressed":
        assert done.text == segment.text
        assert done.spans == (((0, len(segment.text)),) if segment.text else ())
        return
    marks = gap_marks(made.config, segment.kind, done.marks, done.original_id)
    assert done.text == render(segment.text, done.spans, marks, done.forms)
    at = 0
    for start, end in done.spans:
        at = done.text.index(segment.text[start:end], at) + end - start
    assert len(done.forms) in (0, len(gaps_between(len(segment.text), done.spans)))


def is_made_of_whole_units(text: str, done: CompressedSegment) -> None:
    """Each unit is kept or left out whole, and comes with all that it needs."""
    if done.outcome != "compressed":
        return
    layout = layout_of(text, DEFAULT_LIMITS)
    kept = {i for i, unit in enumerate(layout.units) if any(start <= unit.start and unit.end <= end for start, end in done.spans)}
    assert sum(layout.units[i].end - layout.units[i].start for i in kept) == sum(end - start for start, end in done.spans)
    assert all(kept.issuperset(layout.needs[i]) for i in kept)


@MANY
@given(SEEDS, st.integers(350, 550), CHARACTERS)
def test_invariant_7_what_marks_hide_is_one_call_away_by_the_id_and_the_lines_in_them(seed: int, chars: int, characters: str) -> None:
    source = Random(seed)
    text = with_pieces(source, long_text(source, chars), (characters, "\n"), 2)
    kind = source.choice(("tool_result", "document"))
    made = compressor(source.choice((0.7, 0.8, 0.9)), scorer="bm25")
    (done,) = made.compress([Segment(text, kind)], any_query(source, characters)).segments  # type: ignore[arg-type]
    if done.outcome != "compressed" or done.marks != "full":
        return
    assert made.originals is not None
    assert made.originals.get(done.original_id) == text
    readable = without_surrogates(text)
    assert expand(made.originals, done.original_id, max_chars=len(text)).partition("\n")[2] == readable
    if kind == "document" and not done.spans:
        assert done.text == ""
        return
    for number, (gap, mark) in enumerate(shown_gaps(text, done)):
        assert mark[3] == (done.original_id if number == 0 else None)
        if mark[1]:
            answer = expand(made.originals, done.original_id, int(mark[1]), int(mark[2]), max_chars=len(text))
            hidden = readable[slice(*gap)].rstrip(" \t")
            assert hidden in answer.partition("\n")[2]
            assert answer.count("\n") - hidden.count("\n") <= 2


def shown_gaps(original: str, done: CompressedSegment) -> list[tuple[Span, re.Match[str]]]:
    """Each gap with the mark that the text shows for it, read from the text alone at the place where the gap is."""
    found: list[tuple[Span, re.Match[str]]] = []
    at = 0
    for gap in gaps_between(len(original), done.spans):
        kept_before = original[found[-1][0][1] if found else 0 : gap[0]]
        at = done.text.index(kept_before, at) + len(kept_before)
        mark = A_MARK.match(done.text, at)
        assert mark, done.text[at:][:80]
        found.append((gap, mark))
        # Its own line break is not that of what follows, which may be a lone one.
        at = mark.end() + (done.text.startswith("\n", mark.end()) and original[slice(*gap)].endswith("\n"))
    return found
