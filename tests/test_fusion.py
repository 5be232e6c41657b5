"""Blocks, and scorers added on a common scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given

from specprefill_agents import TokenScores
from specprefill_agents.prompt.units import split_blocks, split_lines
from specprefill_agents.prompt.units.layout import LayoutBuilder
from specprefill_agents.scoring.base import check_scores
from specprefill_agents.scoring.controls import HeadTailScorer, RandomScorer
from specprefill_agents.scoring.fusion import FusionScorer, Member, best_of_group, scores_at, stretches, units_of
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.types import Unit
from tests.strategies import QUERIES, TEXTS


class Fixed:
    """A scorer that gives each word of a context the number it is told to."""

    def __init__(self, **values: float) -> None:
        self._values = values

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        return [self._score(context) for context in contexts]

    def _score(self, context: str) -> TokenScores:
        words = context.split(" ")
        ends = np.cumsum([len(word) + 1 for word in words])
        offsets = np.stack([ends - [len(word) + 1 for word in words], ends - 1], axis=1)
        return TokenScores(offsets.astype(np.int64), np.array([self._values.get(word, 0.0) for word in words]))


@given(TEXTS)
def test_blocks_tile_the_text_and_end_where_units_end(text: str) -> None:
    units = split_lines(text, 48, 192)
    blocks = split_blocks(text, units, 400)
    assert "".join(text[block.start : block.end] for block in blocks) == text
    assert {block.end for block in blocks} <= {unit.end for unit in units}
    longest = max((unit.end - unit.start for unit in units), default=0)
    assert all(block.end - block.start <= max(400, longest) for block in blocks)


def test_a_short_text_is_one_block_and_a_long_one_is_cut_at_blank_lines() -> None:
    paragraph = "A sentence that fills a line of this paragraph well enough.\n" * 4 + "\n"
    assert split_blocks(paragraph, split_lines(paragraph, 48, 192), 300) == [Unit(0, len(paragraph))]
    text = paragraph * 3
    assert [text[b.start : b.end] for b in split_blocks(text, split_lines(text, 48, 192), 300)] == [paragraph] * 3


def test_members_are_added_with_their_best_token_scaled_to_their_weight() -> None:
    fusion = FusionScorer([Member(Fixed(a=4.0, b=2.0)), Member(Fixed(b=10.0), 0.5)], block_weight=0.0)
    (scores,) = fusion.score(["a b c"], "q")
    assert scores.scores.tolist() == [1.0, 1.0, 0.0]


def test_the_best_token_lifts_its_block_and_no_other() -> None:
    builder = LayoutBuilder("plain")
    for end in (2, 10, 20):
        if end == 20:
            builder.begin_block()
        builder.add(end)
    layout = builder.build()
    units = units_of(np.array([[0, 2], [2, 4], [10, 12]]), layout)
    assert units.tolist() == [0, 1, 2]
    assert best_of_group(np.array([1.0, 3.0, 2.0]), units, np.array(layout.blocks)).tolist() == [3.0, 3.0, 2.0]


def test_a_stretch_ends_with_the_block_in_which_it_is_long_enough() -> None:
    builder = LayoutBuilder("transcript")
    for end in (4, 8, 12, 16, 20):
        builder.begin_block()
        builder.add(end - 2)
        builder.add(end)
    assert stretches(builder.build(), 8).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_in_a_transcript_the_turns_around_the_answer_are_kept_before_a_resemblance_elsewhere() -> None:
    def talk(topic: str) -> str:
        turns = [
            f"{name}: {number} {topic} is what we have to think about some more today.\n" for number in range(40) for name in ("Ann", "Bo")
        ]
        return "".join(turns)

    answer = "Ann: The remote control gets a rubber case, that is decided.\n"
    text = talk("weather") + talk("budget") + answer + talk("lunch") + "Bo: No remote plan.\n" + talk("parking")
    (scores,) = FusionScorer([Member(LexicalScorer())]).score([text], "Which case does the remote control get?")
    at = int(np.searchsorted(scores.offsets[:, 0], text.index(answer)))
    far = int(np.searchsorted(scores.offsets[:, 0], text.index("0 weather")))
    assert scores.scores[at + 3] > scores.scores[far]


def test_scores_of_another_tokenization_are_read_where_tokens_start() -> None:
    coarse = TokenScores(np.array([[0, 5], [5, 9]]), np.array([1.0, 2.0]))
    assert scores_at(coarse, np.array([[0, 2], [2, 5], [6, 9]])).tolist() == [1.0, 1.0, 2.0]
    assert scores_at(TokenScores(np.zeros((0, 2), np.int64), np.zeros(0)), np.array([[0, 2]])).tolist() == [0.0]


@pytest.mark.parametrize("block_weight", [0.0, 0.6])
@given(contexts=...)
def test_fused_scores_are_well_formed(block_weight: float, contexts: list[str]) -> None:
    fusion = FusionScorer([Member(RandomScorer()), Member(LexicalScorer(), 0.5), Member(HeadTailScorer(), 0.1)], block_weight=block_weight)
    check_scores(contexts, fusion.score(contexts, "what is the value"))


@given(TEXTS, QUERIES)
def test_the_order_of_contexts_does_not_matter(text: str, query: str) -> None:
    fusion = FusionScorer([Member(RandomScorer()), Member(LexicalScorer(), 0.5)])
    contexts = [text, "a second context about the value", text + "!"]
    turned = fusion.score(contexts[::-1], query)[::-1]
    assert [one.scores.tolist() for one in fusion.score(contexts, query)] == [one.scores.tolist() for one in turned]


def test_the_fingerprint_names_members_and_weights() -> None:
    one = FusionScorer([Member(RandomScorer(1)), Member(LexicalScorer(), 0.5)])
    other = FusionScorer([Member(RandomScorer(1)), Member(LexicalScorer(), 0.4)])
    assert one.fingerprint != other.fingerprint
    assert "random:1" in one.fingerprint
