"""The heat-map page of an `Explanation`: one HTML file that asks the network for nothing.

The text is untrusted: it enters the page HTML-escaped, numbers and names enter as JSON that cannot end its element, and a
content policy lets run only the one script and style whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator
from importlib.resources import files
from itertools import groupby
from typing import Any

from specprefill_agents.errors import missing_extra
from specprefill_agents.observe.explain import NO_QUESTION, TOP_SHARES, ExplainedUnit, Explanation, visible

LONG_UNITS = 3_000
"""A text with more units is laid out only where it is looked at."""

_SCRIPTS = ("select.js", "view.js", "detail.js", "move.js", "minimap.js")


def render_page(explanation: Explanation) -> str:
    """The page as HTML, to be written as UTF-8. Raises ImportError with the pip command where jinja2 is missing."""
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ModuleNotFoundError as error:
        raise missing_extra("The heat-map page", "cli") from error
    style, script = asset("base.css") + asset("page.css"), _script()
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(asset("page.html.j2")).render(
        policy=content_policy(style, script),
        style=Markup(style),  # noqa: S704 - files of this package
        script=Markup(script),  # noqa: S704
        data=Markup(script_json(page_data(explanation))),  # noqa: S704 - escaped by script_json
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


def content_policy(style: str, script: str) -> str:
    """The Content-Security-Policy under which nothing but this style and this script has any effect."""
    return f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"


def script_json(value: object) -> str:
    """`value` as JSON that is inert inside a script element: ASCII, and without any of < > &."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


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


def _script() -> str:
    parts = "\n".join(asset(name) for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\nstart();\n}})();\n'


def asset(name: str) -> str:
    """A file of the page's, such as `base.css`, which other pages share."""
    return (files("specprefill_agents.observe") / "page" / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
