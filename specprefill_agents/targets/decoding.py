"""Token after token of an answer, in as few passes over the model as guesses and a grammar allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from specprefill_agents.errors import missing_extra
from specprefill_agents.targets.guessing import Guesser
from specprefill_agents.targets.reading import Reading

try:
    from torch import Tensor

    from specprefill_agents.targets.constraint import Constraint
except ImportError as error:
    raise missing_extra("A local target", "draft") from error


@dataclass
class Decoding:
    """One answer in the making: what `reading` has read is added to. `pick` chooses a token id from logits (vocabulary,).

    Every token is picked from the logits that the target gives after the tokens before it, whether it was guessed or not, so
    that guesses change neither a greedy answer nor, for one seed, a sampled one, as far as a pass over several tokens rounds as
    one over each does. Numbers `guessed` and `accepted` tokens.
    """

    reading: Reading
    pick: Callable[[Tensor], int]
    constraint: Constraint | None = None
    guesser: Guesser | None = None
    guessed: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)

    def tokens(self, ids: Sequence[int], positions: Sequence[int], end: int) -> Iterator[int]:
        """The answer to a prompt of which `ids` at `positions` are not read yet; its first token has the position `end`.

        Endless, but where a grammar ends.
        """
        if self.constraint:
            yield from self._constrained(self.constraint, ids, positions, end)
        elif self.guesser and self.reading.can_rewind:
            yield from self._guessed(self.guesser, ids, positions, end)
        else:
            row = self.reading.read(ids, positions)[-1]
            while True:
                token = self.pick(row)
                yield token
                row = self.reading.read([token], [end])[-1]
                end += 1

    def _constrained(self, constraint: Constraint, ids: Sequence[int], positions: Sequence[int], end: int) -> Iterator[int]:
        """What the grammar leaves no choice in is read together with what was chosen before it."""
        run = constraint.forced()
        row = self.reading.read([*ids, *run], [*positions, *range(end, end + len(run))])[-1]
        end += len(run)
        yield from run
        while not constraint.ended:
            run = [self.pick(constraint.allowed(row))]
            constraint.accept(run[0])
            run += constraint.forced()
            yield from run
            row = self.reading.read(run, range(end, end + len(run)))[-1]
            end += len(run)

    def _guessed(self, guesser: Guesser, ids: Sequence[int], positions: Sequence[int], end: int) -> Iterator[int]:
        """Guesses are read together with the token before them; those after the first wrong one are taken back."""
        token = self.pick(self.reading.read(ids, positions)[-1])
        while True:
            yield token
            guess = guesser.guess([*self.reading.ids, token])
            rows = self.reading.read([token, *guess], range(end, end + 1 + len(guess)), rows=1 + len(guess))
            right, token = 0, self.pick(rows[0])
            while right < len(guess) and token == guess[right]:
                yield token
                right += 1
                token = self.pick(rows[right])
            self.guessed, self.accepted = self.guessed + len(guess), self.accepted + right
            if guess:
                guesser.told(len(guess), right)
            self.reading.rewind(len(guess) - right)
            end += 1 + right
