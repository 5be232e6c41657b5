"""Invariant 8: the same input and settings give the same bytes, in any process, in any order, alone or in a batch.

What is one call's input are its segments together: they share one budget, so a segment may well read otherwise in other
company. Calls do not know each other, and a scorer may not care in which order it gets its contexts.

By hand with 50,000 examples each: `pytest --hypothesis-profile=thorough tests/test_invariants_determinism.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from langchain_core.messages import BaseMessage

from specprefill_agents import CompressedSegment, Compressor, TokenScores
from specprefill_agents.draft.loading import load_draft
from specprefill_agents.scoring.controls import HeadTailScorer, RandomScorer
from specprefill_agents.scoring.identifiers import IdentifierScorer
from specprefill_agents.scoring.key_index import KeyIndexScorer
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.presets import HeadPreset
from specprefill_langchain import PromptCompressor
from tests.conversations import conversation, wire
from tests.digests import FUSED, SCORERS, TITLES, digest
from tests.invariants import FEW, MANY, SOME, another, compressor
from tests.kinds import SEEDS
from tests.strategies import CHARACTERS, SIZES, Case, any_query, any_text, case_of


def answers(made: Compressor, cases: Iterable[Case]) -> list[tuple[CompressedSegment, ...]]:
    return [made.compress(case.segments, case.query).segments for case in cases]


@MANY
@given(SEEDS, SIZES)
def test_invariant_8_another_compressor_and_another_order_of_calls_give_the_same_bytes(seed: int, size: int) -> None:
    first, second = case_of(seed, size), case_of(seed + 1, 0)
    chosen: dict[str, Any] = {"keep_ratio": first.source.choice((0.1, 0.4)), "scorer": first.source.choice(SCORERS)}
    assert answers(compressor(**chosen), (first, second)) == answers(another(**chosen), (second, first))[::-1]


@SOME
@given(SEEDS, SIZES)
def test_invariant_8_the_order_of_segments_does_not_change_what_is_kept_of_each(seed: int, size: int) -> None:
    case = case_of(seed, max(2, size))
    segments = list({segment.text: segment for segment in case.segments}.values())
    order = case.source.sample(range(len(segments)), len(segments))
    chosen = {"keep_ratio": case.ratio, "scorer": "random"}  # a score of its own for every unit: ties go to the earlier segment
    done = compressor(**chosen).compress(segments, case.query).segments
    moved = another(**chosen).compress([segments[at] for at in order], case.query).segments
    assert list(moved) == [done[at] for at in order]


Score = Callable[[Sequence[str], Sequence[str | None], str], list[TokenScores]]
SCORES: dict[str, Score] = {
    "bm25": lambda contexts, titles, query: LexicalScorer().score(contexts, query),
    "identifiers": lambda contexts, titles, query: IdentifierScorer().score(contexts, query),
    "random": lambda contexts, titles, query: RandomScorer().score(contexts, query),
    "head_tail": lambda contexts, titles, query: HeadTailScorer().score(contexts, query),
    "fusion": lambda contexts, titles, query: FUSED.score(contexts, query, titles),
}


@FEW
@given(SEEDS, SIZES)
def test_invariant_8_the_order_of_contexts_does_not_change_their_scores(seed: int, size: int) -> None:
    source = Random(seed)
    contexts = [any_text(source, size) for _ in range(3)]
    for score in SCORES.values():
        same_in_any_order(score, contexts, source.choices(TITLES, k=3), any_query(source), source)


def same_in_any_order(score: Score, contexts: list[str], titles: list[str | None], query: str, source: Random) -> None:
    order = source.sample(range(len(contexts)), len(contexts))
    scores = score(contexts, titles, query)
    moved = score([contexts[at] for at in order], [titles[at] for at in order], query)
    for at, one in zip(order, moved, strict=True):
        assert np.array_equal(one.offsets, scores[at].offsets)
        assert one.scores.tobytes() == scores[at].scores.tobytes()


@pytest.fixture(scope="module")
def key_index(tiny_draft: str) -> KeyIndexScorer:
    preset = HeadPreset("tiny", heads=((0, 1), (1, 3)), prefix="<|im_start|>", match=())
    return KeyIndexScorer(load_draft(tiny_draft, device="cpu", dtype="float32"), preset, window_tokens=64)


@FEW
@given(SEEDS, CHARACTERS)
def test_invariant_8_a_draft_reads_each_context_the_same_in_any_order_and_company(
    key_index: KeyIndexScorer, seed: int, characters: str
) -> None:
    source = Random(seed)
    contexts = [any_text(source, 0, characters)[:60] for _ in range(2)]
    alone = [key_index.read(context).keys.tobytes() for context in contexts]
    same_in_any_order(lambda texts, _, query: key_index.score(texts, query), contexts, [None] * 2, any_query(source, characters), source)
    assert [key_index.read(context).keys.tobytes() for context in contexts] == alone


@FEW
@given(SEEDS, SIZES)
def test_invariant_8_a_batch_of_conversations_gives_the_same_bytes_as_each_alone(seed: int, size: int) -> None:
    batch: list[list[BaseMessage]] = [conversation(seed + number, size // 3) for number in range(3)]
    runnable = PromptCompressor(compressor(0.3))
    alone = [wire(runnable.invoke(messages)) for messages in batch]  # type: ignore[arg-type]
    assert [wire(sent) for sent in runnable.batch(batch)] == alone  # type: ignore[arg-type]


def test_invariant_8_another_process_gives_the_same_bytes(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    monkeypatch.setenv("TZ", "Pacific/Apia")
    count = 2 * FEW.max_examples
    command = [sys.executable, "-m", "tests.digests", str(count)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(count)
