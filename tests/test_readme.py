"""The programs of the README run as they stand, one after the other; their target is a server on loopback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.openai_server import ANSWER, Recorded, serving

FAILURE = "ld: cannot write build/core.o: no space left on device"


@pytest.fixture
def deepseek(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Recorded]:
    """What stands for DeepSeek; the working directory has the log that the programs read."""
    lines = [f"[{n:04}] cc -O2 -c src/part_{n}.c -o build/part_{n}.o" for n in range(400)]
    (tmp_path / "build.log").write_text("\n".join([*lines[:250], FAILURE, *lines[250:]]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with serving() as recorded:
        monkeypatch.setenv("DEEPSEEK_API_KEY", "none")
        monkeypatch.setenv("DEEPSEEK_API_BASE", recorded.url)
        yield recorded


def shown_to_the_model(recorded: Recorded) -> list[str]:
    """The tool outputs of the last request."""
    return [message["content"] for message in recorded.messages() if message["role"] == "tool"]


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # LlamaIndex's workflows look at all attributes
def test_the_programs_run_and_send_what_answers_their_question(
    repository: Path, embedded_draft: str, deepseek: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    langchain, llamaindex, without = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    llamaindex = llamaindex.replace("DeepSeek(model=", f'DeepSeek(api_base="{deepseek.url}", model=')  # it reads no variable for it
    scope: dict[str, Any] = {}
    whole = Path("build.log").read_text(encoding="utf-8")
    for program in (langchain, llamaindex):
        exec(program, scope)
        assert ANSWER in capsys.readouterr().out
        (sent,) = shown_to_the_model(deepseek)
        assert FAILURE in sent
        assert len(sent) < len(whole) / 2
    exec(without, scope)
    assert FAILURE in capsys.readouterr().out
