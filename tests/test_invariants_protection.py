"""Invariant 4: what is protected survives byte for byte, whatever is compressed around it.

By hand with 50,000 examples each: `pytest --hypothesis-profile=thorough tests/test_invariants_protection.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from hypothesis import given

from specprefill_agents import Segment
from specprefill_agents.types import KeepRule, Span
from tests.invariants import CANDIDATE_KINDS, FEW, MANY, candidates, compressor, counter
from tests.kinds import SEEDS
from tests.strategies import KINDS, PROTECTED_KINDS, SIZES, Case, case_of, with_pieces

FLOORS = ((0, 0), (0, 120), (60, 0), (200, 32), (384, 32))
"""(`min_tokens`, `min_result_tokens`)."""
HIGHEST = 80
"""Floors that are just one text's length go up to here."""


def floors_for(case: Case) -> tuple[int, int]:
    """Any floors or, where a text is short, some that it just reaches or just misses."""
    tokens = counter().count(case.source.choice(case.segments).text)
    if tokens > HIGHEST:
        return case.source.choice(FLOORS)
    floor = tokens + case.source.randrange(2)
    return case.source.choice(((0, floor), (floor, 0)))


@MANY
@given(SEEDS, SIZES)
def test_invariant_4_protected_kinds_excluded_tools_and_short_texts_survive_byte_for_byte(seed: int, size: int) -> None:
    case = case_of(seed, size, kinds=KINDS + PROTECTED_KINDS)
    least, least_result = floors_for(case)
    compress_user = case.source.random() < 0.5
    settings = {"exclude_tools": ("secret", "vault"), "min_tokens": least, "min_result_tokens": least_result}
    made = compressor(case.source.choice((0.2, 0.6)), compress_user=compress_user, **settings)
    result = made.compress(case.segments, case.query)
    open_to = {*CANDIDATE_KINDS, *(["user"] if compress_user else [])}
    candidate_tokens = 0
    for segment, done in zip(case.segments, result.segments, strict=True):
        tokens = counter().count(segment.text)
        is_result = segment.kind == "tool_result"
        is_kept_back = is_result and (tokens < least_result or segment.name == "secret")
        is_blank = segment.kind != "user" and not segment.text.strip()
        is_protected = segment.kind not in open_to or is_kept_back or is_blank
        candidate_tokens += 0 if is_protected else tokens
        if is_protected:
            assert (done.text, done.outcome, done.kept_tokens) == (segment.text, "protected", tokens)
            assert done.reason
    if candidate_tokens < least:
        assert [done.text for done in result.segments] == [segment.text for segment in case.segments]


def numbers(segment: Segment) -> list[Span]:
    """A rule of a user's: what looks like a number of two digits and more."""
    return [match.span() for match in re.finditer(r"\d\d+", segment.text)][:2]


RULES: tuple[tuple[KeepRule, ...], ...] = ((), ("MAGIC-7{2}",), (numbers, "INFO|harbour\\s+ferry"))


@MANY
@given(SEEDS, SIZES)
def test_invariant_4_what_is_forced_survives_within_the_budget_or_beyond_it(seed: int, size: int) -> None:
    case = case_of(seed, size)
    source, rules = case.source, case.source.choice(RULES)
    segments = [with_protected_spans(segment, source) for segment in case.segments]
    ratio = source.choice((0.02, 0.3, "auto"))
    result = compressor(ratio, force_keep=rules).compress(segments, case.query)
    for segment, done in zip(segments, result.segments, strict=True):
        for start, end in protected_spans(segment, rules):
            assert any(first <= start and end <= last for first, last in done.spans)
            assert segment.text[start:end] in done.text
    original, kept = candidates(segments, result)
    if ratio != "auto" and kept > int(ratio * original):
        assert f"what must be kept has {kept} tokens" in str(result.usage.note)


def with_protected_spans(segment: Segment, source: Random) -> Segment:
    """The segment with a code word in it, or with a span of its own to keep, or as it is."""
    how = source.randrange(4)
    if how == 0:
        return replace(segment, text=with_pieces(source, segment.text, ("\n\nMAGIC-77 is here\n\n", "MAGIC-77"), 1))
    if how == 1:
        start = source.randint(0, len(segment.text))
        return replace(segment, keep=((start, min(len(segment.text), start + source.randrange(90))),))
    return segment


def protected_spans(segment: Segment, rules: Sequence[KeepRule]) -> list[Span]:
    """Characters of a segment that must survive."""
    spans = [*segment.keep]
    for rule in rules:
        spans += [match.span() for match in re.finditer(rule, segment.text)] if isinstance(rule, str) else rule(segment)
    return [(start, end) for start, end in spans if start < end]


@FEW
@given(SEEDS, SIZES)
def test_invariant_4_what_is_forced_survives_in_a_session_beside_the_same_text_without_it(seed: int, size: int) -> None:
    case = case_of(seed, size)
    (first, *_) = case.segments
    start = case.source.randint(0, len(first.text))
    forced = replace(first, keep=((start, min(len(first.text), start + 40)),))
    done = compressor(0.3).session("c").step([first, forced], case.query).segments[1]
    assert first.text[slice(*forced.keep[0])] in done.text
