"""Stored results of peers, and of this library on the same rows, -> Markdown tables.

Brackets hold 95 % bootstrap intervals over rows; a difference is taken row by row, of means over the keep ratios.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics import estimate, mean_over, paired_difference
from benchmarks.results import Cell, Results
from benchmarks.tables import keep_names, table, with_interval

COUNTERPARTS = {
    "answer": ("answer", "answer"),
    "evidence": ("evidence, verbatim", "evidence"),
    "evidence_words": ("evidence, words in order against characters", "evidence_chars"),
    "values": ("needed values", "values"),
}
"""Metric of a peer -> its label, and the metric of the library that it is compared with."""


def shares(results: Results) -> str:
    """The share of target tokens that was asked for, and the mean share that came back."""
    keeps = keep_names(results)
    rows = []
    for cell in results.cells:
        found = [estimate(cell.rows[keep]["share"]) for keep in keeps]
        rows.append([cell.set, cell.scorer, str(len(cell.ids)), *(f"{one.mean:.3f}" if one else "" for one in found)])
    return table(["set", "system", "n", *(f"asked {keep}" for keep in keeps)], rows)


def recall(results: Results) -> str:
    """What the peers keep at each keep ratio."""
    keeps = keep_names(results)
    rows = []
    for cell in results.cells:
        for metric, (label, _) in COUNTERPARTS.items():
            columns = [cell.rows[keep][metric] for keep in keeps]
            found = [*map(estimate, columns), estimate(mean_over(columns))]
            if any(found):
                count = next(one.n for one in found if one)
                rows.append([f"{cell.set} (n={count})", label, cell.scorer, *map(with_interval, found)])
    return table(["set", "kept", "system", *(f"keep {keep}" for keep in keeps), "mean"], rows)


def differences(results: Results, ours: Sequence[Results], scorer: str) -> str:
    """The library's `scorer` minus each peer, on the rows and at the keep ratios that both hold.

    Of several results of the library, each cell takes the one that shares most rows with it. Raises ValueError when none
    shares any.
    """
    rows = []
    for cell in results.cells:
        base, keeps = _counterpart(cell, ours, scorer)
        keeps = [keep for keep in keep_names(results) if keep in keeps]
        for metric, (label, own) in COUNTERPARTS.items() if base and keeps else ():
            assert base is not None
            a, b = (mean_over([_aligned(one, keep, name, cell, base) for keep in keeps]) for one, name in ((base, own), (cell, metric)))
            found = paired_difference(a, b)
            if found:
                both = [value is not None and other is not None for value, other in zip(a, b, strict=True)]
                means = (estimate([value for value, counts in zip(one, both, strict=True) if counts]) for one in (a, b))
                shown = [f"{one.mean:.2f}" if one else "" for one in means]
                rows.append([cell.set, label, cell.scorer, str(found.n), *shown, with_interval(found, "+")])
    if not rows:
        raise ValueError(f"the files share no row of {scorer} at any keep ratio")
    return table(["set", "kept", "system", "n", scorer, "system", "difference"], rows)


def _counterpart(cell: Cell, ours: Sequence[Results], scorer: str) -> tuple[Cell | None, list[str]]:
    """The cell of `scorer` that shares most rows with `cell`, and the keep ratios of its file."""
    found = [(one.get(f"{cell.set}/{scorer}"), keep_names(one)) for one in ours]
    return max(found, key=lambda pair: len({*cell.ids} & {*pair[0].ids}) if pair[0] else -1, default=(None, []))


def _aligned(one: Cell, keep: str, metric: str, cell: Cell, base: Cell) -> list[float | None]:
    """The column of `one` for the rows that `cell` and `base` share, in the order of `cell`."""
    values = dict(zip(one.ids, one.rows[keep][metric], strict=True))
    return [values[row] for row in cell.ids if row in base.ids]
