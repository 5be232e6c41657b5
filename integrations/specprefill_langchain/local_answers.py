"""A local target's answer, as its text comes -> LangChain's message chunks."""

from __future__ import annotations

import json
import uuid

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk

from specprefill_agents.targets.local import Generation
from specprefill_agents.targets.tool_calls import AnswerReader


class AnswerParts:
    """Makes the message chunks of one answer."""

    def __init__(self, reader: AnswerReader | None) -> None:
        self._reader = reader
        self._seen = 0

    def next(self, delta: str) -> AIMessageChunk | None:
        """The chunk for some more text; None while it may be a part of a call."""
        said = self._reader.push(delta) if self._reader else delta
        calls = self._new_calls()
        return AIMessageChunk(content=said, tool_call_chunks=calls) if said or calls else None

    def last(self, generation: Generation, model: str) -> AIMessageChunk:
        """What was still held, with usage and how the answer ended."""
        said = self._reader.finish() if self._reader else ""
        reasoning = self._reader.reasoning if self._reader else ""
        called = bool(self._reader and self._reader.calls)
        read, made = generation.prompt_tokens, generation.completion_tokens
        return AIMessageChunk(
            content=said,
            tool_call_chunks=self._new_calls(last=True),
            additional_kwargs={"reasoning_content": reasoning} if reasoning else {},
            usage_metadata=UsageMetadata(
                input_tokens=read,
                output_tokens=made,
                total_tokens=read + made,
                input_token_details=InputTokenDetails(cache_read=generation.cached_tokens),
            ),
            response_metadata={
                "model_name": model,
                "finish_reason": "tool_calls" if called else generation.finish_reason,
                "time_to_first_token_ms": generation.time_to_first_token_ms,
                "guessed_tokens": generation.guessed_tokens,
                "accepted_tokens": generation.accepted_tokens,
            },
            chunk_position="last",
        )

    def _new_calls(self, *, last: bool = False) -> list[ToolCallChunk]:
        """Chunks of the calls read since, and at the end of those that could not be read, as the text they are."""
        if self._reader is None:
            return []
        new = [(call.name, json.dumps(dict(call.arguments), ensure_ascii=False)) for call in self._reader.calls[self._seen :]]
        broken = [(call.name, call.text) for call in self._reader.broken] if last else []
        first, self._seen = self._seen, self._seen + len(new)
        # Nine letters and digits, since some chat templates refuse any other id.
        return [
            tool_call_chunk(name=name, args=arguments, id=uuid.uuid4().hex[:9], index=first + offset)
            for offset, (name, arguments) in enumerate([*new, *broken])
        ]
