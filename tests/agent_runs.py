"""Made agent runs, as rows of an evaluation file and as what `benchmarks.data` makes of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.loops.policies import View
from benchmarks.loops.requests import Message


def log(number: int, lines: int = 40) -> str:
    """A tool output of its own, in which one line names what a later call may need."""
    rows = [
        f"{minute:02d}:{number:02d} worker {minute * 7 % 13} finished job {minute * number + 17}, nothing to report"
        for minute in range(lines)
    ]
    rows[lines // 2] = f"the fault of host {number} is code {code(number)}"
    return "\n".join(rows) + "\n"


def code(number: int) -> str:
    """What only the output of that number shows."""
    return f"E{7000 + number}-QX"


def row(identifier: str, results: Sequence[str], *, answer: str | None = None, system: str = "", **meta: Any) -> dict[str, Any]:
    """A run that reads one result after the other; each call but the first names the code of the result before, if it shows one."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": "Which hosts have a fault, and which code?"})
    needed = []
    for number, text in enumerate(results):
        arguments = {"host": f"host {number}"}
        if number and code(number - 1) in results[number - 1]:
            arguments["after"] = code(number - 1)
            source = len(messages) - 1
            needed.append({"value": code(number - 1), "source_message": source, "used_in_message": len(messages), "also_in": []})
        function = {"name": "read_log", "arguments": json.dumps(arguments)}
        call = {"id": f"call-{number}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": f"Next the fault of host {number}.", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call-{number}", "name": "read_log", "content": text})
    ended = {} if answer is None else {"final_answer": answer}
    return {"id": identifier, "set": "made", "messages": messages, "needed_values": needed, "meta": {**meta, **ended}}


def write(directory: Path, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """An evaluation file of these rows."""
    with gzip.open(directory / f"{name}{data.SUFFIX}", "wt", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)


def run(results: Sequence[str], **more: Any) -> data.Trajectory:
    """The run of `row`."""
    made = row("run", results, **more)
    needed = tuple(data.NeededValue(one["value"], one["used_in_message"]) for one in made["needed_values"])
    return data.Trajectory("run", tuple(made["messages"]), needed, made["meta"].get("final_answer"))


class Edited:
    """A policy that does something to the whole list of messages."""

    def __init__(self, edit: Callable[[list[Message]], list[Message]]) -> None:
        self._edit = edit

    def view(self, messages: Sequence[Message]) -> View:
        return View(tuple(self._edit([dict(message) for message in messages])))
