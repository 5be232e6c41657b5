"""Several scorers as one: their scores on a common scale, added; then documents lifted that the best units name, and
every token lifted by the best of its block.

In a transcript, which stays with a topic for a while, the best of a longer stretch lifts its tokens as well.

The lift by block is what lets a function, a record, a paragraph or a turn win as a whole: where one token of a block
answers the question, the rest of the block is likelier to matter than a lone resemblance elsewhere.

Axes: C contexts, T tokens of the first member, M those of another, U units of a context.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.prompt.scripts import escaped_letters
from specprefill_agents.prompt.units import DEFAULT_LIMITS, Layout, Limits, layout_of
from specprefill_agents.scoring.base import Scorer, scorer_fingerprint, scorer_for
from specprefill_agents.scoring.links import Source, best_sources, link_scores
from specprefill_agents.types import TokenScores

BLOCK_WEIGHT = 0.6
LEXICAL_WEIGHT = 0.5
IDENTIFIER_WEIGHT = 0.3
LINK_WEIGHT = 0.5
STRETCH_WEIGHT = 0.6
STRETCH_CHARS = 6_000
"""About how long people talk about one thing: an answer is spread over the turns of a stretch. Other texts have no such
lift: in a long text of unrelated parts it would keep all that stands around the first find, and lose the others."""


@dataclass(frozen=True, slots=True)
class Member:
    """One scorer of a fusion, and what its scores count for once its best token of the call is scaled to 1."""

    scorer: Scorer
    weight: float = 1.0


class FusionScorer:
    """Weighted sum of its members' scores per token of the first member, each as far as its tokens are `legible`; contexts whose
    titles the best units name gain `link_weight` times those units' scores; then every token gains `block_weight` times the best
    of its block.

    Units and blocks are those of `layout_of` with `limits`.
    """

    takes_titles = True

    def __init__(
        self,
        members: Sequence[Member],
        limits: Limits = DEFAULT_LIMITS,
        block_weight: float = BLOCK_WEIGHT,
        link_weight: float = LINK_WEIGHT,
    ) -> None:
        self._members = tuple(members)
        self._limits = limits
        self._block_weight = block_weight
        self._link_weight = link_weight

    @property
    def fingerprint(self) -> str:
        """The members' fingerprints with their weights, and the settings of links, blocks and stretches."""
        parts = "+".join(f"{member.weight:g}*{scorer_fingerprint(member.scorer)}" for member in self._members)
        return f"fusion({parts};legible;{self._link_weight:g};{self._block_weight:g}:{STRETCH_WEIGHT:g}:{STRETCH_CHARS}:{self._limits})"

    def for_tenant(self, tenant: str) -> FusionScorer:
        """One whose members keep what they compute for this tenant alone."""
        other = copy.copy(self)
        other._members = tuple(replace(member, scorer=scorer_for(member.scorer, tenant)) for member in self._members)
        return other

    def score(self, contexts: Sequence[str], query: str, titles: Sequence[str | None] = ()) -> list[TokenScores]:
        """Fused importance at the first member's offsets, at least 0. `titles` names the contexts, None those without one."""
        results = [member.scorer.score(contexts, query) for member in self._members]
        totals = _sums(contexts, results, [member.weight for member in self._members])
        offsets = [part.offsets for part in results[0]]
        layouts = [layout_of(context, self._limits) for context in contexts]
        units = [units_of(own, layout) for own, layout in zip(offsets, layouts, strict=True)]
        if sum(title is not None for title in titles) > 1:
            sources = [
                Source(index, context[unit.start : unit.end], score)
                for index, (context, layout, total, which) in enumerate(zip(contexts, layouts, totals, units, strict=True))
                for unit, score in zip(layout.units, _best(total, which, len(layout.units)).tolist(), strict=True)
            ]
            for total, link in zip(totals, link_scores(titles, best_sources(sources)), strict=True):
                total += self._link_weight * link
        for total, layout, which in zip(totals, layouts, units, strict=True):
            total += self._block_weight * best_of_group(total, which, np.array(layout.blocks))
            if layout.kind == "transcript":
                total += STRETCH_WEIGHT * best_of_group(total, which, stretches(layout))
        return [TokenScores(part.offsets, total, part.cached) for part, total in zip(results[0], totals, strict=True)]


def _sums(contexts: Sequence[str], results: Sequence[Sequence[TokenScores]], weights: Sequence[float]) -> list[NDArray[np.float64]]:
    """Per context the weighted sum (T,) of all members, each scaled so that its best token of the call counts 1, or less if illegible."""
    totals = [np.zeros(len(part.scores)) for part in results[0]]
    for parts, weight in zip(results, weights, strict=True):
        best = max((float(part.scores.max()) for part in parts if len(part.scores)), default=0.0)
        if best > 0:
            for total, part, first, context in zip(totals, parts, results[0], contexts, strict=True):
                total += legible(context, part.offsets) * weight / best * scores_at(part, first.offsets)
    return totals


def legible(text: str, offsets: NDArray[np.int64]) -> float:
    """How far a model can be trusted with a text by its tokens (T, 2): 1 while at most a quarter of them are pieces of letters, as
    where foreign names stand in it, falling to 0 at half.

    A tokenizer cuts letters into bytes of a script that its model hardly met in training, and whose words say little to it. Of a
    letter that JSON writes as a number, such as `\\u5f20`, all tokens but the first are pieces.
    """
    if not len(offsets):
        return 1.0
    overlaps = offsets[1:, 0] < offsets[:-1, 1]
    pieces = np.append(overlaps, False)
    pieces[1:] |= overlaps
    of_letters = sum(text[start].isalpha() for start in offsets[pieces, 0].tolist())
    if escapes := escaped_letters(text):
        starts, ends = np.array(escapes).T
        before = np.searchsorted(starts, offsets[:, 0]) - 1
        of_letters += int((offsets[before >= 0, 0] < ends[before[before >= 0]]).sum())
    return float(np.clip(2 - 4 * of_letters / len(offsets), 0, 1))


def scores_at(scores: TokenScores, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores (M) of one tokenization read at the tokens `offsets` (T, 2) of another: where each of those starts, (T,)."""
    if not len(scores.scores):
        return np.zeros(len(offsets))
    if scores.offsets.shape == offsets.shape and (scores.offsets == offsets).all():
        return scores.scores
    index = np.maximum(np.searchsorted(scores.offsets[:, 0], offsets[:, 0], side="right") - 1, 0)
    return scores.scores[index]


def units_of(offsets: NDArray[np.int64], layout: Layout) -> NDArray[np.intp]:
    """For each token (T,) the index of the unit that it starts in."""
    starts = np.array([unit.start for unit in layout.units])
    return np.maximum(np.searchsorted(starts, offsets[:, 0], side="right") - 1, 0)


def stretches(layout: Layout, chars: int = STRETCH_CHARS) -> NDArray[np.intp]:
    """For each unit (U,) the number of its stretch: a stretch ends with the block in which it reaches `chars` characters."""
    numbers = np.zeros(len(layout.units), dtype=np.intp)
    begun = 0
    for index in range(1, len(layout.units)):
        begins_block = layout.blocks[index] != layout.blocks[index - 1]
        ends = begins_block and layout.units[index].start - begun >= chars
        begun = layout.units[index].start if ends else begun
        numbers[index] = numbers[index - 1] + ends
    return numbers


def best_of_group(scores: NDArray[np.float64], units: NDArray[np.intp], groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """For each token (T,), in unit `units` (T,), the best score of the group that `groups` (U,) puts its unit in."""
    if not len(scores):
        return scores
    of_token = groups[units]
    lifted: NDArray[np.float64] = _best(scores, of_token, int(groups[-1]) + 1)[of_token]
    return lifted


def _best(scores: NDArray[np.float64], groups: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """The best score of each of `count` groups, 0 for a group without tokens."""
    best = np.zeros(count)
    np.maximum.at(best, groups, scores)
    return best
