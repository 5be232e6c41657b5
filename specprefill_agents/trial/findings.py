"""What a trial found: by keep ratio, by tool, and every value at risk. Pure; made of the replayed conversations one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.trial.log_file import BadLine
from specprefill_agents.trial.replay import Attempt, Lost, Pricing, Replayed
from specprefill_agents.types import KeepRatio, Span

CONTEXT_CHARS = 240
"""Shown of the original before and after a value at risk."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one keep ratio does to the results of one tool, or of all tools together.

    Tokens are target tokens, gap marks counted. Of `values` used, `lost` could not be read when they were; values that one model
    call used may share their fate, so those calls are counted too: `calls`, of which `lost_calls` lost any. `saved_usd` is the input
    that is not sent; `fetch_usd` what it costs to fetch every gap with a lost value once.
    """

    keep: KeepRatio
    original_tokens: int = 0
    kept_tokens: int = 0
    values: int = 0
    lost: int = 0
    calls: int = 0
    lost_calls: int = 0
    saved_usd: float = 0.0
    fetch_usd: float = 0.0

    @property
    def kept_share(self) -> float:
        """Of the tokens; 1 where there are none."""
        return self.kept_tokens / self.original_tokens if self.original_tokens else 1.0

    @property
    def lost_share(self) -> float:
        """Of the values used; 0 where none was."""
        return self.lost / self.values if self.values else 0.0

    @property
    def is_cut(self) -> bool:
        """Whether anything was left out, beyond what was brought back of other results."""
        return self.kept_tokens < self.original_tokens

    @property
    def pays(self) -> bool:
        """Whether it saves more than fetching what was lost costs."""
        return self.saved_usd > self.fetch_usd


@dataclass(frozen=True, slots=True)
class RatioRow:
    """One keep ratio over all conversations: its `effect`, how all requests are billed, and what scoring takes.

    `saved_usd` is of whole bills, the tool `expand` in every request included.
    """

    effect: Effect
    tokens: Tokens
    usd: float
    saved_usd: float
    dearer: int
    scorer_ms: float


@dataclass(frozen=True, slots=True)
class ToolRow:
    """The results of one tool, and what each keep ratio does to them; `tool` is "" where nobody named it."""

    tool: str
    results: int
    effects: tuple[Effect, ...]

    @property
    def is_cut(self) -> bool:
        """Whether any keep ratio left anything out."""
        return any(effect.is_cut for effect in self.effects)


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A value that some keep ratios lose: whose result showed it, and which model call used it (`*_step` count from 1).

    `lost_at` are those ratios. Of the original, lines `first` to `last` are in the gap at the first of them;
    `before` and `after` is what surrounds the value there.
    """

    value: str
    tool: str
    conversation: str
    source_step: int
    used_step: int
    lost_at: tuple[KeepRatio, ...]
    lines: Span
    can_expand: bool
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """One conversation: requests, tool results, values used, dollars uncompressed and by keep ratio, values lost by keep ratio."""

    id: str
    line: int
    requests: int
    results: int
    values: int
    plain_usd: float
    usd: tuple[float, ...]
    lost: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """All of it. `about` says how it was made, in plain JSON types; `notes` what was not as asked for."""

    name: str
    about: dict[str, Any]
    plain: Tokens
    plain_usd: float
    ratios: tuple[RatioRow, ...]
    tools: tuple[ToolRow, ...]
    risks: tuple[AtRisk, ...]
    conversations: tuple[ConversationRow, ...]
    bad: tuple[BadLine, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> int:
        """How many values of tool results were used."""
        return sum(row.values for row in self.conversations)


@dataclass(slots=True)
class Tally:
    """Adds up conversations as they are replayed, so that their texts need not be held."""

    keeps: Sequence[KeepRatio]
    pricing: Pricing
    _plain: Tokens = field(default_factory=Tokens)
    _tokens: list[Tokens] = field(default_factory=list)
    _scorer_ms: list[float] = field(default_factory=list)
    _tools: dict[str, list[Effect]] = field(default_factory=dict)
    _results: dict[str, int] = field(default_factory=dict)
    _risks: list[AtRisk] = field(default_factory=list)
    _conversations: list[ConversationRow] = field(default_factory=list)
    _notes: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tokens = [Tokens() for _ in self.keeps]
        self._scorer_ms = [0.0 for _ in self.keeps]

    def add(self, replayed: Replayed) -> None:
        """One more conversation."""
        self._plain += replayed.plain
        tools = [slot.segment.name or "" for slot in replayed.slots]
        for tool in tools:
            self._results[tool] = self._results.get(tool, 0) + 1
            self._tools.setdefault(tool, [Effect(keep) for keep in self.keeps])
        for index, attempt in enumerate(replayed.attempts):
            self._tokens[index] += attempt.tokens
            self._scorer_ms[index] += attempt.scorer_ms
            self._notes |= dict.fromkeys(attempt.notes)
            for tool in dict.fromkeys(tools):
                self._tools[tool][index] = _plus(self._tools[tool][index], tool, tools, replayed, attempt)
        self._risks += _at_risk(replayed)
        self._conversations.append(
            ConversationRow(
                id=replayed.recorded.id,
                line=replayed.recorded.line,
                requests=replayed.requests,
                results=len(replayed.slots),
                values=len(replayed.used),
                plain_usd=self._usd(replayed.plain),
                usd=tuple(self._usd(attempt.tokens) for attempt in replayed.attempts),
                lost=tuple(len(attempt.lost) for attempt in replayed.attempts),
            )
        )

    def findings(self, name: str, about: dict[str, Any], bad: tuple[BadLine, ...] = ()) -> Findings:
        """What was found so far."""
        tools = sorted(self._tools.items(), key=lambda pair: (-pair[1][0].original_tokens, pair[0]))
        return Findings(
            name=name,
            about=about,
            plain=self._plain,
            plain_usd=self._usd(self._plain),
            ratios=tuple(self._ratio(index) for index, _ in enumerate(self.keeps)),
            tools=tuple(ToolRow(tool, self._results[tool], tuple(effects)) for tool, effects in tools),
            risks=tuple(self._risks),
            conversations=tuple(self._conversations),
            bad=bad,
            notes=tuple(self._notes),
        )

    def _ratio(self, index: int) -> RatioRow:
        effects = [effects[index] for effects in self._tools.values()]
        usd = self._usd(self._tokens[index])
        return RatioRow(
            effect=_sum(self.keeps[index], effects),
            tokens=self._tokens[index],
            usd=usd,
            saved_usd=self._usd(self._plain) - usd,
            dearer=sum(row.usd[index] > row.plain_usd * (1 + 1e-9) for row in self._conversations),
            scorer_ms=self._scorer_ms[index],
        )

    def _usd(self, tokens: Tokens) -> float:
        return self.pricing.price.usd_of(tokens) or 0.0


def _plus(effect: Effect, tool: str, tools: Sequence[str], replayed: Replayed, attempt: Attempt) -> Effect:
    """`effect` on a tool with what one conversation adds to it."""
    mine = [index for index, name in enumerate(tools) if name == tool]
    used = [one for one in replayed.used if tools[one.source] == tool]
    lost = [one for one in attempt.lost if tools[one.used.source] == tool]
    here = Effect(
        keep=effect.keep,
        original_tokens=sum(attempt.decided[index].original_tokens for index in mine),
        kept_tokens=sum(attempt.decided[index].kept_tokens for index in mine),
        values=len(used),
        lost=len(lost),
        calls=len({one.used_in for one in used}),
        lost_calls=len({one.used.used_in for one in lost}),
        saved_usd=sum(attempt.saved_usd[index] for index in mine),
        fetch_usd=sum(one.fetch_usd for one in lost),
    )
    return _sum(effect.keep, [effect, here])


def _sum(keep: KeepRatio, effects: Sequence[Effect]) -> Effect:
    return Effect(
        keep=keep,
        original_tokens=sum(one.original_tokens for one in effects),
        kept_tokens=sum(one.kept_tokens for one in effects),
        values=sum(one.values for one in effects),
        lost=sum(one.lost for one in effects),
        calls=sum(one.calls for one in effects),
        lost_calls=sum(one.lost_calls for one in effects),
        saved_usd=sum(one.saved_usd for one in effects),
        fetch_usd=sum(one.fetch_usd for one in effects),
    )


def _at_risk(replayed: Replayed) -> list[AtRisk]:
    """The values that any keep ratio loses, in the order in which they are used."""
    found: dict[tuple[int, str], AtRisk] = {}
    for attempt in replayed.attempts:
        for lost in attempt.lost:
            key = lost.used.used_in, lost.used.value
            known = found.get(key) or _described(replayed, lost)
            found[key] = replace(known, lost_at=(*known.lost_at, attempt.keep))
    return [one for _, one in sorted(found.items(), key=lambda pair: pair[0][0])]


def _described(replayed: Replayed, lost: Lost) -> AtRisk:
    slot, gap, used = replayed.slots[lost.gap.slot], lost.gap, lost.used
    text, end = slot.segment.text, gap.at + len(used.value)
    shown = replayed.slots[used.source]
    return AtRisk(
        value=used.value,
        tool=shown.segment.name or "",
        conversation=replayed.recorded.id,
        source_step=replayed.step_of(slot.message),
        used_step=replayed.step_of(used.used_in),
        lost_at=(),
        lines=(1 + text.count("\n", 0, gap.start), 1 + text.count("\n", 0, max(gap.start, gap.end - 1))),
        can_expand=bool(gap.original_id),
        before=_last_lines(text[: gap.at]),
        after=text[end : end + CONTEXT_CHARS],
    )


def _last_lines(text: str) -> str:
    """The end of a text, from the beginning of a line where one begins there."""
    shown = text[-CONTEXT_CHARS:]
    begins = shown.find("\n") + 1 if len(text) > CONTEXT_CHARS else 0
    return shown[begins:]
