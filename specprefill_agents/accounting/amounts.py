"""Tokens by how they are billed, and sums of them with their dollars. Pure; what is unknown stays unknown in every sum."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one request or of many, in five ways of billing input, and output.

    `hit_tokens` were read from the provider's prefix cache, `write_tokens` and `long_write_tokens` written to it at a
    price of its own (for minutes, for an hour), `miss_tokens` are other input. Of `unsplit_tokens` it is only known that
    they are input: the usage did not say, or contradicted itself about, what the cache did.
    """

    hit_tokens: int = 0
    miss_tokens: int = 0
    write_tokens: int = 0
    long_write_tokens: int = 0
    unsplit_tokens: int = 0
    output_tokens: int = 0

    @property
    def input_tokens(self) -> int:
        """All input."""
        return self.hit_tokens + self.miss_tokens + self.write_tokens + self.long_write_tokens + self.unsplit_tokens

    @property
    def hit_share(self) -> float | None:
        """Share of the input that was read from the cache; None where there is no input or it is not known of all."""
        return None if self.unsplit_tokens or not self.input_tokens else self.hit_tokens / self.input_tokens

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Tokens)))


@dataclass(frozen=True, slots=True)
class Amount:
    """What requests used and cost. `known_usd` is of those that could be priced; `unpriced` counts the others.

    `unread` counts requests of which not even the tokens are known; none of theirs are in `tokens`.
    """

    requests: int = 0
    tokens: Tokens = Tokens()
    known_usd: float = 0.0
    unpriced: int = 0
    unread: int = 0

    @classmethod
    def of(cls, tokens: Tokens | None, usd: float | None) -> Amount:
        """One request; None where its tokens or dollars are unknown."""
        return cls(1, tokens or Tokens(), 0.0 if usd is None else usd, int(usd is None), int(tokens is None))

    @property
    def usd(self) -> float | None:
        """Dollars; None when those of any request are unknown."""
        return None if self.unpriced else self.known_usd

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.requests + other.requests,
            self.tokens + other.tokens,
            self.known_usd + other.known_usd,
            self.unpriced + other.unpriced,
            self.unread + other.unread,
        )


NOTHING = Amount()
"""No request at all."""
