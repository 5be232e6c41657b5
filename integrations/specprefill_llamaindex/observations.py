"""What a ReAct agent writes in words: the call of a tool in an assistant message, and its output in the message after it.

`ReActChatFormatter` renders both, with the role `user` for the output where nothing else is set. An output is known by
standing directly behind a call, and by its first word; so nothing that a user says is taken for one, unless it continues
such a call in exactly that form. What an agent renders otherwise is no tool output to this module, and stays whole.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock

from specprefill_agents.prompt.query import CallContext

OBSERVATION = "Observation: "

_ACTION = re.compile(r"Thought: (?P<thought>.*)\nAction: (?P<tool>[^\n]+)\nAction Input: (?P<arguments>\{[^\n]*\})", re.DOTALL)
_ROLES = frozenset({MessageRole.USER, MessageRole.TOOL, MessageRole.FUNCTION})


def action_in(message: ChatMessage) -> CallContext | None:
    """The call that an assistant message ends in; None where it holds anything else."""
    match = _ACTION.fullmatch(_only_text(message) or "")
    return CallContext(match["tool"], _arguments(match["arguments"]), match["thought"]) if match else None


def observation_in(message: ChatMessage) -> str | None:
    """The tool output in a message that follows a call; None where it is none."""
    text = _only_text(message) if message.role in _ROLES else None
    return text.removeprefix(OBSERVATION) if text and text.startswith(OBSERVATION) else None


def _only_text(message: ChatMessage) -> str | None:
    blocks = message.blocks
    return blocks[0].text if len(blocks) == 1 and isinstance(blocks[0], TextBlock) else None


def _arguments(written: str) -> Mapping[str, object]:
    """Arguments as the formatter writes them, which is how Python shows a dict; none where it shows no plain values."""
    try:
        value = ast.literal_eval(written)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
