"""A LangGraph graph that stops, and goes on in another process with the same prefix: decisions need no store of their own.

    python examples/langgraph_resume.py [--scorer bm25]

Needs `pip install langgraph-checkpoint-sqlite`. A first process asks about one file, reads the next, and stops; this one takes
the graph up from the SQLite database. With DEEPSEEK_API_KEY set DeepSeek answers; without it the embedded draft does, on this
machine, as modestly as a model of 135 million parameters can.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from langchain.chat_models import init_chat_model
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage, convert_to_openai_messages
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from specprefill_agents import CompressionConfig, Compressor
from specprefill_langchain import ChatLocal, PromptCompressor

QUESTIONS = {
    Path(__file__).parent.parent / "LICENSE": "What must modified files carry when the work is redistributed?",
    Path(queue.__file__): "Which exception is raised when task_done() is called too many times?",
}
THREAD: Any = {"configurable": {"thread_id": "example"}}


class Asked(MessagesState):
    """The conversation, whole, and the last request as it was sent."""

    sent: str


def read(state: Asked) -> dict[str, Any]:
    """The next question, and the whole file that it is about."""
    number = sum(message.type == "tool" for message in state["messages"])
    path, question = list(QUESTIONS.items())[number]
    call = {"name": "read_file", "args": {"name": path.name}, "id": f"call-{number}"}
    output = ToolMessage(path.read_text(encoding="utf-8"), tool_call_id=call["id"])
    return {"messages": [HumanMessage(question), AIMessage("", tool_calls=[call]), output, HumanMessage(f"Answer briefly: {question}")]}


def graph(compressor: Compressor, saver: SqliteSaver) -> Any:
    """A graph that reads and answers in turn, and stops before each answer."""
    shorter = PromptCompressor(compressor)
    # DeepSeek asks for its own reasoning with each call in thinking mode, and the calls here are the graph's.
    settings: dict[str, Any] = {"extra_body": {"thinking": {"type": "disabled"}}}
    model = init_chat_model("deepseek:deepseek-flash", **settings) if os.environ.get("DEEPSEEK_API_KEY") else ChatLocal(max_tokens=24)

    def answer(state: Asked) -> dict[str, Any]:
        sent: Any = shorter.invoke(state["messages"])
        before, after = (sum(compressor.counter.count(str(m.text)) for m in each if m.type == "tool") for each in (state["messages"], sent))
        print(f"{sent[-2].text}\n\nTool outputs: {before:,} -> {after:,} tokens")
        return {"messages": [model.invoke(sent)], "sent": json.dumps(convert_to_openai_messages(sent))}

    built = StateGraph(Asked)
    built.add_node("read", read)
    built.add_node("answer", answer)
    built.add_edge(START, "read")
    built.add_edge("read", "answer")
    built.add_conditional_edges("answer", lambda state: END if len(state["messages"]) == 5 * len(QUESTIONS) else "read")
    return built.compile(checkpointer=saver, interrupt_before=["answer"])


def begin(asking: Any) -> None:
    """Answer the first question, and stop before the second."""
    asking.invoke({"messages": []}, THREAD)
    asking.invoke(None, THREAD)


def resume(asking: Any) -> None:
    """Answer the second, and compare what was sent with what the first process sent."""
    earlier = asking.get_state(THREAD).values["sent"]
    ended = asking.invoke(None, THREAD)
    prefix = earlier.removesuffix("]")
    assert ended["sent"].startswith(prefix), "the prefix has moved"
    print(f"Sent again, byte for byte, in another process: {len(prefix.encode()):,} of {len(ended['sent'].encode()):,} bytes")
    print(f"Answer: {ended['messages'][-1].text}")


def main() -> None:
    """Begin in another process, and resume in this one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scorer", default="fused", help="what ranks the lines; bm25 reads with no draft (default %(default)s)")
    parser.add_argument("--begin", metavar="DATABASE", help="only begin, in this database")
    options = parser.parse_args()
    compressor = Compressor(config=CompressionConfig(keep_ratio=0.1, scorer=options.scorer))
    if options.begin:
        with SqliteSaver.from_conn_string(options.begin) as saver:
            begin(graph(compressor, saver))
        return
    with tempfile.TemporaryDirectory() as directory:
        database = str(Path(directory) / "graph.sqlite")
        other = [sys.executable, __file__, "--scorer", options.scorer, "--begin", database]
        print(subprocess.run(other, check=True, stdout=subprocess.PIPE, text=True).stdout)
        with SqliteSaver.from_conn_string(database) as saver:
            resume(graph(compressor, saver))


if __name__ == "__main__":
    main()
