"""Drives LLMLingua inside its own environment: JSON lines in, JSON lines out. Imports nothing of this project.

Its installed source stays as it is. Two things happen around it: key-value caches are converted where it calls the model,
since it knows only those of transformers before 4.48; and a pass over text that it repeats for each budget of the same
request is done once, which changes its time and not its output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import metadata
from typing import Any, TextIO

import torch
from llmlingua import PromptCompressor  # type: ignore[import-not-found]
from transformers import DynamicCache

METHODS: dict[str, dict[str, Any]] = {
    "llmlingua": {},
    "longllmlingua": {
        "rank_method": "longllmlingua",
        "condition_in_question": "after_condition",
        "condition_compare": True,
        "reorder_context": "sort",
        "dynamic_context_compression_ratio": 0.3,
        "context_budget": "+100",
    },
}
"""Settings its documentation gives: none for LLMLingua, these for LongLLMLingua."""


class ListCaches:
    """The draft as LLMLingua calls it: caches are lists of (keys, values), one pair for each layer.

    Every layer keeps all its tokens, also where attention slides, so that LLMLingua may cut all of them at one position.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, past_key_values: Any, use_cache: bool) -> Any:
        cache: Any = DynamicCache()
        for layer, (keys, values) in enumerate(past_key_values or ()):
            cache.update(keys, values, layer)
        answer = self._model(input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=use_cache)
        answer.past_key_values = [(layer.keys, layer.values) for layer in cache.layers]
        return answer


class OncePerText(PromptCompressor):  # type: ignore[misc]
    """LLMLingua, with the losses of passes without a past kept until `forget()`.

    Such passes rank the contexts and open the token-level loop; they do not depend on the budget. LLMLingua throws away
    the cache of the opening pass (the one with no `end`), so none is kept.
    """

    _losses: dict[Any, torch.Tensor] | None = None

    def forget(self) -> None:
        """Drop the losses held."""
        self._losses = {}

    def get_ppl(
        self,
        text: str,
        granularity: str = "sentence",
        input_ids: Any = None,
        attention_mask: Any = None,
        past_key_values: Any = None,
        return_kv: bool = False,
        end: int | None = None,
        condition_mode: str = "none",
        condition_pos_id: int = 0,
    ) -> Any:
        """As LLMLingua's, from memory where the same was asked before."""
        arguments = (text, granularity, input_ids, attention_mask, past_key_values, return_kv, end, condition_mode, condition_pos_id)
        if self._losses is None or past_key_values is not None or end is not None:
            return super().get_ppl(*arguments)
        tokens = None if input_ids is None else tuple(input_ids[0].tolist())
        key = (text, tokens, granularity, condition_mode, condition_pos_id)
        if key not in self._losses:
            answer = super().get_ppl(*arguments)
            self._losses[key] = answer[0] if return_kv else answer
        loss = self._losses[key].clone()
        return (loss, None) if return_kv else loss


class Lingua:
    """One draft and one method."""

    def __init__(self, draft: str, method: str) -> None:
        self._compressor = OncePerText(draft, device_map="cpu", model_config={"trust_remote_code": False})
        self._compressor.model = ListCaches(self._compressor.model)
        self._settings = METHODS[method]
        self._seen: tuple[list[str], str] | None = None

    def compress(self, contexts: list[str], question: str, share: float) -> str:
        """`contexts` compressed to `share` of LLMLingua's own tokens, without the question that it appends."""
        if self._seen != (contexts, question):
            self._seen = (contexts, question)
            self._compressor.forget()
        own_tokens = sum(self._compressor.get_token_length(text, False) for text in contexts)
        answer = self._compressor.compress_prompt(
            contexts, question=question, target_token=share * own_tokens, concate_question=False, **self._settings
        )
        return str(answer["compressed_prompt"])


def answer(lingua: Lingua, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one request; what LLMLingua raises becomes an error in it."""
    started = time.perf_counter()
    text = error = None
    try:
        text = lingua.compress(request["contexts"], request["question"], request["budget_tokens"] / max(1, request["context_tokens"]))
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"[:300]
    return {"text": text, "error": error, "seconds": round(time.perf_counter() - started, 3)}


def own_stdout() -> TextIO:
    """The pipe to the caller. Whatever a library prints from here on goes to standard error."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return pipe


def main() -> None:
    """Answer requests until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draft", required=True)
    parser.add_argument("--method", required=True, choices=METHODS)
    options = parser.parse_args()
    pipe = own_stdout()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(0)
    lingua = Lingua(options.draft, options.method)
    versions = {name: metadata.version(name) for name in ("llmlingua", "torch", "transformers", "tokenizers")}
    print(json.dumps({"ready": versions}), file=pipe)
    for line in sys.stdin:
        print(json.dumps(answer(lingua, json.loads(line))), file=pipe)


if __name__ == "__main__":
    main()
