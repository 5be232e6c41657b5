"""Invariant 6 for sessions: what was sent stays sent, whatever is asked later, and in whichever process.

By hand with 50,000 examples each: `pytest --hypothesis-profile=thorough tests/test_invariants_session.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import Compressor, Segment, Session
from tests.invariants import SOME, another, compressor
from tests.kinds import SEEDS
from tests.strategies import KINDS, PROTECTED_KINDS, any_query, case_of

MORE_SEGMENTS = st.integers(2, 6)


def reopened(session: Session, made: Compressor) -> Session:
    """The session as another process finds it."""
    return Session.from_dict(json.loads(json.dumps(session.to_dict())), made)


def variants(segment: Segment, source: Random) -> list[Segment]:
    """The segment again, and as good as the same one: with a little more text, as the result of another call."""
    return source.choice(([], [segment, replace(segment, text=f"{segment.text} more")], [replace(segment, id="call_9")]))


@SOME
@given(SEEDS, MORE_SEGMENTS)
def test_invariant_6_the_segments_of_a_step_are_a_prefix_of_those_of_the_next(seed: int, size: int) -> None:
    case = case_of(seed, size, kinds=KINDS + PROTECTED_KINDS)
    segments = [*case.segments, *variants(case.source.choice(case.segments), case.source)]
    made = compressor(case.ratio)
    session = made.session("c")
    sent: list[str] = []
    for end in range(1, len(segments) + 1):
        if case.source.random() < 0.4:
            made = another(keep_ratio=case.ratio)
            session = reopened(session, made)
        step = session.step(segments[:end], any_query(case.source))
        texts = [segment.text for segment in step.segments]
        assert texts[: len(sent)] == sent
        assert [one.kept_tokens for one in step.segments] == [made.counter.count(text) for text in texts]
        assert [one.original_tokens for one in step.segments] == [made.counter.count(one.text) for one in segments[:end]]
        sent = texts
    last = reopened(session, another(keep_ratio=case.ratio)).step(segments[::-1], "something else")
    pairs = zip(step.segments, last.segments[::-1], strict=True)
    assert all(one.text == other.text for one, other in pairs if not one.needs), "decisions follow content, not position"


@SOME
@given(SEEDS)
def test_invariant_6_no_names_or_ids_make_two_texts_share_a_decision(seed: int) -> None:
    case = case_of(seed, 6)
    source = case.source
    (first, *_) = case.segments
    cut = source.randint(0, len(first.text))
    mark = source.choice(("\0", "\x1e", "", "|"))
    named = Segment(mark.join((first.text[:cut], first.text[cut:])), first.kind, first.name, "a")
    moved = Segment(first.text[cut:], first.kind, first.name, mark.join(("a", first.text[:cut])))
    made = compressor(0.5)
    session = made.session("c")
    session.step([named], case.query)
    (done,) = session.step([moved], case.query).segments
    assert done == made.session("d").step([moved], case.query).segments[0]
