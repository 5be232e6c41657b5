"""One row under one compressor -> its metrics. A question is compressed once; a trajectory is stepped through by a session."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Question, Trajectory
from benchmarks.metrics import FoldedText, Occurrence, is_kept, kept_characters, kept_mask, locate
from specprefill_agents import CompressedSegment, CompressionResult, Compressor, Segment, Span
from specprefill_agents.prompt.query import CallContext, build_query, call_label

METRICS = ("answer", "evidence", "evidence_chars", "values", "share")
"""Share of answer and of evidence groups kept, of the evidence's characters, of needed values, and of target tokens."""

RowMetrics: TypeAlias = dict[str, float | None]


def row_metrics(row: Question | Trajectory, compressors: Sequence[Compressor]) -> list[RowMetrics]:
    """The metrics of one row, one for each compressor."""
    return trajectory_metrics(row, compressors) if isinstance(row, Trajectory) else question_metrics(row, compressors)


def question_metrics(question: Question, compressors: Sequence[Compressor]) -> list[RowMetrics]:
    """The metrics of one question, one for each compressor."""
    texts = [FoldedText(segment.text) for segment in question.segments]
    located = [(needle.kind, locate(texts, needle.alternatives)) for needle in question.needles]
    _all_found(question.id, [places for _, places in located])
    rows = []
    for compressor in compressors:
        result = trusted(compressor.compress(question.segments, question.query))
        masks = [kept_mask(len(s.text), one.spans) for s, one in zip(question.segments, result.segments, strict=True)]
        hits = {kind: [is_kept(places, masks) for of, places in located if of == kind] for kind in ("answer", "evidence")}
        evidence = [kept_characters(places, masks) for kind, places in located if kind == "evidence"]
        rows.append(
            {
                "answer": _mean(hits["answer"]),
                "evidence": _mean(hits["evidence"]),
                "evidence_chars": sum(kept for kept, _ in evidence) / sum(total for _, total in evidence) if evidence else None,
                "values": None,
                "share": _share(result),
            }
        )
    return rows


def trajectory_metrics(trajectory: Trajectory, compressors: Sequence[Compressor]) -> list[RowMetrics]:
    """The metrics of one agent run, one for each compressor: a value counts when any message before its use still shows it."""
    located = needed_places(trajectory)
    rows = []
    for compressor in compressors:
        decided, share = step_through(trajectory, compressor)
        masks = shown_masks(trajectory.messages, {index: one.spans for index, one in decided.items()})
        hits = [is_kept(places, masks) for places in located]
        rows.append({"answer": None, "evidence": None, "evidence_chars": None, "values": _mean(hits), "share": share})
    return rows


def needed_places(trajectory: Trajectory) -> list[list[Occurrence]]:
    """Where each needed value stands in the messages before its use. Raises ValueError when one stands nowhere."""
    texts = [FoldedText(readable(message)) for message in trajectory.messages]
    located = [locate(texts[: needed.used_in], [needed.value]) for needed in trajectory.needed]
    _all_found(trajectory.id, located)
    return located


def shown_masks(messages: Sequence[Mapping[str, Any]], spans: Mapping[int, Sequence[Span]]) -> list[NDArray[np.bool_]]:
    """Which characters of each message a model sees: of those in `spans`, by index, these alone; of the others all."""
    contents = [readable(message) for message in messages]
    return [kept_mask(len(content), spans.get(index, [(0, len(content))])) for index, content in enumerate(contents)]


def step_through(trajectory: Trajectory, compressor: Compressor) -> tuple[dict[int, CompressedSegment], float]:
    """The decision on each tool message, by its index, after stepping a session as an agent would; share of their tokens kept.

    Before each assistant message, and at the end, all tool results so far are in view. Raises AssertionError when a
    text that was sent before reads differently later.
    """
    session = compressor.session(trajectory.id)
    messages = trajectory.messages
    decided: dict[int, CompressedSegment] = {}
    share = 1.0
    for end in range(1, len(messages) + 1):
        is_call = end == len(messages) or messages[end]["role"] == "assistant"
        indices = [index for index in range(end) if messages[index]["role"] == "tool"]
        if not is_call or len(indices) == len(decided):
            continue
        result = trusted(session.step(segments_of(messages, indices), query_at(messages[:end])))
        for index, one in zip(indices, result.segments, strict=True):
            if decided.setdefault(index, one).text != one.text:
                raise AssertionError(f"{trajectory.id}: message {index} changed after it was sent")
        share = _share(result)
    return decided, share


def query_at(messages: Sequence[Mapping[str, Any]]) -> str:
    """The scorer's query before the next assistant message: the last user turn and the calls whose outputs are new."""
    asked = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
    latest: Mapping[str, Any] = next((message for message in reversed(messages) if message["role"] == "assistant"), {})
    return build_query(asked, [_call(call, latest) for call in latest.get("tool_calls", [])])


def _call(call: Mapping[str, Any], message: Mapping[str, Any]) -> CallContext:
    function = call["function"]
    arguments = json.loads(function["arguments"])
    return CallContext(function["name"], arguments if isinstance(arguments, dict) else {"": arguments}, message["content"])


def segments_of(messages: Sequence[Mapping[str, Any]], indices: Sequence[int]) -> list[Segment]:
    """The tool results at `indices` as an adapter hands them on, with the calls that made them."""
    labels = {
        call["id"]: call_label(_call(call, message))
        for message in messages
        if message["role"] == "assistant"
        for call in message.get("tool_calls", [])
    }
    found = [messages[index] for index in indices]
    return [
        Segment(one["content"], "tool_result", one["name"], one["tool_call_id"], call=labels.get(one["tool_call_id"], "")) for one in found
    ]


def readable(message: Mapping[str, Any]) -> str:
    """All text of a message that the model sees: its content, and the arguments of its calls."""
    return "\n".join([message["content"], *(call["function"]["arguments"] for call in message.get("tool_calls", []))])


def _all_found(row: str, located: Sequence[Sequence[Occurrence]]) -> None:
    if not all(located):
        raise ValueError(f"{row}: needle {[bool(places) for places in located].index(False)} is not in the texts")


def trusted(result: CompressionResult) -> CompressionResult:
    """`result`, unless another scorer than the one under test made it."""
    if result.usage.fallback_reason:
        raise RuntimeError(f"not scored as configured: {result.usage.fallback_reason}")
    return result


def _share(result: CompressionResult) -> float:
    return result.usage.kept_tokens / result.usage.original_tokens if result.usage.original_tokens else 1.0


def _mean(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
