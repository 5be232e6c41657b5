"""Session: the only holder of state across agent steps. A decision, once made, is frozen; what was sent stays sent.

Decisions are found by content, never by position: hash of kind, name, id, text, what of it must be kept, and the compressor's
fingerprint.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from specprefill_agents.compressor import Compressor
from specprefill_agents.errors import ConfigError, SpecPrefillError
from specprefill_agents.types import CompressedSegment, CompressionResult, GapForm, MarkStyle, Outcome, Segment, Usage

VERSION = 3
"""Of the serialized form."""


class Session:
    """One conversation's frozen decisions. Steps of one session run one after the other, whichever thread asks."""

    def __init__(self, conversation_id: str, compressor: Compressor) -> None:
        self.conversation_id = conversation_id
        self._compressor = compressor
        self._decisions: dict[str, CompressedSegment] = {}
        self._kept = {""}
        self._lock = threading.Lock()

    def step(self, segments: Sequence[Segment], query: str) -> CompressionResult:
        """Compress what is new among `segments` for `query`; everything seen before comes back byte for byte.

        `usage` covers all segments in its token counts, and only the new ones in scorer time and cache hits.
        """
        with self._lock:
            keys = [self._key(segment) for segment in segments]
            new: dict[str, Segment] = {}
            for key, segment in zip(keys, segments, strict=True):
                if key not in self._decisions:
                    new.setdefault(key, segment)
            usage = Usage()
            if new:
                made = self._compressor.compress(list(new.values()), query)
                usage = made.usage
                self._decisions.update((key, replace(one, text="")) for key, one in zip(new, made.segments, strict=True))
                self._kept.update(one.original_id for one in made.segments)
            self._keep_originals(segments, [self._decisions[key] for key in keys])
            decided = [self._decisions[key] for key in keys]
            done = tuple(self._compressor.restore(s, d) for s, d in zip(segments, decided, strict=True))
        original = sum(segment.original_tokens for segment in done)
        kept = sum(segment.kept_tokens for segment in done)
        return CompressionResult(done, Usage(original, kept, usage.scorer_ms, usage.cache_hits, usage.fallback_reason, usage.note))

    def _keep_originals(self, segments: Sequence[Segment], decided: Sequence[CompressedSegment]) -> None:
        """Once for each original that an earlier process left behind: it may have expired there, or never been here.

        What was sent stays sent, so a store that fails is recorded and nothing else.
        """
        for segment, decision in zip(segments, decided, strict=True):
            if decision.original_id not in self._kept:
                self._kept.add(decision.original_id)
                try:
                    self._compressor.keep_original(segment.text, decision)
                except Exception as error:
                    reason = str(error) if isinstance(error, SpecPrefillError) else type(error).__name__
                    self._compressor.audit.record("original", {"id": decision.original_id, "fallback_reason": reason})

    def _key(self, segment: Segment) -> str:
        # With their lengths, so that nothing a name or an id contains can pass for the end of it.
        keep = " ".join(f"{start}-{end}" for start, end in segment.keep)
        parts = (self._compressor.fingerprint, segment.kind, segment.name or "", segment.id or "", keep, segment.text)
        return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def to_dict(self) -> dict[str, Any]:
        """The session as plain JSON types; holds spans and counts, no text."""
        with self._lock:
            decisions = {key: _pack(decision) for key, decision in self._decisions.items()}
        return {
            "version": VERSION,
            "conversation_id": self.conversation_id,
            "fingerprint": self._compressor.fingerprint,
            "decisions": decisions,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], compressor: Compressor) -> Session:
        """Continue a session. Raises `ConfigError` when it comes from another version or another configuration."""
        if data.get("version") != VERSION:
            raise ConfigError("version", data.get("version"), str(VERSION))
        if data.get("fingerprint") != compressor.fingerprint:
            raise ConfigError("fingerprint", data.get("fingerprint"), f"{compressor.fingerprint} (the same settings, draft and tokenizer)")
        session = cls(str(data["conversation_id"]), compressor)
        session._decisions = {key: _unpack(row) for key, row in data["decisions"].items()}
        return session


def _pack(decision: CompressedSegment) -> list[Any]:
    spans = [list(span) for span in decision.spans]
    shown = [decision.marks, spans, list(decision.forms), decision.original_id]
    return [decision.outcome, decision.original_tokens, decision.kept_tokens, decision.reason, *shown]


def _unpack(row: Sequence[Any]) -> CompressedSegment:
    outcome, original, kept, reason, marks, spans, forms, original_id = row
    return CompressedSegment(
        text="",
        spans=tuple((int(start), int(end)) for start, end in spans),
        outcome=cast(Outcome, outcome),
        original_tokens=int(original),
        kept_tokens=int(kept),
        reason=str(reason),
        marks=cast(MarkStyle, marks),
        forms=tuple(cast(GapForm, form) for form in forms),
        original_id=str(original_id),
    )
