"""A real agent to test with: real tools over the standard library's sources; only the decisions which to call are scripted."""

from __future__ import annotations

import json
import re
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, ToolException, tool
from pydantic import PrivateAttr

from specprefill_agents import Compressor
from specprefill_langchain import SpecPrefillMiddleware

SOURCES = Path(sysconfig.get_paths()["stdlib"])

CALLS: list[tuple[str, list[tuple[str, dict[str, Any]]]]] = [
    ("I look for the errors first.", [("grep", {"pattern": "raise .*Error", "file": "argparse.py"})]),
    (
        "Now the two places side by side.",
        [("read_file", {"file": "json/decoder.py", "last": 120}), ("read_file", {"file": "textwrap.py", "first": 60, "last": 220})],
    ),
    ("", [("read_file", {"file": "no/such/file.py"}), ("grep", {"pattern": "def ", "file": "json/encoder.py"})]),
    ("The picture and its caption.", [("plate", {"subject": "line wrapping"})]),
]
FINAL = "Errors are raised by hand in argparse.py."
QUESTION = "Which functions of the standard library raise an error when an argument is ambiguous?"


@tool
def grep(pattern: str, file: str) -> str:
    """Lines of a file of the standard library in which a regular expression matches, numbered."""
    lines = (SOURCES / file).read_text(encoding="utf-8").splitlines()
    return "\n".join(f"{number}:{line}" for number, line in enumerate(lines, 1) if re.search(pattern, line))


@tool
def read_file(file: str, first: int = 1, last: int = 100) -> str:
    """Some lines of a file of the standard library."""
    try:
        lines = (SOURCES / file).read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise ToolException(f"{file}: no such file. " + "Look at the names again. " * 40) from error
    return "".join(lines[first - 1 : last])


read_file.handle_tool_error = True


@tool(response_format="content_and_artifact")
def plate(subject: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """A picture with a long caption, and the file it came from as artifact."""
    caption = (SOURCES / "textwrap.py").read_text(encoding="utf-8")[:4000]
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/plate.png"}}
    return [{"type": "text", "text": caption}, picture, {"type": "text", "text": subject}], {"file": "textwrap.py"}


class ScriptedModel(BaseChatModel):
    """Decides by a script which tools to call: its n-th answer in a conversation is the n-th entry of `answers`."""

    answers: list[AIMessage]
    _requests: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    @property
    def requests(self) -> list[list[BaseMessage]]:
        """The messages of each call, in order."""
        return self._requests

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any) -> ScriptedModel:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._requests.append(list(messages))
        last_turn = [message.type for message in messages][::-1].index("human")
        answered = sum(message.type == "ai" for message in messages[len(messages) - last_turn :])
        answer = self.answers[min(answered, len(self.answers) - 1)]
        return ChatResult(generations=[ChatGeneration(message=answer.model_copy())])


def scripted_answers() -> list[AIMessage]:
    """The script as messages, the tool calls with fixed ids."""
    answers = [
        AIMessage(text, tool_calls=[{"name": n, "args": a, "id": f"call-{step}-{i}"} for i, (n, a) in enumerate(calls)])
        for step, (text, calls) in enumerate(CALLS)
    ]
    return [*answers, AIMessage(FINAL)]


@pytest.fixture
def question() -> str:
    return QUESTION


@pytest.fixture
def tools() -> list[BaseTool]:
    return [grep, read_file, plate]


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(answers=scripted_answers())


@pytest.fixture
def compressor(lexical: Callable[..., Compressor]) -> Compressor:
    return lexical(keep_ratio=0.3)


@pytest.fixture
def make_agent(model: ScriptedModel, tools: list[BaseTool]) -> Callable[..., Any]:
    """Makes the agent around a middleware (or a compressor); its requests are in `model.requests`."""

    def make(middleware: SpecPrefillMiddleware | Compressor, **settings: Any) -> Any:
        if isinstance(middleware, Compressor):
            middleware = SpecPrefillMiddleware(middleware)
        return create_agent(model, tools, middleware=[middleware], system_prompt="You read source code.", **settings)

    return make


@pytest.fixture
def wire() -> Callable[[Sequence[BaseMessage]], bytes]:
    """What a chat-completions provider gets for messages, as bytes that a longer conversation extends."""

    def serialize(messages: Sequence[BaseMessage]) -> bytes:
        return b"\n".join(json.dumps(convert_to_openai_messages(m), ensure_ascii=False).encode() for m in messages)

    return serialize
