"""A LangChain chain whose model reads a long tool output compressed: `PromptCompressor(...) | model`.

    python examples/langchain_runnable.py [--scorer bm25]

With DEEPSEEK_API_KEY set DeepSeek answers; without it the embedded draft does, on this machine, as modestly as a model of
135 million parameters can.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from langchain.chat_models import init_chat_model
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from specprefill_agents import CompressionConfig, Compressor
from specprefill_langchain import ChatLocal, PromptCompressor

LICENSE = Path(__file__).parent.parent / "LICENSE"
QUESTION = "What must modified files carry when the work is redistributed?"


def conversation() -> list[BaseMessage]:
    """A question, the call of a tool that reads a file, the whole file, and what to do with it."""
    call = {"name": "read_file", "args": {"name": LICENSE.name}, "id": "call-1"}
    output = ToolMessage(LICENSE.read_text(encoding="utf-8"), tool_call_id="call-1")
    return [HumanMessage(QUESTION), AIMessage("", tool_calls=[call]), output, HumanMessage(f"Answer in one sentence: {QUESTION}")]


def main() -> None:
    """Compress the conversation, show what is sent, and let the model answer from that."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scorer", default="fused", help="what ranks the sentences; bm25 reads with no draft (default %(default)s)")
    compressor = Compressor(config=CompressionConfig(keep_ratio=0.1, scorer=parser.parse_args().scorer))
    # DeepSeek asks for its own reasoning with each call in thinking mode, and this call is not its own.
    settings: dict[str, Any] = {"extra_body": {"thinking": {"type": "disabled"}}}
    model = init_chat_model("deepseek:deepseek-flash", **settings) if os.environ.get("DEEPSEEK_API_KEY") else ChatLocal(max_tokens=48)
    messages = conversation()

    def show(sent: Any) -> Any:
        before, after = (compressor.counter.count(str(each[2].text)) for each in (messages, sent))
        print(f"{sent[2].text}\n\nTool output: {before:,} -> {after:,} tokens")
        return sent

    chain = PromptCompressor(compressor) | show | model
    print(f"Answer: {chain.invoke(messages).text}")


if __name__ == "__main__":
    main()
