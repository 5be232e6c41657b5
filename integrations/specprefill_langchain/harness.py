"""What an agent's harness, and no tool, wrote into a tool message: a person's answer, a placeholder, a notice. It passes as it is.

Known by what LangChain's own middleware leaves: `HumanInTheLoopMiddleware` and `ContextEditingMiddleware`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from langchain_core.messages import ToolMessage

from specprefill_agents.types import Span

NOTICE_CHARS = 4_000
"""Of the beginning of a text, in which a notice is looked for."""

_MARK = "Executed instead: "
# The first sentences are a setting, what follows them is not.
_NOTICE = re.compile(r".{0,1000}?\bExecuted instead: \S+ with arguments \{.*?\}\.(?:\n\nTool response:|\Z)", re.DOTALL)


def is_of_tool(message: ToolMessage) -> bool:
    """Whether a tool wrote the content: not so for a person who answered in its place, nor where the output was cleared."""
    editing = message.response_metadata.get("context_editing")
    is_cleared = editing is not None and isinstance(editing, Mapping) and bool(editing.get("cleared"))
    return not is_cleared and message.additional_kwargs.get("lc_source") != "hitl_interrupt_decision"


def notice_in(text: str) -> tuple[Span, ...]:
    """Where a text begins with the notice that a reviewer changed the call, the span of that; it must survive."""
    if text.find(_MARK, 0, NOTICE_CHARS) < 0:  # much quicker than the pattern, and every output is asked at every step
        return ()
    found = _NOTICE.match(text, 0, NOTICE_CHARS)
    return (found.span(),) if found else ()
