"""The scorer's query: the last user turn, then the intent and the arguments of the calls whose outputs are new.

Pure text in, plain text out: values are written as they read, without quotes, braces or argument names. The length is
bounded so that a question stays a short pass; user turn and calls have a share each, so neither crowds out the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

QUERY_CHARS = 2_000
"""Of the whole query. Of a longer user turn without calls the end is kept, where the question usually stands."""
TASK_CHARS = 300
"""Of the user turn once there are calls: its start names the task; all of a long one would drown what the call asks for."""
CALLS_CHARS = 600
"""Of all calls together."""
INTENT_CHARS = 300
"""Of the assistant's text before one call; its end is kept, where the next step is announced."""
ARGUMENT_CHARS = 160
"""Of one argument value; its start is kept."""
LABEL_ARGUMENTS = 3
"""Values named where a call is only called by a name."""
ARGUMENTS = 16
"""Values read of one call, those inside lists and objects included."""

_NAME_BREAK = re.compile(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class CallContext:
    """What is known of a tool call: the assistant text that came with it (`intent`), the tool's name, its arguments."""

    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    intent: str = ""


_in_json = json.JSONEncoder(ensure_ascii=False).encode  # made once: every call of a conversation is labelled at every step


def build_query(user_text: str, calls: Sequence[CallContext]) -> str:
    """At most `QUERY_CHARS` characters: the user's text, then a line for each distinct intent and argument value.

    With calls the user's text is cut to its first `TASK_CHARS` characters.

    Texts and numbers count as argument values; true, false and null say nothing that an output could be searched for.
    A call with neither intent nor such values contributes its tool's name, as words.
    """
    lines = dict.fromkeys(line for call in calls for line in _lines(call))
    wanted = _head("\n".join(lines), CALLS_CHARS)
    asked = _head(user_text.strip(), TASK_CHARS) if wanted else _tail(user_text.strip(), QUERY_CHARS)
    return "\n".join(part for part in (asked, wanted) if part)


def call_label(call: CallContext) -> str:
    """A call as it reads in a program, such as `read_file("setup.py", 40)`: its tool, and the first of its argument values."""
    values = [_in_json(value) for value in islice(_values(call.arguments), LABEL_ARGUMENTS)]
    return f"{call.tool}({', '.join(_head(value, ARGUMENT_CHARS) for value in values)})"


def _lines(call: CallContext) -> list[str]:
    intent = _tail(" ".join(call.intent.split()), INTENT_CHARS)
    values = [_argument(value) for value in islice(_values(call.arguments), ARGUMENTS)]
    return [line for line in (intent, *values) if line] or [_NAME_BREAK.sub(" ", call.tool).strip()]


def _values(value: object) -> Iterator[object]:
    """The texts and numbers in `value`, depth first."""
    if isinstance(value, (str, int, float)):
        if not isinstance(value, bool):
            yield value
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _values(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _values(inner)


def _argument(value: object) -> str:
    return _head(" ".join(str(value)[: 4 * ARGUMENT_CHARS].split()), ARGUMENT_CHARS)


def _head(text: str, limit: int) -> str:
    """The first `limit` characters at most, without half a word where that costs little."""
    if len(text) <= limit:
        return text
    kept = text[:limit] if text[limit].isspace() else text[:limit].rsplit(None, 1)[0]
    return kept if len(kept) > limit // 2 else text[:limit]


def _tail(text: str, limit: int) -> str:
    """The last `limit` characters at most, without half a word where that costs little."""
    if len(text) <= limit:
        return text
    end = text[-limit:]
    kept = end if text[-limit - 1].isspace() else end.split(None, 1)[-1]
    return kept if len(kept) > limit // 2 else end
