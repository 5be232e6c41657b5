"""How the demo reads on a terminal; the same lines go to a file or a pipe, without colours and without a spinner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from specprefill_agents.accounting.amounts import Amount
from specprefill_agents.accounting.ledger import total
from specprefill_agents.accounting.pricing import price_for
from specprefill_agents.observe.explain import Explanation
from specprefill_agents.observe.explain_page import summary
from specprefill_langchain.demo.calls import Call
from specprefill_langchain.demo.task import FactCheck

_NUMBERS = " {:>14} {:>8} {:>14} {:>9} {:>9}"
_NUMBERS_WIDTH = 64
"""Of a row without its label, which takes what a terminal has left, and `_LABEL_WIDTH` at most."""
_LABEL_WIDTH = 36


def show_opening(console: Console, question: str, lines: Sequence[str]) -> None:
    """The question, and what is real here and what is not."""
    console.rule("[bold]specprefill demo[/bold]")
    _print(console, f"[bold]Question[/bold]  {escape(question)}\n")
    for line in lines:
        _print(console, escape(line))


def show_header(console: Console) -> None:
    """Column titles; one row per model call follows."""
    _print(console, "")
    _print(console, f"[bold]{_row(console, '', '', 'tool output', 'scorer', 'cache hit of', 'USD with', 'without')}")
    _print(console, f"[bold]{_row(console, '#', 'the model gets', 'tokens → sent', 'ms', 'input tokens', 'compr.', 'compr.')}")


def show_call(console: Console, number: int, call: Call) -> None:
    """One model call."""
    tokens = f"{call.new_tokens:,} → {call.kept_tokens:,}" if call.new_tokens else "-"
    sent, plain = call.step.sent, call.step.plain
    hits = f"{sent.tokens.hit_tokens:,} / {sent.tokens.input_tokens:,}"
    numbers = (tokens, f"{call.step.scorer_ms:,.0f}", hits, _usd(sent.usd), _usd(plain.usd))
    _print(console, escape(_row(console, str(number), call.label, *numbers)))
    if call.fallback_reason:
        _print(console, f"    [red]{escape(call.fallback_reason)}[/red]")


def _row(console: Console, number: str, label: str, *numbers: str) -> str:
    width = max(12, min(_LABEL_WIDTH, console.width - _NUMBERS_WIDTH)) if console.is_terminal else _LABEL_WIDTH
    return f"{number:>2}  {_short(label, width):<{width}}" + _NUMBERS.format(*numbers)


def show_summary(console: Console, calls: Sequence[Call], model: str, now: datetime, seconds: float) -> None:
    """Totals over all calls, with the price they go by."""
    new, kept = sum(c.new_tokens for c in calls), sum(c.kept_tokens for c in calls)
    totals = total(call.step for call in calls)
    scorer_s = totals.scorer_ms / 1000
    stable = sum(call.step.moved is None for call in calls[1:])
    plain, sent = totals.plain.tokens, totals.sent.tokens
    table = Table(box=None, pad_edge=False, title="Summary", title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    for name in ("without", "with compression", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row("tokens of tool outputs", f"{new:,}", f"{kept:,}", _percent(kept, new))
    for name, field in (("input tokens of all calls", "input_tokens"), ("  prefix-cache hits", "hit_tokens"), ("  misses", "miss_tokens")):
        before, after = getattr(plain, field), getattr(sent, field)
        table.add_row(name, f"{before:,}", f"{after:,}", _percent(after, before))
    table.add_row("USD", _usd(totals.plain.usd), _usd(totals.sent.usd), _percent(totals.sent.known_usd, totals.plain.known_usd))
    table.add_row("seconds of scoring", "0", f"{scorer_s:.1f}", f"{new / scorer_s:,.0f} tokens/s" if scorer_s else "")
    console.print()
    console.print(table)
    price = price_for(model, now)
    if price:
        rates = f"{price.input_hit:g} hit, {price.input_miss:g} miss, {price.output:g} output"
        _print(console, f"\nPrices  {model}, {price.window} at {now:%Y-%m-%d %H:%M} UTC; USD per 1M tokens: {rates}")
    if totals.billed.usd is not None:
        _print(console, f"Billed  {_billed(totals.billed)}, as the provider reported it")
    broken = "" if stable == len(calls) - 1 else "; the others lost their cached prefix"
    _print(console, f"Prefix  {stable} of {len(calls) - 1} requests begin with the whole request before them{broken}")
    _print(
        console, f"Time    {seconds:.0f} s, of which scoring {scorer_s:.0f} s and the last model call {calls[-1].target_ms / 1000:.0f} s"
    )


def show_facts(console: Console, checks: Sequence[FactCheck]) -> None:
    """Whether the lines that answer the question reached the model."""
    console.print()
    _print(console, "[bold]The lines that answer the question[/bold] (looked up in the tool outputs and in what was sent)")
    for check in checks:
        state = f"sent, in {check.sent} of {check.found} places" if check.sent else "LOST" if check.found else "not in the outputs"
        _print(console, f"  {check.fact.what:<36} {state}")


def show_answer(console: Console, answer: AIMessage, by: str, target_ms: float) -> None:
    """The final answer, who wrote it and how long it took."""
    about: dict[str, Any] = answer.response_metadata
    usage = answer.usage_metadata
    first = f", first token after {about['time_to_first_token_ms'] / 1000:.1f} s" if "time_to_first_token_ms" in about else ""
    read = f" from {usage['input_tokens']:,} tokens" if usage else ""
    console.print()
    _print(console, f"[bold]Answer[/bold] by {escape(by)}{read} ({target_ms / 1000:.1f} s{first})")
    text = "" if answer.tool_calls else str(answer.text).strip()
    _print(console, escape(text or "(none: the last model call asked for another tool, or wrote nothing)"))


def show_heat_map(console: Console, explanation: Explanation | None, page: Path) -> None:
    """Where the heat map is and what it shows, or that there is none."""
    console.print()
    if explanation is None:
        _print(console, "[bold]Heat map[/bold]  none: no tool output was shortened as configured")
        return
    _print(console, f"[bold]Heat map[/bold]  {escape(str(page))}")
    _print(console, f"  {escape(explanation.title)}, the longest tool output, as it was read for this call. {summary(explanation)}")


def _print(console: Console, text: str) -> None:
    console.print(text, soft_wrap=not console.is_terminal, highlight=False)


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6f}"


def _billed(billed: Amount) -> str:
    tokens = billed.tokens
    return f"{_usd(billed.usd)} USD, {tokens.hit_tokens:,} hits in {tokens.input_tokens:,} input tokens, {tokens.output_tokens:,} of output"


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "-"
