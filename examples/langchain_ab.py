"""Is my agent cheaper compressed? Conversations in two arms, one of them uncompressed, side by side in the ledger.

    python examples/langchain_ab.py [--scorer bm25] [--conversations 8]

With DEEPSEEK_API_KEY set DeepSeek calls the tools and answers; without it both are scripted, tokens are counted on this machine,
and their price is DeepSeek's. Which arm a conversation is in depends on its id alone, so a conversation stays in its arm.
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage

from specprefill_agents import Compressor, Guardrails
from specprefill_agents.accounting.ledger_terminal import print_ledger
from specprefill_agents.guardrails.settings import AbSettings
from specprefill_langchain import Meter, SpecPrefillMiddleware

SOURCES = Path(sysconfig.get_paths()["stdlib"])
FILES = ("argparse.py", "ast.py", "cmd.py", "csv.py", "dis.py", "inspect.py", "queue.py", "shlex.py")
"""What the conversations are about, one file each."""


def read_file(name: str) -> str:
    """A source file of Python's standard library, such as queue.py."""
    return (SOURCES / Path(name).name).read_text(encoding="utf-8")


class Scripted(FakeMessagesListChatModel):
    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def script(name: str) -> Scripted:
    """Reads a file and then others like it before it answers."""
    others = (name, *FILES[:2])
    calls = [AIMessage("", tool_calls=[{"name": "read_file", "args": {"name": one}, "id": f"call-{n}"}]) for n, one in enumerate(others)]
    return Scripted(responses=[*calls, AIMessage("Here they are. (This answer is scripted.)")])


def main() -> None:
    """Ask about file after file, and show what a conversation costs in each arm."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scorer", default="fused", help="what ranks the lines; bm25 reads with no draft (default %(default)s)")
    parser.add_argument("--conversations", type=int, default=len(FILES), help="how many (default %(default)s)")
    args = parser.parse_args()
    compression = {"keep_ratio": 0.2, "scorer": args.scorer}
    guardrails = Guardrails(id="which-arm-is-cheaper", version=1, compression=compression, ab=AbSettings(control_share=0.5, salt="2"))
    compressor = Compressor(guardrails=guardrails)
    meter = Meter(compressor.counter, model="deepseek-flash")
    for number in range(args.conversations):
        name = FILES[number % len(FILES)]
        model = init_chat_model("deepseek:deepseek-flash") if os.environ.get("DEEPSEEK_API_KEY") else script(name)
        agent = create_agent(model, [read_file], middleware=[SpecPrefillMiddleware(compressor, ledger=meter)])
        question = HumanMessage(f"Which exceptions does {name} raise, and when?")
        agent.invoke({"messages": [question]}, {"configurable": {"thread_id": f"conversation-{number}"}})
    print_ledger(meter.ledger, "arm", sys.stdout)


if __name__ == "__main__":
    main()
