"""What compressing did and cost: on the answer, under `response_metadata["specprefill"]`, as a custom event, in the run's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from langchain_core.callbacks.manager import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langsmith.run_helpers import get_current_run_tree

from specprefill_agents.types import Usage

KEY = "specprefill"
"""Where the figures stand in an answer's `response_metadata`, and the name of the event."""

_Generation = TypeVar("_Generation", bound=ChatGeneration)


def figures_of(usage: Usage) -> dict[str, Any]:
    """The figures in JSON types: tokens of all tool outputs before and after, scorer time, cache hits, what went wrong."""
    return asdict(usage)


def marked(result: ChatResult, figures: Mapping[str, Any]) -> ChatResult:
    """The answer with its figures; what a model returned is not changed in place, it may hold on to it."""
    return result.model_copy(update={"generations": [_with_figures(generation, figures) for generation in result.generations]})


class Tail:
    """Puts the figures on the last chunk of a stream, without holding up the ones before it.

    Only a chunk that says it is the last waits for the next one, as some models add one more. Where none says so, the
    figures come in an empty one of their own, as LangChain itself ends such a stream.
    """

    def __init__(self, figures: Mapping[str, Any]) -> None:
        self._figures = figures
        self._latest: ChatGenerationChunk | None = None

    def after(self, chunk: ChatGenerationChunk) -> list[ChatGenerationChunk]:
        """What may go out now that `chunk` has come."""
        held = [self._latest] if self._latest and _says_it_is_last(self._latest) else []
        self._latest = chunk
        return held if _says_it_is_last(chunk) else [*held, chunk]

    def end(self) -> list[ChatGenerationChunk]:
        """What is left to go out; nothing of a stream that never began."""
        if self._latest is None:
            return []
        if _says_it_is_last(self._latest):
            return [_with_figures(self._latest, self._figures)]
        before = self._latest.message
        empty: str | list[str | dict[Any, Any]] = "" if isinstance(before.content, str) else []
        last = AIMessageChunk(content=empty, id=before.id, chunk_position="last")
        return [_with_figures(ChatGenerationChunk(message=last), self._figures)]


def tell(figures: Mapping[str, Any], config: RunnableConfig) -> None:
    """Send the event where `config` is of a run in progress; a model that is called alone has none around it."""
    if _is_within_run(config):
        dispatch_custom_event(KEY, dict(figures), config=config)


async def atell(figures: Mapping[str, Any], config: RunnableConfig) -> None:
    """As `tell`."""
    if _is_within_run(config):
        await adispatch_custom_event(KEY, dict(figures), config=config)


def note_in_trace(figures: Mapping[str, Any]) -> None:
    """Add the figures to the metadata of the LangSmith run in progress, where there is one."""
    run = get_current_run_tree()
    if run is not None:
        run.add_metadata({KEY: dict(figures)})


def _is_within_run(config: RunnableConfig) -> bool:
    return getattr(config.get("callbacks"), "parent_run_id", None) is not None


def _says_it_is_last(chunk: ChatGenerationChunk) -> bool:
    return getattr(chunk.message, "chunk_position", None) == "last"


def _with_figures(generation: _Generation, figures: Mapping[str, Any]) -> _Generation:
    message = generation.message
    metadata = {**message.response_metadata, KEY: dict(figures)}
    return generation.model_copy(update={"message": message.model_copy(update={"response_metadata": metadata})})
