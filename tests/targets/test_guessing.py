"""Guesses make answers come sooner and never change them: greedy or sampled, looked up or by a draft of any tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from specprefill_agents.targets.assisting import Assistant, DraftGuesser, TextGuesser, guesser_of
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.guessing import FirstOf, LookupGuesser
from specprefill_agents.targets.loading import TargetSettings, load_target
from specprefill_agents.targets.local import LocalTarget
from specprefill_agents.targets.sampling import Sampling

QUESTION = [ChatTurn("user", "Tell me about ships, and about harbours. " * 3)]
GREEDY, DRAWN = Sampling(max_new_tokens=60), Sampling(max_new_tokens=60, temperature=0.8, top_p=0.9, seed=7)


class Wrong:
    """Guesses what is never said."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    def guess(self, ids: Sequence[int]) -> list[int]:
        return [0, 0, 0]

    def told(self, guessed: int, right: int) -> None:
        self.heard.append((guessed, right))


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN])
def test_copying_changes_no_answer(target: LocalTarget, sampling: Sampling) -> None:
    copying = replace(target, copies=True).generate(QUESTION, sampling)
    assert copying.token_ids == target.generate(QUESTION, sampling).token_ids
    assert 0 <= copying.accepted_tokens <= copying.guessed_tokens


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN])
def test_a_draft_changes_no_answer(target: LocalTarget, sampling: Sampling) -> None:
    assisted = replace(target, assistant=Assistant(target.model, target.tokenizer)).generate(QUESTION, sampling)
    assert assisted.token_ids == target.generate(QUESTION, sampling).token_ids


def test_wrong_guesses_change_no_answer_and_are_counted(target: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Wrong()
    monkeypatch.setattr(LocalTarget, "_guesser", lambda self, lookup: wrong)
    answer = target.generate(QUESTION, GREEDY)
    monkeypatch.undo()
    assert answer.token_ids == target.generate(QUESTION, GREEDY).token_ids
    assert (answer.guessed_tokens, answer.accepted_tokens) == (3 * len(wrong.heard), 0)
    assert set(wrong.heard) == {(3, 0)}


def test_a_model_that_guesses_for_itself_is_right(embedded_draft: str) -> None:
    target = load_target(
        embedded_draft, TargetSettings(device="cpu", dtype="float32", cache_bytes=0, copies=False, assistant=embedded_draft)
    )
    asked = [ChatTurn("user", "Count from one to ten in words.")]
    answer = target.generate(asked, Sampling(max_new_tokens=24))
    plain = replace(target, assistant=None).generate(asked, Sampling(max_new_tokens=24))
    assert answer.token_ids == plain.token_ids
    assert answer.guessed_tokens > 0
    assert answer.accepted_tokens >= 0.8 * answer.guessed_tokens


def test_a_draft_with_another_tokenizer_guesses_in_words(target: LocalTarget, embedded_draft: str) -> None:
    small = load_target(embedded_draft, TargetSettings(device="cpu", dtype="float32"))
    guesser = guesser_of(Assistant(small.model, small.tokenizer), target.tokenizer)
    assert isinstance(guesser, TextGuesser)
    said = "The third ship is red. " * 4 + "The third ship"
    guess = guesser.guess(target.tokenizer(said, add_special_tokens=False)["input_ids"])
    assert target.tokenizer.decode(guess).startswith(" is red")
    assert isinstance(guesser_of(Assistant(small.model, small.tokenizer), small.tokenizer), DraftGuesser)


def test_what_follows_the_same_words_is_looked_up_the_last_time_they_were_said() -> None:
    guesser = LookupGuesser()
    assert guesser.guess([1, 2, 3, 4, 5, 9, 1, 2, 3, 6, 7, 9, 1, 2, 3]) == [6, 7, 9, 1]


def test_the_longest_agreement_wins() -> None:
    assert LookupGuesser().guess([7, 1, 2, 3, 4, 9, 8, 1, 2, 3, 5, 9, 7, 1, 2, 3])[0] == 4


def test_texts_that_the_prompt_leaves_out_are_looked_up_too_and_end_where_they_end() -> None:
    guesser = LookupGuesser([[1, 2, 3, 4], [5, 6]])
    assert guesser.guess([8, 1, 2, 3]) == [4]
    assert guesser.guess([8, 1, 2, 3, 4, 4, 4, 9]) == []


def test_guesses_grow_while_they_are_right() -> None:
    text = list(range(10, 60))
    guesser = LookupGuesser([text])
    sizes = []
    for right in (4, 10, 0, 0):
        sizes.append(len(guesser.guess([10, 11, 12])))
        guesser.told(sizes[-1], right)
    assert sizes == [4, 10, 16, 2]


def test_the_first_guesser_with_an_idea_is_asked_and_told() -> None:
    silent, wrong = LookupGuesser(), Wrong()
    both = FirstOf([silent, wrong])
    assert both.guess([1, 2, 3]) == [0, 0, 0]
    both.told(3, 1)
    assert wrong.heard == [(3, 1)]
