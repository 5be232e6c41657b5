"""CompressionConfig: every setting, with its unit, its range and its default, checked at construction."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast

from specprefill_agents.errors import ConfigError
from specprefill_agents.types import KeepRatio, KeepRule

SCHEMA = 5
"""Version of everything that shapes the output bytes; part of the fingerprint."""

_NOT_IN_FINGERPRINT = frozenset({"timeout_s", "on_error"})
"""Settings that decide whether an output is made, never what it says."""

_KEEP_RATIO_ALLOWED = "a number in (0, 1], or 'auto'"
_TOOL_KEEP_RATIO_ALLOWED = "a mapping from names of tools, each once, to keep ratios"


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
    | `tool_keep_ratio` | tool name -> (0, 1] or `auto` | `keep_ratio` for results of these tools, instead of the one above |
    | `force_keep` | regular expressions, functions | what must survive, within the budget or beyond it |
    | `compress_user` | bool | whether `user` segments are candidates too |
    | `target_tokenizer` | name | what budgets are counted in, see `accounting.tokens.counter_for` |
    | `neighbour_bonus` | factor, [0, 1] | share of the better neighbour's score added to a unit's |
    | `unit_chars` | characters, (min, max) | pieces shorter than min are merged with the next, longer than max are split |
    | `originals` | bool | keep the whole text of what was shortened, and name it by an id in the first gap mark |
    | `line_mark` | template | gap mark for whole lines; may use `{count}`, `{first}`, `{last}` (line numbers from 1), `{original}` |
    | `text_mark` | template | gap mark inside a line; may use `{original}` |
    | `original_note` | template | what stands for `{original}` in the first gap mark of a text; uses `{id}` |
    | `repeats` | bool | in a session, say once what several tool outputs have in common |
    | `repeat_mark` | template | a text that adds nothing to the earlier one that `{source}` names |
    | `repeat_line_mark` | template | lines that stand there; may use `{count}`, `{first}`, `{last}`, `{source}` |
    | `recall_tokens` | target tokens, >= 0 | in a session, what a step may bring back of what earlier ones left out; 0: nothing |
    | `recall_mark` | template | heading above it; may use `{source}`, `{first}`, `{last}`, `{original}` |
    | `seed` | integer | of the `random` scorer |
    | `max_scored_tokens` | target tokens, >= 1 | candidates of one call beyond this are scored by `bm25`, not by the draft |
    | `timeout_s` | seconds, > 0, or None | after this, waiting for other calls of the compressor included, the original is forwarded |
    | `on_error` | `passthrough` or `raise` | what a failing part does to the call |

    `keep_ratio="auto"` keeps what holds most of the importance (`selection.adaptive`), and passes a text whole of which
    nothing stands out. A function of `force_keep` takes a `Segment`, returns spans of its text, and has a name of its own,
    since the fingerprint knows it by that. `tool_keep_ratio` is given as a mapping or as pairs, and held as pairs sorted by
    name, so that a config is immutable all through and its order means nothing.
    """

    keep_ratio: KeepRatio = 0.3
    enabled: bool = True
    scorer: str = "fused"
    min_tokens: int = 384
    min_result_tokens: int = 32
    exclude_tools: tuple[str, ...] = ()
    tool_keep_ratio: Mapping[str, KeepRatio] | tuple[tuple[str, KeepRatio], ...] = ()
    force_keep: tuple[KeepRule, ...] = ()
    compress_user: bool = False
    target_tokenizer: str = "auto"
    neighbour_bonus: float = 0.15
    prior_weight: float = 0.3
    unit_chars: tuple[int, int] = (48, 192)
    originals: bool = True
    line_mark: str = "[… lines {first}-{last} omitted{original}]"
    text_mark: str = "[…{original}]"
    original_note: str = '; full text: expand("{id}")'
    repeats: bool = True
    repeat_mark: str = "[same output as {source} above]"
    repeat_line_mark: str = "[… lines {first}-{last} as in {source} above]"
    recall_tokens: int = 256
    recall_mark: str = "[left out of {source} above, lines {first}-{last}{original}]"
    seed: int = 0
    max_scored_tokens: int = 65_536
    max_target_tokens: int | None = None
    timeout_s: float | None = 120.0
    on_error: Literal["passthrough", "raise"] = "passthrough"

    def __post_init__(self) -> None:
        self._require("keep_ratio", _is_keep_ratio(self.keep_ratio), _KEEP_RATIO_ALLOWED)
        self._require("enabled", isinstance(self.enabled, bool), "True or False")
        self._require("scorer", isinstance(self.scorer, str) and self.scorer != "", "the name of a scorer")
        for name in ("min_tokens", "min_result_tokens"):
            value = getattr(self, name)
            self._require(name, _is_int(value) and value >= 0, "an integer >= 0 (target tokens)")
        value = self.exclude_tools
        is_strings = isinstance(value, (tuple, list)) and all(isinstance(item, str) for item in value)
        self._require("exclude_tools", is_strings, "a sequence of strings")
        object.__setattr__(self, "exclude_tools", tuple(value))
        self._check_tool_keep_ratio()
        self._check_force_keep()
        self._require("compress_user", isinstance(self.compress_user, bool), "True or False")
        self._require("target_tokenizer", isinstance(self.target_tokenizer, str) and self.target_tokenizer != "", "a tokenizer name")
        for name in ("neighbour_bonus", "prior_weight"):
            value = getattr(self, name)
            self._require(name, _is_number(value) and 0 <= value <= 1, "a number in [0, 1]")
        size = self.unit_chars
        is_range = isinstance(size, (tuple, list)) and len(size) == 2 and all(_is_int(n) for n in size) and 1 <= size[0] <= size[1]
        self._require("unit_chars", is_range, "(min, max) characters with 1 <= min <= max")
        object.__setattr__(self, "unit_chars", tuple(size))
        self._require("originals", isinstance(self.originals, bool), "True or False")
        self._require_template("line_mark", count=1, first=1, last=1, original="")
        self._require_template("text_mark", original="")
        self._require_template("original_note", id="")
        self._require("repeats", isinstance(self.repeats, bool), "True or False")
        self._require_template("repeat_mark", source="")
        self._require_template("repeat_line_mark", count=1, first=1, last=1, source="")
        self._require("recall_tokens", _is_int(self.recall_tokens) and self.recall_tokens >= 0, "an integer >= 0 (target tokens)")
        self._require_template("recall_mark", source="", first=1, last=1, original="")
        self._require("seed", _is_int(self.seed), "an integer")
        limit = self.max_scored_tokens
        self._require("max_scored_tokens", _is_int(limit) and limit >= 1, "an integer >= 1 (target tokens)")
        most = self.max_target_tokens
        self._require("max_target_tokens", most is None or (_is_int(most) and most >= 1), "an integer >= 1 (target tokens), or None")
        timeout_ok = self.timeout_s is None or (_is_number(self.timeout_s) and self.timeout_s > 0)
        self._require("timeout_s", timeout_ok, "seconds > 0, or None")
        self._require("on_error", self.on_error in ("passthrough", "raise"), "'passthrough' or 'raise'")

    def _check_tool_keep_ratio(self) -> None:
        given = self.tool_keep_ratio
        try:
            pairs = [(name, ratio) for name, ratio in (given.items() if isinstance(given, Mapping) else given)]
            is_by_name = all(isinstance(name, str) and name for name, _ in pairs) and len(dict(pairs)) == len(pairs)
        except (TypeError, ValueError) as error:
            raise ConfigError("tool_keep_ratio", given, _TOOL_KEEP_RATIO_ALLOWED) from error
        self._require("tool_keep_ratio", is_by_name, _TOOL_KEEP_RATIO_ALLOWED)
        for name, ratio in pairs:
            if not _is_keep_ratio(ratio):
                raise ConfigError(f"tool_keep_ratio.{name}", ratio, _KEEP_RATIO_ALLOWED)
        held = tuple(sorted((name, "auto" if ratio == "auto" else float(ratio)) for name, ratio in pairs))
        object.__setattr__(self, "tool_keep_ratio", held)

    def keep_ratio_of(self, tool: str | None) -> KeepRatio:
        """The `keep_ratio` for results of `tool`: its own where it has one."""
        return dict(self.tool_keep_ratio).get(tool or "", self.keep_ratio)

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

    def to_dict(self) -> dict[str, Any]:
        """Every setting in plain JSON types, a function of `force_keep` as `{"function": its name}`, which no config is made of again."""
        rules = [rule if isinstance(rule, str) else {"function": _name_of(rule)} for rule in self.force_keep]
        plain = {
            "exclude_tools": list(self.exclude_tools),
            "tool_keep_ratio": dict(self.tool_keep_ratio),
            "unit_chars": list(self.unit_chars),
            "force_keep": rules,
        }
        return {setting.name: getattr(self, setting.name) for setting in fields(self)} | plain

    def fingerprint(self) -> str:
        """16 hex digits that change when, and only when, a setting changes that shapes output bytes."""
        shaping = {k: v for k, v in asdict(self).items() if k not in _NOT_IN_FINGERPRINT}
        canonical = json.dumps({"schema": SCHEMA, **shaping}, sort_keys=True, ensure_ascii=True, default=_name_of)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:16]


def _name_of(function: object) -> str:
    """Module and name of a function, by which the fingerprint knows it; "" for what has none, such as a lambda."""
    name = getattr(function, "__qualname__", "") if callable(function) else ""
    return "" if not name or name.endswith("<lambda>") else f"{getattr(function, '__module__', '')}.{name}"


def _is_keep_ratio(value: object) -> bool:
    return value == "auto" or (_is_number(value) and 0 < cast(float, value) <= 1)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
