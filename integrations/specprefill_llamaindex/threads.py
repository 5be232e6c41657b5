"""Work of an asynchronous call in a thread of one's own, so that neither the event loop nor its threads wait for a model."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from typing_extensions import ParamSpec

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


async def in_thread(executor: Executor, call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
    """The result of `call`, made by `executor` in the context of the caller. Where that is cancelled, what has begun goes on."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: context.run(call, *args, **kwargs))
