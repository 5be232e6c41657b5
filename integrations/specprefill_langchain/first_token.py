"""When the answer of a model call begins, seen as the model's callbacks see it. Nothing is seen of a call that does not stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables.config import var_child_runnable_config
from typing_extensions import override

from specprefill_agents.accounting.first_chunk import FirstChunk


class FirstToken(BaseCallbackHandler):
    """Measures the model call that began last: one that is tried again counts by its last try."""

    run_inline = True

    def __init__(self) -> None:
        self._watch: FirstChunk | None = None

    @property
    def ms(self) -> float | None:
        """Milliseconds from the call to the first piece of its answer; None where none was streamed."""
        return self._watch.ms if self._watch else None

    @override
    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """The clock starts."""
        self._watch = FirstChunk()

    @override
    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        """The first one stops it."""
        if self._watch:
            self._watch.came()


@contextmanager
def first_token_seen() -> Iterator[FirstToken]:
    """Within it, model calls that are given no config of their own are watched by what it gives, beside the callbacks of the context."""
    seen = FirstToken()
    config = var_child_runnable_config.get() or {}
    token = var_child_runnable_config.set({**config, "callbacks": _with(config.get("callbacks"), seen)})
    try:
        yield seen
    finally:
        var_child_runnable_config.reset(token)


def _with(callbacks: Any, handler: BaseCallbackHandler) -> Any:
    if isinstance(callbacks, BaseCallbackManager):
        more = callbacks.copy()
        more.add_handler(handler)
        return more
    return [*(callbacks or ()), handler]
