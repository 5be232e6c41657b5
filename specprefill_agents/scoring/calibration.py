"""Chooses retrieval heads for any draft, on synthetic needles, without training: `specprefill calibrate`.

The draft reads each context once, all layers; every head's attention mass comes from the key index itself, so what is
measured is what will run. Heads are chosen on one half of the contexts and reported on the other. The idea of picking
heads by where questions look is that of retrieval heads (arXiv 2404.15574) and QRHead (arXiv 2506.09944).

Axes: N heads, T context tokens.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.draft.loading import Draft
from specprefill_agents.errors import ConfigError, DraftError
from specprefill_agents.prompt.units import DEFAULT_LIMITS, layout_of
from specprefill_agents.scoring.context_keys import ContextKeys
from specprefill_agents.scoring.head_search import (
    KEEPS,
    NEIGHBOUR_BONUS,
    Choice,
    Recall,
    TokenUnits,
    Trial,
    best_singles,
    is_gain,
    measured,
    search,
    touched,
)
from specprefill_agents.scoring.key_index import POOL_TOKENS, KeyIndexScorer, attention_mass, average_pool
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.needles import KINDS, Example, make_examples
from specprefill_agents.scoring.presets import HeadPreset, match_fields
from specprefill_agents.selection.units import unit_scores

MAX_PREFIX_TOKENS = 48
"""Longest prefix that is tried; it is read again with every window."""

PREFIX_CONTEXTS = 6
PREFIX_HEADS = 4
"""Contexts on which prefixes are compared, and how many of the best single heads they are compared by."""

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPlan:
    """How to calibrate. Raises `ConfigError` for a value out of range.

    | field | range | meaning |
    |---|---|---|
    | `examples` | >= 2 | contexts of about 2,000 tokens; the kinds take turns, so twice the number of kinds shows each in both halves |
    | `questions` | >= 1 | questions about each context |
    | `seed` | integer | of the examples |
    | `max_heads` | >= 1 | most heads to take |
    | `tokens` | (min, max) | length of a context in rough tokens |
    """

    examples: int = 6 * len(KINDS)
    questions: int = 4
    seed: int = 0
    max_heads: int = 4
    tokens: tuple[int, int] = (1400, 2200)

    def __post_init__(self) -> None:
        for name, least in (("examples", 2), ("questions", 1), ("max_heads", 1)):
            if getattr(self, name) < least:
                raise ConfigError(name, getattr(self, name), f"an integer >= {least}")
        if not 200 <= self.tokens[0] <= self.tokens[1]:
            raise ConfigError("tokens", self.tokens, "(min, max) with 200 <= min <= max")


@dataclass(frozen=True)
class Calibration:
    """What was chosen, and how it did on the half it was `chosen` on and on the `held_out` half; `bm25` on the latter too."""

    preset: HeadPreset
    chosen: Recall
    held_out: Recall
    bm25: Recall

    @property
    def disagreement(self) -> str:
        """A warning when the halves differ by more than chance would (95 %); "" when they agree."""
        gap = self.chosen.mean - self.held_out.mean
        interval = 1.96 * math.hypot(self.chosen.error, self.held_out.error)
        if abs(gap) <= interval:
            return ""
        return (
            f"the halves disagree: recall {self.chosen.mean:.3f} where the heads were chosen, {self.held_out.mean:.3f} on the "
            f"held-out half (a difference up to {interval:.3f} would be chance); calibrate with more examples"
        )


def calibrate(draft: Draft, name: str, plan: CalibrationPlan, notify: Notify = lambda _: None) -> Calibration:
    """Choose heads, weights and prefix for `draft`, loaded as deep as heads may lie, and measure them.

    Deterministic for a draft, its dtype, a plan and a Python version. Memory: about 4 bytes a head, token and question.
    Raises `DraftError` for a draft that cannot be captured exactly or has no full-attention layer, `ScoringError` where
    the standard library came without its sources.
    """
    reader = _Reader(draft)
    examples = make_examples(plan.examples, plan.seed, questions=plan.questions, tokens=plan.tokens)
    for_choice = [example for index, example in enumerate(examples) if (index // len(KINDS)) % 2 == 0]
    for_report = [example for index, example in enumerate(examples) if (index // len(KINDS)) % 2 == 1]
    if not for_report:
        for_choice, for_report = examples[::2], examples[1::2]
    prefix = _best_prefix(reader, for_choice, notify)
    notify(f"prefix {prefix!r}; reading {len(for_choice)} contexts to choose heads on")
    trials = list(_trials(reader, for_choice, prefix, notify))
    choice = search(trials, [layer for layer, _ in reader.heads], plan.max_heads)
    chosen = measured(trials, choice)
    trials.clear()
    heads = tuple(reader.heads[index] for index in choice.heads)
    notify(f"heads {heads}, weights {choice.weights}; reading {len(for_report)} contexts to report on")
    only = _Reader(draft, heads)
    report = list(_trials(only, for_report, prefix, notify))
    held_out = measured(report, Choice(tuple(range(len(heads))), choice.weights))
    weights = choice.weights if set(choice.weights) != {1.0} else ()
    preset = HeadPreset(name, heads, prefix, match_fields(draft.model.config), weights)
    bm25 = _bm25(for_report, report)
    return Calibration(_with_measurements(preset, draft, plan, (chosen, held_out, bm25)), chosen, held_out, bm25)


def candidate_layers(config: Any, window_tokens: int) -> list[int]:
    """Layers whose heads may be taken: full attention, or where the configuration does not tell layers apart, attention
    that reaches over a window."""
    kinds = getattr(config, "layer_types", None)
    if kinds:
        return [layer for layer, kind in enumerate(kinds[: config.num_hidden_layers]) if kind == "full_attention"]
    reach = getattr(config, "sliding_window", None)
    return list(range(config.num_hidden_layers)) if reach is None or reach >= window_tokens else []


class _Reader:
    """Reads contexts and questions for all candidate heads at once; grouped keys are kept once."""

    def __init__(self, draft: Draft, heads: Sequence[tuple[int, int]] = ()) -> None:
        config = draft.model.config
        layers = candidate_layers(config, 512 + MAX_PREFIX_TOKENS)
        if not layers:
            raise DraftError(f"draft {draft.name!r} has no full-attention layer, so it has no heads to choose from")
        self.draft = draft
        count = config.num_attention_heads
        self.heads = list(heads) or [(layer, head) for layer in layers for head in range(count)]
        group = count // (getattr(config, "num_key_value_heads", None) or count)
        self._key_heads = list(dict.fromkeys((layer, head // group * group) for layer, head in self.heads))
        self._key_rows = [self._key_heads.index((layer, head // group * group)) for layer, head in self.heads]

    def masses(self, example: Example, prefix: str) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
        """Character offsets (T, 2) of a context's tokens, and for each question the pooled mass (N, T) of each head."""
        keys = self._scorer(self._key_heads, prefix).read(example.text)
        asker = self._scorer(self.heads, prefix)
        return keys.offsets.astype(np.int64), [self._mass(asker.query_vectors(question.text), keys) for question in example.questions]

    def _mass(self, queries: NDArray[np.float32], keys: ContextKeys) -> NDArray[np.float32]:
        rows = []
        for head, row in enumerate(self._key_rows):
            alone = ContextKeys(keys.offsets, keys.keys[row : row + 1], keys.scales[row : row + 1])
            rows.append(average_pool(attention_mass(queries[head : head + 1], [alone])[0], POOL_TOKENS))
        return np.array(rows, dtype=np.float32)

    def _scorer(self, heads: Sequence[tuple[int, int]], prefix: str) -> KeyIndexScorer:
        return KeyIndexScorer(self.draft, HeadPreset("calibration", tuple(heads), prefix, ()))


def _trials(reader: _Reader, examples: Sequence[Example], prefix: str, notify: Notify) -> Iterator[Trial]:
    """One trial per question."""
    for number, example in enumerate(examples, 1):
        notify(f"{number}/{len(examples)} {example.kind}")
        offsets, masses = reader.masses(example, prefix)
        units = layout_of(example.text, DEFAULT_LIMITS).units
        layout = TokenUnits.of(units, offsets)
        for question, mass in zip(example.questions, masses, strict=True):
            yield Trial(example.kind, mass, layout, touched(units, question.needles))


def prefixes(draft: Draft) -> list[str]:
    """Prefixes worth a try: the token that begins a text, the same and a newline, and how a chat begins up to the user's
    first word; without those too long and those that the tokenizer does not read as anything."""
    tokenizer = draft.tokenizer
    start = tokenizer.bos_token or tokenizer.eos_token or tokenizer.pad_token
    found = [start, f"{start}\n"] if start else ["\n"]
    if getattr(tokenizer, "chat_template", None):
        mark = "\x1f"
        text = tokenizer.apply_chat_template([{"role": "user", "content": mark}], tokenize=False)
        found.append(str(text).partition(mark)[0])
    counts = {prefix: len(HeadPreset("", ((0, 0),), prefix, ()).prefix_ids(tokenizer)) for prefix in dict.fromkeys(found)}
    return [prefix for prefix, count in counts.items() if 0 < count <= MAX_PREFIX_TOKENS]


def _best_prefix(reader: _Reader, examples: Sequence[Example], notify: Notify) -> str:
    """The prefix under which the best few single heads find most; a longer one only for more than noise."""
    options = prefixes(reader.draft)
    step = max(1, len(examples) // PREFIX_CONTEXTS)
    subset = examples[::step][:PREFIX_CONTEXTS]
    taken = options[0]
    best: Recall | None = None
    for prefix in options if len(options) > 1 else ():
        notify(f"trying prefix {prefix!r}")
        found = best_singles(list(_trials(reader, subset, prefix, lambda _: None)), PREFIX_HEADS)
        notify(f"prefix {prefix!r}: the best heads find {found.mean:.3f} each")
        if best is None or is_gain(found, best):
            taken, best = prefix, found
    return taken


def _bm25(examples: Sequence[Example], trials: Sequence[Trial]) -> Recall:
    """What BM25 on the same units finds: how far shared words alone lead."""
    asked = iter(trials)
    rows, kinds = [], []
    for example in examples:
        units = layout_of(example.text, DEFAULT_LIMITS).units
        for question in example.questions:
            (scores,) = LexicalScorer().score([example.text], question.text)
            found = unit_scores(units, scores, NEIGHBOUR_BONUS, best_tokens=1)
            rows.append(next(asked).recall_of_units(found[None].astype(np.float32))[0])
            kinds.append(example.kind)
    return Recall(tuple(kinds), np.stack(rows))


def _with_measurements(preset: HeadPreset, draft: Draft, plan: CalibrationPlan, recalls: tuple[Recall, Recall, Recall]) -> HeadPreset:
    chosen, held_out, bm25 = recalls
    measurements = {
        "what": "mean needle recall on the held-out half, over kinds, at these keep ratios",
        "recall": {f"{keep:g}": round(value, 3) for keep, value in held_out.by_keep.items()},
        "mean": round(held_out.mean, 3),
        "interval_95": [round(held_out.mean + sign * 1.96 * held_out.error, 3) for sign in (-1, 1)],
        "by_kind": {kind: round(value, 3) for kind, value in held_out.by_kind.items()},
        "bm25_same_units": round(bm25.mean, 3),
        "chosen_half_mean": round(chosen.mean, 3),
        "keep_ratios": list(KEEPS),
        "questions": len(held_out.kinds),
        "contexts": plan.examples,
        "seed": plan.seed,
        "layers_searched": draft.model.config.num_hidden_layers,
        "dtype": str(draft.dtype).removeprefix("torch."),
        "draft_revision": draft.revision,
        "python": ".".join(platform.python_version_tuple()[:2]),
    }
    return HeadPreset(preset.name, preset.heads, preset.prefix, preset.match, preset.weights, measurements)
