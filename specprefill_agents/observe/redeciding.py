"""Deciding afresh what a log with texts holds: do the same texts, question and settings lead to the same spans?

A turn's texts share one budget, so they are decided together. What refers to an earlier text depends on all that was in view
then, which a log does not say; it is not decided afresh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from specprefill_agents.config import CompressionConfig
from specprefill_agents.errors import SpecPrefillError
from specprefill_agents.observe.audit_file import Record
from specprefill_agents.observe.decisions import Decider, decided_from, segment_from
from specprefill_agents.observe.replay import DAMAGE, SAME, Finding, Replay, Trail, Unproved
from specprefill_agents.types import CompressedSegment, CompressionResult, Segment


class Compresses(Protocol):
    """As much of a `Compressor` as decides, and says what it is."""

    @property
    def decider(self) -> Decider: ...

    def compress(self, segments: list[Segment], query: str) -> CompressionResult: ...


class Redeciding:
    """Decides turns of a trail again, each once. `make` gives a compressor for settings and the name of a draft."""

    def __init__(self, trail: Trail, make: Callable[[CompressionConfig, str], Compresses]) -> None:
        self._replay = Replay(trail)
        self._make = make
        self._made: dict[tuple[str, str], Compresses] = {}
        self._turns: dict[str, list[Record]] = {}
        for record in trail.decisions:
            self._turns.setdefault(_turn(record), []).append(record)
        self._decided: dict[str, dict[str, CompressedSegment] | Finding] = {}

    def spans_of(self, record: Record) -> Finding:
        """Whether the decision of `record`, made again, keeps the same spans."""
        try:
            was = decided_from(record)
            if was.repeat is not None:
                return Finding("not replayed", "it refers to an earlier text")
            if record["fallback_reason"]:
                return Finding("not replayed", "it was no decision of the scorer's")
            now = self._of_turn(_turn(record))
            if isinstance(now, Finding):
                return now
            decided = now[record["decision"]]
        except Unproved as ended:
            return ended.finding
        except DAMAGE as error:
            return Finding("differs", f"the record is damaged ({type(error).__name__}: {error})")
        if decided.outcome == "compressed" and was.outcome != "compressed":
            return Finding("not replayed", f"it passed whole: {was.reason}")  # by the guard of that process, or its arm
        is_same = (decided.outcome, decided.spans, decided.forms) == (was.outcome, was.spans, was.forms)
        return SAME if is_same else Finding("differs", "decided afresh, other spans are kept")

    def _of_turn(self, turn: str) -> dict[str, CompressedSegment] | Finding:
        """The decisions of a turn by name, or why there are none."""
        if turn not in self._decided:
            try:
                self._decided[turn] = self._again(self._turns[turn])
            except Unproved as ended:
                self._decided[turn] = ended.finding
        return self._decided[turn]

    def _again(self, records: list[Record]) -> dict[str, CompressedSegment]:
        first = records[0]
        if any("text" not in one or "query" not in one for one in records):
            raise Unproved("not replayed", "the log does not hold the texts")
        if len(records) != first["turn"]["size"]:
            raise Unproved("not replayed", "the log does not hold all decisions of the turn")
        config = self._replay.config_of(first)
        if not all(isinstance(rule, str) for rule in config.force_keep):
            raise Unproved("not replayed", "a function of force_keep is not in the log")
        for one in records:
            self._replay.text_of(one)
        compressor = self._compressor(first, config)
        try:
            result = compressor.compress([segment_from(one) for one in records], first["query"])
        except Exception as error:  # a draft that cannot be loaded, a scorer that fails
            cause = str(error) if isinstance(error, (SpecPrefillError, ImportError)) else type(error).__name__
            raise Unproved("not replayed", f"deciding failed: {cause}") from error
        _check_scorer(first, compressor.decider)
        return {one["decision"]: decided for one, decided in zip(records, result.segments, strict=True)}

    def _compressor(self, record: Record, config: CompressionConfig) -> Compresses:
        """The compressor that decided `record`, as far as that can be made here. Raises `Unproved`."""
        _, _, draft = record["scorer"].partition(":")
        made = self._made.get((record["config"], draft))
        if made is None:
            try:
                made = self._make(replace(config, on_error="raise", timeout_s=None), draft)
            except (SpecPrefillError, ImportError) as error:
                raise Unproved("not replayed", f"no such scorer here: {error}") from error
            self._made[record["config"], draft] = made
        if made.decider.fingerprint != record["fingerprint"]:
            raise Unproved("not replayed", "it was decided with a scorer, splitter or tokenizer that is not known here")
        return made


def _check_scorer(record: Record, decider: Decider) -> None:
    for name in ("scorer_fingerprint", "draft_revision"):
        was, now = record[name], getattr(decider, name)
        if was is not None and now is not None and was != now:
            raise Unproved("not replayed", f"the {name.replace('_', ' ')} was {was}, here it is {now}")


def _turn(record: Record) -> str:
    turn = record.get("turn")
    return str(turn.get("id")) if isinstance(turn, dict) else ""
