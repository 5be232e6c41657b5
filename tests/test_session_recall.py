"""What was left out of an earlier output comes back in the newest one when a later question needs it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from specprefill_agents import CompressionConfig, Compressor, Segment, Session, TokenScores
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.errors import ScoringError
from specprefill_agents.prompt.decided import decided_text, recalled_text
from tests.invariants import LongWords, Records

FIRST = "".join(f"Section {n}. The pump of hall {n} was serviced in week {n} by crew {chr(65 + n % 26)}.\n" for n in range(60))
NEWS = "".join(f"Item {n}: the canteen serves dish number {n} with rice and beans.\n" for n in range(60))
ASKED_FIRST = "Which crew serviced the pump of hall 7?"
ASKED_LATER = "Which crew serviced the pump of hall 44?"
WANTED = "The pump of hall 44 was serviced in week 44 by crew S."


def result(number: int, text: str, name: str = "read_page") -> Segment:
    return Segment(text, "tool_result", name, f"call_{number}", call=f'{name}("page {number}")')


@pytest.fixture
def made(lexical: Callable[..., Compressor]) -> Compressor:
    return lexical(keep_ratio=0.15)


def two_steps(made: Compressor, later: str = ASKED_LATER) -> tuple[Any, Any]:
    session = made.session("c")
    first = session.step([result(1, FIRST)], ASKED_FIRST).segments[0]
    again, newest = session.step([result(1, FIRST), result(2, NEWS)], later).segments
    assert again == first, "nothing that was sent changes"
    return first, newest


def test_what_a_new_question_needs_of_an_old_output_is_added_to_the_newest_under_a_heading(made: Compressor) -> None:
    first, newest = two_steps(made)
    assert WANTED not in first.text
    heading = rf'\n\[left out of read_page\("page 1"\) above, lines 4\d-4\d; full text: expand\("{first.original_id}"\)\]\n'
    _, brought_back = re.split(heading, newest.text)
    assert WANTED in brought_back


def test_a_question_that_finds_its_answer_in_the_newest_output_brings_nothing_back(made: Compressor) -> None:
    _, newest = two_steps(made, "With what are the dishes served in the canteen?")
    assert newest.recalled == ()


def test_the_same_question_again_brings_nothing_back(made: Compressor) -> None:
    _, newest = two_steps(made, ASKED_FIRST)
    assert newest.recalled == ()


@pytest.mark.parametrize("tokens", [0, 30, 60, 256])
def test_what_comes_back_keeps_to_its_own_budget_heading_included(lexical: Callable[..., Compressor], tokens: int) -> None:
    made = lexical(keep_ratio=0.15, recall_tokens=tokens)
    _, newest = two_steps(made, "pump hall crew week 40 41 42 43 44 45 46 47 48 49")
    tail = recalled_text(newest, {part.source: FIRST for part in newest.recalled})
    assert made.counter.count(tail) <= tokens
    assert bool(newest.recalled) == (tokens >= 60)
    assert newest.kept_tokens == made.counter.count(newest.text)


def test_a_part_comes_back_once(made: Compressor) -> None:
    session = made.session("c")
    texts = [FIRST, NEWS, NEWS.replace("rice", "noodles")]
    for end in (1, 2, 3):
        done = session.step([result(n, text) for n, text in enumerate(texts[:end], 1)], ASKED_FIRST if end == 1 else ASKED_LATER)
    assert WANTED in done.segments[1].text
    assert WANTED not in done.segments[2].text


def test_a_decision_that_quotes_holds_only_behind_what_it_quotes(made: Compressor) -> None:
    session = made.session("c")
    session.step([result(1, FIRST)], ASKED_FIRST)
    quoting = session.step([result(1, FIRST), result(2, NEWS)], ASKED_LATER).segments[1]
    alone = session.step([result(2, NEWS)], ASKED_LATER).segments[0]
    assert quoting.recalled
    assert not alone.recalled
    assert quoting.text.startswith(alone.text)
    saved = json.loads(json.dumps(session.to_dict()))
    reopened = Session.from_dict(saved, made)
    assert reopened.step([result(1, FIRST), result(2, NEWS)], "x").segments[1] == quoting
    assert reopened.step([result(2, NEWS)], "x").segments[0] == alone
    assert "serviced" not in json.dumps(saved), "a stored session holds no text of a segment"


def test_the_text_follows_from_the_decision_and_its_sources(made: Compressor) -> None:
    _, newest = two_steps(made)
    sources = {part.source: FIRST for part in newest.recalled}
    assert decided_text(made.config, "tool_result", NEWS, newest, sources) == newest.text
    with pytest.raises(KeyError):
        decided_text(made.config, "tool_result", NEWS, newest, {})


@pytest.mark.parametrize("settings", [{"exclude_tools": ["read_page"]}, {"enabled": False}, {"keep_ratio": 1.0}])
def test_what_may_not_be_touched_carries_nothing(lexical: Callable[..., Compressor], settings: dict[str, Any]) -> None:
    session = lexical(**{"keep_ratio": 0.15, **settings}).session("c")
    sent = session.step([result(1, FIRST), result(2, NEWS)], ASKED_LATER).segments
    assert [one.text for one in sent] == [FIRST, NEWS]


@pytest.mark.parametrize("kind", ["tool_error", "expanded", "assistant", "user", "system"])
def test_only_a_tool_result_or_document_carries(made: Compressor, kind: Any) -> None:
    session = made.session("c")
    session.step([result(1, FIRST)], ASKED_FIRST)
    last = Segment(NEWS, kind, id="2")
    assert session.step([result(1, FIRST), last], ASKED_LATER).segments[1].text == NEWS


def test_a_short_output_that_passes_whole_carries_too(lexical: Callable[..., Compressor]) -> None:
    made = lexical(keep_ratio=0.15, min_tokens=384, min_result_tokens=32)
    session = made.session("c")
    session.step([result(1, FIRST)], ASKED_FIRST)
    short = session.step([result(1, FIRST), result(2, "No entry was found.")], ASKED_LATER).segments[1]
    assert short.text.startswith("No entry was found.\n[left out of")
    assert WANTED in short.text


class FailsOnSeveral:
    """A scorer that cannot read two texts at once."""

    fingerprint = "fails on several"

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        if len(contexts) > 1:
            raise ScoringError("too many")
        return LongWords().score(contexts, query)


def test_when_recall_fails_the_output_is_sent_without_it_and_a_record_says_why() -> None:
    records = Records()
    config = CompressionConfig(keep_ratio=0.15, min_tokens=0, target_tokenizer="o200k_base")
    made = Compressor(config=config, scorer=FailsOnSeveral(), counter=counter_for("o200k_base"), cache="memory", audit=records)
    _, newest = two_steps(made)
    assert newest.outcome == "compressed"
    assert not newest.recalled
    assert ("recall", {"fallback_reason": "too many"}) in records.rows


def test_the_embedded_draft_brings_back_what_shares_no_rare_word_with_the_question(embedded_draft: str) -> None:
    facts = "The night watch found the north gate unlocked at four in the morning and called the duty officer.\n"
    first = FIRST[: len(FIRST) // 2] + facts + FIRST[len(FIRST) // 2 :]
    config = CompressionConfig(keep_ratio=0.15, min_tokens=0, target_tokenizer="o200k_base")
    session = Compressor(embedded_draft, config, cache="memory").session("c")
    cut = session.step([result(1, first)], ASKED_FIRST).segments[0]
    newest = session.step([result(1, first), result(2, NEWS)], "Which entrance was open during the night?").segments[1]
    assert "north gate" not in cut.text
    assert "north gate" in newest.text
