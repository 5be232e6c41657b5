"""Drives Headroom inside its own environment, without telemetry and offline. Imports nothing of this project.

Its `compress` takes the messages of an agent: here the question, one call for each text, and the texts as their results,
none of them protected for being recent or short. It has a ratio for its text model (Kompress) alone; what it does to JSON,
code and logs follows rules of its own. Without that model's weights prose passes unchanged.
"""

from __future__ import annotations

import argparse
from typing import Any

from answering import own_stdout, serve, share_of  # type: ignore[import-not-found]
from headroom import compress  # type: ignore[import-not-found]

PACKAGES = ("headroom-ai", "litellm", "tiktoken")


class Headroom:
    """One text model, or "disabled"."""

    def __init__(self, text_model: str) -> None:
        self._text_model = text_model

    def __call__(self, request: dict[str, Any]) -> tuple[str, float]:
        """The reply to one request."""
        texts = request["contexts"]
        call = {"name": "fetch", "arguments": "{}"}
        calls = [{"id": f"call_{index}", "type": "function", "function": call} for index, _ in enumerate(texts)]
        results = [{"role": "tool", "tool_call_id": one["id"], "content": text} for one, text in zip(calls, texts, strict=True)]
        asked = {"role": "user", "content": request["question"]}
        answer = compress(
            [asked, {"role": "assistant", "content": "", "tool_calls": calls}, *results],
            model="gpt-4",
            target_ratio=share_of(request),
            kompress_model=self._text_model,
            protect_recent=0,
            protect_analysis_context=False,
            min_tokens_to_compress=1,
        )
        return "\n\n".join(str(message["content"]) for message in answer.messages if message["role"] == "tool"), 0.0


def main() -> None:
    """Answer requests until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", default="disabled")
    serve(own_stdout(), Headroom(parser.parse_args().weights), PACKAGES)


if __name__ == "__main__":
    main()
