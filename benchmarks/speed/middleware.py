"""What SpecPrefillMiddleware adds to a model call at which nothing is new: no scoring, all that was sent is sent again.

A conversation of so many messages, half of them tool outputs of source code, all decided on before. `held` is the process
that decided; `read_back` is another one, which has only the agent's state.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.speed.plan import Subject
from benchmarks.speed.text import questions, stdlib_text
from benchmarks.speed.timing import interleaved, milliseconds
from specprefill_agents import CompressionConfig, Compressor

OUTPUT_CHARS = 2_500


def middleware(subject: Subject) -> dict[str, Any]:
    """Part 9."""
    from langchain.agents.middleware.types import ModelResponse
    from langchain_core.messages import AIMessage

    from specprefill_langchain import SpecPrefillMiddleware

    sizes = subject.sizes
    # How the outputs were scored is not measured, so by what needs no draft.
    compressor = Compressor(config=CompressionConfig(scorer="bm25", min_result_tokens=0, target_tokenizer="o200k_base"), cache="memory")
    messages = _conversation(sizes.middleware_messages)
    sent: list[Any] = []

    def model(request: Any) -> Any:
        sent.append(request.messages)
        return ModelResponse(result=[AIMessage("done")])

    def call(asked: Callable[[], SpecPrefillMiddleware[Any, Any]], state: dict[str, Any]) -> Any:
        return asked().wrap_model_call(_request(messages, state), model)

    holder: SpecPrefillMiddleware[Any, Any] = SpecPrefillMiddleware(compressor)
    state = call(lambda: holder, {}).command.update
    others = iter([SpecPrefillMiddleware(compressor) for _ in range(sizes.middleware_repeats + 1)])
    variants = {
        "held": partial(call, lambda: holder, json.loads(json.dumps(state))),
        "read_back": partial(call, partial(next, others), state),
    }
    seconds = interleaved(variants, sizes.middleware_repeats)
    assert all(one == sent[0] for one in sent[1:])
    chars = [sum(len(message.content) for message in some) for some in (messages, sent[0])]
    return {
        "messages": len(messages),
        "outputs": sum(message.type == "tool" for message in messages),
        "chars": chars[0],
        "chars_sent": chars[1],
        "ms": {name: milliseconds(taken) for name, taken in seconds.items()},
        "seconds": seconds,
    }


def _conversation(count: int) -> list[Any]:
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

    text = stdlib_text(count * OUTPUT_CHARS)
    messages: list[Any] = [HumanMessage(questions()[0])]
    while len(messages) < count - 1:
        step = len(messages)
        messages.append(AIMessage("", tool_calls=[{"name": "read", "args": {"part": step}, "id": f"call-{step}"}]))
        messages.append(ToolMessage(text[step * OUTPUT_CHARS : (step + 1) * OUTPUT_CHARS], tool_call_id=f"call-{step}"))
    return [*messages, AIMessage("done")] if len(messages) < count else messages


def _request(messages: list[Any], state: dict[str, Any]) -> Any:
    from langchain.agents.middleware.types import ModelRequest
    from langchain_core.language_models import GenericFakeChatModel

    return ModelRequest(model=GenericFakeChatModel(messages=iter(())), messages=messages, state={"messages": messages, **state})
