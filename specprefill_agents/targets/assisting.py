"""A draft model that guesses what a target will say next; both may have tokenizers of their own.

With another tokenizer the guess crosses over as text (universal assisted generation; arXiv 2502.05202).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from specprefill_agents.errors import missing_extra
from specprefill_agents.targets.reading import Reading, shared_length

try:
    import torch
except ImportError as error:
    raise missing_extra("Assisted decoding", "draft") from error

FIRST_GUESS, LONGEST_GUESS = 5, 16
"""Tokens of a guess: of the first one, and at most. It grows while guesses are right, and shrinks when they are not."""
SURE_ENOUGH = 0.4
"""Probability of the draft's token below which it guesses no further."""
TAIL_TOKENS = 8
"""Of the target's text that a guess in words is encoded behind, since what comes before decides how a word is cut."""
_INCOMPLETE = "�"


@dataclass(frozen=True)
class Assistant:
    """A causal language model with its tokenizer, for guesses. May be shared between answers; one pass runs at a time."""

    model: Any
    tokenizer: Any
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def window(self) -> int:
        """Most tokens that the model reads."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30)


class DraftGuesser:
    """Guesses with an `assistant` whose tokenizer is the target's, greedily, as long as it is sure enough."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._reading = Reading(assistant.model, assistant.lock)
        self._size = FIRST_GUESS

    def guess(self, ids: Sequence[int]) -> list[int]:
        """As `Guesser.guess`; nothing once the draft's window is full."""
        if len(ids) + LONGEST_GUESS >= self._assistant.window:
            return []
        known = shared_length(self._reading.ids, ids)
        if self._reading.can_rewind:
            known = min(known, len(ids) - 1)
            self._reading.rewind(len(self._reading.ids) - known)
        elif known < len(self._reading.ids) or known == len(ids):
            self._reading, known = Reading(self._assistant.model, self._assistant.lock), 0
        row = self._reading.read(ids[known:], range(known, len(ids)))[-1]
        # Where nothing can be taken back, what is guessed is read by a copy.
        reading = self._reading if self._reading.can_rewind else self._reading.fork()
        guessed: list[int] = []
        while len(guessed) < self._size:
            odds, token = torch.softmax(row, dim=-1).max(dim=-1)
            if odds < SURE_ENOUGH:
                break
            guessed.append(int(token))
            if len(guessed) < self._size:
                row = reading.read(guessed[-1:], [len(reading.ids)])[-1]
        return guessed

    def told(self, guessed: int, right: int) -> None:
        """As `Guesser.told`: the next guess is longer where this one was right, else shorter."""
        self._size = min(LONGEST_GUESS, self._size + 2) if right == guessed else max(1, self._size - 1)


class TextGuesser:
    """Guesses with an `assistant` that has another tokenizer than the target, whose is `tokenizer`."""

    def __init__(self, assistant: Assistant, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._own = assistant.tokenizer
        self._draft = DraftGuesser(assistant)
        self._ids: list[int] = []
        self._seen = 0

    def guess(self, ids: Sequence[int]) -> list[int]:
        """As `Guesser.guess`: the draft's words in the target's tokens, where these go on from the ones before."""
        said = self._decoded(ids[self._seen :])
        if said.endswith(_INCOMPLETE):
            return []  # within a character
        self._ids += self._encoded(self._own, said)
        self._seen = len(ids)
        words = self._own.decode(self._draft.guess(self._ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        tail = self._decoded(ids[-TAIL_TOKENS:])
        before, after = self._encoded(self._tokenizer, tail), self._encoded(self._tokenizer, tail + words.rstrip(_INCOMPLETE))
        return after[len(before) :] if words and after[: len(before)] == before else []

    def told(self, guessed: int, right: int) -> None:
        """As `Guesser.told`."""
        self._draft.told(guessed, right)

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _encoded(self, tokenizer: Any, text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else []


def guesser_of(assistant: Assistant, tokenizer: Any) -> DraftGuesser | TextGuesser:
    """A guesser for a target with `tokenizer`."""
    return DraftGuesser(assistant) if has_same_tokens(assistant.tokenizer, tokenizer) else TextGuesser(assistant, tokenizer)


def has_same_tokens(one: Any, other: Any) -> bool:
    """Whether two tokenizers mean the same by every id."""
    return one is other or bool(one.get_vocab() == other.get_vocab())
