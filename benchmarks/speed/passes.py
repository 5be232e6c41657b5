"""Draft passes: index build against full and truncated forward passes; threads; window sizes.

Every variant reads the same windows of the same tokens, each behind the prefix. `index` is `KeyIndexScorer.read` whole:
tokenizer, forward pass, capture, quantization. `capture` is the forward pass with capture alone. `truncated` is a plain
pass over all blocks that the preset needs; since capture stops inside the last of them, `truncated_before_last` (one
block less) is the stricter measure of what capture adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.speed.plan import Subject
from benchmarks.speed.timing import interleaved, milliseconds, ratio
from specprefill_agents.draft.capture import HeadCapture
from specprefill_agents.draft.loading import Draft, choose_device, choose_dtype, load_draft
from specprefill_agents.scoring.key_index import WINDOW_TOKENS


def build(subject: Subject) -> dict[str, Any]:
    """Part 1, for float32 and for the dtype chosen by default where that is another."""
    default = str(choose_dtype(choose_device(subject.device))).removeprefix("torch.")
    return {"dtypes": {dtype: _build(subject, dtype) for dtype in dict.fromkeys(["float32", default])}, "default_dtype": default}


def _build(subject: Subject, dtype: str) -> dict[str, Any]:
    draft = subject.draft(dtype)
    full = load_draft(subject.name, with_head=True, device=subject.device, dtype=dtype)
    shallow = load_draft(subject.name, layers=max(1, subject.preset.layers - 1), device=subject.device, dtype=dtype)
    tokens = subject.sizes.build_tokens
    text = subject.text(draft, tokens)
    windows = _windows(subject, draft, text)
    scorer = subject.scorer(draft)
    variants: dict[str, Callable[[], object]] = {
        "full_all_logits": lambda: _forward(full, windows, logits_to_keep=0),
        "full_last_logits": lambda: _forward(full, windows, logits_to_keep=1),
        "truncated": lambda: _forward(draft, windows),
        "truncated_before_last": lambda: _forward(shallow, windows),
        "capture": lambda: _capture(subject, draft, windows),
        "index": lambda: scorer.read(text),
    }
    seconds = interleaved(variants, subject.sizes.build_repeats)
    return {
        "tokens": tokens,
        "window_tokens": WINDOW_TOKENS,
        "layers": [subject.preset.layers, full.model.config.num_hidden_layers],
        "tokens_per_s": {name: round(1000 * tokens / milliseconds(taken), 1) for name, taken in seconds.items()},
        "index_over_full_last_logits": ratio(seconds["full_last_logits"], seconds["index"]),
        "index_over_full_all_logits": ratio(seconds["full_all_logits"], seconds["index"]),
        "capture_cost": ratio(seconds["capture"], seconds["truncated"]),
        "capture_cost_strict": ratio(seconds["capture"], seconds["truncated_before_last"]),
        "seconds": seconds,
    }


def _windows(subject: Subject, draft: Draft, text: str) -> list[torch.Tensor]:
    prefix = torch.tensor(subject.preset.prefix_ids(draft.tokenizer), dtype=torch.long)
    parts = torch.from_numpy(draft.encode(text).ids).split(WINDOW_TOKENS)
    return [torch.cat([prefix, part]).unsqueeze(0).to(draft.device) for part in parts]


def _forward(draft: Draft, windows: Sequence[torch.Tensor], **arguments: int) -> None:
    with torch.inference_mode():
        for window in windows:
            draft.model(input_ids=window, use_cache=False, **arguments)


def _capture(subject: Subject, draft: Draft, windows: Sequence[torch.Tensor]) -> None:
    with HeadCapture(draft.model, subject.preset.heads, "key") as capture, torch.inference_mode():
        for window in windows:
            capture.run(window)


def threads(subject: Subject) -> dict[str, Any]:
    """Index build at each number of torch's threads, in the default dtype."""
    draft = subject.draft()
    scorer, text = subject.scorer(draft), subject.text(draft, subject.sizes.build_tokens)
    before = torch.get_num_threads()

    def with_threads(count: int) -> Callable[[], object]:
        def run() -> None:
            torch.set_num_threads(count)
            scorer.read(text)

        return run

    try:
        seconds = interleaved({str(count): with_threads(count) for count in subject.sizes.threads}, subject.sizes.build_repeats)
    finally:
        torch.set_num_threads(before)
    return _rates(subject, draft, seconds)


def windows(subject: Subject) -> dict[str, Any]:
    """Index build at each window size, in the default dtype."""
    draft = subject.draft()
    text = subject.text(draft, subject.sizes.build_tokens)
    scorers = {str(size): subject.scorer(draft, window_tokens=size) for size in subject.sizes.windows}

    def reading(size: str) -> Callable[[], object]:
        return lambda: scorers[size].read(text)

    return _rates(subject, draft, interleaved({size: reading(size) for size in scorers}, subject.sizes.build_repeats))


def _rates(subject: Subject, draft: Draft, seconds: dict[str, list[float]]) -> dict[str, Any]:
    tokens = subject.sizes.build_tokens
    rates = {name: round(1000 * tokens / milliseconds(taken), 1) for name, taken in seconds.items()}
    return {"tokens": tokens, "dtype": str(draft.dtype).removeprefix("torch."), "tokens_per_s": rates, "seconds": seconds}
