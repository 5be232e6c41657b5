"""One decision in full: the spans that were kept, by what, why; and the heat map of it where the log holds the texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.config import CompressionConfig
from specprefill_agents.errors import SpecPrefillError
from specprefill_agents.observe.dashboard.rows import outcomes_of
from specprefill_agents.observe.decisions import decided_from, segment_from
from specprefill_agents.observe.explain import Decided, explain
from specprefill_agents.observe.explain_page import render_page
from specprefill_agents.observe.replay import DAMAGE, Replay, Trail, Unproved
from specprefill_agents.scoring.base import Scorer

MAX_SPANS = 2_000
"""Spans of a decision that are shown singly."""

MakeScorer = Callable[[CompressionConfig, str], Scorer]
"""A scorer for settings and the name of a draft."""

_FACTS = ("kind", "tool_call_id", "model_id", "scorer", "draft", "draft_revision", "original_id", "fingerprint", "fallback_reason")


class NoHeatMap(SpecPrefillError):
    """Why there is no heat map of a decision."""


def detail_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of a record: facts, the text's length in characters, spans kept; `why_no_map` is "" where there is one."""
    pairs = _pairs(record.get("spans"))
    facts = [[name.replace("_", " "), str(record[name])] for name in _FACTS if record.get(name)]
    outcomes = ", ".join(f"{count} {name}" for name, count in outcomes_of(record).most_common())
    return {
        "chars": record.get("chars") if isinstance(record.get("chars"), int) else 0,
        "spans": pairs[:MAX_SPANS],
        "more_spans": max(0, len(pairs) - MAX_SPANS),
        "whole": record.get("outcome") != "compressed",
        "repeats": bool(record.get("repeat")),
        "recalls": bool(record.get("recalled")),
        "facts": [*facts, *([["texts of the call", outcomes]] if outcomes else [])],
        "query": record.get("query") if isinstance(record.get("query"), str) else None,
        "why_no_map": why_no_map(record),
    }


def why_no_map(record: Mapping[str, Any]) -> str:
    """Why no heat map can be made of a record; "" where it can."""
    if record.get("event") != "decision":
        return "The record is of a whole call; only decisions in conversations are recorded one by one."
    if "text" not in record or "query" not in record:
        return "The log holds no texts. With JsonlAudit(..., include_text=True) it would, and the heat map would be here."
    if record.get("repeat"):
        return "The text repeats an earlier one; what is shown of it was not decided by importance."
    return ""


def heat_map(record: Mapping[str, Any], settings: Mapping[str, Any], make_scorer: MakeScorer) -> str:
    """The heat-map page of a record: what was decided then, with importance as the same scorer sees it now.

    `settings` are configurations by fingerprint. Raises `NoHeatMap`, and ImportError where an extra is missing.
    """
    why = why_no_map(record)
    if why:
        raise NoHeatMap(why)
    try:
        trail = Trail((), {}, settings, {})
        replay = Replay(trail)
        config, segment = replay.config_of(dict(record)), segment_from(record)
        replay.text_of(dict(record))
        decided = decided_from(record)
        name, _, draft = str(record["scorer"]).partition(":")
        if name != config.scorer:
            raise NoHeatMap(f"it was decided with a scorer that is not known here: {name}")
        scorer = make_scorer(config, draft)
        # The text shared its budget with others of its turn: of this one, the share that was kept is what was decided.
        shown = Decided(replace(config, keep_ratio="auto"), counter_for(config.target_tokenizer), decided)
        return render_page(explain(shown, segment, record["query"], {name: scorer}, str(record.get("name") or "")))
    except Unproved as ended:
        raise NoHeatMap(ended.finding.reason) from ended
    except SpecPrefillError as error:
        raise NoHeatMap(str(error)) from error
    except DAMAGE as error:
        raise NoHeatMap(f"the record is damaged ({type(error).__name__})") from error


def _pairs(spans: object) -> list[list[int]]:
    """Spans of a record; none where they are damaged."""
    if not isinstance(spans, list):
        return []
    are_pairs = all(isinstance(one, list) and len(one) == 2 and all(type(end) is int for end in one) for one in spans)
    return spans if are_pairs else []
