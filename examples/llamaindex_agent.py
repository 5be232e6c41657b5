"""A LlamaIndex agent whose model reads its tools' outputs compressed, by one line: `SpecPrefillLLM(model, compressor)`.

    python examples/llamaindex_agent.py [--scorer bm25]

With DEEPSEEK_API_KEY set DeepSeek calls the tools and answers; without it both are scripted, and all else stays real.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import LLM, ChatMessage, MessageRole
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.mock import MockFunctionCallingLLM

from specprefill_agents import CompressionConfig, Compressor
from specprefill_llamaindex import SpecPrefillLLM, StepReport

QUESTION = "Which exception does queue.py raise when task_done() is called too many times?"
CALLS = [("grep", {"text": "raise", "name": "queue.py"}), ("read_file", {"name": "queue.py"})]
ANSWER = "A ValueError. (This answer is scripted.)"


def read_file(name: str) -> str:
    """A source file of Python's standard library, such as queue.py."""
    return (Path(queue.__file__).parent / Path(name).name).read_text(encoding="utf-8")


def grep(text: str, name: str) -> str:
    """The numbered lines of a source file of Python's standard library that contain a text."""
    return "\n".join(f"{number}: {line}" for number, line in enumerate(read_file(name).splitlines(), 1) if text in line)


def script() -> Iterator[ChatMessage]:
    """What the scripted model says, one message after the other."""
    for tool, arguments in CALLS:
        call = ToolSelection(tool_id=tool, tool_name=tool, tool_kwargs=arguments)
        yield ChatMessage("", role=MessageRole.ASSISTANT, additional_kwargs={"tool_calls": [call]})
    yield ChatMessage(ANSWER, role=MessageRole.ASSISTANT)


def chosen_model() -> LLM:
    """DeepSeek where there is a key for it, else the script. LlamaIndex knows neither the window nor the tools of new models."""
    if os.environ.get("DEEPSEEK_API_KEY"):
        from llama_index.llms.deepseek import DeepSeek

        deepseek: LLM = DeepSeek("deepseek-flash", context_window=1_000_000, is_function_calling_model=True)
        return deepseek
    said = script()
    return MockFunctionCallingLLM(response_generator=lambda *_, **__: next(said))


def show(step: StepReport) -> None:
    """Print what the model reads last, and how much it reads."""
    usage = step.result.usage
    print(f"{step.sent[-1].content}\n\n{len(step.sent)} messages, tool outputs {usage.original_tokens:,} -> {usage.kept_tokens:,} tokens\n")


async def main() -> None:
    """Ask the agent, and show each call of its model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scorer", default="fused", help="what ranks the lines; bm25 reads with no draft (default %(default)s)")
    compressor = Compressor(config=CompressionConfig(keep_ratio=0.1, scorer=parser.parse_args().scorer))
    agent: Any = FunctionAgent(llm=SpecPrefillLLM(chosen_model(), compressor, on_step=show), tools=[grep, read_file])
    print(await agent.run(QUESTION))


if __name__ == "__main__":
    asyncio.run(main())
