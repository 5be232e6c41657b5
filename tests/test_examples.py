"""Every example runs as its docstring says, without a key, sends far fewer tokens, and sends what answers its question."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gateway.running import running
from tests.openai_server import ANSWER, serving

EVIDENCE = {
    "langchain_agent.py": "raise ValueError('task_done() called too many times')",
    "langchain_rag.py": 'With more than one item, the context managers are processed as if multiple "with" statements were nested',
    "langchain_retriever.py": 'a "RuntimeError" exception is raised indicating that this is an error',
    "langchain_runnable.py": "You must cause any modified files to carry prominent notices",
    "llamaindex_agent.py": "raise ValueError('task_done() called too many times')",
    "langgraph_resume.py": "raise ValueError('task_done() called too many times')",
    "llamaindex_postprocessor.py": 'executes a "return", "break" or "continue" statement, the saved exception is discarded',
    "llamaindex_workflow.py": "If blocking is False executes the scheduled events due to expire soonest (if any) and then return",
}
"""What must be left of the text for each example's question, with single spaces."""

ANSWERED = {"langchain_rag.py", "langchain_runnable.py", "langgraph_resume.py"}
"""Examples whose last line is an answer by the local model."""

OTHERS = {"gateway_client.py", "langchain_ab.py"}
"""Examples that show something else, each with a test of its own."""

ELSEWHERE = {"llamaindex_query_pipeline.py"}
"""Examples for other versions of a framework; `tests/query_pipeline` runs it."""

COUNTS = re.compile(r"([\d,]+) -> ([\d,]+) tokens")


@pytest.fixture
def printed(repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs an example as a program, and gives what it prints."""
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(repository / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def sent(output: str) -> tuple[str, int, int]:
    """The last compressed text that was shown, with single spaces, and the token counts before and after."""
    *before, last = COUNTS.finditer(output)
    shown = output[before[-1].end() if before else 0 : last.start()]
    first, second = (int(number.replace(",", "")) for number in last.groups())
    return " ".join(shown.split()), first, second


def test_every_example_is_run_here_and_says_how(repository: Path) -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in (repository / "examples").glob("*.py")}
    assert set(found) == {*EVIDENCE, *OTHERS, *ELSEWHERE}
    assert all(f"python examples/{name}" in (ast.get_docstring(ast.parse(text)) or "") for name, text in found.items())


# LlamaIndex's workflows list every attribute of an agent, deprecated ones of pydantic among them.
@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20", "ignore::pydantic.PydanticDeprecatedSince211")
@pytest.mark.parametrize("name", EVIDENCE)
def test_an_example_keeps_what_answers_its_question_in_a_quarter_of_the_tokens(
    printed: Callable[..., str], embedded_draft: str, name: str
) -> None:
    output = printed(name, "--scorer", "bm25")
    text, before, after = sent(output)
    assert EVIDENCE[name] in text
    assert 0 < after < before / 4
    assert bool(re.search(r"^Answer: \S", output, re.MULTILINE)) == (name in ANSWERED)
    if name == "langgraph_resume.py":
        again = re.search(r"byte for byte, in another process: ([\d,]+) of ([\d,]+) bytes", output)
        assert again
        assert 1_000 < int(again[1].replace(",", "")) < int(again[2].replace(",", ""))


def test_without_options_the_embedded_draft_ranks(printed: Callable[..., str], embedded_draft: str) -> None:
    output = printed("langchain_agent.py")
    text, before, after = sent(output)
    assert EVIDENCE["langchain_agent.py"] in text
    assert 0 < after < before / 4
    assert re.search(r'full text: expand\("sp-\w+"\)', text)
    assert output.endswith("A ValueError. (This answer is scripted.)\n")


def test_an_agent_that_knows_only_a_base_url_is_read_compressed(printed: Callable[..., str]) -> None:
    with serving() as upstream, running(upstream.url) as url:
        output = printed("gateway_client.py", "--base-url", url)
    first, second, answer = output.splitlines()
    assert first == "Tool outputs: 0 -> 0 tokens"
    before, after = (int(count) for count in second.removeprefix("Tool outputs: ").removesuffix(" tokens").split(" -> "))
    assert 0 < after < before / 4
    assert answer == f"Answer: {ANSWER}"
    assert EVIDENCE["langchain_agent.py"] in upstream.messages()[-1]["content"]
    with pytest.raises(SystemExit, match="specprefill gateway --upstream URL"):
        printed("gateway_client.py", "--base-url", url)


def test_two_arms_stand_side_by_side_and_the_compressed_one_is_cheaper(printed: Callable[..., str]) -> None:
    output = printed("langchain_ab.py", "--scorer", "bm25", "--conversations", "5")
    saved = {line.split()[0]: int(line.split()[-2 if line.endswith("-") else -3].rstrip("%")) for line in output.splitlines()[1:3]}
    assert saved["control"] == 0
    assert saved["treated"] > 50
    # In peak hours, by the clock, it is twice as much.
    assert re.search(r"^A conversation in 'treated' costs -0\.0\d+ USD \(-\d\d%\) against 'control'", output, re.MULTILINE)
