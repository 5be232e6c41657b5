"""Every example runs as its docstring says, without a key, sends far fewer tokens, and sends what answers its question."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EVIDENCE = {
    "langchain_agent.py": "raise ValueError('task_done() called too many times')",
    "langchain_runnable.py": "You must cause any modified files to carry prominent notices",
    "langgraph_resume.py": "raise ValueError('task_done() called too many times')",
    "llamaindex_postprocessor.py": 'executes a "return", "break" or "continue" statement, the saved exception is discarded',
}
"""What must be left of the text for each example's question, with single spaces."""

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
    assert sorted(found) == sorted(EVIDENCE)
    assert all(f"python examples/{name}" in (ast.get_docstring(ast.parse(text)) or "") for name, text in found.items())


@pytest.mark.parametrize("name", EVIDENCE)
def test_an_example_keeps_what_answers_its_question_in_a_quarter_of_the_tokens(
    printed: Callable[..., str], embedded_draft: str, name: str
) -> None:
    output = printed(name, "--scorer", "bm25")
    text, before, after = sent(output)
    assert EVIDENCE[name] in text
    assert 0 < after < before / 4
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


def test_the_chain_ends_in_an_answer_by_the_local_model(printed: Callable[..., str], embedded_draft: str) -> None:
    assert re.search(r"^Answer: \S", printed("langchain_runnable.py", "--scorer", "bm25"), re.MULTILINE)
