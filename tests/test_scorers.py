"""The scorer protocol, as a matrix over every scorer that needs no draft."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import Scorer
from specprefill_agents.prompt.identifiers import identifiers
from specprefill_agents.prompt.units import Limits
from specprefill_agents.scoring.base import check_scores, scorer_fingerprint
from specprefill_agents.scoring.controls import HeadTailScorer, RandomScorer
from specprefill_agents.scoring.identifiers import IdentifierScorer
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.words import content_words, words, words_between
from tests.strategies import QUERIES, TEXTS

SCORERS: list[Callable[[], Scorer]] = [LexicalScorer, IdentifierScorer, RandomScorer, HeadTailScorer]


@pytest.mark.parametrize("make", SCORERS)
@given(contexts=st.lists(TEXTS, max_size=4), query=QUERIES)
def test_scores_are_well_formed_and_independent_of_order(make: Callable[[], Scorer], contexts: list[str], query: str) -> None:
    scorer = make()
    assert isinstance(scorer, Scorer)
    scores = scorer.score(contexts, query)
    check_scores(contexts, scores)
    turned = make().score(contexts[::-1], query)[::-1]
    assert [score.scores.tolist() for score in scores] == [score.scores.tolist() for score in turned]


def test_bm25_prefers_the_unit_with_the_rare_words_of_the_question() -> None:
    text = "the cat sat on the mat all day\nthe zebra crossed a river\nthe cat slept\n"
    (scores,) = LexicalScorer(Limits(10, 60)).score([text], "where did the zebra go")
    assert scores.scores.argmax() == 1


def test_identifiers_are_what_cannot_be_said_in_other_words() -> None:
    found = identifiers("Open src/fields.py at line 1474: is TimeDelta in breadth_first_search on 2024-05-15? Yes, e3b0c442, well-known.")
    assert found == ["src/fields.py", "1474", "timedelta", "breadth_first_search", "2024-05-15", "e3b0c442"]


def test_a_line_that_is_asked_for_by_number_wins_with_what_follows_it() -> None:
    text = "".join(f"{n}:        some statement of the program, number {n % 7};\n" for n in range(1450, 1500))
    (scores,) = IdentifierScorer().score([text], "open fields.py 1474")
    best = int(scores.scores.argmax())
    assert "1474:" in text[slice(*scores.offsets[best])]
    assert scores.scores[best + 1] > scores.scores[best - 1] > scores.scores[best - 2] == 0


def test_an_identifier_inside_a_longer_one_is_no_match() -> None:
    (scores,) = IdentifierScorer().score(["the value of 14745 and of x1474 is unknown to everyone here"], "1474")
    assert scores.scores.tolist() == [0.0] * len(scores.scores)


def test_random_scores_follow_the_seed_and_the_text_alone() -> None:
    first, second = RandomScorer(1).score(["some text here", "other"], "q")
    assert first.scores.tolist() == RandomScorer(1).score(["some text here"], "another q")[0].scores.tolist()
    assert first.scores.tolist() != RandomScorer(2).score(["some text here"], "q")[0].scores.tolist()
    assert len(second.scores) == 1


def test_head_and_tail_scores_are_lowest_in_the_middle() -> None:
    (scores,) = HeadTailScorer().score(["a b c d e f g h i"], "")
    assert scores.scores.argmin() == 4


def test_fingerprints_tell_settings_apart() -> None:
    class Unnamed:
        def score(self, contexts: object, query: str) -> list[object]:
            return []

    fingerprints = {scorer_fingerprint(s) for s in (RandomScorer(1), RandomScorer(2), LexicalScorer(), HeadTailScorer())}
    assert len(fingerprints) == 4
    assert scorer_fingerprint(Unnamed()).endswith("Unnamed")  # type: ignore[arg-type]


def test_content_words_leave_stop_words_out_unless_nothing_else_is_there() -> None:
    assert [word for word, _ in content_words("What is the Birth date?")] == ["birth", "date"]
    assert [word for word, _ in content_words("what is the")] == ["what", "is", "the"]


@given(text=TEXTS)
def test_words_between_are_the_words_of_that_stretch(text: str) -> None:
    middle = len(text) // 2
    assert words_between(text, 0, len(text)) == [word for word, _ in words(text)]
    assert words_between(text, middle, len(text)) == [word for word, _ in words(text[middle:])]
