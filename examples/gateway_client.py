"""An agent of nothing but the standard library, whose tool outputs a gateway compresses: all it knows of that is a base URL.

    specprefill gateway --upstream https://api.deepseek.com/v1      # in another terminal
    DEEPSEEK_API_KEY=... python examples/gateway_client.py [--base-url http://127.0.0.1:8787/v1]

Any other OpenAI-compatible server can stand behind the gateway: give its model by --model. Asked directly, without a gateway,
the agent works the same and sends its tool outputs whole.
"""

from __future__ import annotations

import argparse
import json
import os
import sysconfig
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

SOURCES = Path(sysconfig.get_paths()["stdlib"])
QUESTION = "Which exception does task_done() in 'queue.py' raise when it is called too many times, and with which text?"
STRING = {"type": "string"}
PARAMETERS = {"type": "object", "properties": {"name": STRING}, "required": ["name"]}
READ_SOURCE = {"name": "read_source", "description": "A source file of the standard library.", "parameters": PARAMETERS}


def read_source(name: str) -> str:
    """A source file of the standard library; what is no such file is said in words."""
    path = (SOURCES / name).resolve()
    return path.read_text(encoding="utf-8") if path.is_relative_to(SOURCES.resolve()) and path.is_file() else f"{name}: no such file"


def ask(base_url: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The answer's message, and the headers that came with it."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('DEEPSEEK_API_KEY', 'none')}"}
    request = urllib.request.Request(f"{base_url}/chat/completions", json.dumps(body).encode(), headers)  # noqa: S310 - as asked for
    with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310
        message: dict[str, Any] = json.load(answer)["choices"][0]["message"]
        return message, {name.lower(): value for name, value in answer.headers.items()}


def main() -> None:
    """Let the model call the tool until it answers, and say what each request would have had of tool outputs, and had."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base-url", default="http://127.0.0.1:8787/v1", help="of the gateway (default %(default)s)")
    parser.add_argument("--model", default="deepseek-flash", help="whom the upstream is to ask (default %(default)s)")
    args = parser.parse_args()
    messages: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
    while True:
        body = {"model": args.model, "messages": messages, "tools": [{"type": "function", "function": READ_SOURCE}]}
        try:
            message, headers = ask(args.base_url, body)
        except urllib.error.URLError as error:
            raise SystemExit(f"{args.base_url}: {error.reason}. Start: specprefill gateway --upstream URL") from error
        original, kept = (headers.get(f"x-specprefill-{name}-tokens", "?") for name in ("original", "kept"))
        print(f"Tool outputs: {original} -> {kept} tokens")
        messages.append(message)
        if not message.get("tool_calls"):
            break
        for call in message["tool_calls"]:
            output = read_source(**json.loads(call["function"]["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
    print(f"Answer: {message['content']}")


if __name__ == "__main__":
    main()
