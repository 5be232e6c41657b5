"""What a run measures and how large; the one scorer that its parts share."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.speed.text import stdlib_text
from benchmarks.speed.timing import first_tokens
from specprefill_agents.draft.loading import Draft, load_config, load_draft
from specprefill_agents.scoring.key_index import WINDOW_TOKENS, KeyIndexScorer
from specprefill_agents.scoring.presets import HeadPreset, preset_for
from specprefill_agents.storage.layered import ScorerCaches

CHARS_PER_TOKEN = 12
"""More characters than a token has, so that enough text is at hand; a byte tokenizer has one."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Token counts (of the draft) and repetitions of each part; of `splitting` the shares of full length that are measured."""

    build_tokens: int = 2_048
    build_repeats: int = 5
    question_tokens: int = 32_768
    question_contexts: int = 8
    question_repeats: int = 3
    questions_each: int = 5
    outside_tokens: tuple[int, ...] = (5_000, 10_000, 20_000, 40_000)
    outside_repeats: int = 7
    growth_tokens: tuple[int, ...] = (2_048, 4_096, 8_192, 16_384, 32_768, 65_536)
    threads: tuple[int, ...] = (1, 2)
    windows: tuple[int, ...] = (256, 512, 1_024)
    splitting_shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    splitting_repeats: int = 3
    steps: int = 40
    step_tokens: int = 2_000
    step_repeats: int = 5
    middleware_messages: int = 200
    middleware_repeats: int = 50
    conversations: int = 200
    conversation_outputs: int = 1
    conversation_chars: int = 800


QUICK = Sizes(
    build_tokens=1_024,
    build_repeats=2,
    question_tokens=2_048,
    question_contexts=4,
    question_repeats=1,
    questions_each=3,
    outside_tokens=(1_000, 2_000, 4_000),
    outside_repeats=3,
    growth_tokens=(1_024, 2_048, 4_096),
    splitting_shares=(0.01, 0.02, 0.04),
    splitting_repeats=1,
    steps=6,
    step_tokens=200,
    step_repeats=2,
    middleware_messages=20,
    middleware_repeats=2,
    conversations=4,
    conversation_chars=400,
)


@dataclass(frozen=True)
class Subject:
    """The draft under measurement, where it runs, and the sizes."""

    name: str
    device: str
    preset: HeadPreset
    sizes: Sizes

    @classmethod
    def of(cls, name: str, device: str, sizes: Sizes) -> Subject:
        """A draft by name. Raises `DraftError` when it is absent or has no preset."""
        return cls(name, device, preset_for(load_config(name)), sizes)

    def draft(self, dtype: str = "auto") -> Draft:
        """The draft as deep as its preset needs."""
        return load_draft(self.name, layers=self.preset.layers, device=self.device, dtype=dtype)

    def scorer(self, draft: Draft, caches: ScorerCaches | None = None, window_tokens: int = WINDOW_TOKENS) -> KeyIndexScorer:
        """The key index on a loaded draft."""
        return KeyIndexScorer(draft, self.preset, caches, window_tokens)

    def text(self, draft: Draft, tokens: int) -> str:
        """Text of so many tokens."""
        return first_tokens(draft, stdlib_text(CHARS_PER_TOKEN * tokens), tokens)
