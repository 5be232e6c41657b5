"""What a run measures and how large: on a processor, on a GPU, and to see whether it runs at all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Targets, prompt lengths in their tokens, keep ratios, and repetitions.

    `loop_cache_bytes` hold all that a loop reads: 8 GiB for 64k tokens of an 8B target in 16 bits. `answer_tokens` are those of
    an answer whose speed is measured, behind an output of `answer_after_tokens`.
    `memory_target` reads prompts of `memory_tokens` in passes of `prefill_tokens`, and `conversations` of which its cache of
    `cache_bytes` cannot hold all. `assistants` guess for the targets: of the same tokenizer, and of another.
    """

    targets: tuple[str, ...] = ("smollm2-135m", "random:360M")
    draft: str = "smollm2-135m"
    lengths: tuple[int, ...] = (1_024, 2_048, 4_096)
    keeps: tuple[float, ...] = (0.1, 0.3)
    repeats: int = 3
    steps: int = 10
    output_tokens: int = 600
    loop_keep: float = 0.3
    loop_repeats: int = 2
    loop_cache_bytes: int = 1 << 30
    answer_tokens: int = 96
    answer_after_tokens: int = 600
    answer_repeats: int = 3
    assistants: tuple[str, ...] = ("smollm2-135m",)
    memory_target: str = "random:mini"
    memory_tokens: int = 32_768
    prefill_tokens: tuple[int, ...] = (256, 1_024)
    conversations: int = 8
    conversation_tokens: int = 4_096
    cache_bytes: int = 32 << 20


PROCESSOR = Sizes()

GPU = Sizes(
    targets=("random:7B", "random:8B"),
    draft="random:0.5B",
    lengths=(8_192, 32_768, 65_536),
    steps=10,
    output_tokens=4_000,
    loop_cache_bytes=16 << 30,
    memory_target="random:8B",
    cache_bytes=4 << 30,
    conversation_tokens=16_384,
)
"""Needs some 60 GB of GPU memory, for two targets one after the other. Random weights accept no guesses: for the part `decoding`
pass `--targets` and `--assistants` of real ones."""

QUICK = Sizes(
    lengths=(256, 512),
    keeps=(0.3,),
    repeats=1,
    steps=3,
    output_tokens=400,
    loop_repeats=1,
    answer_tokens=8,
    answer_after_tokens=200,
    answer_repeats=1,
    memory_tokens=1_024,
    conversations=3,
    conversation_tokens=512,
    cache_bytes=1 << 20,
)
"""Does it run, not how fast."""


def measured_steps(steps: int) -> tuple[int, ...]:
    """The steps of a loop at which what keeps nothing between steps is measured: the first, a middle one and the last."""
    return tuple(sorted({1, (1 + steps) // 2, steps}))
