"""The `expand` tool for LangChain: an agent asks for what compression left out, by the id in the gap mark."""

from __future__ import annotations

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from specprefill_agents.prompt.expand import ARGUMENTS, BAD_ARGUMENTS, DESCRIPTION, EXPAND_TOOL, MAX_CHARS, expand
from specprefill_agents.storage.originals import KeepsOriginals, Originals, originals_of


class ExpandArguments(BaseModel):
    """What a model gives."""

    id: str = Field(description=ARGUMENTS["id"])
    start_line: int | None = Field(default=None, description=ARGUMENTS["start_line"])
    end_line: int | None = Field(default=None, description=ARGUMENTS["end_line"])
    pattern: str | None = Field(default=None, description=ARGUMENTS["pattern"])
    start_char: int | None = Field(default=None, description=ARGUMENTS["start_char"])


def expand_tool(source: Originals | KeepsOriginals, *, max_chars: int = MAX_CHARS) -> BaseTool:
    """The tool `expand` over `source`: originals, or a compressor that keeps them.

    Give it to the agent from the first request on: its name, description and arguments are constant, so it never moves
    the cached prefix. At most about `max_chars` characters of text come back at once. In an asynchronous run it works
    in a thread. Raises `ConfigError` when `source` keeps no originals.
    """
    originals = originals_of(source)

    def answer(
        id: str,  # noqa: A002 (the model's word for it)
        start_line: int | None = None,
        end_line: int | None = None,
        pattern: str | None = None,
        start_char: int | None = None,
    ) -> str:
        return expand(originals, id, start_line, end_line, pattern, start_char=start_char, max_chars=max_chars)

    return StructuredTool.from_function(
        answer,
        name=EXPAND_TOOL,
        description=DESCRIPTION,
        args_schema=ExpandArguments,
        infer_schema=False,
        handle_validation_error=_bad_arguments,
    )


def _bad_arguments(_: object) -> str:
    return BAD_ARGUMENTS
