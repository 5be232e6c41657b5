"""Invariants over histories that agents and middleware make of a conversation: retries, branches, edits, deletions, repeats.

Whatever happens to a history, every beginning of it that was ever sent reads the same again. By hand with 50,000 examples
each: `pytest --hypothesis-profile=thorough tests/test_invariants_histories.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from hypothesis import given

from specprefill_agents import CompressedSegment, Compressor, Segment, Session
from specprefill_agents.prompt.decided import decided_text
from specprefill_agents.session import Turn
from tests.invariants import CANDIDATE_KINDS, SOME, another, compressor
from tests.kinds import SEEDS
from tests.strategies import KINDS, PROTECTED_KINDS, any_query, any_text

RATIO = 0.3
LONGEST = 6
"""Turns of a history."""


def any_turn(source: Random, number: int, history: Sequence[Turn]) -> Turn:
    """One or several results of parallel calls; some say again, or nearly again, what an earlier one said."""
    earlier = [segment.text for turn in history for segment in turn.segments]
    segments = []
    for at in range(source.choice((1, 1, 1, 2, 3))):
        text = source.choice(earlier) if earlier and source.random() < 0.4 else any_text(source, 3)
        if source.random() < 0.3:
            text = edited(source, text)
        kind = source.choice(KINDS) if source.random() < 0.85 else source.choice(PROTECTED_KINDS)
        name = source.choice(("grep", "read", None))
        segments.append(Segment(text, kind, name, f"call-{number}-{at}", call=f"{name}({number})" if name else ""))  # type: ignore[arg-type]
    return Turn(tuple(segments), any_query(source))


def edited(source: Random, text: str) -> str:
    """The text with some of its lines changed, doubled, dropped or moved."""
    lines = text.split("\n")
    for _ in range(source.randint(1, 3)):
        at, to = source.randrange(len(lines)), source.randrange(len(lines))
        line = lines[at]
        lines[at : at + 1] = source.choice(([], [line, line], [f"{line} changed"], [lines[to]]))
        lines = lines or [""]
    return "\n".join(lines)


def grow(source: Random, history: list[Turn], number: int) -> list[Turn]:
    return [*history, any_turn(source, number, history)][-LONGEST:]


def retry(source: Random, history: list[Turn], number: int) -> list[Turn]:
    return grow(source, history[: source.randint(0, len(history))], number)


def delete(source: Random, history: list[Turn], number: int) -> list[Turn]:
    at = source.randrange(len(history))
    return history[:at] + history[at + 1 :]


def summarize(source: Random, history: list[Turn], number: int) -> list[Turn]:
    return history[source.randrange(len(history)) :]


def swap(source: Random, history: list[Turn], number: int) -> list[Turn]:
    source.shuffle(history)
    return history


def edit(source: Random, history: list[Turn], number: int) -> list[Turn]:
    at = source.randrange(len(history))
    first, *others = history[at].segments
    return [*history[:at], replace(history[at], segments=(replace(first, text=edited(source, first.text)), *others)), *history[at + 1 :]]


def ask_again(source: Random, history: list[Turn], number: int) -> list[Turn]:
    return [replace(turn, query=any_query(source)) for turn in history]


def as_one(source: Random, history: list[Turn], number: int) -> list[Turn]:
    return [Turn(tuple(segment for turn in history for segment in turn.segments), any_query(source))]


CHANGES: tuple[Callable[[Random, list[Turn], int], list[Turn]], ...] = (grow, grow, retry, delete, summarize, swap, edit, ask_again, as_one)


@SOME
@given(SEEDS)
def test_every_beginning_of_a_history_that_was_sent_reads_the_same_again(seed: int) -> None:
    source = Random(seed)
    made = compressor(RATIO)
    session = made.session("c")
    history: list[Turn] = []
    sent: dict[tuple[Segment, ...], tuple[str, ...]] = {}
    branches: list[list[Turn]] = []
    for number in range(source.randint(2, 7)):
        change = grow if not history else source.choice(CHANGES)
        history = list(source.choice(branches)) if branches and source.random() < 0.15 else change(source, list(history), number)
        if source.random() < 0.25:
            made = another(keep_ratio=RATIO)
            session = Session.from_dict(json.loads(json.dumps(session.to_dict())), made)
        decided = check(made, session, history)
        segments = [segment for turn in history for segment in turn.segments]
        for end in range(1, len(segments) + 1):
            beginning, texts = tuple(segments[:end]), tuple(one.text for one in decided[:end])
            assert sent.setdefault(beginning, texts) == texts, "what was sent stays sent"
        branches.append(list(history))


def check(made: Compressor, session: Session, history: Sequence[Turn]) -> list[CompressedSegment]:
    """Step through a history, and return its decisions, of which everything holds that holds of any."""
    results = session.steps(history)
    segments = [segment for turn in history for segment in turn.segments]
    decided = [one for result in results for one in result.segments]
    assert len(decided) == len(segments)
    shown: dict[str, str] = {}
    for segment, one in zip(segments, decided, strict=True):
        if segment.kind not in CANDIDATE_KINDS:
            assert one.text == segment.text
        assert set(one.needs) <= shown.keys(), "what is quoted or referred to stands before it"
        assert decided_text(made.config, segment.kind, segment.text, one, shown) == one.text
        assert one.kept_tokens == made.counter.count(one.text)
        found = session._decisions.find(session._key(segment), shown.keys())
        assert found is not None
        shown[found.name] = segment.text
    return decided


@SOME
@given(SEEDS)
def test_a_history_that_only_grew_is_worked_out_again_from_its_texts_alone(seed: int) -> None:
    source = Random(seed)
    session = compressor(RATIO).session("c")
    history: list[Turn] = []
    for number in range(source.randint(2, 5)):
        history.append(any_turn(source, number, history))
        decided = check(compressor(RATIO), session, history)
    afresh = [one for result in another(keep_ratio=RATIO).session("d").steps(history) for one in result.segments]
    assert afresh == decided


@SOME
@given(SEEDS)
def test_a_turn_keeps_to_its_budget_and_what_it_may_bring_back(seed: int) -> None:
    source = Random(seed)
    made = compressor(RATIO)
    session = made.session("c")
    history: list[Turn] = []
    for number in range(source.randint(2, 4)):
        history.append(any_turn(source, number, history))
        result = session.steps(history)[-1]
        pairs = zip(history[-1].segments, result.segments, strict=True)
        cut = [one for segment, one in pairs if segment.kind in CANDIDATE_KINDS and segment.text and not segment.text.isspace()]
        budget = int(RATIO * sum(one.original_tokens for one in cut))
        assert sum(one.kept_tokens for one in cut) <= budget + made.config.recall_tokens + len(cut)
        assert len([one for one in cut if one.recalled]) <= 1
