"""An OpenAI-compatible server on loopback with DeepSeek's fields and rules; keeps every request as it came over the wire.

What it says is made up, but follows the request: tools are called by their schemas, JSON has the keys asked for, usage counts
what was sent, and cache hits are what a request shares with one before it. Like DeepSeek it thinks unless told not to, and
then refuses a request that leaves out the reasoning of a turn that called tools.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

from tests.loopback import running

MISSING_REASONING = "The `reasoning_content` in the thinking mode must be passed back to the API."
ANSWER = "The train to Basel leaves at 7:30; nothing else was found."
THOUGHTS = "The timetable is long.\n\n  First its head – then “Basel”. "


@dataclass
class Recorded:
    """What a server was sent, in order: the raw bodies, and the same as JSON."""

    url: str
    bodies: list[bytes] = field(default_factory=list)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies as JSON."""
        return [json.loads(body) for body in self.bodies]

    def messages(self, index: int = -1) -> list[dict[str, Any]]:
        """The messages of a request."""
        found: list[dict[str, Any]] = self.requests[index]["messages"]
        return found


@contextmanager
def serving() -> Iterator[Recorded]:
    """Runs a server on a free port of 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    with running(server) as url:
        recorded = Recorded(f"{url}/v1")
        server.recorded = recorded  # type: ignore[attr-defined]
        server.lock = threading.Lock()  # type: ignore[attr-defined]
        yield recorded


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._send(
            200, "application/json", {"object": "list", "data": [{"id": "deepseek-flash", "object": "model", "owned_by": "deepseek"}]}
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:  # type: ignore[attr-defined]
            recorded: Recorded = self.server.recorded  # type: ignore[attr-defined]
            usage = _usage(body, recorded.bodies)
            recorded.bodies.append(body)
        request = json.loads(body)
        refusal = _refusal(request)
        if refusal:
            self._send(400, "application/json", {"error": {"message": refusal, "type": "invalid_request_error"}})
            return
        answer = _answer(request)
        usage["completion_tokens"] = 1 + len(json.dumps(answer["message"])) // 4
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        about = {"id": f"chat-{len(body)}", "created": 1, "model": request["model"], "system_fingerprint": "fp"}
        if request.get("stream"):
            self._begin(200, "text/event-stream")
            for event in _events(about, answer, usage, (request.get("stream_options") or {}).get("include_usage")):
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")
            return
        choice = {"index": 0, **answer, "logprobs": None}
        self._send(200, "application/json", {**about, "object": "chat.completion", "choices": [choice], "usage": usage})

    def _begin(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        # Clients live longer than a test's event loop; a connection that they keep would not.
        self.send_header("Connection", "close")
        self.end_headers()

    def _send(self, status: int, kind: str, value: dict[str, Any]) -> None:
        self._begin(status, kind)
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base names it
        """Says nothing."""


def _usage(body: bytes, before: list[bytes]) -> dict[str, Any]:
    prompt = len(body) // 4
    hit = max((_shared(body, earlier) for earlier in before), default=0) // 4
    return {
        "prompt_tokens": prompt,
        "prompt_cache_hit_tokens": hit,
        "prompt_cache_miss_tokens": prompt - hit,
        "prompt_tokens_details": {"cached_tokens": hit},
    }


def _shared(one: bytes, other: bytes) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _thinks(request: dict[str, Any]) -> bool:
    return (request.get("thinking") or {}).get("type") != "disabled"


def _refusal(request: dict[str, Any]) -> str:
    calling = [message for message in request["messages"] if message.get("tool_calls")]
    if _thinks(request) and any("reasoning_content" not in message for message in calling):
        return MISSING_REASONING
    asked = [call["id"] for message in calling for call in message["tool_calls"]]
    answered = [message["tool_call_id"] for message in request["messages"] if message["role"] == "tool"]
    return "" if sorted(asked) == sorted(answered) else "tool calls and tool messages do not pair up"


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": _text(request)}
    reason = "stop"
    calls = _calls(request)
    if calls:
        message |= {"content": "", "tool_calls": calls}
        reason = "tool_calls"
    if _thinks(request):
        message["reasoning_content"] = THOUGHTS
    return {"message": message, "finish_reason": reason}


def _text(request: dict[str, Any]) -> str:
    if (request.get("response_format") or {}).get("type") == "json_object":
        return json.dumps({key: f"about {key}" for key in re.findall(r"'(\w+)'", _last_user_text(request))})
    stops = request.get("stop") or []
    return min((ANSWER.partition(stop)[0] for stop in ([stops] if isinstance(stops, str) else stops)), key=len, default=ANSWER)


def _calls(request: dict[str, Any]) -> list[dict[str, Any]]:
    tools = [tool["function"] for tool in request.get("tools") or []]
    choice = request.get("tool_choice", "auto")
    turn = sum(bool(message.get("tool_calls")) for message in request["messages"])
    named = re.findall(r"`(\w+)`", _last_user_text(request))[turn : turn + 1]
    if (
        not tools
        or choice == "none"
        or (not named and choice == "auto" and request["messages"][-1]["role"] == "tool" and not _goes_on(request))
    ):
        return []
    name = choice["function"]["name"] if isinstance(choice, dict) else (*named, tools[0]["name"])[0]
    function = next(tool for tool in tools if tool["name"] == name)
    arguments = _value(function.get("parameters") or {}, _last_user_text(request), count())
    if name == "expand":  # by the id that was shown last
        arguments = {"id": (re.findall(r"sp-[a-z2-7]{8,}", json.dumps(request["messages"])) or ["none"])[-1]}
    call_id = f"call-{len(request['messages'])}"
    return [
        {"index": 0, "id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}}
    ]


def _goes_on(request: dict[str, Any]) -> bool:
    """Whether the user asked for more steps than were made: "in 3 steps" makes three calls."""
    wanted = re.search(r"in (\d+) steps", _last_user_text(request))
    return wanted is not None and sum(bool(message.get("tool_calls")) for message in request["messages"]) < int(wanted[1])


def _last_user_text(request: dict[str, Any]) -> str:
    content = next((message["content"] for message in reversed(request["messages"]) if message["role"] == "user"), "")
    return content if isinstance(content, str) else " ".join(block.get("text", "") for block in content)


def _value(schema: dict[str, Any], text: str, number: Iterator[int]) -> Any:
    """A value that a schema allows: numbers and quoted words of the user's text where it has some."""
    kind = schema.get("type")
    if "properties" in schema or kind == "object":
        return {name: _value(part, text, number) for name, part in (schema.get("properties") or {}).items()}
    if "anyOf" in schema:
        return _value(schema["anyOf"][0], text, number)
    if kind in ("integer", "number"):
        return int(next(iter(re.findall(r"\d+", text)), next(number)))
    if kind == "array":
        return [_value(schema.get("items") or {}, text, number)]
    if kind == "boolean":
        return True
    return next(iter(re.findall(r"'([^']+)'", text)), f"word {next(number)}")


def _events(about: dict[str, Any], answer: dict[str, Any], usage: dict[str, Any], with_usage: bool | None) -> Iterator[dict[str, Any]]:
    """The answer in the pieces that a stream brings it in."""
    message = answer["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in _pieces(message.get("reasoning_content", ""))]
    deltas += [{"content": piece} for piece in _pieces(message["content"])]
    for call in message.get("tool_calls") or []:
        deltas.append({"tool_calls": [{**call, "function": {"name": call["function"]["name"], "arguments": ""}}]})
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in _pieces(call["function"]["arguments"])]
    about = {**about, "object": "chat.completion.chunk"}
    for delta in deltas:
        yield {**about, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**about, "choices": [{"index": 0, "delta": {}, "finish_reason": answer["finish_reason"]}]}
    if with_usage:
        yield {**about, "choices": [], "usage": usage}


def _pieces(text: str) -> list[str]:
    return re.findall(r"\S*\s*", text)[:-1]
