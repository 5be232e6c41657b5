"""Drives LLMLingua inside its own environment. Imports nothing of this project.

Its installed source stays as it is. Two things happen around it: key-value caches are converted where it calls the model,
since it knows only those of transformers before 4.48; and a pass over text that it repeats for each budget of the same
request is done once. That changes its time and not its output, and the time spared is charged to each budget.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import torch
from answering import own_stdout, serve, share_of  # type: ignore[import-not-found]
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
    "llmlingua2": {"force_tokens": ["\n", "?"]},
}
"""Settings its documentation gives: none for LLMLingua, these for the others."""
PACKAGES = ("llmlingua", "torch", "transformers", "tokenizers")


class ListCaches:
    """The draft as LLMLingua calls it: caches are lists of (keys, values), one pair for each layer.

    Every layer keeps all its tokens, also where attention slides, so that LLMLingua may cut all of them at one position.
    Logits are float32, whatever the weights are: it takes losses from them.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, past_key_values: Any, use_cache: bool) -> Any:
        cache: Any = DynamicCache()
        for layer, (keys, values) in enumerate(past_key_values or ()):
            cache.update(keys, values, layer)
        answer = self._model(input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=use_cache)
        answer.past_key_values = [(layer.keys, layer.values) for layer in cache.layers]
        answer.logits = answer.logits.float()
        return answer


class OncePerText(PromptCompressor):  # type: ignore[misc]
    """LLMLingua, with the losses of passes without a past kept until `forget()`.

    Such passes rank the contexts and open the token-level loop; they do not depend on the budget. LLMLingua throws away
    the cache of the opening pass (the one with no `end`), so none is kept. `spared` counts the seconds saved.
    """

    _losses: dict[Any, tuple[torch.Tensor, float]] | None = None
    spared = 0.0

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
        if key in self._losses:
            self.spared += self._losses[key][1]
        else:
            started = time.perf_counter()
            answer = super().get_ppl(*arguments)
            self._losses[key] = answer[0] if return_kv else answer, time.perf_counter() - started
        loss = self._losses[key][0].clone()
        return (loss, None) if return_kv else loss


class Lingua:
    """One draft and one method."""

    def __init__(self, weights: str, method: str, dtype: str) -> None:
        config = {"trust_remote_code": False, "torch_dtype": getattr(torch, dtype)}
        self._is_second = method == "llmlingua2"
        self._compressor = OncePerText(weights, device_map="cpu", model_config=config, use_llmlingua2=self._is_second)
        if not self._is_second:
            self._compressor.model = ListCaches(self._compressor.model)
        self._settings = METHODS[method]
        self._seen: tuple[list[str], str] | None = None

    def __call__(self, request: dict[str, Any]) -> tuple[str, float]:
        """The contexts compressed to the share asked for of LLMLingua's own tokens, without the question that it appends."""
        contexts, question = request["contexts"], request["question"]
        if self._is_second:
            answer = self._compressor.compress_prompt(contexts, rate=share_of(request), **self._settings)
            return str(answer["compressed_prompt"]), 0.0
        if self._seen != (contexts, question):
            self._seen = (contexts, question)
            self._compressor.forget()
        self._compressor.spared = 0.0
        own_tokens = sum(self._compressor.get_token_length(text, False) for text in contexts)
        answer = self._compressor.compress_prompt(
            contexts, question=question, target_token=share_of(request) * own_tokens, concate_question=False, **self._settings
        )
        return str(answer["compressed_prompt"]), self._compressor.spared


def main() -> None:
    """Answer requests until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--method", required=True, choices=METHODS)
    options = parser.parse_args()
    pipe = own_stdout()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(0)
    serve(pipe, Lingua(options.weights, options.method, options.dtype), PACKAGES)


if __name__ == "__main__":
    main()
