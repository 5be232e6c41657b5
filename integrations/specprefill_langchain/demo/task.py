"""What the demo's agent is asked, the tool calls of its script, and the lines of the files that hold the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    file = "argparse.py"
    actions, optional, known = (
        _line(file, f"{name}(") for name in ("class _ActionsContainer", "def _parse_optional", "def _parse_known_args")
    )
    values, leave = _line(file, "def _get_values("), _line(file, "def exit(")
    steps = [
        (
            "First, where argparse deals with negative numbers and option prefixes.",
            "grep",
            {"pattern": "negative|prefix_chars", "path": file},
        ),
        ("The matcher is set up in the container's constructor.", "read_file", _lines(file, actions, 120)),
        ("Now the method that classifies one argument string.", "read_file", _lines(file, optional, 70)),
        ("And its caller: how arguments become options or values.", "read_file", _lines(file, known, 150)),
        ("Next, where choices are checked and which message a wrong one gives.", "grep", {"pattern": "invalid|choices", "path": file}),
        ("The values are converted and checked here.", "read_file", _lines(file, values, 110)),
        ("Where does the error end up?", "grep", {"pattern": r"error\(|exit\(|ArgumentError", "path": file}),
        ("The methods that print the error and exit, with their exit status.", "read_file", _lines(file, leave - 60, 100)),
        ("How an exception that is raised and caught reads in the manual.", "help_topic", {"name": "raise"}),
        ("Last, whether the older optparse words a wrong choice the same way.", "grep", {"pattern": "choice", "path": "optparse.py"}),
    ]
    return [
        AIMessage(content=text, tool_calls=[{"name": name, "args": arguments, "id": f"call-{number}", "type": "tool_call"}])
        for number, (text, name, arguments) in enumerate(steps, 1)
    ]


def _lines(path: str, start: int, count: int) -> dict[str, str | int]:
    return {"path": path, "start_line": start, "end_line": start + count - 1}


def _line(path: str, text: str) -> int:
    """Number of the first line that contains `text`; 1 where none does."""
    return next((number for number, line in enumerate(source_lines(path), 1) if text in line), 1)
