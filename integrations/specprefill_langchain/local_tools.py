"""What is bound to ChatLocal (`tools`, `tool_choice`, `response_format`) -> what its local target shall show and allow. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from specprefill_agents import ConfigError
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.grammar import ANY_OBJECT, Grammar
from specprefill_agents.targets.tools import ToolSpec, schema_instructions

_FREE = (None, False, "auto", "none")
_FORCED = (True, "any", "required")


@dataclass(frozen=True, slots=True)
class LocalRequest:
    """What one answer may use and must be. `schema` is told to the model, `grammar` holds the answer to it."""

    tools: tuple[ToolSpec, ...] = ()
    grammar: Grammar | None = None
    single: bool = False
    schema: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, bound: Mapping[str, Any]) -> LocalRequest:
        """Read the keyword arguments of a call. Raises `ConfigError` that names the argument, its value and what is allowed."""
        tools = tool_specs(bound.get("tools") or ())
        choice = _chosen(bound.get("tool_choice"), tools)
        parallel = bound.get("parallel_tool_calls")
        answer, told = _answer(bound.get("response_format"))
        if choice == "none":
            tools = ()
        forced = [tool for tool in tools if choice in (True, tool.name)]
        grammar = None
        if forced:
            grammar = Grammar(tuple(forced), several=parallel is True)
        elif answer is not None:
            grammar = Grammar(tools, answer, several=parallel is not False)
        return cls(tools, grammar, parallel is False, answer if told and not forced else None)

    def told(self, turns: Sequence[ChatTurn]) -> list[ChatTurn]:
        """The turns with the schema of the answer, if it is to be told, in the first system turn."""
        if self.schema is None:
            return list(turns)
        text = schema_instructions(self.schema)
        if turns and turns[0].role == "system":
            return [ChatTurn("system", f"{turns[0].content}\n\n{text}"), *turns[1:]]
        return [ChatTurn("system", text), *turns]


def tool_specs(tools: Sequence[Any]) -> tuple[ToolSpec, ...]:
    """Anything that LangChain takes for a tool, as specifications. Raises `ConfigError` for one without a name or an object's schema."""
    functions = [convert_to_openai_tool(tool)["function"] for tool in tools]
    return tuple(ToolSpec(f["name"], f.get("description") or "", f.get("parameters") or {}) for f in functions)


def _chosen(choice: Any, tools: Sequence[ToolSpec]) -> bool | str | None:
    """None or "none" for a free answer, True for a call of any tool, a tool's name for a call of that one."""
    given = choice
    if isinstance(choice, Mapping):
        function = choice.get("function")
        choice = (function if isinstance(function, Mapping) else choice).get("name") or choice.get("type")
    names = [tool.name for tool in tools]
    if choice in names:
        return str(choice)
    if isinstance(choice, (str, bool)) and choice in _FORCED and tools:
        return True
    if choice is None or (isinstance(choice, (str, bool)) and choice in _FREE):
        return "none" if choice == "none" else None
    allowed = (
        f"'auto', 'none', 'any', 'required' or the name of a bound tool: {', '.join(names)}" if names else "'auto' or 'none' without tools"
    )
    raise ConfigError("tool_choice", given, allowed)


def _answer(response_format: Any) -> tuple[Mapping[str, Any] | None, bool]:
    """The schema of the answer, None where it is free, and whether the model is told of it."""
    kind = response_format.get("type") if isinstance(response_format, Mapping) else response_format
    if kind is None or kind == "text":
        return None, False
    if kind == "json_object":
        return response_format.get("schema") or ANY_OBJECT, False
    named = response_format.get("json_schema") if kind == "json_schema" else None
    schema = named.get("schema") if isinstance(named, Mapping) else None
    if not isinstance(schema, Mapping):
        allowed = '{"type": "text"}, {"type": "json_object"} or {"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}'
        raise ConfigError("response_format", response_format, allowed)
    return schema, True
