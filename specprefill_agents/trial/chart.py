"""Saved against risked, one point for each keep ratio, as places in a picture. Pure; the page's template draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specprefill_agents.trial.findings import Findings, RatioRow
from specprefill_agents.trial.report import percent, share

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 84, 16, 44


@dataclass(frozen=True, slots=True)
class Point:
    """A keep ratio's place in pixels, and how it reads."""

    x: float
    y: float
    label: str
    said: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A value on an axis: its place in pixels, and how it reads."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The points, the last of them as recommended, a line through the fixed ratios by what they keep, and both axes."""

    points: tuple[Point, ...]
    advised: Point
    line: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    said: str


def chart_of(findings: Findings, advised: RatioRow) -> Chart | None:
    """The picture; None where no value was used, since then nothing can be set against anything."""
    if not findings.values:
        return None
    rows = [*findings.ratios, advised]
    saved = [share(row.saved_usd, findings.plain_usd) for row in rows]
    low, high = min(0.0, *saved), max(0.0, *saved)
    x_steps, y_steps = _steps(0.0, max(row.effect.lost_share for row in rows)), _steps(low, high)
    points = [
        Point(_x(row.effect.lost_share, x_steps), _y(part, y_steps), str(row.effect.keep), _said(row, part))
        for row, part in zip(rows, saved, strict=True)
    ]
    order = sorted(range(len(rows) - 1), key=lambda index: rows[index].effect.kept_tokens)
    fixed = [points[index] for index in order if rows[index].effect.keep != "auto"]
    return Chart(
        points=tuple(points[:-1]),
        advised=points[-1],
        line=" ".join(f"{point.x:.1f},{point.y:.1f}" for point in fixed),
        x_ticks=tuple(Tick(_x(value, x_steps), percent(value)) for value in x_steps),
        y_ticks=tuple(Tick(_y(value, y_steps), percent(value)) for value in y_steps),
        said="; ".join(f"keep {point.said}" for point in points[:-1]) + f"; as recommended {points[-1].said}",
    )


def _said(row: RatioRow, saved: float) -> str:
    return f"{row.effect.keep}: {percent(saved)} of the bill saved, {percent(row.effect.lost_share)} of the values at risk"


def _steps(low: float, high: float) -> list[float]:
    """Round values from `low` or below to `high` or above, about five."""
    rough = max(high - low, 0.01) / 4
    size = next(size for size in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 10.0, 1e9) if size >= rough - 1e-12)
    first, last = -round(-low / size + 0.499999), max(1, round(high / size + 0.499999))
    return [size * number for number in range(first, last + 1)]


def _x(value: float, steps: Sequence[float]) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - steps[0]) / (steps[-1] - steps[0])


def _y(value: float, steps: Sequence[float]) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - steps[0]) / (steps[-1] - steps[0])
