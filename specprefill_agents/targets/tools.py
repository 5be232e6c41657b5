"""Tools as a local model sees them: what each is, how a call is written, and what is said to a model whose template knows none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from specprefill_agents.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that a model may call. `parameters` is a JSON schema of an object; empty for a tool without arguments.

    Raises `ConfigError` for an empty name and for parameters that are no schema of an object.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError("tools.name", self.name, "a non-empty string")
        if not isinstance(self.parameters, Mapping) or self.parameters.get("type", "object") != "object":
            raise ConfigError(f"tools[{self.name!r}].parameters", self.parameters, "a JSON schema of type object")

    def as_function(self) -> dict[str, Any]:
        """The tool as chat templates expect it: name, description and parameters of a `function`."""
        schema = {"type": "object", "properties": {}, **self.parameters}
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": schema}}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of an assistant turn; `arguments` holds plain JSON types."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class BrokenCall:
    """What was meant as a tool call and cannot be read: cut off, or no JSON. `name` is None where none can be made out.

    `text` begins with `<tool_call>` whichever form the model used, so that nobody takes a part of it for arguments.
    """

    text: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class CallForm:
    """How a model writes its calls: `before`, the calls with `between` them, `after`; `arguments` is that key's name.

    `marker` is what the chat templates of such models contain.
    """

    marker: str
    before: str
    between: str
    after: str
    arguments: str = "arguments"

    def written(self, calls: Sequence[ToolCall]) -> str:
        """The calls as a model of this form would write them."""
        bodies = (json.dumps({"name": c.name, self.arguments: dict(c.arguments)}, ensure_ascii=False) for c in calls)
        return self.before + self.between.join(bodies) + self.after


TAGGED = CallForm("<tool_call>", "<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>")
FORMS = (TAGGED, CallForm("[TOOL_CALLS]", "[", ", ", "]"), CallForm('"parameters": ', "", "; ", "", arguments="parameters"))
"""Forms in the order in which a template's text is searched for their markers."""


def form_of(template: str) -> CallForm:
    """The form that the models of a chat template use; tagged where it shows none."""
    return next((form for form in FORMS if form.marker in template), TAGGED)


def tool_instructions(tools: Sequence[ToolSpec]) -> str:
    """What a model without tools in its template is told: each tool as one line of JSON, and how to call one."""
    lines = [json.dumps(tool.as_function()["function"], ensure_ascii=False) for tool in tools]
    example = '{"name": "<the tool\'s name>", "arguments": {<its arguments>}}'
    how = f"To call a tool, answer with its name and arguments in this form:\n{TAGGED.before}{example}{TAGGED.after}"
    return "\n".join(["You can call these tools:", *lines, how])


def schema_instructions(schema: Mapping[str, Any]) -> str:
    """What a model is told that shall answer by a JSON schema."""
    return f"Answer with one JSON object of this schema and nothing else:\n{json.dumps(schema, ensure_ascii=False)}"
