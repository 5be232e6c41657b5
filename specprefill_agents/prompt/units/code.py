"""Source code: units are whole statements, dragging along the signature and the heads that they stand under.

Reading goes from lines (`code_lines`, `code_literals`, `code_comments`) to fragments small enough to parse (`code_outline`),
their language (`code_languages`), the tree of each (`code_parse`), the statements in it (`code_tree`), and a layout of the
text (`code_layout`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from specprefill_agents.prompt.units.code_comments import with_comments
from specprefill_agents.prompt.units.code_languages import Language, grammar_of, likely_languages, looks_like_code
from specprefill_agents.prompt.units.code_layout import code_layout
from specprefill_agents.prompt.units.code_lines import BLANK, CodeLines, read_lines
from specprefill_agents.prompt.units.code_literals import INSIDE, without_literals
from specprefill_agents.prompt.units.code_nodes import Role
from specprefill_agents.prompt.units.code_outline import Stretch, is_fragment, outline
from specprefill_agents.prompt.units.code_parse import GOOD_ERROR_SHARE, Fragment, parse
from specprefill_agents.prompt.units.code_tree import Mark, Marks, innermost, mark_statements
from specprefill_agents.prompt.units.layout import Layout, Limits

if TYPE_CHECKING:
    from tree_sitter import Parser

__all__ = ["MAX_ERROR_SHARE", "looks_like_code", "split_code"]

MAX_ERROR_SHARE = 0.2
"""Text with a larger share of its characters in syntax errors is not code of the language it looked like."""

SENSELESS_ERROR_SHARE = 0.5
"""A fragment with a larger share is cut by its lines."""

MAX_HARD, MAX_HARD_SHARE = 32, 0.25
"""When more fragments than both this many and this share of those read were not understood well, the rest of a text is cut
by lines: they are the ones that are slow to parse. One that makes no sense at all counts four times."""

CHARS_PER_TOKEN, DENSE_WEIGHT = 3, 3
"""One with fewer characters a token than that many counts that many times: its tokens are what takes the time."""

MAX_SUSPECTS, MAX_SUSPECT_SHARE = 6, 1 / 64
"""The same for long fragments of which much is not understood: one in hundreds of those is made to keep a parser busy, and
takes as long as the others together."""

MAX_STATEMENTS, CHARS_PER_STATEMENT = 10_000, 24
"""With more statements than so many, and more besides than one every so many characters, the rest of a text is cut by lines:
it holds data rather than code, and would take several times as long."""

_PROBES = 3


def split_code(text: str, limits: Limits) -> Layout | None:
    """The layout of source code, with line numbers or without; None for text that does not parse in any language known."""
    languages = likely_languages(text)
    if not languages:
        return None
    lines = with_comments(without_literals(read_lines(text), languages[0]), languages[0])
    stretches = outline(lines)
    speaker = _speaker(lines, stretches, languages)
    if speaker is None:
        return None
    reading = _Reading(lines, limits, *speaker)
    for stretch in stretches:
        reading.add(stretch)
    if not reading.size or reading.errors > MAX_ERROR_SHARE * reading.size:
        return None
    return code_layout(text, lines, reading.marks.marks, limits)


def _speaker(lines: CodeLines, stretches: Sequence[Stretch], languages: Sequence[Language]) -> tuple[Parser, Language] | None:
    """A parser of the language in which a few fragments have the fewest errors, the likeliest one among equals."""
    spoken = [(language, grammar) for language in languages if (grammar := grammar_of(language)) is not None]
    if not spoken:
        return None
    from tree_sitter import Parser

    fragments = [stretch for stretch in stretches if _is_parsable(lines, stretch)]
    probes = [_fragment(lines, probe, ()) for probe in fragments[:: max(1, len(fragments) // _PROBES)][:_PROBES]]
    found: list[tuple[int, Parser, Language]] = []
    for language, grammar in spoken:
        parser = Parser(grammar)
        errors = sum(parse(parser, language, probe).errors for probe in probes)
        found.append((errors, parser, language))
        if not errors:
            break
    _, parser, language = min(found, key=lambda one: one[0])
    return parser, language


@dataclass(slots=True)
class _Reading:
    """Reads stretch after stretch into marks; counts the characters of code and those of them that are not understood."""

    lines: CodeLines
    limits: Limits
    parser: Parser
    language: Language
    marks: Marks = field(default_factory=Marks)
    size: int = 0
    errors: int = 0
    read: int = 0
    hard: int = 0
    suspects: int = 0
    heads: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, stretch: Stretch) -> None:
        """Read the next stretch; `heads` then holds the marks that lines under it stand under, the outermost first."""
        heads = self.heads[stretch.parent] if stretch.parent >= 0 else ()
        if stretch.part == "fragment":
            self._read(stretch, heads)
        elif stretch.part == "frame" or (stretch.part == "head" and not self._is_full()):
            role: Role = "frame" if stretch.part == "frame" else "statement"
            mark = Mark(stretch.first, innermost(heads), role, stretch.until, stretch.opens)
            heads = (*heads, self.marks.add(mark))
        self.heads.append(heads)

    def _read(self, stretch: Stretch, heads: tuple[int, ...]) -> None:
        filled = [line for line in range(stretch.first, stretch.last) if self.lines.indents[line] != BLANK]
        if not filled:
            return
        role = self._prose_in(filled)
        self.marks.add(Mark(filled[0], innermost(heads), role or "text", stretch.last))
        if role is None and not self._gives_up():
            size = self.lines.size(filled[0], stretch.last)
            self.size += size
            self.errors += self._parse(stretch, heads, size)

    def _prose_in(self, filled: Sequence[int]) -> Role | None:
        """What these lines are when there is nothing to parse in them."""
        if all(self.lines.indents[line] == INSIDE for line in filled):
            return "docstring"
        return "comment" if self.lines.comments.issuperset(filled) else None

    def _gives_up(self) -> bool:
        """Whether the rest of the text is not worth a parser's time."""
        return (
            self.hard > max(MAX_HARD, MAX_HARD_SHARE * self.read)
            or self.suspects > max(MAX_SUSPECTS, MAX_SUSPECT_SHARE * self.read)
            or self._is_full()
        )

    def _is_full(self) -> bool:
        return len(self.marks.marks) > MAX_STATEMENTS + self.size // CHARS_PER_STATEMENT

    def _parse(self, stretch: Stretch, heads: tuple[int, ...], size: int) -> int:
        """Mark the statements of a fragment of `size` characters; how many of these are not understood."""
        if not _is_parsable(self.lines, stretch):
            return size
        self.read += 1
        fragment = _fragment(self.lines, stretch, heads)
        parsed = parse(self.parser, self.language, fragment)
        errors = min(size, parsed.errors)
        self.suspects += parsed.is_suspect
        if errors > SENSELESS_ERROR_SHARE * size:
            self.hard += 4
            return errors
        if errors > GOOD_ERROR_SHARE * size:
            is_dense = CHARS_PER_TOKEN * (self.lines.tokens[stretch.last] - self.lines.tokens[stretch.first]) > size
            self.hard += DENSE_WEIGHT if is_dense else 1
        mark_statements(parsed, fragment, self.limits, self.marks)
        return errors


def _is_parsable(lines: CodeLines, stretch: Stretch) -> bool:
    return stretch.part == "fragment" and is_fragment(lines, stretch.first, stretch.last)


def _fragment(lines: CodeLines, stretch: Stretch, heads: tuple[int, ...]) -> Fragment:
    margins = lines.margins[stretch.first : stretch.last]
    return Fragment(lines.code(stretch.first, stretch.last), stretch.first, margins, heads)
