"""The heat-map page of an `Explanation`: one HTML file that asks the network for nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from specprefill_agents.observe.explain import NO_QUESTION, TOP_SHARES, ExplainedUnit, Explanation, visible
from specprefill_agents.observe.html_page import asset, content_policy, rendered, script_of

LONG_UNITS = 3_000
"""A text with more units is laid out only where it is looked at."""

_HERE = "specprefill_agents.observe"
_SCRIPTS = ("select.js", "view.js", "detail.js", "move.js", "minimap.js")


def render_page(explanation: Explanation) -> str:
    """The page as HTML, to be written as UTF-8. Raises ImportError with the pip command where jinja2 is missing."""
    style, script = asset(_HERE, "base.css") + asset(_HERE, "page.css"), script_of(_HERE, _SCRIPTS)
    return rendered(
        "The heat-map page",
        asset(_HERE, "page.html.j2"),
        style,
        script,
        page_data(explanation),
        policy=content_policy(style, script),
        title=visible(explanation.title),
        query=visible(explanation.query) or NO_QUESTION,
        notice=_notice(explanation),
        percent=max(1, round(100 * explanation.keep_ratio)),
        ratio=_percent(explanation.keep_ratio),
        scorers=explanation.scorers,
        summary=summary(explanation),
        blocks=_blocks(explanation),
        is_long=len(explanation.units) > LONG_UNITS,
        legend=_legend(),
        footer=f"Tokens counted by {explanation.tokenizer}. Scores by {', '.join(explanation.scorers)}; the first one decided.",
    )


def page_data(explanation: Explanation) -> dict[str, Any]:
    """What the page's script reads: one column per quantity, one entry per unit; for each scorer its scores and levels."""
    units, count = explanation.units, len(explanation.scorers)
    newlines = [i for i, character in enumerate(explanation.text) if character == "\n"]
    return {
        "scorers": explanation.scorers,
        "scores": [[unit.scores[i] for unit in units] for i in range(count)],
        "levels": [explanation.heat(i) for i in range(count)],
        "costs": [unit.tokens for unit in units],
        "needs": [unit.needs for unit in units],
        "forced": [int(unit.forced) for unit in units],
        "decided": [int(unit.kept) for unit in units],
        "blocks": [unit.block for unit in units],
        "first": [bisect_right(newlines, unit.start - 1) + 1 for unit in units],
        "last": [bisect_right(newlines, unit.end - 2) + 1 for unit in units],
        "emptyCost": explanation.empty_cost,
        "gapCost": explanation.gap_cost,
        "noteCost": explanation.note_cost,
        "keepRatio": explanation.keep_ratio,
        "originalTokens": explanation.original_tokens,
        "keptTokens": explanation.kept_tokens,
    }


def summary(explanation: Explanation) -> str:
    """The decision in one sentence: tokens and units."""
    original, kept = explanation.original_tokens, explanation.kept_tokens
    share = _percent(kept / original) if original else "all"
    return f"Decision: kept {kept:,} of {original:,} tokens ({share}), {explanation.kept_units:,} of {len(explanation.units):,} units."


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def _notice(explanation: Explanation) -> str:
    """What a reader must know before the picture: that nothing was cut, or that another scorer decided. "" otherwise."""
    if explanation.outcome != "compressed" and explanation.reason:
        return f"Passed unchanged: {visible(explanation.reason)}. Move the budget to see what a cut would leave."
    return f"{visible(explanation.fallback)}." if explanation.fallback else ""


def _blocks(explanation: Explanation) -> Iterator[list[dict[str, str]]]:
    """The units of each block as the template shows them; the first unit of the text is the one that Tab reaches.

    White space that a block ends with behind its last line break is set apart (`tail`), since it would show as an empty line.
    """
    rows = zip(explanation.units, explanation.heat() if explanation.scorers else [], strict=True)
    for _, block in groupby(rows, key=lambda row: row[0].block):
        shown = [_unit(explanation, unit, level) for unit, level in block]
        text = shown[-1]["text"]
        body = text.rstrip(" \t")
        if body.endswith("\n"):
            shown[-1] |= {"text": body, "tail": text[len(body) :]}
        yield shown


def _unit(explanation: Explanation, unit: ExplainedUnit, level: int) -> dict[str, str]:
    return {
        "classes": f"u h{level} {'kept' if unit.kept else 'dropped'}{' forced' if unit.forced else ''}",
        "selected": "true" if unit.kept else "false",
        "tabindex": "-1" if unit.start else "0",
        "text": visible(explanation.text[unit.start : unit.end]),
        "tail": "",
    }


def _legend() -> list[dict[str, Any]]:
    labels = ["rest", *(f"{100 * share:g}" for share in reversed(TOP_SHARES))]
    return [{"heat": level, "label": label} for level, label in enumerate(labels)]
