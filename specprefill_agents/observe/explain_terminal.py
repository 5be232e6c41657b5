"""An `Explanation` on the terminal: one row per unit, with a heat bar per scorer, a sign for its fate, and its text.

Nothing is said by colour alone, so the view survives a pipe; the text cannot steer the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from specprefill_agents.errors import missing_extra
from specprefill_agents.observe.explain import NO_QUESTION, TOP_SHARES, ExplainedUnit, Explanation, visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_BARS, _ASCII_BARS = " ▁▂▃▄▅▆█", " .:-=+*#"
_SIGNS = {"kept": ("●", "+"), "forced": ("⚑", "!"), "omitted": ("·", "-")}
_STYLES = {"kept": "bold", "forced": "bold underline", "omitted": "dim strike"}
_HEAT = ("grey50", "color(229)", "color(228)", "color(221)", "color(220)", "color(214)", "color(208)", "color(202)")
"""A ramp of the 256-colour palette: lightness falls with rising heat, as on the page."""
_NARROW_COLUMNS = 60


def print_explanation(explanation: Explanation, stream: TextIO, width: int | None = None) -> None:
    """Print the decision, a legend and every unit, in colour where `stream` is a terminal; `width` in columns, else as it is.

    Raises ImportError with the pip command where rich is missing.
    """
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ModuleNotFoundError as error:
        raise missing_extra("The terminal view", "cli") from error
    console = Console(file=stream, width=width)
    is_ascii = console.options.ascii_only
    for line in _head(explanation, is_ascii):
        console.print(Text(line), highlight=False)
    console.print()
    heats = [explanation.heat(scorer) for scorer in range(len(explanation.scorers))]
    table = Table.grid(padding=(0, 1))
    for _ in (heats, "sign"):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    if console.width < _NARROW_COLUMNS:
        heats = heats[:1]
    block = 0
    for index, unit in enumerate(explanation.units):
        if unit.block != block:
            table.add_row("", "", "")
            block = unit.block
        table.add_row(*_row(explanation.text, unit, [heat[index] for heat in heats], is_ascii))
    console.print(table)


def _head(explanation: Explanation, is_ascii: bool) -> Iterator[str]:
    signs = {name: pair[is_ascii] for name, pair in _SIGNS.items()}
    bars = (_ASCII_BARS if is_ascii else _BARS)[1:]
    yield visible(explanation.title)
    yield f"Question: {visible(explanation.query) or NO_QUESTION}"
    yield (
        f"Kept {explanation.kept_tokens:,} of {explanation.original_tokens:,} tokens, "
        f"{explanation.kept_units:,} of {len(explanation.units):,} units; budget {explanation.budget_tokens:,} tokens."
    )
    if explanation.outcome != "compressed" and explanation.reason:
        yield f"Passed unchanged: {visible(explanation.reason)}."
    if explanation.fallback:
        yield f"{visible(explanation.fallback)}."
    yield f"Columns: {', '.join(explanation.scorers)}; the first decided.  {'  '.join(f'{sign} {name}' for name, sign in signs.items())}"
    yield "Heat, as the best % of tokens: " + "  ".join(
        f"{bar} {100 * share:g}" for bar, share in zip(bars, reversed(TOP_SHARES), strict=True)
    )


def _row(text: str, unit: ExplainedUnit, levels: list[int], is_ascii: bool) -> tuple[RenderableType, ...]:
    from rich.text import Text

    fate = "omitted" if not unit.kept else "forced" if unit.forced else "kept"
    bars = Text()
    for level in levels:
        bars.append((_ASCII_BARS if is_ascii else _BARS)[level], _HEAT[level])
    body: Text = Text(visible(text[unit.start : unit.end]).rstrip("\r\n"), _STYLES[fate])
    return bars, Text(_SIGNS[fate][is_ascii], _STYLES[fate].replace(" strike", "")), body
