"""Saved against risked, one point for each keep ratio, as places in a picture. Pure; the page's template draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specprefill_agents.trial.findings import Findings, RatioRow
from specprefill_agents.trial.report import percent, share

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 84, 16, 44


LETTER, LINE = 7.2, 14
"""About what a letter of a label is wide, and a label high."""
SIDES = ((9, 4), (9, 19), (9, -10), (9, 34), (9, -24))
"""Where a label may begin, from its point: the first place that no other label has is taken."""


@dataclass(frozen=True, slots=True)
class Point:
    """A keep ratio's place in pixels, how it reads, and where its label begins."""

    x: float
    y: float
    label: str
    said: str
    label_x: float
    label_y: float


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
    labels = [*(str(row.effect.keep) for row in findings.ratios), "as recommended"]
    places = [(_x(row.effect.lost_share, x_steps), _y(part, y_steps)) for row, part in zip(rows, saved, strict=True)]
    points = [
        Point(*place, label, _said(row, part), *at)
        for place, label, row, part, at in zip(places, labels, rows, saved, _label_places(places, labels), strict=True)
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


def _label_places(places: Sequence[tuple[float, float]], labels: Sequence[str]) -> list[tuple[float, float]]:
    """Where each label begins, so that none is written over another."""
    taken: list[tuple[float, float, float]] = []
    for (x, y), label in zip(places, labels, strict=True):
        width = LETTER * len(label)
        tries = [(x + right, y + down) for right, down in SIDES]
        free = (at for at in tries if not any(abs(at[1] - row) < LINE and start - width < at[0] < end for start, end, row in taken))
        at = next(free, tries[0])
        taken.append((at[0], at[0] + width, at[1]))
    return [(start, row) for start, _, row in taken]


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
