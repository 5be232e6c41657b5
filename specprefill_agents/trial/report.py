"""Everything that a trial has to say, for the terminal, the page and the JSON file: what was found, what to set, what that does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from specprefill_agents.trial.advice import Advice, Recommendation
from specprefill_agents.trial.findings import AtRisk, Effect, Findings, RatioRow

SCHEMA = 1
"""Of the JSON form."""
ESTIMATE = (
    "An estimate from recorded behaviour: a value at risk is one that the agent wrote after only a tool result had shown it, and that "
    "compression would have hidden by then. The agent might have acted otherwise, asked again, or fetched it by expand."
)
CARRIED = "What a result brings back of earlier ones counts with it, so it may have more tokens than before."
NO_NAME = "(no name)"
"""Of results that do not say which tool they are from."""


@dataclass(frozen=True, slots=True)
class Report:
    """`findings`, the `advice` made of them, the row of all `as_advised` as measured, and the settings as texts."""

    findings: Findings
    advice: Recommendation
    as_advised: RatioRow
    toml: str
    snippet: str

    @property
    def usual(self) -> RatioRow:
        """The row of the default keep ratio."""
        return next(row for row in self.findings.ratios if row.effect.keep == self.advice.default)


def share(part: float, whole: float) -> float:
    """A part of a whole; 0 of nothing."""
    return part / whole if whole else 0.0


def percent(number: float) -> str:
    """A share in percent, with a digit behind the point where it is below ten and not whole."""
    digits = 1 if abs(number) < 0.0995 else 0
    return f"{100 * number:.{digits}f}".removesuffix(".0") + " %"


def dollars(usd: float) -> str:
    """An amount with four digits that count, or cents where it is large."""
    sign = "-" if usd < 0 else ""
    size = abs(usd)
    return f"{sign}${size:,.2f}" if size >= 100 else f"{sign}${size:.4f}" if size >= 0.1 or size == 0 else f"{sign}${size:.6f}"


def at_risk(effect: Effect) -> str:
    """How many of the values used are at risk."""
    return f"{effect.lost} of {effect.values} ({percent(effect.lost_share)})" if effect.values else "none used"


def setting(one: Advice) -> str:
    """A tool's setting in a few words."""
    return {"default": "as for all", "exclude": "exclude", "ratio": f"keep {one.keep}"}[one.action]


def heading(findings: Findings) -> str:
    """What was replayed, and how, in one sentence."""
    about, rows = findings.about, findings.conversations
    results = sum(row.results for row in rows)
    parts = [
        f"{_count(len(rows), 'conversation')}, {_count(sum(row.requests for row in rows), 'model call')}, {_count(results, 'tool result')}",
        f"{_count(findings.values, 'value')} of tool results used later",
        _scored(findings),
        f"priced as {about['priced_as']} off-peak under its caching rule ({about['caching']}), from an empty cache",
        f"tokens counted by {about['tokenizer']}",
    ]
    return f"{'; '.join(parts)}."


def _scored(findings: Findings) -> str:
    draft = findings.about["draft"]
    return f"scored by {findings.about['scorer']}" + (f" with the draft {draft}" if draft else "")


def remarks(findings: Findings) -> Iterator[str]:
    """What a reader must know beside the figures."""
    about = findings.about
    models = about["recorded_models"]
    if models and models != [about["priced_as"]]:
        yield f"The log was recorded with {', '.join(models)}; dollars are those of {about['priced_as']}."
    if about["continued_lines"]:
        lines = _count(about["continued_lines"], "line")
        yield f"{lines} began (or repeated) a conversation that stands in the file at full length; each conversation counts once."
    if about["without_tools"]:
        without = _count(about["without_tools"], "conversation")
        yield f"{without} without a list of tools: what those took is in neither bill, while expand counts against compression."
    yield from (f"Not as asked for: {note}." for note in findings.notes)


def report_json(report: Report) -> dict[str, Any]:
    """Everything, in plain JSON types."""
    found = report.findings
    return {
        "schema": SCHEMA,
        "file": found.name,
        "estimate": ESTIMATE,
        "about": found.about,
        "without": {"tokens": asdict(found.plain), "usd": found.plain_usd},
        "ratios": [_ratio_json(row) for row in found.ratios],
        "tools": [
            {"tool": row.tool, "results": row.results, "ratios": [_effect_json(effect) for effect in row.effects]} for row in found.tools
        ],
        "recommended": {
            "keep_ratio": report.advice.default,
            "risk": report.advice.risk,
            "tools": [asdict(one) for one in report.advice.tools],
            "measured": {name: value for name, value in _ratio_json(report.as_advised).items() if name != "scorer_ms"},
            "guardrails": report.toml,
            "config": report.snippet,
        },
        "at_risk": [_risk_json(one) for one in found.risks],
        "conversations": [asdict(row) for row in found.conversations],
        "bad_lines": [asdict(one) for one in found.bad],
        "notes": list(found.notes),
    }


def _ratio_json(row: RatioRow) -> dict[str, Any]:
    return {
        **_effect_json(row.effect),
        "tokens": asdict(row.tokens),
        "usd": row.usd,
        "bill_saved_usd": row.saved_usd,
        "dearer_conversations": row.dearer,
        "scorer_ms": round(row.scorer_ms, 1),
    }


def _effect_json(effect: Effect) -> dict[str, Any]:
    return {**asdict(effect), "kept_share": effect.kept_share, "lost_share": effect.lost_share}


def _risk_json(one: AtRisk) -> dict[str, Any]:
    return {**asdict(one), "lost_at": list(one.lost_at), "lines": list(one.lines)}


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
