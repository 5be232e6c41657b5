"""How an answer's tokens are chosen, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass

from specprefill_agents.errors import ConfigError, missing_extra

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise missing_extra("A local target", "draft") from error


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of one answer. Raises `ConfigError` at construction for a value outside its range.

    | field | unit, range | meaning |
    |---|---|---|
    | `max_new_tokens` | tokens, >= 1 | longest answer |
    | `stop` | tuple of non-empty strings | each ends the answer, and is left out of it |
    | `temperature` | >= 0 | 0 takes the likeliest token, above it tokens are drawn |
    | `top_p` | (0, 1] | drawn from the likeliest tokens that together have this probability |
    | `top_k` | tokens, >= 1, or None | drawn from so many of the likeliest |
    | `seed` | integer, or None | the same answer for the same seed |
    """

    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError("max_new_tokens", self.max_new_tokens, "an integer >= 1")
        if not isinstance(self.stop, tuple) or not all(self.stop):
            raise ConfigError("stop", self.stop, "a tuple of non-empty strings")
        if not self.temperature >= 0:
            raise ConfigError("temperature", self.temperature, "a number >= 0")
        if not 0 < self.top_p <= 1:
            raise ConfigError("top_p", self.top_p, "a number in (0, 1]")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError("top_k", self.top_k, "an integer >= 1, or None")


class Picker:
    """Chooses the token ids of one answer from logits, by its settings."""

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self._sampling = sampling
        self._random = torch.Generator(device=device)
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed)

    def __call__(self, logits: Tensor) -> int:
        """The next token by its logits (vocabulary,)."""
        sampling = self._sampling
        if sampling.temperature == 0:
            return int(logits.argmax())
        odds = torch.softmax(logits / sampling.temperature, dim=-1)
        if sampling.top_k is not None or sampling.top_p < 1:
            odds = self._likeliest(odds)
        return int(torch.multinomial(odds, 1, generator=self._random))

    def _likeliest(self, odds: Tensor) -> Tensor:
        """`odds` without those of the tokens that are not drawn from."""
        ranked, order = odds.sort(descending=True)
        wanted = ranked.cumsum(dim=-1) - ranked < self._sampling.top_p
        if self._sampling.top_k is not None:
            wanted[self._sampling.top_k :] = False
        return torch.zeros_like(odds).scatter(0, order, ranked * wanted)
