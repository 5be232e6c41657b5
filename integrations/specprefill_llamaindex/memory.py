"""Memory block: what earlier tool results say about the current question, after they left the short-term memory.

Holds whole texts and decides anew for each question; how a text is scored, cut and rendered is the core's business.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.bridge.pydantic import BaseModel, Field, PrivateAttr
from llama_index.core.memory.memory import BaseMemoryBlock
from llama_index_instrumentation import get_dispatcher

from specprefill_agents import CompressedSegment, CompressionConfig, Compressor, Segment
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.prompt.expand import EXPAND_TOOL
from specprefill_agents.prompt.query import CallContext, build_query, call_label
from specprefill_agents.storage.forking import RestartingPool
from specprefill_agents.storage.originals import Originals
from specprefill_llamaindex.events import CompressionEndEvent, CompressionStartEvent
from specprefill_llamaindex.messages import TOOL_ROLES, calls_in, tool_call_id
from specprefill_llamaindex.threads import in_thread

logger = logging.getLogger(__name__)
dispatcher = get_dispatcher(__name__)

HEADINGS_SHARE = 0.25
"""Of the token limit that the texts' headings may take; the oldest texts that would go beyond it are not shown."""
ATTEMPTS = 3
"""Smaller budgets that are tried where the parts fit the limit and all of them together do not."""


class HeldText(BaseModel):
    """A text that left the short-term memory, and what it is called: the call that made it, or who wrote it."""

    label: str
    text: str


class SpecPrefillMemoryBlock(BaseMemoryBlock[str]):
    """Keeps tool results, and other texts of at least `long_text_tokens`, and shows of them what the newest user message asks for.

    Give a `compressor`, or the `draft` and `config` to make one from. What is shown takes at most `token_limit` target
    tokens, headings included; where all texts fit it, they are shown whole. Where something of a text is left out, a gap
    mark or the text's heading names the id under which `expand_tool(block)` brings all of it back. The same texts and
    question give the same bytes. When a part fails, the newest texts that fit are shown whole, unless `config.on_error` is
    "raise". Of equal texts under one label one is held; beyond `max_texts` the oldest are forgotten.

    What is shown changes with the question. With the default `insert_method` of `Memory` it stands in the system message,
    at the start of what a provider caches: `InsertMethod.USER` puts it beside the question instead.

    `model_dump` and pickling take the texts along, with draft and config in place of the compressor.
    `Memory.to_dict` keeps no block's own fields. Raises `ConfigError` or `UnknownDraftError` at construction.
    """

    name: str = Field(default="EarlierToolResults", description="The name of the memory block.")
    draft: str = Field(default=DEFAULT_DRAFT, description="Name of the local draft model.", frozen=True)
    config: CompressionConfig = Field(default_factory=CompressionConfig, description="Settings of the compressor.", frozen=True)
    token_limit: int = Field(default=2_000, ge=1, description="At most so many target tokens are shown.")
    long_text_tokens: int = Field(default=384, ge=0, description="Texts that are no tool result are held from this length on.")
    max_texts: int = Field(default=200, ge=1, description="At most so many texts are held.")
    texts: list[HeldText] = Field(default_factory=list, description="What is held, the oldest first.")

    _compressor: Compressor = PrivateAttr()
    _edge: RestartingPool = PrivateAttr(default_factory=lambda: RestartingPool(thread_name_prefix="specprefill-memory"))
    _question: str = PrivateAttr(default="")

    def __init__(
        self,
        compressor: Compressor | None = None,
        *,
        draft: str = DEFAULT_DRAFT,
        config: CompressionConfig | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        settings = config if isinstance(config, CompressionConfig) else CompressionConfig.from_dict(config or {})
        made = compressor or Compressor(draft, settings)
        super().__init__(draft=made.draft, config=made.config, **fields)
        self._compressor = made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).model_validate, (self.model_dump(mode="json"),)

    @property
    def originals(self) -> Originals | None:
        """Where whole texts are kept, for `expand_tool`; None with `config.originals` off."""
        return self._compressor.originals

    async def _aput(self, messages: list[ChatMessage]) -> None:
        called = {call_id: call for message in messages for call_id, call in calls_in(message).items()}
        for message in messages:
            call = called.get(tool_call_id(message) or "", CallContext())
            text = message.content or ""
            is_result = message.role in TOOL_ROLES
            if not text.strip() or call.tool == EXPAND_TOOL:
                continue
            if is_result or self._compressor.counter.count(text) >= self.long_text_tokens:
                label = call_label(call) if call.tool else "tool result" if is_result else message.role.value
                held = HeldText(label=label, text=text)
                self.texts = [*(other for other in self.texts if other != held), held][-self.max_texts :]

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        asked = next((message.content for message in reversed(messages or []) if message.role == MessageRole.USER), None)
        self._question = build_query(asked or "", [])
        return await self._in_worker(self.token_limit)

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """What is shown, for the same question, in so many tokens fewer; None where no text is left."""
        limit = self._compressor.counter.count(content) - tokens_to_truncate
        return await self._in_worker(limit) or None if limit > 0 else None

    async def _in_worker(self, limit: int) -> str:
        return await in_thread(self._edge, self._shown_or_whole, tuple(self.texts), self._question, limit)

    def _shown_or_whole(self, texts: Sequence[HeldText], question: str, limit: int) -> str:
        try:
            return self._shown(texts, question, limit)
        except Exception as error:
            if self.config.on_error == "raise":
                raise
            reason = f"the newest texts are shown whole: {type(error).__name__}"
            self._compressor.audit.record("llamaindex", {"fallback_reason": reason})
            logger.warning("the newest texts are shown whole", exc_info=True)
            return self._newest_whole(texts, limit)

    def _shown(self, texts: Sequence[HeldText], question: str, limit: int) -> str:
        """The newest of `texts` in at most `limit` target tokens: whole, or what `question` needs of them."""
        count = self._compressor.counter.count
        whole = _joined((held.label, held.text) for held in texts)
        if count(whole) <= limit:
            return whole
        texts = self._with_headings_that_fit(texts, limit)
        tokens = sum(count(held.text) for held in texts)
        room = limit - sum(count(self._heading(held)) + 2 for held in texts)
        for _ in range(ATTEMPTS):
            if not 0 < room < tokens:
                break
            shown = self._compressed(texts, question, room / tokens)
            excess = count(shown) - limit
            if excess <= 0:
                return shown
            room -= excess
        return self._newest_whole(texts, limit)

    def _compressed(self, texts: Sequence[HeldText], question: str, keep_ratio: float) -> str:
        compressor = self._compressor.cutting_all(keep_ratio)
        dispatcher.event(CompressionStartEvent.of(compressor, len(texts)))
        started = time.perf_counter()
        result = compressor.compress([Segment(held.text, "tool_result", call=held.label) for held in texts], question)
        dispatcher.event(CompressionEndEvent.of([result], 1000 * (time.perf_counter() - started)))
        return _joined((self._heading(held, one), one.text) for held, one in zip(texts, result.segments, strict=True))

    def _newest_whole(self, texts: Sequence[HeldText], limit: int) -> str:
        """The newest texts that fit `limit` whole, where they cannot be cut."""
        for first in range(len(texts)):
            shown = _joined((held.label, held.text) for held in texts[first:])
            if self._compressor.counter.count(shown) <= limit:
                return shown
        return ""

    def _with_headings_that_fit(self, texts: Sequence[HeldText], limit: int) -> Sequence[HeldText]:
        count, room = self._compressor.counter.count, HEADINGS_SHARE * limit
        for first in range(len(texts)):
            if sum(count(self._heading(held)) for held in texts[first:]) <= room:
                return texts[first:]
        return texts[-1:]

    def _heading(self, held: HeldText, one: CompressedSegment | None = None) -> str:
        """The text's label, with the id of all of it where no gap mark names that."""
        is_said = one is not None and (one.original_id or one.outcome != "compressed")
        if is_said or self.originals is None:
            return held.label
        note = self.config.original_note.format(id=self.originals.put(held.text))
        return f"{held.label} {self.config.text_mark.format(original=note)}"


def _joined(parts: Iterable[tuple[str, str]]) -> str:
    return "\n\n".join(f"{heading}\n{text}".rstrip() for heading, text in parts)
