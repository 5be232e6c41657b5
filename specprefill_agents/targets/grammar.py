"""What an answer may be: calls of some tools, JSON by a schema, or either; written down as a Lark grammar of llguidance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specprefill_agents.errors import ConfigError, missing_extra
from specprefill_agents.targets.tools import CallForm, ToolSpec

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
"""The schema of any JSON object."""

# One way to set white space, as json.dumps does: a model cannot fill its answer with blanks. What the compiler of schemas does not
# know (some formats) is not checked.
_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "lenient": True}
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "prefixItems")


@dataclass(frozen=True, slots=True)
class Grammar:
    """The answers that are allowed: calls of `tools`, one unless `several`, or JSON by the schema `answer`.

    An object whose schema lists its properties has no others, unless the schema says so. Raises `ConfigError` for a
    schema that cannot be followed (a `$ref` that leads nowhere, an unknown type) and when nothing is allowed at all,
    ImportError with the pip command when llguidance is missing.
    """

    tools: tuple[ToolSpec, ...] = ()
    answer: Mapping[str, Any] | None = None
    several: bool = False

    def __post_init__(self) -> None:
        if not self.tools and self.answer is None:
            raise ConfigError("grammar", self, "at least one tool, or a schema of the answer")
        for tool in self.tools:
            _check(f"tools[{tool.name!r}].parameters", tool.parameters)
        if self.answer is not None:
            _check("answer", self.answer)

    def lark(self, form: CallForm) -> str:
        """The grammar in Lark, the calls as a model of `form` writes them."""
        rules = []
        names = []
        for index, tool in enumerate(self.tools):
            names.append(f"call{index}")
            opening = f'{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "{form.arguments}": '
            rules.append(f'call{index}: {_literal(opening)} arguments{index} "}}"')
            rules.append(f"arguments{index}: {_json_rule({'type': 'object', 'properties': {}, **tool.parameters})}")
        allowed = ["answer"] if self.answer is not None else []
        if self.answer is not None:
            rules.append(f"answer: {_json_rule(self.answer)}")
        if names:
            allowed.append("calls")
            more = f" ({_literal(form.between)} call)*" if self.several else ""
            rules.append(f"calls: {_sequence(_literal(form.before), f'call{more}', _literal(form.after))}")
            rules.append(f"call: {' | '.join(names)}")
        return "\n".join([f"start: {' | '.join(allowed)}", *rules])


def closed(schema: Any) -> Any:
    """`schema` with `additionalProperties: false` for each object that lists its properties and says nothing of others."""
    if not isinstance(schema, Mapping):
        return schema
    copy = {key: _closed_part(key, value) for key, value in schema.items()}
    if "properties" in copy:
        copy.setdefault("additionalProperties", False)
    return copy


def _closed_part(key: str, value: Any) -> Any:
    if key in _MAPS and isinstance(value, Mapping):
        return {name: closed(part) for name, part in value.items()}
    if key in _LISTS and isinstance(value, list):
        return [closed(part) for part in value]
    return closed(value) if key in ("items", "additionalProperties") else value


def _json_rule(schema: Mapping[str, Any]) -> str:
    return "%json " + json.dumps({**closed(schema), "x-guidance": _STYLE})


def _literal(text: str) -> str:
    return json.dumps(text) if text else ""


def _sequence(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _check(field: str, schema: Mapping[str, Any]) -> None:
    try:
        from llguidance import LLMatcher
    except ImportError as error:
        raise missing_extra("Answers by a grammar", "draft") from error
    found: Sequence[str] = LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(f"start: {_json_rule(schema)}")).splitlines()
    if found:
        raise ConfigError(field, dict(schema), f"a JSON schema that can be followed ({found[0].partition('): ')[2] or found[0]})")
