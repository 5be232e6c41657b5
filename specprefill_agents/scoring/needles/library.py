"""Text that every Python installation has: sources and docstrings of the standard library, and its language reference.

Sources are parsed, never imported. What a module says differs a little between Python versions, and so do examples.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from specprefill_agents.errors import ScoringError

_MODULES = """argparse ast asyncio.base_events asyncio.locks asyncio.queues asyncio.streams base64 bdb calendar cmd codecs collections
configparser contextlib copy csv dataclasses datetime decimal difflib dis doctest email.message email.utils fileinput filecmp fnmatch
fractions ftplib functools gettext glob gzip heapq html.parser http.client http.cookiejar http.cookies http.server imaplib inspect
ipaddress json.decoder json.encoder linecache locale logging logging.handlers mailbox mimetypes netrc optparse os pathlib pdb pickle
pkgutil platform plistlib poplib pprint profile queue random sched selectors shelve shlex shutil smtplib socket socketserver
statistics string subprocess sysconfig tarfile tempfile textwrap threading timeit tokenize trace traceback types typing unittest.case
unittest.loader unittest.mock urllib.parse urllib.request urllib.robotparser uuid warnings wave weakref webbrowser xmlrpc.client zipapp
zipfile""".split()

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'“])")


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the standard library in three parts, dedented, each ending in a newline: the lines of its `head`, of
    its `docstring` ("" without one) and of its `body`. `summary` is the docstring's first paragraph on one line,
    `details` the rest of it."""

    module: str
    name: str
    head: str
    docstring: str
    body: str
    summary: str
    details: str


@cache
def functions(module: str) -> tuple[Function, ...]:
    """The functions and methods of `module`, in the order of its file; none when it has no readable source."""
    base = Path(ast.__file__).parent / module.replace(".", "/")
    try:
        source = next(path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()).read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (StopIteration, OSError, ValueError, SyntaxError):
        return ()
    lines = source.splitlines(keepends=True)
    made = (_function(module, node, lines) for node in _definitions(tree))
    return tuple(function for function in made if function is not None)


def _definitions(within: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions of a module and methods of its classes, not those inside functions."""
    for node in within.body:
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _function(module: str, node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> Function | None:
    """None for a function on one line, and for one that is a docstring only."""
    explained = ast.get_docstring(node)
    statements = node.body[1:] if explained else node.body
    if not statements or node.body[0].lineno == node.lineno:
        return None
    first, after = node.body[0].lineno - 1, (node.body[0].end_lineno or node.lineno) if explained else node.body[0].lineno - 1
    dedented = textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno])).rstrip("\n").splitlines(keepends=True)
    head, middle, rest = first - node.lineno + 1, after - node.lineno + 1, len(dedented)
    summary, _, details = (explained or "").partition("\n\n")
    return Function(
        module,
        node.name,
        head="".join(dedented[:head]),
        docstring="".join(dedented[head:middle]),
        body="".join(dedented[middle:rest]) + "\n",
        summary=" ".join(summary.split()),
        details=details.strip(),
    )


@cache
def modules() -> tuple[str, ...]:
    """Modules whose source can be read. Raises `ScoringError` where the standard library came without its sources."""
    found = tuple(name for name in _MODULES if len(functions(name)) >= 3)
    if len(found) < 20:
        raise ScoringError("this Python has no readable standard library sources, which calibration builds its questions from")
    return found


@cache
def paragraphs() -> tuple[tuple[str, ...], ...]:
    """Prose paragraphs of the language reference, each as its sentences (three or more)."""
    from pydoc_data.topics import topics

    found = []
    for name in sorted(topics):
        for block in re.split(r"\n\s*\n", topics[name]):
            text = " ".join(block.split())
            letters = sum(character.isalpha() or character == " " for character in text)
            if block.startswith("   ") or not 200 <= len(text) <= 900 or letters < 0.88 * len(text):
                continue
            sentences = tuple(_SENTENCE.split(text))
            if len(sentences) >= 3 and all(len(sentence) >= 40 for sentence in sentences):
                found.append(sentences)
    return tuple(dict.fromkeys(found))
