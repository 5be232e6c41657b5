"""Shadow comparison: would the model have done the same had it read everything? Asked on a sampled share of steps.

The model is asked a second time with the uncompressed messages, after the answer that counts is there; what it would have
done is compared and thrown away. That second call is paid for, so only guardrails with `drift.action_floor` ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from specprefill_agents.guardrails.guard import Guard


def is_shadowed(guard: Guard, conversation_id: str, messages: Sequence[BaseMessage]) -> bool:
    """Whether this step of a conversation is in the sampled share; the same in every process."""
    rules = guard.guardrails
    if guard.drift is None or rules is None or rules.drift.action_floor is None or guard.is_off:
        return False
    return guard.drift.is_sampled("action", conversation_id, str(len(messages)))


def next_action(answer: Sequence[BaseMessage]) -> list[str]:
    """What an agent would do next: the calls with their arguments, in any order; nothing for a final answer."""
    calls = [call for message in answer if isinstance(message, AIMessage) for call in message.tool_calls]
    return sorted(_call(call) for call in calls)


def _call(call: Any) -> str:
    return f"{call['name']} {json.dumps(call['args'], sort_keys=True, default=str)}"
