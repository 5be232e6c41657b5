"""Questions about all of a text are recognised, and the result says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from specprefill_agents import Compressor, Segment
from specprefill_agents.prompt.aggregation import AGGREGATION_NOTE, asks_about_everything


@pytest.mark.parametrize(
    "query",
    [
        "How many orders were returned in May?",
        "Which word is the most frequent?",
        "List all hosts that failed.",
        "What is the total of the invoices?",
        "Summarize the meeting.",
        "Wie viele Fehler gab es?",
        "¿Cuántos pedidos hay?",
        "一共有多少个错误？",
    ],
)
def test_counts_totals_and_listings_are_recognised(query: str) -> None:
    assert asks_about_everything(query)


@pytest.mark.parametrize("query", ["", "Who directed Silent Harbour?", "Why did the build fail?", "What is the port of host a7?"])
def test_questions_for_one_thing_are_not(query: str) -> None:
    assert not asks_about_everything(query)


def test_the_result_says_that_a_part_may_not_answer(lexical: Callable[..., Compressor]) -> None:
    segment = Segment("An order came in from Lund on a quiet day.\n" * 60)
    assert lexical().compress([segment], "How many orders came in?").usage.note == AGGREGATION_NOTE
    assert lexical().compress([segment], "Where did the order come from?").usage.note is None
    assert lexical(keep_ratio=1.0).compress([segment], "How many orders came in?").usage.note is None
