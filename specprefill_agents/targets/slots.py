"""Placeholders that stand for texts while a chat template is rendered, so that what a text says never meets the template. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

SCHEMA_WORDS = frozenset(
    "additionalProperties allOf anyOf array boolean default description enum function integer items maximum minimum name "
    "null number object oneOf parameters properties required return string title type".split()
)
"""Words of JSON schema that templates ask for or compare with; as data they say nothing that a tokenizer would obey."""


class Slots:
    """Placeholders for texts. White space around a text stays outside, so a template that trims still does.

    `reserved` is all text that a placeholder must not occur in.
    """

    def __init__(self, reserved: str) -> None:
        self._stem = next(stem for stem in (f"specprefill{n}slot" for n in range(len(reserved) + 1)) if stem not in reserved)
        self._texts: list[str] = []
        self._needed: set[int] = set()
        self._shared: dict[str, int] = {}

    def hold(self, text: str) -> str:
        """A placeholder for a text that the template must show."""
        core = text.strip()
        if not core:
            return text
        self._needed.add(len(self._texts))
        self._texts.append(core)
        return text.replace(core, f"{self._stem}{len(self._texts) - 1}e", 1)

    def hold_loosely(self, text: str) -> str:
        """A placeholder for a text that a template may leave out; the same for the same text, so that templates can compare."""
        core = text.strip()
        if not core:
            return text
        if core not in self._shared:
            self._shared[core] = len(self._texts)
            self._texts.append(core)
        return text.replace(core, f"{self._stem}{self._shared[core]}e", 1)

    def hold_within(self, value: Any) -> Any:
        """Placeholders for every string inside plain JSON types; keys may be left out."""
        return _mapped(value, self.hold, self.hold_loosely)

    def hold_schema(self, value: Any) -> Any:
        """Placeholders for every string inside a tool's definition but the words of JSON schema; any may be left out."""

        def held(text: str) -> str:
            return text if text in SCHEMA_WORDS else self.hold_loosely(text)

        return _mapped(value, held, held)

    def all_in(self, rendered: str) -> bool:
        """Whether every text that must be shown is."""
        return all(f"{self._stem}{index}e" in rendered for index in self._needed)

    def filled(self, rendered: str) -> Iterator[tuple[str, bool]]:
        """The pieces of `rendered` in order, each with whether it is a held text; JSON-escaped inside JSON quotes."""
        pieces = re.split(f"{self._stem}(\\d+)e", rendered)
        for index, piece in enumerate(pieces):
            if index % 2 == 0:
                yield piece, False
                continue
            text = self._texts[int(piece)]
            quoted = pieces[index - 1].endswith('"') and pieces[index + 1].startswith('"')
            yield (json.dumps(text, ensure_ascii=False)[1:-1] if quoted else text), True


def _mapped(value: Any, string: Callable[[str], str], key: Callable[[str], str]) -> Any:
    """`value` with a function applied to every string in it, and another to every key."""
    if isinstance(value, str):
        return string(value)
    if isinstance(value, Mapping):
        return {key(str(name)): _mapped(item, string, key) for name, item in value.items()}
    return [_mapped(item, string, key) for item in value] if isinstance(value, (list, tuple)) else value
