"""What is measured, where: the settings that every part shares, and a target in the forms in which it is compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from benchmarks.local.plan import Sizes
from benchmarks.local.subjects import scorer_by, target_by
from specprefill_agents import CompressionConfig, Compressor, Scorer
from specprefill_agents.targets.assisting import Assistant
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.kept_readings import KeptReadings
from specprefill_agents.targets.loading import TargetSettings
from specprefill_agents.targets.local import Generation, LocalTarget
from specprefill_agents.targets.sampling import Sampling

Row: TypeAlias = dict[str, Any]
Form: TypeAlias = Literal["whole", "text", "positions"]
"""What a target reads of an output: all, the compressed text, or the kept tokens at their places in all."""
FORMS: tuple[Form, ...] = ("whole", "text", "positions")


@dataclass(frozen=True)
class Subject:
    """Sizes and place of a run; `say` is told what comes next."""

    sizes: Sizes
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None
    say: Callable[[str], None] = lambda _: None

    @property
    def settings(self) -> TargetSettings:
        """Of a target that keeps nothing between answers and guesses nothing."""
        return TargetSettings(device=self.device, dtype=self.dtype, threads=self.threads, cache_bytes=0, copies=False)

    def target(self, name: str) -> LocalTarget:
        """A target that has answered once, so that what it makes at first is made."""
        target = target_by(name, self.settings)
        answer(target, [ChatTurn("user", "Begin.")], 1)
        return target

    def assistant(self, name: str) -> Assistant:
        """A model that guesses."""
        loaded = target_by(name, self.settings)
        return Assistant(loaded.model, loaded.tokenizer)

    def scorer(self, name: str) -> Scorer:
        """A scorer with its draft loaded."""
        scorer = scorer_by(name, self.sizes.draft, self.device)
        scorer.score(["Loads the draft before any time is taken."], "loaded?")
        return scorer

    def compressor(self, scorer: Scorer, keep: float) -> Compressor:
        """A compressor by the library's defaults, whose failures end the run."""
        return Compressor(config=CompressionConfig(keep_ratio=keep, timeout_s=None, on_error="raise"), scorer=scorer, cache="memory")


def in_form(target: LocalTarget, form: Form, cache_bytes: int = 0) -> LocalTarget:
    """The target in another form, that has answered once, with a cache of its own."""
    other = replace(target, positions="original" if form == "positions" else "contiguous", readings=KeptReadings(0))
    answer(other, [ChatTurn("user", "Begin.")], 1)
    return replace_readings(other, cache_bytes)


def replace_readings(target: LocalTarget, cache_bytes: int) -> LocalTarget:
    """The target with another, empty cache; what it made of its tokenizer stays made."""
    other = replace(target, readings=KeptReadings(cache_bytes))
    other.__dict__["_prompts"] = target._prompts
    return other


def answer(target: LocalTarget, turns: Sequence[ChatTurn], tokens: int) -> Generation:
    """The likeliest answer of at most so many tokens."""
    return target.generate(turns, Sampling(max_new_tokens=tokens))


def rows_of(taken: Mapping[tuple[Any, ...], Sequence[Mapping[str, Any]]], names: Sequence[str], part: str) -> list[Row]:
    """One row for each key: its parts by `names`, and for every figure the list of its values, repetition by repetition."""
    return [
        {"part": part, **dict(zip(names, key, strict=True)), **{name: [one[name] for one in values] for name in values[0]}}
        for key, values in taken.items()
    ]
