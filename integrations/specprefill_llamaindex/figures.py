"""What compressing did and cost: beside an answer, under `additional_kwargs["specprefill"]`, and as an instrumentation event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, closing
from dataclasses import asdict
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, ChatResponseAsyncGen, ChatResponseGen
from llama_index_instrumentation import get_dispatcher

from specprefill_agents.accounting.first_chunk import FirstChunk
from specprefill_agents.types import Usage
from specprefill_llamaindex.events import CompressionEndEvent
from specprefill_llamaindex.step import StepReport

KEY = "specprefill"
"""Where the figures stand in an answer's `additional_kwargs`."""

_dispatcher = get_dispatcher(__name__)


def figures_of(usage: Usage) -> dict[str, Any]:
    """The figures in JSON types: tokens of all tool outputs before and after, scorer time, cache hits, what went wrong."""
    return asdict(usage)


def tell(step: StepReport, elapsed_ms: float) -> None:
    """Send LlamaIndex's handlers the event of a call that is about to be made."""
    _dispatcher.event(CompressionEndEvent.of([step.result], elapsed_ms, conversation_id=step.conversation_id))


def marked(response: ChatResponse, figures: Mapping[str, Any]) -> ChatResponse:
    """The answer with its figures; what a model returned is not changed in place, it may hold on to it."""
    return response.model_copy(update={"additional_kwargs": {**response.additional_kwargs, KEY: dict(figures)}})


def marked_stream(
    stream: ChatResponseGen, figures: Mapping[str, Any], first: FirstChunk, done: Callable[[ChatResponse | None], None]
) -> ChatResponseGen:
    """The stream with its figures in each part, as each holds all of the answer so far. Closing it closes `stream`.

    `first` sees it begin; `done` is told of the last part once the stream has ended by itself.
    """
    last = None
    with closing(_closable(stream)) as parts:
        for part in parts:
            first.came()
            last = part
            yield marked(part, figures)
    done(last)


async def amarked_stream(
    stream: ChatResponseAsyncGen, figures: Mapping[str, Any], first: FirstChunk, done: Callable[[ChatResponse | None], Awaitable[None]]
) -> ChatResponseAsyncGen:
    """As `marked_stream`."""
    last = None
    async with aclosing(_aclosable(stream)) as parts:
        async for part in parts:
            first.came()
            last = part
            yield marked(part, figures)
    await done(last)


def _closable(stream: Iterator[ChatResponse]) -> ChatResponseGen:
    """A generator over whatever iterator a model returned."""
    if hasattr(stream, "close"):
        return stream  # type: ignore[return-value]
    return (part for part in stream)


def _aclosable(stream: AsyncIterator[ChatResponse]) -> ChatResponseAsyncGen:
    if hasattr(stream, "aclose"):
        return stream  # type: ignore[return-value]
    return (part async for part in stream)
