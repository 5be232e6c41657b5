"""Contexts and question as one prompt of the draft, and where each context's tokens stand in it.

The texts are joined by blank lines and stand as one user message in the draft's chat template, when it has one. Only the
template's own control tokens are control tokens; whatever the texts spell is plain text.

Axes: S prompt tokens, T tokens of one context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.draft.loading import Draft
from specprefill_agents.errors import DraftError

SEPARATOR = "\n\n"

_FIXED_DATE = "{% macro strftime_now(format) %}1 January 2026{% endmacro %}"
"""Stands before a template that writes today's date, so that the same texts give the same scores on any day."""


@dataclass(frozen=True, slots=True)
class JointPrompt:
    """Token ids (S,) of a prompt; of each of its contexts the `places` (T,) in it and the character `offsets` (T, 2).

    A token that reaches over a context's border belongs to it with the part inside.
    """

    ids: NDArray[np.int64]
    places: tuple[NDArray[np.intp], ...]
    offsets: tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, slots=True)
class PromptFrame:
    """What stands around the joined texts: ids up to the last control token before them, text up to the texts, and back."""

    opening: tuple[int, ...]
    before: str
    after: str
    closing: tuple[int, ...]

    @classmethod
    def of(cls, draft: Draft) -> PromptFrame:
        """The frame of a draft. Raises `DraftError` when its chat template does not take a single user message."""
        tokenizer = draft.tokenizer
        if not tokenizer.chat_template:
            begin = tokenizer.bos_token_id
            return cls((begin,) if begin in tokenizer("", verbose=False)["input_ids"] else (), "", "", ())
        prefix, suffix = _around_a_message(draft)
        controls = {index for index, token in tokenizer.added_tokens_decoder.items() if not token.content.isspace()}
        ids, offsets = _encode(tokenizer, prefix)
        last = max((i + 1 for i, token in enumerate(ids) if token in controls), default=0)
        opening, before = tuple(ids[:last]), prefix[offsets[last - 1][1] if last else 0 :]
        ids, offsets = _encode(tokenizer, suffix)
        first = min((i for i, token in enumerate(ids) if token in controls), default=len(ids))
        return cls(opening, before, suffix[: offsets[first][0] if first < len(ids) else None], tuple(ids[first:]))

    def join(self, draft: Draft, contexts: Sequence[str], query: str) -> JointPrompt:
        """The prompt of `contexts`, in this order, with `query` behind them; an empty query is left out."""
        text = self.before + SEPARATOR.join([*contexts, *([query] if query else [])]) + self.after
        encoding = draft.encode(text)
        places, offsets = [], []
        start = len(self.before)
        for context in contexts:
            end = start + len(context)
            inside = np.flatnonzero((encoding.offsets[:, 0] < end) & (encoding.offsets[:, 1] > start))
            places.append(inside + len(self.opening))
            offsets.append(encoding.offsets[inside].clip(start, end) - start)
            start = end + len(SEPARATOR)
        ids = np.array([*self.opening, *encoding.ids, *self.closing], dtype=np.int64)
        return JointPrompt(ids, tuple(places), tuple(offsets))


def _around_a_message(draft: Draft) -> tuple[str, str]:
    """What the chat template writes before and after the text of a single user message."""
    tokenizer = draft.tokenizer
    template = str(tokenizer.get_chat_template())
    slot = next(name for name in (f"specprefill{n}slot" for n in range(len(template) + 1)) if name not in template)
    if "strftime_now" in template:
        template = _FIXED_DATE + template
    try:
        message = [{"role": "user", "content": slot}]
        rendered = str(tokenizer.apply_chat_template(message, chat_template=template, tokenize=False, add_generation_prompt=True))
    except Exception as error:  # a template raises whatever it likes
        raise DraftError(f"the chat template of draft {draft.name!r} takes no user message ({type(error).__name__}: {error})") from error
    if rendered.count(slot) != 1:
        raise DraftError(f"the chat template of draft {draft.name!r} writes a user message {rendered.count(slot)} times, not once")
    prefix, _, suffix = rendered.partition(slot)
    return prefix, suffix


def _encode(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids and character offsets of text that the template itself wrote, control tokens and all."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return list(encoded["input_ids"]), list(encoded["offset_mapping"])
