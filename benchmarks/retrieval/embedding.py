"""The draft as a sentence embedding: the mean of its last hidden states. No model made for similarity can be had offline.

A weak embedding, so what it does for LlamaIndex's `SentenceEmbeddingOptimizer` is a lower bound.
"""

from __future__ import annotations

from typing import Any

import torch
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from specprefill_agents.draft.loading import Draft, load_draft

BATCH = 32


class DraftEmbedding(BaseEmbedding):
    """Mean last hidden state of each text under the draft `name`; texts seen since `forget()` are not read again."""

    _draft: Draft = PrivateAttr()
    _held: dict[str, list[float]] = PrivateAttr(default_factory=dict)

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(model_name=name, **settings)
        self._draft = load_draft(name)

    def forget(self) -> None:
        """Drop what was read."""
        self._held.clear()

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        new = [text for text in dict.fromkeys(texts) if text not in self._held]
        for first in range(0, len(new), BATCH):
            batch = new[first : first + BATCH]
            self._held.update(zip(batch, self._read(batch), strict=True))
        return [self._held[text] for text in texts]

    def _read(self, texts: list[str]) -> list[list[float]]:
        encoded = [self._draft.encode(text).ids[: self._draft.window] for text in texts]
        width = max(1, *(len(ids) for ids in encoded))
        ids = torch.zeros(len(texts), width, dtype=torch.long)
        mask = torch.zeros(len(texts), width, dtype=torch.long)
        for row, one in enumerate(encoded):
            ids[row, : len(one)] = torch.from_numpy(one)
            mask[row, : len(one)] = 1
        with torch.inference_mode():
            states = self._draft.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weights = mask.unsqueeze(-1)
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        return [[float(value) for value in row] for row in mean]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)
