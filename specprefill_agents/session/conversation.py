"""Session: the only holder of state across agent steps. A decision, once made, is frozen; what was sent stays sent.

Decisions are found by content, never by position: hash of kind, name, id, text, what of it must be kept, and the compressor's
fingerprint. Where history was edited, everything that does not quote what is gone stays as it was sent.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from specprefill_agents.compressor import Compressor, recorded_in
from specprefill_agents.errors import ConfigError, SpecPrefillError
from specprefill_agents.observe.decisions import Occasion
from specprefill_agents.session.auditing import leave_records
from specprefill_agents.session.decisions import Decisions, Named
from specprefill_agents.session.recalling import Recall
from specprefill_agents.session.recompacting import CacheState, Recompacted, why_rewrite
from specprefill_agents.session.repeating import as_repeat
from specprefill_agents.session.view import Shown, View
from specprefill_agents.types import CompressedSegment, CompressionResult, Segment, Usage

VERSION = 4
"""Of the serialized form."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The segments that reach the target with one request and not before, and what they are read for.

    `most_tokens` is what this and all earlier segments may have together in that request, in target tokens; None: no limit.
    """

    segments: tuple[Segment, ...]
    query: str
    most_tokens: int | None = None


class Session:
    """One conversation's frozen decisions. Steps of one session run one after the other, whichever thread asks.

    `generation` counts how often history was rewritten (`recompact`). `arm` is its arm where the guardrails run an
    experiment: in the arm `control` everything passes whole. `model_id` is what audit records call the target; it may
    change from step to step.
    """

    def __init__(self, conversation_id: str, compressor: Compressor, model_id: str | None = None) -> None:
        self.conversation_id = conversation_id
        self.model_id = model_id
        self.generation = 0
        self.arm = compressor.guard.arm(conversation_id)
        self._compressor = compressor
        self._decisions = Decisions()
        self._shown: dict[str, Shown] = {}
        self._keys: dict[Segment, str] = {}
        self._kept = {""}
        self._withheld: list[tuple[Occasion, set[str], View]] | None = None
        self._lock = threading.Lock()

    def step(self, segments: Sequence[Segment], query: str) -> CompressionResult:
        """Compress what is new among `segments` for `query`; everything seen before comes back byte for byte.

        `segments` are all that the target will see, in order: a new one may refer to those before it, when it repeats
        them or when the query now needs what was left out of them. `usage` covers all segments in its token counts, and
        only the new ones in scorer time and cache hits.
        """
        return self.steps([Turn(tuple(segments), query)])[0]

    def steps(self, turns: Sequence[Turn]) -> list[CompressionResult]:
        """A conversation turn by turn from its beginning: what was decided comes back, the rest is decided for the query of its turn.

        One result per turn. A turn that fails passes whole, with an audit record, unless `config.on_error` is "raise".
        """
        with self._lock:
            view = View()
            results = [self._turn(view, turn) for turn in turns]
            self._decisions.prune(view.names)
            self._shown = {shown.name: shown for shown in view.shown}
            self._kept = {"", *(shown.decided.original_id for shown in view.shown)}
            self._keys = {segment: key for turn in turns for segment in turn.segments if (key := self._keys.get(segment))}
        return results

    def recompact(self, segments: Sequence[Segment], query: str, state: CacheState, *, force: bool = False) -> Recompacted | None:
        """Decide afresh, for `query`, on all that was sent: the one thing that changes it. Never done unless this is called.

        Only where it pays, by `state`, or by `force`; else None, and nothing changes. From then on the new decisions are
        frozen. `segments` are as in `step`.
        """
        afresh = Session(self.conversation_id, self._compressor, self.model_id)
        afresh.withhold_records()
        result = afresh.step(segments, query)
        sent = self.step(segments, query)
        reason = "asked for" if force else why_rewrite(sent, result, state)
        if not reason or result.usage.fallback_reason:
            return None
        with self._lock:
            self._decisions, self._shown = afresh._decisions, afresh._shown
            self.generation += 1
            if self._withheld is None:
                afresh.release_records()
            else:
                self._withheld += afresh._withheld or []
        self._compressor.audit.record("recompact", {"conversation": self.conversation_id, "reason": reason})
        return Recompacted(result, reason)

    def withhold_records(self) -> None:
        """Leave no audit records of decisions from now on: what is decided may never be sent."""
        self._withheld = []

    def release_records(self) -> None:
        """Leave the records that were withheld, since it is sent, and from now on each at once."""
        withheld, self._withheld = self._withheld or [], None
        for occasion, new, view in withheld:
            leave_records(self._compressor, occasion, new, view)

    def _turn(self, view: View, turn: Turn) -> CompressionResult:
        begun, started = (len(view.shown), self._decisions.last), time.perf_counter()
        try:
            result = self._decide(view, turn)
        except Exception as error:
            if self._compressor.config.on_error == "raise":
                raise
            view.cut(begun[0])
            self._decisions.forget_after(begun[1])
            reason = f"a session step failed: {_cause(error)}"
            with recorded_in(self.conversation_id):
                whole = self._compressor.unchanged(turn.segments, turn.query, reason)
            result = replace(whole, segments=self._frozen(view, turn, whole.segments))
        new = self._decisions.made_after(begun[1])
        elapsed_ms = 1000 * (time.perf_counter() - started)
        occasion = Occasion(self.conversation_id, self.model_id, turn.query, result.usage, elapsed_ms, len(new))
        if self._withheld is None:
            leave_records(self._compressor, occasion, new, view)
        else:
            self._withheld.append((occasion, new, view))
        return result

    def _frozen(self, view: View, turn: Turn, whole: Sequence[CompressedSegment]) -> tuple[CompressedSegment, ...]:
        """What is sent of a turn that failed: what was sent of it before, and the rest whole from now on."""
        first = len(view.shown)
        for segment, decided in zip(turn.segments, whole, strict=True):
            key = self._key(segment)
            found = self._decisions.find(key, view.names) or self._decisions.add(key, replace(decided, text=""))
            view.add(Shown(found.name, segment, self._restored(found, segment, view)))
        return tuple(shown.decided for shown in view.shown[first:])

    def _decide(self, view: View, turn: Turn) -> CompressionResult:
        keys = [self._key(segment) for segment in turn.segments]
        new = self._new(view, turn.segments, keys)
        room = self._room(view, turn, keys, new)
        made = self._made(tuple(new.values()), turn.query, room) if new else CompressionResult(())
        usage, plain = made.usage, dict(zip(new, made.segments, strict=True))
        is_full = room is not None and usage.kept_tokens + self._compressor.config.recall_tokens > room
        is_plain = is_full or usage.fallback_reason is not None or made.is_refused or self.arm == "control" or self._compressor.is_off
        recall = None if is_plain else Recall(self._compressor, tuple(new.values()), usage.original_tokens, turn.query)
        first = len(view.shown)
        for key, segment in zip(keys, turn.segments, strict=True):
            found = self._decisions.find(key, view.names)
            if found is None:
                decided = self._in_context(segment, plain[key], recall, view)
                found = self._decisions.add(key, replace(decided, text=""))
                self._kept.add(found.decided.original_id)
            view.add(Shown(found.name, segment, self._restored(found, segment, view)))
        shown = view.shown[first:]
        self._keep_originals(shown)
        spent = usage.scorer_ms + (recall.scorer_ms if recall else 0.0)
        return _result([one.decided for one in shown], replace(usage, scorer_ms=spent))

    def _room(self, view: View, turn: Turn, keys: Sequence[str], new: Mapping[str, Segment]) -> int | None:
        """Target tokens that the `new` segments of a turn may have; None: as many as they are worth."""
        if turn.most_tokens is None:
            return None
        frozen = [found for key in keys if key not in new and (found := self._decisions.find(key, view.names))]
        shown = [*(one.decided for one in view.shown), *(found.decided for found in frozen)]
        return turn.most_tokens - sum(decided.kept_tokens for decided in shown)

    def _made(self, segments: Sequence[Segment], query: str, room: int | None) -> CompressionResult:
        """The decisions on new segments by themselves."""
        if self.arm == "control":
            return self._compressor.whole(segments, "control arm: runs uncompressed")
        limit = {} if room is None else {"most_tokens": room}
        with recorded_in(self.conversation_id):
            return self._compressor.compress(segments, query, **limit)

    def _in_context(self, segment: Segment, plain: CompressedSegment, recall: Recall | None, view: View) -> CompressedSegment:
        """The decision on a new segment: `plain`, less what it repeats, and with what is recalled; without `recall` as it is."""
        if recall is None:
            return plain
        decided = as_repeat(self._compressor, segment, plain, view)
        return recall.added_to(decided, view) if recall.is_carried_by(segment, decided) else decided

    def _new(self, view: View, segments: Sequence[Segment], keys: Sequence[str]) -> dict[str, Segment]:
        """The segments that no decision holds for, by key."""
        before, new = set(view.names), dict[str, Segment]()
        for key, segment in zip(keys, segments, strict=True):
            found = self._decisions.find(key, before)
            if found is None:
                new.setdefault(key, segment)
            else:
                before.add(found.name)
        return new

    def _restored(self, found: Named, segment: Segment, view: View) -> CompressedSegment:
        """A decision with its text, which is made once for as long as it stays in view."""
        known = self._shown.get(found.name)
        if known is not None:
            return known.decided
        sources = view.text_of([part.source for part in found.decided.recalled])
        return self._compressor.restore(segment, found.decided, sources)

    def _keep_originals(self, shown: Sequence[Shown]) -> None:
        """Once for each original that an earlier process left behind: it may have expired there, or never been here.

        What was sent stays sent, so a store that fails is recorded and nothing else.
        """
        for one in shown:
            if one.decided.original_id not in self._kept:
                self._kept.add(one.decided.original_id)
                try:
                    self._compressor.keep_original(one.segment.text, one.decided)
                except Exception as error:
                    self._compressor.audit.record("original", {"id": one.decided.original_id, "fallback_reason": _cause(error)})

    def _key(self, segment: Segment) -> str:
        key = self._keys.get(segment)
        if key is None:
            # With their lengths, so that nothing a name or an id contains can pass for the end of it.
            keep = " ".join(f"{start}-{end}" for start, end in segment.keep)
            parts = (self._compressor.fingerprint, segment.kind, segment.name or "", segment.id or "", keep, segment.text)
            joined = "".join(f"{len(part)}:{part}" for part in parts)
            self._keys[segment] = key = hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return key

    def to_dict(self) -> dict[str, Any]:
        """The session as plain JSON types; holds spans, counts and headings, no text of a segment."""
        with self._lock:
            decisions = self._decisions.to_dict()
        return {
            "version": VERSION,
            "conversation_id": self.conversation_id,
            "fingerprint": self._compressor.fingerprint,
            "generation": self.generation,
            "decisions": decisions,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], compressor: Compressor) -> Session:
        """Continue a session. Raises `ConfigError` when it comes from another version or another configuration, or is damaged."""
        if data.get("version") != VERSION:
            raise ConfigError("version", data.get("version"), str(VERSION))
        if data.get("fingerprint") != compressor.fingerprint:
            raise ConfigError("fingerprint", data.get("fingerprint"), f"{compressor.fingerprint} (the same settings, draft and tokenizer)")
        session = cls(str(data["conversation_id"]), compressor)
        session.generation = int(data["generation"])
        session._decisions = Decisions.from_dict(data["decisions"])
        return session


def _cause(error: Exception) -> str:
    """What an audit record says of an error: quotes only this library's own."""
    return str(error) if isinstance(error, SpecPrefillError) else type(error).__name__


def _result(decided: Sequence[CompressedSegment], usage: Usage) -> CompressionResult:
    original, kept = (sum(getattr(one, name) for one in decided) for name in ("original_tokens", "kept_tokens"))
    return CompressionResult(tuple(decided), replace(usage, original_tokens=original, kept_tokens=kept))
