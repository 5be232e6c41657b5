"""The `expand` tool for LlamaIndex: an agent asks for what compression left out, by the id in the gap mark."""

from __future__ import annotations

from typing import Any

from llama_index.core.bridge.pydantic import BaseModel, Field, ValidationError
from llama_index.core.tools import FunctionTool

from specprefill_agents.prompt.expand import ARGUMENTS, BAD_ARGUMENTS, DESCRIPTION, EXPAND_TOOL, MAX_CHARS, expand
from specprefill_agents.storage.originals import KeepsOriginals, Originals, originals_of


class ExpandArguments(BaseModel):
    """What a model gives."""

    id: str = Field(description=ARGUMENTS["id"])
    start_line: int | None = Field(default=None, description=ARGUMENTS["start_line"])
    end_line: int | None = Field(default=None, description=ARGUMENTS["end_line"])
    pattern: str | None = Field(default=None, description=ARGUMENTS["pattern"])
    start_char: int | None = Field(default=None, description=ARGUMENTS["start_char"])


def expand_tool(source: Originals | KeepsOriginals, *, max_chars: int = MAX_CHARS) -> FunctionTool:
    """The tool `expand` over `source`: originals, or a compressor that keeps them.

    Give it to the agent from the first request on: its name, description and arguments are constant, so it never moves
    the cached prefix. At most about `max_chars` characters of text come back at once. In an asynchronous run it works
    in a thread. Raises `ConfigError` when `source` keeps no originals.
    """
    originals = originals_of(source)

    def answer(**arguments: Any) -> str:
        try:
            asked = ExpandArguments.model_validate(arguments)
        except ValidationError:
            return BAD_ARGUMENTS
        return expand(
            originals, asked.id, asked.start_line, asked.end_line, asked.pattern, start_char=asked.start_char, max_chars=max_chars
        )

    return FunctionTool.from_defaults(answer, name=EXPAND_TOOL, description=DESCRIPTION, fn_schema=ExpandArguments)
