"""A trial on the terminal: a table of keep ratios, one of tools, the values at risk that are used first, and what to set."""

from __future__ import annotations

from typing import TextIO

from specprefill_agents.observe.terminal_table import print_rows
from specprefill_agents.trial.advice import Advice
from specprefill_agents.trial.findings import AtRisk, RatioRow, ToolRow
from specprefill_agents.trial.report import (
    CARRIED,
    ESTIMATE,
    NO_NAME,
    Report,
    at_risk,
    dollars,
    heading,
    percent,
    remarks,
    setting,
    share,
)
from specprefill_agents.types import KeepRatio

MOST_RISKS = 8
"""Values at risk that are shown; the page and the JSON file have all."""
MOST_TOOLS = 12
"""Tools that are shown, those of most tokens, besides those with a setting of their own or a loss."""
VALUE_CHARS = 48

_RATIOS = ("KEEP", "KEPT", "SAVED", "OF THE BILL", "AT RISK", "SAVED IF FETCHED", "DEARER", "SCORER")
_TOOLS = ("TOOL", "RESULTS", "TOKENS", "KEPT", "VALUES", "AT RISK", "SET", "WHY")
_RISKS = ("VALUE", "TOOL", "CONVERSATION", "STEPS", "HIDDEN AT", "LINES")


def print_report(report: Report, stream: TextIO) -> None:
    """Print the report, as wide as the terminal. Raises ImportError with the pip command where rich is missing."""
    found, advice = report.findings, report.advice
    notes = [heading(found), f"Without compression: {dollars(found.plain_usd)}."]
    rows = [_ratio(str(row.effect.keep), row, found.plain_usd, len(found.conversations)) for row in found.ratios]
    advised = _ratio("as recommended", report.as_advised, found.plain_usd, len(found.conversations))
    rows.append((*advised[:-1], ""))  # what it would take to score was held by then
    print_rows(_RATIOS, rows, stream, numbers=_RATIOS[1:], notes=[*notes, *remarks(found), ESTIMATE, ""])
    cut = [(one, row) for one, row in zip(advice.tools, found.tools, strict=True) if row.is_cut]
    tools = [
        _tool(one, row, advice.default) for index, (one, row) in enumerate(cut) if index < MOST_TOOLS or one.action != "default" or one.lost
    ]
    more = len(found.tools) - len(tools)
    rest = f" Not shown: {more} more, of which little or nothing was cut; --html and --json have them." if more else ""
    notes = [f"Kept and at risk at the default, {advice.default}. {CARRIED}{rest}", ""]
    print_rows(_TOOLS, tools, stream, numbers=_TOOLS[1:6], notes=notes)
    risks = [_risk(one) for one in found.risks[:MOST_RISKS]]
    more = len(found.risks) - len(risks)
    print_rows(_RISKS, risks, stream, notes=[f"{more:,} more values at risk; --html and --json have all."] if more > 0 else [])


def _ratio(name: str, row: RatioRow, plain_usd: float, conversations: int) -> tuple[str, ...]:
    effect = row.effect
    return (
        name,
        percent(effect.kept_share),
        dollars(row.saved_usd),
        percent(share(row.saved_usd, plain_usd)),
        at_risk(effect),
        dollars(row.saved_usd - effect.fetch_usd),
        f"{row.dearer} of {conversations}",
        f"{row.scorer_ms / 1000:.1f} s",
    )


def _tool(one: Advice, row: ToolRow, default: KeepRatio) -> tuple[str, ...]:
    effect = next(effect for effect in row.effects if effect.keep == default)
    return (
        one.tool or NO_NAME,
        str(row.results),
        f"{effect.original_tokens:,}",
        percent(effect.kept_share),
        str(effect.values),
        str(effect.lost) if effect.values else "",
        setting(one),
        one.why,
    )


def _risk(one: AtRisk) -> tuple[str, ...]:
    value = one.value if len(one.value) <= VALUE_CHARS else f"{one.value[: VALUE_CHARS - 1]}…"
    hidden = ", ".join(map(str, one.lost_at))
    return value, one.tool, one.conversation, f"{one.source_step} → {one.used_step}", hidden, f"{one.lines[0]}-{one.lines[1]}"
