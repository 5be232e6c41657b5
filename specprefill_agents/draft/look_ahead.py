"""Reading a prompt and a few greedily decoded tokens behind it, for the attention rows of both.

Rows as in speculative prefill (arXiv 2502.02789, section 3): the last prompt position, then every decoded token, all over
the prompt's keys alone. The prompt is read in passes of bounded length over one key/value cache; only the pass that holds
its last position gives a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from specprefill_agents.draft.attention_rows import AttentionRows, full_attention_layers
from specprefill_agents.draft.key_values import cache_argument, empty_cache
from specprefill_agents.draft.loading import Draft
from specprefill_agents.draft.output_rows import last_rows
from specprefill_agents.errors import ConfigError, DraftError

StepConsumer: TypeAlias = Callable[[int, int, Tensor], None]
"""Takes the index of a row, the index of a layer, and that layer's probabilities (H, T) over the T prompt tokens."""


@dataclass(frozen=True, slots=True)
class LookAhead:
    """How far a draft looks ahead: at most `rows` >= 1 rows (one of the prompt, the others of decoded tokens).

    `prefill_tokens` >= 1 bounds the length of one pass over the prompt, for memory. Raises `ConfigError` otherwise.
    """

    rows: int = 8
    prefill_tokens: int = 1024

    def __post_init__(self) -> None:
        for field, value in (("rows", self.rows), ("prefill_tokens", self.prefill_tokens)):
            if value < 1:
                raise ConfigError(field, value, "an integer >= 1")

    def check(self, draft: Draft) -> None:
        """Raise `DraftError` for a draft that `read` would refuse before it runs."""
        full_attention_layers(draft.model)
        if self.rows > 1 and not _has_head(draft):
            raise DraftError(f"looking ahead needs the output head of draft {draft.name!r}: load it with load_draft(name, with_head=True)")

    def read(self, draft: Draft, prompt: Tensor, consume: StepConsumer) -> int:
        """Number of rows given to `consume` for the token ids `prompt` (T,): fewer than `rows` when an end token comes.

        An end token itself is never read. Raises `DraftError` for a draft without an output head (unless `rows` is 1),
        and as `AttentionRows` does.
        """
        self.check(draft)
        ends = end_ids(draft)
        with AttentionRows(draft.model) as rows, torch.inference_mode():
            *earlier, step = prompt.to(draft.device)[None].split(self.prefill_tokens, dim=1)
            cache = cache_argument(draft.model, empty_cache(draft.model))
            for part in earlier:
                draft.model(**_arguments(draft, part), **cache)
            for index in range(self.rows):

                def take(layer: int, row: Tensor, index: int = index) -> None:
                    consume(index, layer, row[0])

                output = rows.run(len(prompt), take, **_arguments(draft, step), **cache)
                if index + 1 == self.rows:
                    break
                step = output.logits[:, -1].argmax(dim=-1, keepdim=True)
                if int(step) in ends:
                    break
        return index + 1


def _arguments(draft: Draft, part: Tensor) -> dict[str, Any]:
    """Those of a pass over the token ids `part` (1, T), with logits after the last of them where the draft has any."""
    logits = {"logits_to_keep": last_rows(1, part.shape[1], draft.device)} if _has_head(draft) else {}
    return {"input_ids": part, "use_cache": True, **logits}


def _has_head(draft: Draft) -> bool:
    return draft.model.get_output_embeddings() is not None


def end_ids(draft: Draft) -> frozenset[int]:
    """Ids of the tokens that end an answer: those of the generation configuration and the tokenizer's."""
    configured = getattr(getattr(draft.model, "generation_config", None), "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in [*listed, draft.tokenizer.eos_token_id] if token is not None)
