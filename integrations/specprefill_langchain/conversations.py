"""Which conversation a call belongs to: the one that a config names, else one known by what it begins with and by its run."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from specprefill_agents.session.sessions import name_of


@dataclass(frozen=True, slots=True)
class Place:
    """A conversation: by `name` alone where a config names it, else by what it begins with, and by the `run` of the agent."""

    name: str
    run: str = ""

    @property
    def id(self) -> str:
        """One text for both."""
        return "/".join(filter(None, [self.name, self.run]))


def conversation_id(config: Mapping[str, Any]) -> str | None:
    """The conversation that a RunnableConfig names: `session_id`, else `thread_id`, of its `configurable`."""
    configurable = config.get("configurable") or {}
    found = configurable.get("session_id") or configurable.get("thread_id")
    return None if found is None else str(found)


def own_conversation_id(config: Mapping[str, Any]) -> str | None:
    """As `conversation_id`, but None within a graph in another one: the conversation that is named there is not its own."""
    return None if _is_nested(config) else conversation_id(config)


def place_of(config: Mapping[str, Any], known: Mapping[str, Any], messages: Sequence[BaseMessage]) -> Place:
    """The conversation that a call belongs to; what no config names is `known` from the state after the first call."""
    named = conversation_id(config)
    if named is not None and not _is_nested(config):
        return Place(named)
    # From the content, so that an experiment puts the same conversation into the same arm in every run.
    name = known.get("conversation_id") or "/".join(filter(None, [named, name_of(opening_of(messages))]))
    return Place(str(name), str(known.get("run") or uuid.uuid4().hex[:8]))


def _is_nested(config: Mapping[str, Any]) -> bool:
    """Whether a config is of an agent within another graph, such as one that a tool runs.

    It is handed the id of the conversation around it, which is not its own.
    """
    return "|" in str((config.get("configurable") or {}).get("checkpoint_ns") or "")


def opening_of(messages: Sequence[BaseMessage]) -> str:
    """What a conversation begins with after the system prompt, by which it is known where nobody named it."""
    return next((str(message.content) for message in messages if message.type != "system"), "")
