"""Kinds `code` and `search_hits`: functions of the standard library, asked for in prose or by name.

What a code question needs is the statements of the function, not what its docstring says about them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from specprefill_agents.scoring.needles.example import Example, Piece, assemble, phrased, rough_tokens, whole
from specprefill_agents.scoring.needles.library import Function, functions, modules

_LINES = (3, 12)
"""Statements a question may need, in lines: enough to be more than one unit, few enough for a budget of a tenth."""

_ATTEMPTS = 500

_BY_NAME = (
    "How does {} get to its result?",
    "What happens inside {}, step by step?",
    "Something goes wrong in {}. Which statement could raise an error?",
    'read_function(name="{}")',
    "explain the implementation of {}",
)


def code(rng: random.Random, tokens: int, questions: int) -> Example:
    """Neighbouring functions of a module. By name, or by what the docstring would say, with all docstrings left out or in."""
    shown, usable = _askable_stretch(rng, tokens, questions)
    with_docstrings = rng.random() < 0.5
    wanted = {index: number for number, index in enumerate(rng.sample(usable, min(questions, len(usable))))}
    pieces, asked = [], []
    for index, function in enumerate(shown):
        above = function.head + (function.docstring if with_docstrings else "")
        needs = _line_spans(function.body, len(above), wanted[index]) if index in wanted else ()
        pieces.append(Piece(above + function.body, needs))
    for index in wanted:
        form = rng.choice(_BY_NAME) if rng.random() < 0.4 else ""
        asked.append(form.format(shown[index].name) if form else phrased(rng, _in_prose(rng, shown[index].summary)))
    return assemble("code", pieces, asked)


def _askable_stretch(rng: random.Random, tokens: int, questions: int) -> tuple[list[Function], list[int]]:
    """Consecutive functions of some module, and which of them can be asked about: as many as needed, else the most found."""
    best: tuple[list[Function], list[int]] = ([], [])
    for _ in range(_ATTEMPTS):
        shown = _stretch(rng, functions(rng.choice(modules())), tokens)
        usable = [index for index, function in enumerate(shown) if _is_askable(function, shown)]
        if len(usable) > len(best[1]):
            best = shown, usable
        if len(usable) >= questions:
            break
    return best


def _stretch(rng: random.Random, among: Sequence[Function], tokens: int) -> list[Function]:
    """Consecutive functions from a random place on, none longer than a third of the context."""
    fitting = [function for function in among if rough_tokens(function.body) < tokens / 3]
    start = rng.randrange(len(fitting)) if fitting else 0
    taken: list[Function] = []
    length = 0
    for function in fitting[start:] + fitting[:start]:
        if length >= tokens:
            break
        taken.append(function)
        length += rough_tokens(function.head + function.docstring + function.body)
    return taken if length >= tokens else []


def _is_askable(function: Function, among: Sequence[Function]) -> bool:
    lines = function.body.count("\n")
    is_unique = sum(other.name == function.name or other.summary == function.summary for other in among) == 1
    return is_unique and _LINES[0] <= lines <= _LINES[1] and len(function.body) <= 520 and 25 <= len(function.summary) <= 220


def _in_prose(rng: random.Random, summary: str) -> str:
    bare = summary.rstrip(".")
    lowered = bare[:1].lower() + bare[1:]
    return rng.choice((f"How is this done here: {lowered}?", f"Show me the code that has to {lowered}.", f"{bare}: by which statements?"))


def _line_spans(body: str, offset: int, number: int) -> tuple[tuple[int, tuple[int, int]], ...]:
    """The statements of `body` line by line, without blank lines, comments and indentation."""
    spans = []
    for match in re.finditer(r"[^\s#][^\n]*", body):
        is_first = body.rfind("\n", 0, match.start()) == match.start() - 1 or body[: match.start()].rpartition("\n")[2].isspace()
        if is_first and match.group().strip():
            spans.append((number, (offset + match.start(), offset + match.end())))
    return tuple(spans)


def search_hits(rng: random.Random, tokens: int, questions: int) -> Example:
    """Output of a text search over several files: the line of a definition, among lines that use the same name."""
    files = rng.sample(modules(), 12)
    hits: list[tuple[str, Function | None]] = []
    definitions: list[Function] = []
    for module in files:
        for function in functions(module):
            uses = _uses(module, function.name)
            if 1 <= len(uses) <= 6 and len(function.name) > 5 and len(function.head) < 160:
                hits += [(function.head.splitlines()[0], function), *((use, None) for use in uses)]
                definitions.append(function)
    kept: list[tuple[str, int | None]] = []
    askable = [function for function in definitions if sum(other.name == function.name for other in definitions) == 1]
    chosen = rng.sample(askable, min(questions, len(askable)))
    for function in chosen:
        kept.append((_hit(rng, function.module, function.head.splitlines()[0]), chosen.index(function)))
        kept += [(_hit(rng, function.module, use), None) for use in _uses(function.module, function.name)]
    others = [(line, function) for line, function in hits if function not in chosen]
    while sum(rough_tokens(line) for line, _ in kept) < tokens and others:
        line, defined = others.pop(rng.randrange(len(others)))
        kept.append((_hit(rng, defined.module if defined else rng.choice(files), line), None))
    rng.shuffle(kept)
    asked = [_where(rng, function) for function in chosen]
    return assemble("search_hits", [Piece(line) if number is None else whole(line, number) for line, number in kept], asked)


def _uses(module: str, name: str) -> list[str]:
    pattern = re.compile(rf"\b{re.escape(name)}\b")
    lines = (line.strip() for function in functions(module) for line in function.body.splitlines())
    return [line for line in dict.fromkeys(lines) if pattern.search(line) and len(line) < 140]


def _hit(rng: random.Random, module: str, line: str) -> str:
    return f"lib/{module.replace('.', '/')}.py:{rng.randint(10, 1900)}:{line.strip()}"


def _where(rng: random.Random, function: Function) -> str:
    if function.summary and rng.random() < 0.5:
        return phrased(rng, f"Where is the function that should {function.summary[:1].lower()}{function.summary[1:].rstrip('.')}?")
    forms = ("Where is {} defined?", "Which parameters does {} take?", 'grep(pattern="def {}", path="lib")', "definition of {}")
    return phrased(rng, rng.choice(forms).format(function.name))
