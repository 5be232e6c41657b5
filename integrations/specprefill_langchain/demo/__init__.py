"""The demo: a real agent loop over real files, its tool outputs compressed, its cost shown call by call.

Started by `specprefill demo` through the entry-point group `specprefill.demos`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.errors import GraphRecursionError
from rich.console import Console

from specprefill_agents import CompressionConfig, Compressor, Segment, SpecPrefillError
from specprefill_agents.observe.explain import Explanation
from specprefill_agents.observe.explain_page import render_page
from specprefill_agents.types import KeepRatio
from specprefill_langchain.chat_local import ChatLocal
from specprefill_langchain.demo.calls import Call, Calls
from specprefill_langchain.demo.heat_map import explain_read, longest_read
from specprefill_langchain.demo.model import DEEPSEEK_MODEL, ScriptedModel, deepseek_model
from specprefill_langchain.demo.screen import show_answer, show_call, show_facts, show_header, show_heat_map, show_opening, show_summary
from specprefill_langchain.demo.task import QUESTION, SYSTEM, FactCheck, check_facts, script
from specprefill_langchain.demo.tools import TOOLS
from specprefill_langchain.metering import Meter
from specprefill_langchain.middleware import SpecPrefillMiddleware
from specprefill_langchain.step import StepReport

MAX_MODEL_CALLS = 24
REMINDER = f"Answer from the results above, in a few sentences: {QUESTION}"


@dataclass(frozen=True, slots=True)
class Played:
    """A finished run: the model calls and what the last one was sent, the answer, and whether the lines that hold it were sent."""

    calls: tuple[Call, ...]
    last: StepReport
    answer: AIMessage
    facts: tuple[FactCheck, ...]


def run(*, keep_ratio: KeepRatio, draft: str, html: Path) -> int:
    """Run the demo with the embedded or any other draft, and write its heat map to `html`; the process's exit status.

    Raises `SpecPrefillError` when DeepSeek refuses or cannot be reached, `OSError` when the page cannot be written.
    """
    console = Console()
    compressor = Compressor(draft, CompressionConfig(keep_ratio=keep_ratio))
    deepseek = deepseek_model()
    model = deepseek or ScriptedModel(steps=script(), writer=ChatLocal(max_tokens=96), reminder=REMINDER)
    started = time.perf_counter()
    with console.status("the draft model is loaded"):
        compressor.compress([Segment(str(topics["with"]))], "with")
    share = "what stands out" if keep_ratio == "auto" else f"{keep_ratio:.0%}"
    loading = f"Draft: {compressor.draft}, loaded in {time.perf_counter() - started:.1f} s. It keeps {share} of each tool output."
    show_opening(console, QUESTION, [*_what_is_real(deepseek is not None), loading])
    try:
        played = play(console, compressor, model, "DeepSeek" if deepseek else "the local model smollm2-135m")
    except Exception as error:
        if not type(error).__module__.startswith("openai"):
            raise
        raise SpecPrefillError(f"DeepSeek did not answer. Unset DEEPSEEK_API_KEY for the scripted demo. {error}") from error
    with console.status("the heat map is drawn"):
        explanation = draw(played, compressor, html)
    show_heat_map(console, explanation, html)
    return 0


def play(
    console: Console,
    compressor: Compressor,
    model: BaseChatModel,
    writer: str,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> Played:
    """Ask `model` the question in an agent whose tool outputs go through `compressor`, and show every call."""
    calls = Calls()
    ledger = Meter(compressor.counter, calls.answered, model=DEEPSEEK_MODEL, now=now)
    middleware: list[Any] = [SpecPrefillMiddleware(compressor, on_step=calls.asked, ledger=ledger)]
    agent = create_agent(model, list(TOOLS), system_prompt=SYSTEM, middleware=middleware)
    started = time.perf_counter()
    show_header(console)
    with console.status("") as status:
        for answer in _answers(agent):
            show_call(console, len(calls.all), calls.all[-1])
            status.update(_doing(answer, len(calls.all)))
    report = calls.last
    assert report is not None  # the agent has asked at least once, or it has raised
    facts = check_facts(report.messages, report.sent)
    show_summary(console, calls.all, DEEPSEEK_MODEL, now(), time.perf_counter() - started)
    show_facts(console, facts)
    show_answer(console, answer, writer, calls.all[-1].target_ms)
    return Played(tuple(calls.all), report, answer, tuple(facts))


def draw(played: Played, compressor: Compressor, html: Path) -> Explanation | None:
    """Write the page of the longest tool output that was shortened; None, and no page, where none was as configured."""
    read = None if any(call.fallback_reason for call in played.calls) else longest_read(played.last)
    if read is None:
        return None
    explanation = explain_read(read, compressor)
    html.write_bytes(render_page(explanation).encode("utf-8"))
    return explanation


def _answers(agent: Any) -> Iterator[AIMessage]:
    """The model's messages as they come; no more than `MAX_MODEL_CALLS`."""
    updates = agent.stream({"messages": [HumanMessage(content=QUESTION)]}, {"recursion_limit": 2 * MAX_MODEL_CALLS}, stream_mode="updates")
    with suppress(GraphRecursionError):
        for update in updates:
            messages = [message for node in update.values() for message in (node or {}).get("messages", [])]
            yield from (message for message in messages if isinstance(message, AIMessage))


def _what_is_real(driven_by_deepseek: bool) -> list[str]:
    if driven_by_deepseek:
        return [f"Model: {DEEPSEEK_MODEL} decides on every tool call and writes the answer (DEEPSEEK_API_KEY is set)."]
    return [
        "Scripted: which tools are called. Set DEEPSEEK_API_KEY to let DeepSeek drive the whole loop.",
        "Real: the tools and their files, the scores, the compression, the messages sent, the prices.",
        "The answer is written by a local model of 135M parameters from those messages; expect it to be modest.",
    ]


def _doing(message: AIMessage, number: int) -> str:
    """What is going on after the latest message."""
    if message.tool_calls:
        return f"call {number + 1}: the draft reads what {message.tool_calls[0]['name']} found, then the model is asked"
    return f"call {number + 1}"
