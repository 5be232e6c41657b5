"""Programs as users write them name every public name, and do what they say; `make check` reads them with `mypy --strict`."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import BaseTool
from llama_index_instrumentation import get_dispatcher

import specprefill_agents
import specprefill_langchain
import specprefill_llamaindex
from specprefill_agents import Compressor
from specprefill_langchain import expand_tool
from tests.user_programs import core, langchain_program, llamaindex_program

LOG = "\n".join(f"{number}: nothing to be said of this line" for number in range(80)) + "\n81: an extraordinarily informative one\n"
RULES = """
id = "rules"
version = 1
[compression]
keep_ratio = 0.3
min_tokens = 0
min_result_tokens = 0
target_tokenizer = "o200k_base"
"""


@pytest.mark.parametrize(
    ("program", "package"),
    [(core, specprefill_agents), (langchain_program, specprefill_langchain), (llamaindex_program, specprefill_llamaindex)],
)
def test_each_public_name_is_used(program: ModuleType, package: ModuleType) -> None:
    tree = ast.parse(Path(str(program.__file__)).read_text(encoding="utf-8"))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == package.__name__ for a in n.names}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert imported & used == set(package.__all__)


def test_a_scorer_of_ones_own_decides() -> None:
    chosen = core.compressed(LOG, "What is informative?")
    assert "extraordinarily informative" in chosen.text
    assert chosen.kept_tokens <= 0.3 * chosen.original_tokens


def test_a_conversation_goes_on_in_another_session_and_gives_originals_back(tmp_path: Path) -> None:
    rules = tmp_path / "guardrails.toml"
    rules.write_text(RULES, encoding="utf-8")
    sent, whole = core.conversation([LOG, LOG.replace("nothing", "little")], rules)
    assert len(sent) < 0.5 * len(LOG)
    assert whole is not None
    assert "79: little to be said of this line" in whole


def test_a_wrong_draft_is_told() -> None:
    assert "Known drafts" in core.advice("no-such-draft")
    assert core.advice("smollm2-135m") == f"smollm2-135m of {specprefill_agents.__version__}"


@pytest.mark.prefix_moves(reason="an agent, a chain and a wrapped model ask the same, each in its own way")
def test_the_langchain_program_runs(tiny_draft: str, lexical: Callable[..., Compressor], tmp_path: Path) -> None:
    compressor, model = lexical(keep_ratio=0.3), langchain_program.local_model(tiny_draft)
    messages: list[BaseMessage] = [HumanMessage("What is informative?"), *called("read_file", LOG)]
    ledger = tmp_path / "ledger.jsonl"
    agent, reports = langchain_program.agent(model, [expand_tool(compressor)], compressor, ledger)
    agent.invoke({"messages": messages})
    assert reports[0].result.usage.kept_tokens <= 0.3 * reports[0].result.usage.original_tokens
    assert "deepseek-flash" in ledger.read_text(encoding="utf-8")
    shown = langchain_program.shown_to_the_model(messages, compressor)
    assert [message.content for message in shown] == [message.content for message in reports[0].sent]
    assert langchain_program.chain(model, compressor).invoke(messages)
    assert langchain_program.answer(model, [], compressor, messages)["kept_tokens"] == reports[0].result.usage.kept_tokens
    found = langchain_program.best([Document(LOG), Document(LOG.upper())], "What is informative?", compressor)
    assert 0 < sum(len(document.page_content) for document in found) < 0.5 * 2 * len(LOG)


# LlamaIndex's workflows list every attribute of an agent, deprecated ones of pydantic among them.
@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20", "ignore::pydantic.PydanticDeprecatedSince211")
def test_the_llamaindex_program_runs(tiny_draft: str, lexical: Callable[..., Compressor], tmp_path: Path) -> None:
    compressor, model = lexical(keep_ratio=0.3), llamaindex_program.local_model(tiny_draft)
    watch = llamaindex_program.Watch()
    handlers = get_dispatcher().event_handlers
    handlers.append(watch)
    try:
        messages = [ChatMessage("What is informative?", role="user"), ChatMessage(LOG, role="tool")]
        said, reports = llamaindex_program.answer(model, compressor, tmp_path / "ledger.jsonl", messages)
        kept = llamaindex_program.sources([LOG, LOG.upper()], "What is informative?", compressor)
    finally:
        handlers.remove(watch)
    assert said.content
    assert "extraordinarily informative" in str(reports[0].sent[1].content)
    assert len(str(reports[0].sent[1].content)) < 0.5 * len(LOG)
    assert [node_id for node_id, *_ in kept] == ["n0", "n1"][: len(kept)]
    assert watch.shares[1] == 0.0
    assert 0 < watch.shares[0] <= 0.3
    assert 0 < watch.shares[2] <= 0.3
    agent = llamaindex_program.agent(model, [], compressor)
    assert [tool.metadata.name for tool in agent.tools or [] if isinstance(tool, BaseTool)] == ["expand"]
    assert llamaindex_program.memory(compressor).memory_blocks[0].name == "EarlierToolResults"


def called(name: str, output: str) -> list[BaseMessage]:
    """A call of a tool and its output."""
    return [AIMessage("", tool_calls=[{"name": name, "args": {}, "id": "c1"}]), ToolMessage(output, tool_call_id="c1", name=name)]
