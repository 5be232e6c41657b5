"""Invariant 4: what is protected survives byte for byte, whatever is compressed around it.

By hand with 50,000 examples each: `pytest --hypothesis-profile=thorough tests/test_invariants_protection.py`.
"""

from __future__ import annotations

from random import Random

from hypothesis import given

from specprefill_agents import CompressionResult, Segment
from tests.invariants import CANDIDATE_KINDS, MANY, SOME, compressor, counter
from tests.kinds import SEEDS
from tests.strategies import KINDS, PROTECTED_KINDS, SIZES, Case, any_text, case_of, with_pieces

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


@SOME
@given(SEEDS, SIZES)
def test_invariant_4_what_force_keep_matches_is_kept_where_the_budget_has_room_for_it(seed: int, size: int) -> None:
    source = Random(seed)
    text = with_pieces(source, any_text(source, size), ("\n\nMAGIC-77 is here\n\n",), 1)
    result = compressor(0.6, force_keep=("MAGIC-7{2}",)).compress([Segment(text)], "")
    if 0.6 * result.usage.original_tokens >= least_room(text, result):
        assert "MAGIC-77 is here" in result.segments[0].text


def least_room(text: str, result: CompressionResult) -> float:
    """Tokens that suffice for the forced unit and its marks, whatever it needs: half of a text may come with it."""
    return 80 + 0.5 * result.usage.original_tokens
