"""A worker that keeps the beginning and the end of the joined texts: the control, and the protocol in its shortest form."""

from __future__ import annotations

import json
import sys
import time


def head_and_tail(text: str, share: float) -> str:
    """`share` of the characters of `text`, half of them from either end."""
    kept = int(len(text) * share)
    head = kept - kept // 2
    return text if kept >= len(text) else f"{text[:head]}\n{text[len(text) - kept // 2 :]}"


def main() -> None:
    """Answer requests until the input ends."""
    print(json.dumps({"ready": {"worker": "head_tail"}}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        text = head_and_tail("\n\n".join(request["contexts"]), request["budget_tokens"] / max(1, request["context_tokens"]))
        print(json.dumps({"text": text, "error": None, "seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
