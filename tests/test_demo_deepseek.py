"""The demo driven by DeepSeek, which a server on this machine stands in for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents import Compressor, SpecPrefillError
from specprefill_langchain.demo import run
from specprefill_langchain.demo.model import DEEPSEEK_MODEL, deepseek_model
from specprefill_langchain.demo.task import script
from tests.demo_runs import watch
from tests.loopback import running


def test_without_a_key_there_is_no_deepseek(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    assert deepseek_model() is None


@pytest.fixture
def deepseek_requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Requests to a loopback server that answers as DeepSeek does: three tool calls of the script, then a text."""
    requests: list[dict[str, Any]] = []
    script_calls = [message.tool_calls[0] for message in script()[:3]]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message: dict[str, Any] = {"role": "assistant", "content": "By a pattern."}
            if len(requests) < len(script_calls):
                call = script_calls[len(requests)]
                function = {"name": call["name"], "arguments": json.dumps(call["args"])}
                message = {"role": "assistant", "content": "", "tool_calls": [{"id": call["id"], "type": "function", "function": function}]}
            requests.append(body)
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer = json.dumps(
                {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        monkeypatch.setenv("DEEPSEEK_API_KEY", "not-a-key")
        monkeypatch.setenv("DEEPSEEK_API_BASE", f"{url}/v1")
        yield requests


def test_deepseek_drives_the_whole_loop_over_compressed_outputs(
    deepseek_requests: list[dict[str, Any]], lexical: Callable[..., Compressor]
) -> None:
    model = deepseek_model()
    assert model is not None
    played, _ = watch(lexical(), model)
    assert played.answer.content == "By a pattern."
    assert len(deepseek_requests) == len(played.calls) == 4
    assert {body["model"] for body in deepseek_requests} == {DEEPSEEK_MODEL}
    assert all(body["thinking"] == {"type": "disabled"} for body in deepseek_requests)
    assert len({body["user_id"] for body in deepseek_requests}) == 1
    tool_texts = [message["content"] for message in deepseek_requests[-1]["messages"] if message["role"] == "tool"]
    assert len(tool_texts) == 3
    assert all("omitted" in text for text in tool_texts)
    for body, following in pairwise(deepseek_requests):
        assert following["messages"][: len(body["messages"])] == body["messages"]
        assert following["tools"] == body["tools"]


def test_a_deepseek_that_refuses_is_one_explained_error(
    monkeypatch: pytest.MonkeyPatch, deepseek_requests: list[dict[str, Any]], tmp_path: Path
) -> None:
    import openai

    def refuse(*_: object) -> None:
        raise openai.OpenAIError("402 Insufficient Balance")

    monkeypatch.setattr("specprefill_langchain.demo.Compressor", lambda draft, config: Compressor(config=replace(config, scorer="bm25")))
    monkeypatch.setattr("specprefill_langchain.demo.play", refuse)
    with pytest.raises(SpecPrefillError, match=r"DeepSeek did not answer.*402 Insufficient Balance"):
        run(keep_ratio=0.3, draft="smollm2-135m", html=tmp_path / "page.html")
