"""Guesses of what a target will say next, to be checked by it in one pass (speculative decoding, arXiv 2211.17192).

A wrong guess costs time and is never said, so guessers may be as careless as they are quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

FIRST_COPIED_TOKENS, MOST_COPIED_TOKENS = 4, 16
"""Of a guess that is looked up: the first, and at most. The more of the last one were right, the longer is the next."""
FEWEST_MATCHING, MOST_MATCHING = 3, 8
"""Tokens before the guess that an earlier place must have in common with the end of the answer, and beyond which none are compared."""
MOST_PLACES = 16
"""Of one beginning that are compared; the last ones."""


class Guesser(Protocol):
    """Guesses how the tokens of one answer go on."""

    def guess(self, ids: Sequence[int]) -> list[int]:
        """What may follow `ids`, all tokens of prompt and answer so far; empty where nothing comes to mind."""
        ...

    def told(self, guessed: int, right: int) -> None:
        """Of the last `guessed` tokens so many were `right`."""
        ...


class LookupGuesser:
    """Guesses that an answer goes on copying: from the prompt, from itself, and from `texts`, token ids that the prompt leaves out.

    Prompt lookup decoding; agents copy paths, names and numbers out of what they read.
    """

    def __init__(self, texts: Sequence[Sequence[int]] = ()) -> None:
        self._tokens: list[int] = []
        self._places: dict[tuple[int, ...], list[int]] = {}
        self._seen = 0
        self._size = FIRST_COPIED_TOKENS
        for text in texts:
            self._add(text)
            self._tokens.append(-1)  # where one text ends and another begins

    def guess(self, ids: Sequence[int]) -> list[int]:
        """As `Guesser.guess`: what followed the place that has most in common with the end of `ids`, the last such place."""
        self._add(ids[self._seen :])
        self._seen = len(ids)
        end = len(self._tokens)
        places = self._places.get(tuple(self._tokens[-FEWEST_MATCHING:]), [])[-MOST_PLACES - 1 :]
        best = max(((self._matching(place, end), place) for place in places if place < end), default=None)
        if best is None:
            return []
        following = self._tokens[best[1] : best[1] + self._size]
        return following[: following.index(-1)] if -1 in following else following

    def told(self, guessed: int, right: int) -> None:
        """As `Guesser.told`."""
        self._size = min(MOST_COPIED_TOKENS, 2 + 2 * right)

    def _add(self, ids: Sequence[int]) -> None:
        """Remember, for every `FEWEST_MATCHING` tokens in a row, where they end."""
        for token in ids:
            self._tokens.append(token)
            if len(self._tokens) >= FEWEST_MATCHING:
                self._places.setdefault(tuple(self._tokens[-FEWEST_MATCHING:]), []).append(len(self._tokens))

    def _matching(self, place: int, end: int) -> int:
        """How many tokens before `place` are those before `end`."""
        count = 0
        while count < min(MOST_MATCHING, place) and self._tokens[place - 1 - count] == self._tokens[end - 1 - count] != -1:
            count += 1
        return count


class FirstOf:
    """The guess of the first of several guessers that has one."""

    def __init__(self, guessers: Sequence[Guesser]) -> None:
        self._guessers = guessers
        self._last: Guesser | None = None

    def guess(self, ids: Sequence[int]) -> list[int]:
        """As `Guesser.guess`."""
        for guesser in self._guessers:
            guessed = guesser.guess(ids)
            if guessed:
                self._last = guesser
                return guessed
        return []

    def told(self, guessed: int, right: int) -> None:
        """As `Guesser.told`, to the one that guessed."""
        if self._last:
            self._last.told(guessed, right)
