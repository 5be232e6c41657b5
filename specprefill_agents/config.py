"""CompressionConfig: every setting, with its unit, its range and its default, checked at construction."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from specprefill_agents.errors import ConfigError
from specprefill_agents.types import KeepRatio, KeepRule

SCHEMA = 3
"""Version of everything that shapes the output bytes; part of the fingerprint."""

_NOT_IN_FINGERPRINT = frozenset({"timeout_s", "on_error"})
"""Settings that decide whether an output is made, never what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionConfig:
    """Settings of a `Compressor`. Immutable; a wrong value raises `ConfigError` naming field, value and range.

    | field | unit, range | meaning |
    |---|---|---|
    | `keep_ratio` | share of target tokens, (0, 1], or `auto` | budget for one call's candidates, marks included; 1 is the identity |
    | `enabled` | bool | False makes every call the identity |
    | `scorer` | name | `fused` (the next, BM25 and identifiers, by block), `key_index`, `speculative`, `bm25`, `random`, `head_tail` |
    | `min_tokens` | target tokens, >= 0 | candidates of one call that together have fewer pass unchanged |
    | `min_result_tokens` | target tokens, >= 0 | a tool result with fewer passes unchanged, in whatever company |
    | `exclude_tools` | tool names | results of these tools pass unchanged |
    | `force_keep` | regular expressions, functions | what must survive, within the budget or beyond it |
    | `compress_user` | bool | whether `user` segments are candidates too |
    | `target_tokenizer` | name | what budgets are counted in, see `accounting.tokens.counter_for` |
    | `neighbour_bonus` | factor, [0, 1] | share of the better neighbour's score added to a unit's |
    | `unit_chars` | characters, (min, max) | pieces shorter than min are merged with the next, longer than max are split |
    | `originals` | bool | keep the whole text of what was shortened, and name it by an id in the first gap mark |
    | `line_mark` | template | gap mark for whole lines; may use `{count}`, `{first}`, `{last}` (line numbers from 1), `{original}` |
    | `text_mark` | template | gap mark inside a line; may use `{original}` |
    | `original_note` | template | what stands for `{original}` in the first gap mark of a text; uses `{id}` |
    | `seed` | integer | of the `random` scorer |
    | `max_scored_tokens` | target tokens, >= 1 | candidates of one call beyond this are scored by `bm25`, not by the draft |
    | `timeout_s` | seconds, > 0, or None | after this, waiting for other calls of the compressor included, the original is forwarded |
    | `on_error` | `passthrough` or `raise` | what a failing part does to the call |

    `keep_ratio="auto"` keeps what holds most of the importance (`selection.adaptive`), and passes a text whole of which
    nothing stands out. A function of `force_keep` takes a `Segment`, returns spans of its text, and has a name of its own,
    since the fingerprint knows it by that.
    """

    keep_ratio: KeepRatio = 0.3
    enabled: bool = True
    scorer: str = "fused"
    min_tokens: int = 384
    min_result_tokens: int = 32
    exclude_tools: tuple[str, ...] = ()
    force_keep: tuple[KeepRule, ...] = ()
    compress_user: bool = False
    target_tokenizer: str = "auto"
    neighbour_bonus: float = 0.15
    unit_chars: tuple[int, int] = (48, 192)
    originals: bool = True
    line_mark: str = "[… lines {first}-{last} omitted{original}]"
    text_mark: str = "[…{original}]"
    original_note: str = '; full text: expand("{id}")'
    seed: int = 0
    max_scored_tokens: int = 65_536
    timeout_s: float | None = 120.0
    on_error: Literal["passthrough", "raise"] = "passthrough"

    def __post_init__(self) -> None:
        ratio = self.keep_ratio
        self._require("keep_ratio", ratio == "auto" or (_is_number(ratio) and 0 < ratio <= 1), "a number in (0, 1], or 'auto'")
        self._require("enabled", isinstance(self.enabled, bool), "True or False")
        self._require("scorer", isinstance(self.scorer, str) and self.scorer != "", "the name of a scorer")
        for name in ("min_tokens", "min_result_tokens"):
            value = getattr(self, name)
            self._require(name, _is_int(value) and value >= 0, "an integer >= 0 (target tokens)")
        value = self.exclude_tools
        is_strings = isinstance(value, (tuple, list)) and all(isinstance(item, str) for item in value)
        self._require("exclude_tools", is_strings, "a sequence of strings")
        object.__setattr__(self, "exclude_tools", tuple(value))
        self._check_force_keep()
        self._require("compress_user", isinstance(self.compress_user, bool), "True or False")
        self._require("target_tokenizer", isinstance(self.target_tokenizer, str) and self.target_tokenizer != "", "a tokenizer name")
        self._require("neighbour_bonus", _is_number(self.neighbour_bonus) and 0 <= self.neighbour_bonus <= 1, "a number in [0, 1]")
        size = self.unit_chars
        is_range = isinstance(size, (tuple, list)) and len(size) == 2 and all(_is_int(n) for n in size) and 1 <= size[0] <= size[1]
        self._require("unit_chars", is_range, "(min, max) characters with 1 <= min <= max")
        object.__setattr__(self, "unit_chars", tuple(size))
        self._require("originals", isinstance(self.originals, bool), "True or False")
        self._require_template("line_mark", count=1, first=1, last=1, original="")
        self._require_template("text_mark", original="")
        self._require_template("original_note", id="")
        self._require("seed", _is_int(self.seed), "an integer")
        limit = self.max_scored_tokens
        self._require("max_scored_tokens", _is_int(limit) and limit >= 1, "an integer >= 1 (target tokens)")
        timeout_ok = self.timeout_s is None or (_is_number(self.timeout_s) and self.timeout_s > 0)
        self._require("timeout_s", timeout_ok, "seconds > 0, or None")
        self._require("on_error", self.on_error in ("passthrough", "raise"), "'passthrough' or 'raise'")

    def _check_force_keep(self) -> None:
        rules = self.force_keep
        is_rules = isinstance(rules, (tuple, list)) and all(isinstance(rule, str) or _name_of(rule) for rule in rules)
        self._require("force_keep", is_rules, "a sequence of regular expressions and of functions that have a name")
        object.__setattr__(self, "force_keep", tuple(rules))
        for rule in self.force_keep:
            try:
                re.compile(rule if isinstance(rule, str) else "")
            except re.error as error:
                raise ConfigError("force_keep", rule, f"valid regular expressions ({error})") from error

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ConfigError(name, getattr(self, name), allowed)

    def _require_template(self, name: str, **values: object) -> None:
        template = getattr(self, name)
        allowed = f"one line of text that uses only {', '.join(f'{{{value}}}' for value in values)}"
        try:
            self._require(name, "\n" not in template.format(**values), allowed)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ConfigError(name, template, allowed) from error

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CompressionConfig:
        """A config from plain values; an unknown key raises `ConfigError` listing the known ones."""
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(name, values[name], f"settings named {', '.join(known)}")
        return cls(**values)

    def fingerprint(self) -> str:
        """16 hex digits that change when, and only when, a setting changes that shapes output bytes."""
        shaping = {k: v for k, v in asdict(self).items() if k not in _NOT_IN_FINGERPRINT}
        canonical = json.dumps({"schema": SCHEMA, **shaping}, sort_keys=True, ensure_ascii=True, default=_name_of)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:16]


def _name_of(function: object) -> str:
    """Module and name of a function, by which the fingerprint knows it; "" for what has none, such as a lambda."""
    name = getattr(function, "__qualname__", "") if callable(function) else ""
    return "" if not name or name.endswith("<lambda>") else f"{getattr(function, '__module__', '')}.{name}"


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
