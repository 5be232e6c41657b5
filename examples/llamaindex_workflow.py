"""Two LlamaIndex agents, of which one hands over to the other what it found, with tool outputs compressed for both.

    python examples/llamaindex_workflow.py [--scorer bm25]

With DEEPSEEK_API_KEY set DeepSeek plays both; without it the calls and the answer are scripted, and all else stays real. What
was compressed for the first agent is sent to the second as it was, and not scored again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sched
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.llms import LLM, ChatMessage, MessageRole
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.mock import MockFunctionCallingLLM

from specprefill_agents import CompressionConfig, Compressor
from specprefill_llamaindex import SpecPrefillLLM, StepReport, expand_tool

LIBRARY = Path(sched.__file__).parent
QUESTION = "In Python's sched.py, what does run() do and return when blocking is False?"
CALLS = [
    ("find", {"text": "blocking"}),
    ("handoff", {"to_agent": "Reader", "reason": "sched.py is to be read"}),
    ("read_file", {"name": "sched.py"}),
]
ANSWER = "It runs what is due and returns the next deadline. (This answer is scripted.)"


def find(text: str) -> str:
    """The lines with a text in the source files of Python's standard library."""
    rows = []
    for path in sorted(LIBRARY.glob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        rows += [f"{path.name}:{number}: {line}" for number, line in enumerate(lines, 1) if text in line]
    return "\n".join(rows)


def read_file(name: str) -> str:
    """A source file of Python's standard library, such as sched.py."""
    return (LIBRARY / Path(name).name).read_text(encoding="utf-8")


def script() -> Iterator[ChatMessage]:
    """What the scripted model says, one message after the other."""
    for tool, arguments in CALLS:
        call = ToolSelection(tool_id=tool, tool_name=tool, tool_kwargs=arguments)
        yield ChatMessage("", role=MessageRole.ASSISTANT, additional_kwargs={"tool_calls": [call]})
    yield ChatMessage(ANSWER, role=MessageRole.ASSISTANT)


def chosen_model() -> LLM:
    """DeepSeek where there is a key for it, else the script."""
    if os.environ.get("DEEPSEEK_API_KEY"):
        from llama_index.llms.deepseek import DeepSeek

        deepseek: LLM = DeepSeek("deepseek-flash", context_window=1_000_000, is_function_calling_model=True)
        return deepseek
    said = script()
    return MockFunctionCallingLLM(response_generator=lambda *_, **__: next(said))


def show(step: StepReport) -> None:
    """Print what the model reads last, and how much it reads and had to be scored for it."""
    usage = step.result.usage
    print(f"{step.sent[-1].content}\n\n{step.sent[0].content}\nTool outputs {usage.original_tokens:,} -> {usage.kept_tokens:,} tokens\n")


async def main() -> None:
    """Let the agents work, and show each call of their model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scorer", default="fused", help="what ranks the lines; bm25 reads with no draft (default %(default)s)")
    compressor = Compressor(config=CompressionConfig(keep_ratio=0.2, scorer=parser.parse_args().scorer))
    llm, expand = SpecPrefillLLM(chosen_model(), compressor, on_step=show), expand_tool(compressor)
    agents: list[Any] = [
        FunctionAgent(
            name="Finder",
            description="Finds files.",
            system_prompt="You find the file, then hand over to the Reader.",
            tools=[find, expand],
            can_handoff_to=["Reader"],
            llm=llm,
        ),
        FunctionAgent(
            name="Reader",
            description="Reads files and answers.",
            system_prompt="You read the file, then answer.",
            tools=[read_file, expand],
            llm=llm,
        ),
    ]
    print(await AgentWorkflow(agents, root_agent="Finder").run(QUESTION))


if __name__ == "__main__":
    asyncio.run(main())
