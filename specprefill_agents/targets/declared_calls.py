"""Reads tool calls out of answers of a model whose tokenizer declares how to (transformers' `response_template`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specprefill_agents.targets.tools import BrokenCall, ToolCall, ToolSpec


class DeclaredReader:
    """`tool_calls.CallReader`'s face over transformers' parser. Takes text with its control tokens.

    `prompt` is the text of the prompt, which may have begun the answer. What the parser cannot read is one broken call.
    """

    def __init__(self, tokenizer: Any, prompt: str, tools: Sequence[ToolSpec], *, single: bool = False) -> None:
        self.calls: list[ToolCall] = []
        self.broken: list[BrokenCall] = []
        self.reasoning = ""
        self._single = single
        self._unread = ""
        self._failed = False
        self._parser = tokenizer.get_response_parser(prefix=prompt, tools=[tool.as_function() for tool in tools])

    def push(self, text: str) -> str:
        """What is said, and no part of a call or of reasoning, by some more text of the answer."""
        self._unread += text
        return self._followed(lambda: self._parser.feed(text))

    def finish(self) -> str:
        """What is said by the text still held when the answer ends; a call that was cut off is broken."""
        said = self._followed(lambda: self._parser.finalize()[1])
        if self._failed:
            self.broken.append(BrokenCall(f"<tool_call>\n{self._unread.strip()}"))
        return said

    def _followed(self, events: Any) -> str:
        if self._failed:
            return ""
        try:
            return "".join(self._read(event) for event in events())
        except Exception:  # parsers are declared by the model's files and raise what they like; the text becomes a broken call
            self._failed = True
            return ""

    def _read(self, event: Mapping[str, Any]) -> str:
        if event["type"] == "region_close":
            self._unread = ""
            if event["field"] == "tool_calls":
                values = event["value"] if isinstance(event["value"], list) else [event["value"]]
                self.calls += [_call(value) for value in values][: 1 - len(self.calls) if self._single else None]
        if event["type"] != "region_chunk" or event["dirty"]:
            return ""
        if event["field"] != "content":
            self.reasoning += event["text"]
            return ""
        return str(event["text"])


def _call(value: Mapping[str, Any]) -> ToolCall:
    function = value.get("function", value)
    return ToolCall(str(function["name"]), dict(function.get("arguments") or {}))
