"""One audit record per decision: enough to prove later what was sent, by what, for which call. Plain JSON types.

A record without text has names, ids, spans and hashes. What a later text calls an earlier one quotes arguments of calls:
there a hash stands for it, and `masked_sha256` is that of the text that reads with these hashes in the place of the words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args
from uuid import uuid4

from specprefill_agents.config import CompressionConfig
from specprefill_agents.observe.audit import SETTINGS, without_quotes
from specprefill_agents.prompt.decided import decided_text
from specprefill_agents.types import CompressedSegment, GapForm, Kind, MarkStyle, Outcome, Recalled, Repeat, Segment, Span, Usage

EVENT = "decision"


@dataclass(frozen=True, slots=True)
class Decider:
    """What decides: the settings, the scorer, and the draft where the scorer reads with one.

    `fingerprint` covers all that shapes output bytes. What would take loading a model to tell is None. `guardrails` are the
    fields by which records name them; none without guardrails.
    """

    fingerprint: str
    config: CompressionConfig
    scorer: str
    scorer_fingerprint: str | None = None
    draft: str | None = None
    draft_revision: str | None = None
    guardrails: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Occasion:
    """The turn of a conversation that decisions were made in, and what it cost; `elapsed_ms` of wall time.

    `model_id` is the target's. `id` tells turns apart, `size` is the number of decisions made in this one.
    """

    conversation_id: str
    model_id: str | None
    query: str
    usage: Usage
    elapsed_ms: float
    size: int
    id: str = field(default_factory=lambda: uuid4().hex[:16])


@dataclass(frozen=True, slots=True)
class Made:
    """A decision with its name and text, the segment it is about, and the whole texts of the earlier segments it recalls, by name."""

    name: str
    segment: Segment
    decided: CompressedSegment
    sources: Mapping[str, str]


def decision_record(made: Made, occasion: Occasion, decider: Decider, *, include_text: bool = False) -> dict[str, Any]:
    """The fields of a record."""
    segment, decided, usage = made.segment, made.decided, occasion.usage
    passed_for, failed_for = (
        (decided.reason, usage.fallback_reason) if include_text else (without_quotes(decided.reason), without_quotes(usage.fallback_reason))
    )
    return {
        "conversation": occasion.conversation_id,
        "turn": {"id": occasion.id, "size": occasion.size},
        "decision": made.name,
        "kind": segment.kind,
        "name": segment.name,
        "tool_call_id": segment.id,
        "outcome": decided.outcome,
        "reason": passed_for if decided.outcome == "passthrough" else decided.reason,
        "original_tokens": decided.original_tokens,
        "kept_tokens": decided.kept_tokens,
        "chars": len(segment.text),
        "text_sha256": text_hash(segment.text),
        "sent_sha256": text_hash(decided.text),
        "original_id": decided.original_id,
        "spans": [list(span) for span in decided.spans],
        "marks": decided.marks,
        "forms": list(decided.forms),
        "must_keep": [list(span) for span in segment.keep],
        **({"call": segment.call, **_called(decided)} if include_text else _masked(made, decider.config)),
        "query_sha256": text_hash(occasion.query)[:16],
        "model_id": occasion.model_id,
        "scorer": decider.scorer,
        "scorer_fingerprint": decider.scorer_fingerprint,
        "draft": decider.draft,
        "draft_revision": decider.draft_revision,
        "fingerprint": decider.fingerprint,
        "config": decider.config.fingerprint(),
        SETTINGS: decider.config.to_dict(),
        **decider.guardrails,
        "scorer_ms": round(usage.scorer_ms, 1),
        "elapsed_ms": round(occasion.elapsed_ms, 1),
        "fallback_reason": failed_for,
        **({"query": occasion.query, "text": segment.text} if include_text else {}),
    }


def decided_from(row: Mapping[str, Any]) -> CompressedSegment:
    """The decision of a record without its text; where the record has a hash for words, the hash stands for them.

    Raises KeyError, TypeError or ValueError for a record that is none.
    """
    repeat = row["repeat"]
    return CompressedSegment(
        text="",
        spans=spans_from(row["spans"]),
        outcome=cast(Outcome, one_of(row["outcome"], get_args(Outcome))),
        original_tokens=int(row["original_tokens"]),
        kept_tokens=int(row["kept_tokens"]),
        reason=str(row["reason"]),
        marks=cast(MarkStyle, one_of(row["marks"], get_args(MarkStyle))),
        forms=tuple(cast(GapForm, one_of(form, get_args(GapForm))) for form in row["forms"]),
        original_id=str(row["original_id"]),
        repeat=None if repeat is None else Repeat(str(repeat["source"]), _said(repeat, "label"), tuple(map(int, repeat["gaps"]))),
        recalled=tuple(Recalled(str(one["source"]), _said(one, "heading"), spans_from(one["spans"])) for one in row["recalled"]),
    )


def spans_from(rows: Sequence[Sequence[Any]]) -> tuple[Span, ...]:
    """Spans of a record. Raises ValueError unless they are sorted and disjoint."""
    spans = tuple((int(start), int(end)) for start, end in rows)
    ends = [0, *(end for _, end in spans)]
    if any(not before <= start < end for before, (start, end) in zip(ends, spans, strict=False)):
        raise ValueError("spans must be sorted and disjoint")
    return spans


def kind_from(row: Mapping[str, Any]) -> Kind:
    """The kind of a record's segment. Raises KeyError or ValueError."""
    return cast(Kind, one_of(row["kind"], get_args(Kind)))


def segment_from(row: Mapping[str, Any]) -> Segment:
    """The segment of a record with text. Raises KeyError, TypeError or ValueError."""
    return Segment(row["text"], kind_from(row), row["name"], row["tool_call_id"], spans_from(row["must_keep"]), row["call"])


def text_hash(text: str) -> str:
    """64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _called(decided: CompressedSegment, suffix: str = "", say: Callable[[str], str] = str) -> dict[str, Any]:
    """What `decided` takes from earlier texts; what it calls them is said by `say`, in fields of another name."""
    repeat = decided.repeat
    return {
        "repeat": None if repeat is None else {"source": repeat.source, f"label{suffix}": say(repeat.label), "gaps": list(repeat.gaps)},
        "recalled": [
            {"source": one.source, f"heading{suffix}": say(one.heading), "spans": [list(span) for span in one.spans]}
            for one in decided.recalled
        ],
    }


def _masked(made: Made, config: CompressionConfig) -> dict[str, Any]:
    """The same with hashes in place of words, and the hash of the text that reads so."""
    segment, decided = made.segment, made.decided
    masked = replace(
        decided,
        repeat=decided.repeat and replace(decided.repeat, label=_mask(decided.repeat.label)),
        recalled=tuple(replace(one, heading=_mask(one.heading)) for one in decided.recalled),
    )
    text = decided_text(config, segment.kind, segment.text, masked, made.sources) if decided.needs else None
    return {
        "call_sha256": _mask(segment.call) if segment.call else None,
        **_called(decided, "_sha256", _mask),
        "masked_sha256": None if text is None else text_hash(text),
    }


def _mask(words: str) -> str:
    return text_hash(words)[:16]


def _said(part: Mapping[str, Any], name: str) -> str:
    return str(part[name] if name in part else part[f"{name}_sha256"])


def one_of(value: Any, allowed: tuple[object, ...]) -> Any:
    """`value`; raises ValueError unless it is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {allowed}")
    return value
