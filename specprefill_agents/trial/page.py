"""A trial as one HTML page that asks the network for nothing."""

from __future__ import annotations

from typing import Any

from specprefill_agents.observe.explain import visible
from specprefill_agents.observe.html_page import asset, content_policy, rendered, script_of
from specprefill_agents.trial.chart import HEIGHT, WIDTH, chart_of
from specprefill_agents.trial.findings import AtRisk, Effect, RatioRow, ToolRow
from specprefill_agents.trial.report import CARRIED, ESTIMATE, NO_NAME, Report, at_risk, dollars, heading, percent, remarks, setting, share

MOST_RISKS = 500
"""Values at risk on a page; the JSON file has all."""
MOST_BAD = 100

_HERE = "specprefill_agents.trial"


def render_trial(report: Report) -> str:
    """The page, to be written as UTF-8. Raises ImportError with the pip command where jinja2 is missing."""
    style = asset("specprefill_agents.observe", "base.css") + asset(_HERE, "trial.css")
    script = script_of(_HERE, ("trial.js",))
    found, usual = report.findings, report.usual
    keeps = [str(row.effect.keep) for row in found.ratios]
    tools = list(dict.fromkeys(one.tool for one in found.risks[:MOST_RISKS]))
    risks = [_risk(one, keeps, tools) for one in found.risks[:MOST_RISKS]]
    return rendered(
        "The page",
        asset(_HERE, "trial.html.j2"),
        style,
        script,
        {},
        policy=content_policy(style, script),
        title=visible(found.name),
        heading=visible(heading(found)),
        estimate=ESTIMATE,
        remarks=[visible(one) for one in remarks(found)],
        cards=_cards(report, usual),
        default=str(report.advice.default),
        keeps=keeps,
        ratios=[
            *(_ratio(str(row.effect.keep), row, report) for row in found.ratios),
            {**_ratio("as recommended", report.as_advised, report), "scorer": ""},
        ],
        plain=dollars(found.plain_usd),
        conversations=len(found.conversations),
        chart=chart_of(found, report.as_advised),
        width=WIDTH,
        height=HEIGHT,
        tools=[_tool(row, report, index) for index, row in enumerate(found.tools) if row.is_cut],
        uncut=", ".join(visible(row.tool) or NO_NAME for row in found.tools if not row.is_cut),
        tool_names=[visible(tool) or NO_NAME for tool in tools],
        carried=CARRIED,
        most=percent(report.advice.risk),
        toml=visible(report.toml),
        snippet=visible(report.snippet),
        risks=risks,
        hidden_risks=len(found.risks) - len(risks),
        bad=[{"line": one.line, "reason": visible(one.reason)} for one in found.bad[:MOST_BAD]],
        more_bad=max(0, len(found.bad) - MOST_BAD),
    )


def _cards(report: Report, usual: RatioRow) -> list[dict[str, str]]:
    effect, plain = usual.effect, report.findings.plain_usd
    saves = usual.saved_usd >= 0
    risk = "bad" if effect.lost_share > report.advice.risk else "good"
    advised = report.as_advised
    return [
        {
            "title": "Kept",
            "big": percent(effect.kept_share),
            "sub": f"{effect.kept_tokens:,} of {effect.original_tokens:,} tokens of tool results",
            "tone": "",
        },
        {
            "title": "Saved" if saves else "Dearer",
            "big": percent(abs(share(usual.saved_usd, plain))),
            "sub": f"{dollars(abs(usual.saved_usd))} of {dollars(plain)}",
            "tone": "good" if saves else "bad",
        },
        {
            "title": "At risk",
            "big": f"{effect.lost:,} of {effect.values:,}" if effect.values else "no values",
            "sub": "values used later that could not be read by then" if effect.values else "no value of a tool result was used later",
            "tone": risk if effect.values else "",
        },
        {
            "title": "As recommended",
            "big": f"{percent(share(advised.saved_usd, plain))} saved",
            "sub": f"{at_risk(advised.effect)} at risk, {percent(advised.effect.kept_share)} kept",
            "tone": "good" if advised.saved_usd > 0 and advised.effect.lost_share <= report.advice.risk else "bad",
        },
    ]


def _ratio(name: str, row: RatioRow, report: Report) -> dict[str, Any]:
    effect = row.effect
    return {
        "name": name,
        "is_default": effect.keep == report.advice.default and row is not report.as_advised,
        "kept": percent(effect.kept_share),
        "saved": dollars(row.saved_usd),
        "share": percent(share(row.saved_usd, report.findings.plain_usd)),
        "risk": at_risk(effect),
        "fetched": dollars(row.saved_usd - effect.fetch_usd),
        "dearer": row.dearer,
        "scorer": f"{row.scorer_ms / 1000:.1f} s",
    }


def _tool(row: ToolRow, report: Report, index: int) -> dict[str, Any]:
    advice = report.advice.tools[index]
    return {
        "name": visible(row.tool) or NO_NAME,
        "results": row.results,
        "tokens": row.effects[0].original_tokens,
        "used": row.effects[0].values,
        "cells": [_cell(effect) for effect in row.effects],
        "setting": setting(advice),
        "is_own": advice.action != "default",
        "why": advice.why,
    }


def _cell(effect: Effect) -> dict[str, Any]:
    return {"kept": percent(effect.kept_share), "width": round(44 * min(1.0, effect.kept_share), 1), "lost": effect.lost}


def _risk(one: AtRisk, keeps: list[str], tools: list[str]) -> dict[str, Any]:
    lost = [str(keep) for keep in one.lost_at]
    return {
        "value": visible(one.value),
        "tool": visible(one.tool) or NO_NAME,
        "tool_index": tools.index(one.tool),
        "conversation": visible(one.conversation),
        "steps": f"{one.source_step} → {one.used_step}",
        "said_steps": f"shown by step {one.source_step}, used in step {one.used_step}",
        "lost": lost,
        "lost_indices": " ".join(str(keeps.index(keep)) for keep in lost),
        "lines": f"line {one.lines[0]}" if one.lines[0] == one.lines[1] else f"lines {one.lines[0]} to {one.lines[1]}",
        "can_expand": one.can_expand,
        "first": lost[0],
        "before": visible(one.before),
        "after": visible(one.after),
    }
