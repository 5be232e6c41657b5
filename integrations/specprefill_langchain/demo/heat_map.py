"""The demo's heat map: the longest tool output of a run, the question it was really read for, and the decision that was sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from langchain_core.messages import AIMessage

from specprefill_agents import Compressor, Segment
from specprefill_agents.observe.explain import Decided, Explanation, explain
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.storage.score_cache import default_cache
from specprefill_agents.types import CompressedSegment
from specprefill_langchain.demo.calls import call_text
from specprefill_langchain.messages import rounds
from specprefill_langchain.step import StepReport

COMPARED = ("key_index", "bm25")
"""Scorers shown beside the one that decided."""


@dataclass(frozen=True, slots=True)
class Read:
    """One tool output of a run: the call it came from, the question it was read for, and what was decided."""

    call: str
    segment: Segment
    query: str
    decided: CompressedSegment


def longest_read(report: StepReport) -> Read | None:
    """The longest tool output that was shortened, in target tokens; None where none was, or where the step failed."""
    if report.result.usage.fallback_reason:
        return None
    calls = {call["id"]: call_text(call) for message in report.messages if isinstance(message, AIMessage) for call in message.tool_calls}
    asked = [(slot.segment, part.query) for part in rounds(report.messages) for slot in part.slots]
    reads = [
        Read(calls.get(segment.id, segment.name or ""), segment, query, decided)
        for (segment, query), decided in zip(asked, report.result.segments, strict=True)
        if decided.outcome == "compressed"
    ]
    return max(reads, key=lambda read: read.decided.original_tokens, default=None)


def explain_read(read: Read, compressor: Compressor) -> Explanation:
    """What `compressor` decided about an output, with the numbers behind it; what its draft has read, it does not read again."""
    cache = default_cache()
    names = dict.fromkeys([compressor.config.scorer, *COMPARED])
    scorers = {name: make_scorer(replace(compressor.config, scorer=name), compressor.draft, "auto", cache) for name in names}
    decided = Decided(compressor.config, compressor.counter, read.decided)
    return explain(decided, read.segment, read.query, scorers, read.call)
