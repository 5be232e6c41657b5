"""The `expand` tool for LlamaIndex: an agent asks for what compression left out, by the id in the gap mark."""

from __future__ import annotations

from typing import Any

from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.tools import FunctionTool

from specprefill_agents.prompt.expand import DESCRIPTION, EXPAND_TOOL, MAX_CHARS, PARAMETERS, answer
from specprefill_agents.storage.originals import KeepsOriginals, Originals, originals_of


class ExpandArguments(BaseModel):
    """What a model is told of the arguments; what it gives is read by `prompt.expand.answer`."""

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """The schema that all frameworks show."""
        return dict(PARAMETERS)


def expand_tool(source: Originals | KeepsOriginals, *, max_chars: int = MAX_CHARS) -> FunctionTool:
    """The tool `expand` over `source`: originals, or a compressor that keeps them.

    Give it to the agent from the first request on: its name, description and arguments are constant, so it never moves
    the cached prefix. At most about `max_chars` characters of text come back at once. In an asynchronous run it works
    in a thread. Raises `ConfigError` when `source` keeps no originals.
    """
    originals = originals_of(source)

    def call(**arguments: Any) -> str:
        return answer(originals, arguments, max_chars)

    return FunctionTool.from_defaults(call, name=EXPAND_TOOL, description=DESCRIPTION, fn_schema=ExpandArguments)
