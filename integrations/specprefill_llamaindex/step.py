"""One step over a list of LlamaIndex messages, and what is told of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import ChatMessage

from specprefill_agents.accounting.tracking import PrefixReport
from specprefill_agents.compressor import Compressor
from specprefill_agents.session.sessions import Sessions, name_of
from specprefill_agents.session.stepping import compress_rounds
from specprefill_agents.types import CompressionResult
from specprefill_llamaindex.messages import opening_of, put_back, rounds
from specprefill_llamaindex.parts import part_of

EVENT = "llamaindex"
"""What audit records of this package are events of."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """One model call: the messages it was asked with, the messages as `sent`, and what compressing them did and cost.

    `tools` are described as they go out. `model` is the name of the model that is asked, "" where it has none.
    `conversation_id` names what the conversation begins with, as LlamaIndex names no conversations; `arm` is its arm in an
    experiment. `prefix` compares the request with the one before it in the conversation; None where nobody looked.
    `call_id` tells the call from every other.
    """

    messages: tuple[ChatMessage, ...]
    sent: tuple[ChatMessage, ...]
    result: CompressionResult
    tools: tuple[Any, ...] = ()
    model: str = ""
    conversation_id: str = ""
    arm: str = ""
    prefix: PrefixReport | None = None
    call_id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])


def compress_step(
    compressor: Compressor,
    sessions: Sessions,
    messages: Sequence[ChatMessage],
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
    opening = opening_of(messages)
    name = name_of(opening)
    session = sessions.get(None, opening)
    put = partial(put_back, with_originals=with_originals)
    sent, result = compress_rounds(compressor, session, messages, partial(rounds, query=query), put, part_of, EVENT, head)
    return StepReport(tuple(messages), tuple(sent), result, conversation_id=name, arm=compressor.guard.arm(name))
