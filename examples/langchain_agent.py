"""A LangChain agent whose model reads its tools' outputs compressed, by one line: `middleware=[SpecPrefillMiddleware(...)]`.

    python examples/langchain_agent.py [--scorer bm25]

With DEEPSEEK_API_KEY set DeepSeek calls the tools and answers; without it both are scripted, and all else stays real.
"""

from __future__ import annotations

import argparse
import os
import queue
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage

from specprefill_agents import CompressionConfig, Compressor
from specprefill_langchain import SpecPrefillMiddleware, StepReport

QUESTION = "Which exception does queue.py raise when task_done() is called too many times?"
CALLS = [("grep", {"text": "raise", "name": "queue.py"}), ("read_file", {"name": "queue.py"})]
SCRIPT = [AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": tool}]) for tool, arguments in CALLS]


def read_file(name: str) -> str:
    """A source file of Python's standard library, such as queue.py."""
    return (Path(queue.__file__).parent / Path(name).name).read_text(encoding="utf-8")


def grep(text: str, name: str) -> str:
    """The numbered lines of a source file of Python's standard library that contain a text."""
    return "\n".join(f"{number}: {line}" for number, line in enumerate(read_file(name).splitlines(), 1) if text in line)


class Scripted(FakeMessagesListChatModel):
    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def show(step: StepReport) -> None:
    usage = step.result.usage
    print(f"{step.sent[-1].text}\n\n{len(step.sent)} messages, tool outputs {usage.original_tokens:,} -> {usage.kept_tokens:,} tokens\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scorer", default="fused", help="what ranks the lines; bm25 reads with no draft (default %(default)s)")
    compressor = Compressor(config=CompressionConfig(keep_ratio=0.1, scorer=parser.parse_args().scorer))
    scripted = Scripted(responses=[*SCRIPT, AIMessage("A ValueError. (This answer is scripted.)")])
    model = init_chat_model("deepseek:deepseek-flash") if os.environ.get("DEEPSEEK_API_KEY") else scripted
    agent = create_agent(model, [grep, read_file], middleware=[SpecPrefillMiddleware(compressor, on_step=show)])
    print(agent.invoke({"messages": [HumanMessage(QUESTION)]})["messages"][-1].text)
