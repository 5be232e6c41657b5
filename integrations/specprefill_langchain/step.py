"""One step over a list of messages: every adapter here sends what this module returns.

A part that fails leaves its round of tool outputs as they were, and an audit record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.tools import BaseTool

from specprefill_agents.accounting.tracking import PrefixReport
from specprefill_agents.compressor import Compressor
from specprefill_agents.session import stepping
from specprefill_agents.session.sessions import Steps
from specprefill_agents.types import CompressionResult
from specprefill_langchain.messages import put_back, rounds
from specprefill_langchain.parts import part_of

EVENT = "langchain"
"""What audit records of this package are events of."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """One model call: the messages it was asked with, the messages as `sent`, and what compressing them did and cost.

    `tools` and the `system` message are those that an agent keeps apart from its messages; they go out before them, as they
    are. `model` is the name of the model that is asked, "" where it has none. `conversation_id` is the one that the config
    names (`is_named`), else one that holds for this run of the agent; `arm` is the conversation's in an experiment. `prefix`
    compares the request with the one before it in the conversation; None where nobody looked.
    """

    messages: tuple[BaseMessage, ...]
    sent: tuple[BaseMessage, ...]
    result: CompressionResult
    tools: tuple[BaseTool | dict[str, Any], ...] = ()
    system: SystemMessage | None = None
    model: str = ""
    conversation_id: str = ""
    is_named: bool = False
    arm: str = ""
    prefix: PrefixReport | None = None


def compress_step(
    compressor: Compressor,
    session: Steps,
    messages: Sequence[BaseMessage],
    query: str | None = None,
    *,
    with_originals: bool = False,
    head: Sequence[str] = (),
) -> StepReport:
    """Compress the tool outputs among `messages`, each round with the query of its own time or with `query`.

    `with_originals` notes the whole texts on what is sent, for a model that reads them there (`prompt.original_notes`);
    `head` are texts that go out before the messages, and count towards `max_target_tokens`.
    Raises only where `compressor.config.on_error` is "raise".
    """
    put = partial(put_back, with_originals=with_originals)
    sent, result = stepping.compress_rounds(compressor, session, messages, partial(rounds, query=query), put, part_of, EVENT, head)
    return StepReport(tuple(messages), tuple(sent), result)


def failed(compressor: Compressor, what: str, error: Exception) -> CompressionResult:
    """The result of a part that failed, after leaving a record in the compressor's audit log."""
    return stepping.failed(compressor, EVENT, what, error)


def model_name(model: object) -> str | None:
    """What audit records call a chat model, which may have arguments bound to it; None for one that does not say."""
    model = getattr(model, "bound", model)
    names = (getattr(model, attribute, None) for attribute in ("model_name", "model", "model_id"))
    return next((name for name in names if isinstance(name, str) and name), None)
