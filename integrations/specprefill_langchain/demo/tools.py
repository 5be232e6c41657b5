"""The demo's tools, over files that every Python installation has. Nothing outside the standard library can be read."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path
from pydoc_data.topics import topics

from langchain_core.tools import BaseTool, ToolException, tool

SOURCES = Path(sysconfig.get_paths()["stdlib"]).resolve()
CONTEXT_LINES = 2
MAX_LINES = 200
"""Of one tool output; about 4,000 tokens of source code."""


@tool
def grep(pattern: str, path: str) -> str:
    """Lines of a standard-library file in which a regular expression matches, with two lines around each, numbered."""
    lines = source_lines(path)
    try:
        matches = [index for index, line in enumerate(lines) if re.search(pattern, line)]
    except re.error as error:
        raise ToolException(f"{pattern!r} is not a regular expression: {error}") from error
    around = {near for index in matches for near in range(index - CONTEXT_LINES, index + CONTEXT_LINES + 1)}
    return _numbered(lines, sorted(around & set(range(len(lines))))) or f"No line of {path} matches."


@tool
def read_file(path: str, start_line: int, end_line: int) -> str:
    """Lines `start_line` to `end_line` (from 1, both included) of a standard-library file such as `json/decoder.py`."""
    lines = source_lines(path)
    return _numbered(lines, range(max(start_line, 1) - 1, min(end_line, len(lines)))) or f"{path} has {len(lines)} lines."


@tool
def help_topic(name: str) -> str:
    """A chapter of Python's reference manual by its keyword, such as `raise` or `try`."""
    if name not in topics:
        raise ToolException(f"There is no topic {name!r}. Topics: {', '.join(sorted(topics))}")
    return str(topics[name])


def source_lines(path: str) -> list[str]:
    """Lines of a source file. Raises ToolException for anything that is no standard-library source."""
    file = (SOURCES / (path if path.isprintable() else "")).resolve()
    inside = file.is_relative_to(SOURCES) and not {"site-packages", "dist-packages"} & set(file.relative_to(SOURCES).parts)
    if not inside or file.suffix != ".py" or not file.is_file():
        raise ToolException(f"{path!r} is no source file of the standard library")
    return file.read_text(encoding="utf-8", errors="replace").splitlines()


def _numbered(lines: list[str], wanted: list[int] | range) -> str:
    shown = [f"{index + 1}: {lines[index]}" for index in wanted[:MAX_LINES]]
    if len(wanted) > MAX_LINES:
        shown.append(f"({len(wanted) - MAX_LINES} more lines)")
    return "\n".join(shown)


TOOLS: tuple[BaseTool, ...] = (grep, read_file, help_topic)
for _tool in TOOLS:
    _tool.handle_tool_error = True
