"""Holds the decoding of one answer to a grammar, token by token. The grammar is compiled and followed by llguidance."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from specprefill_agents.errors import ConfigError, missing_extra


class Vocabulary:
    """A tokenizer's tokens as llguidance sees them; made once per model. `size` is the width of the model's logits.

    Raises ImportError with the pip command when llguidance is missing.
    """

    def __init__(self, tokenizer: Any, size: int, ends: Collection[int]) -> None:
        try:
            from llguidance.hf import from_tokenizer
        except ImportError as error:
            raise missing_extra("Answers by a grammar", "draft") from error
        self.tokens = from_tokenizer(tokenizer, n_vocab=max(size, len(tokenizer)), eos_token=sorted(ends) or None)

    def constraint(self, lark: str) -> Constraint:
        """A fresh constraint by a grammar in Lark. Raises `ConfigError` for one that cannot be compiled."""
        return Constraint(self, lark)


class Constraint:
    """How far one answer has come in its grammar. Not shared between answers."""

    def __init__(self, vocabulary: Vocabulary, lark: str) -> None:
        from llguidance import LLMatcher

        self._matcher = LLMatcher(vocabulary.tokens, LLMatcher.grammar_from_lark(lark), log_level=0)
        if self._matcher.is_error():
            raise ConfigError("grammar", lark, f"a grammar that can be compiled ({self._matcher.get_error()})")

    @property
    def ended(self) -> bool:
        """Whether the answer is complete and nothing may follow."""
        return bool(self._matcher.is_stopped())

    def allowed(self, logits: Tensor) -> Tensor:
        """Logits (vocabulary,) with minus infinity for every token that may not come next."""
        bias = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)
        return logits.masked_fill(bias[: logits.shape[-1]].to(logits.device) == 0, -torch.inf)

    def accept(self, token: int) -> None:
        """Go on behind a token that was allowed."""
        self._matcher.consume_token(token)

    def forced(self) -> list[int]:
        """The tokens that must come next, taken as accepted; none where the model has a choice."""
        tokens = [] if self.ended else [int(token) for token in self._matcher.compute_ff_tokens()]
        self._matcher.consume_tokens(tokens)
        return tokens
