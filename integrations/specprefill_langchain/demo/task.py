"""What the demo's agent is asked, the tool calls of its script, and the lines of the files that hold the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from specprefill_langchain.demo.tools import source_lines

QUESTION = (
    "How does argparse decide whether an argument looks like a negative number, and where is the error message for an invalid choice made?"
)

SYSTEM = (
    "You answer questions about Python's standard library from its source files. Look at the sources with the tools, one call at "
    "a time and at least eight calls in all, before you answer in a few sentences. "
    "Tool outputs are shortened to what matters for the question; a mark stands where lines are left out."
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something the answer needs, and how the source line reads that says it."""

    what: str
    pattern: str


FACTS = (
    Fact("the pattern of a negative number", r"_negative_number_matcher = "),
    Fact("an argument like that is positional", r"number, it was meant to be positional|_negative_number_matcher\.match\(arg_string\)"),
    Fact("unless an option looks like one", r"unless there are negative-number-like options|if not self\._has_negative_number_optionals"),
    Fact("the message for an invalid choice", r"'invalid choice: %\(value\)r"),
    Fact("how it is printed, and exit status 2", r"self\.exit\(2, .*error: %\(message\)s"),
)


@dataclass(frozen=True, slots=True)
class FactCheck:
    """How many of the lines that say a fact were in the tool outputs, and how many in what the model was sent."""

    fact: Fact
    found: int
    sent: int


def check_facts(original: Sequence[BaseMessage], sent: Sequence[BaseMessage]) -> list[FactCheck]:
    """Look for every fact, line by line, in the tool outputs as they were and as they were sent."""
    before, after = _tool_lines(original), _tool_lines(sent)
    return [FactCheck(fact, _count(fact, before), _count(fact, after)) for fact in FACTS]


def _tool_lines(messages: Sequence[BaseMessage]) -> list[str]:
    return [line for message in messages if isinstance(message, ToolMessage) for line in str(message.text).splitlines()]


def _count(fact: Fact, lines: Sequence[str]) -> int:
    return sum(re.search(fact.pattern, line) is not None for line in lines)


def script() -> list[AIMessage]:
    """The tool calls that a careful reader would make, as assistant messages; line numbers are those of this Python."""
    return [
        AIMessage(content=text, tool_calls=[{"name": name, "args": arguments, "id": f"call-{number}", "type": "tool_call"}])
        for number, (text, name, arguments) in enumerate(_steps(), 1)
    ]


def _steps() -> Iterator[tuple[str, str, dict[str, str | int]]]:
    """What is said before a tool call, the tool and its arguments."""
    yield "First, where argparse deals with negative numbers and option prefixes.", "grep", _grep("negative|prefix_chars")
    yield "The matcher is set up in the container's constructor.", "read_file", _read("class _ActionsContainer(", 120)
    yield "How the arguments are divided into options and values.", "read_file", _read("def _parse_known_args(", 150)
    yield "The older optparse may word a wrong choice the same way.", "grep", _grep("choice", "optparse.py")
    yield "How an exception is raised, caught and raised again, in the manual.", "help_topic", {"name": "raise"}
    yield "Where do errors end up?", "grep", _grep(r"error\(|exit\(|ArgumentError")
    yield "The methods that print the error and exit, with their exit status.", "read_file", _read("def exit(", 100, before=60)
    yield "Next, where choices are checked and which message a wrong one gives.", "grep", _grep("invalid|choices")
    yield "The values are converted and checked here.", "read_file", _read("def _get_values(", 110)
    yield "Last, the method that classifies one argument string.", "read_file", _read("def _parse_optional(", 70)


def _grep(pattern: str, path: str = "argparse.py") -> dict[str, str | int]:
    return {"pattern": pattern, "path": path}


def _read(start: str, count: int, before: int = 0) -> dict[str, str | int]:
    """`count` lines of argparse around the first that contains `start`; from the top where none does."""
    path = "argparse.py"
    first = next((number for number, line in enumerate(source_lines(path), 1) if start in line), 1) - before
    return {"path": path, "start_line": first, "end_line": first + count - 1}
