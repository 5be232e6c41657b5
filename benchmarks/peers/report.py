"""Stored results of `benchmarks.peers` -> Markdown. Brackets hold 95 % bootstrap intervals over rows."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.machine import origin
from benchmarks.metrics import estimate
from benchmarks.peers.plan import NONE
from benchmarks.peers.summary import OURS, RECALLS, TOLERANCE, Comparison
from benchmarks.results import Results
from benchmarks.tables import table, with_interval


def markdown(results: Results) -> str:
    """All that one file says: means over the sets, differences, shares, seconds, where the library is behind, every set, what failed.

    Raises ValueError when it holds no measured cell.
    """
    one = Comparison(results)
    if not one.cells:
        raise ValueError("no system was measured")
    parts = [
        _heading(one),
        *(_means(one, systems) for systems in _groups(one)),
        _differences(one),
        _behind(one),
        _shares(one),
        _seconds(one),
        *(_by_set(one, recall) for recall in RECALLS),
        _notes(one),
    ]
    return "\n\n".join(filter(None, parts))


def brief(results: Results) -> str:
    """One table: every system beside the library on the rows of both, what it kept and took; and where it is ahead of the library."""
    one = Comparison(results)
    asked, least = "/".join(keep.removeprefix("0") for keep in one.keeps), min(one.keeps, key=float)
    head = [
        f"recall at {asked}",
        "rows",
        "it",
        f"`{OURS}`, same rows",
        f"`{OURS}` minus it",
        "by words in order",
        f"kept, asked {least}",
        "s/1k",
    ]
    rows = [_brief_row(one, system, least) for system in one.systems if system not in (OURS, NONE) and one.beside(system, "verbatim")]
    ahead = [each for each in one.behind() if each.recall == "verbatim"]
    named = "; ".join(f"{each.system} on {each.set} at {each.keep} ({each.theirs:.2f} against {each.ours:.2f})" for each in ahead)
    of = sum((name, OURS) in one.cells for name in one.sets) * len(one.keeps)
    about = [
        f"Sets, each counting alike: {', '.join(one.sets)}. `{OURS}` takes {_seconds_of(one, OURS)} s per 1,000 tokens, cold, one thread.",
        f"Of {of} sets and budgets, another system within the budget is ahead in {len(ahead)}{f': {named}' if named else ''}.",
    ]
    return "\n\n".join(filter(None, [_best(one, least), table(head, rows), *about]))


def _best(one: Comparison, least: str) -> str:
    """The library and the best of the others that keep about as much, on the rows of both."""
    others = [system for system in one.systems if system not in (OURS, NONE) and one.beside(system, "verbatim")]
    fair = [system for system in others if one.mean_share(system, least) <= TOLERANCE * one.mean_share(OURS, least)]
    if not fair:
        return ""
    best = max(fair, key=lambda system: sum(theirs for _, theirs in one.beside(system, "verbatim")))
    ours, theirs = ("/".join(_two(pair[side]) for pair in one.beside(best, "verbatim")) for side in (0, 1))
    asked = "/".join(keep.removeprefix("0") for keep in one.keeps)
    others_best = f"of the others that keep as much, {best} is best with {theirs}"
    return f"**At {asked} of the tokens, {ours} of what answers need is still there; {others_best}.**"


def _brief_row(one: Comparison, system: str, least: str) -> list[object]:
    """The system's name, how many rows, its recalls and ours, the differences, what it kept at the `least` ratio, its seconds."""
    beside = one.beside(system, "verbatim")
    ours, theirs = ("/".join(_two(pair[side]) for pair in beside) for side in (0, 1))
    verbatim, in_order = (one.mean_difference(system, recall) for recall in ("verbatim", "words in order"))
    kept = _two(one.mean_share(system, least))
    rows = verbatim.n if verbatim else ""
    return [system, rows, theirs, ours, with_interval(verbatim, "+"), with_interval(in_order, "+"), kept, _seconds_of(one, system)]


def _seconds_of(one: Comparison, system: str) -> str:
    known = [each for name in one.sets if (each := one.seconds(name, system)) is not None]
    mean = sum(known) / len(known) if known else 0.0
    return ("<.001" if mean < 0.001 else f"{mean:.2g}") if known else ""


def _two(share: float) -> str:
    return f"{share:.2f}".removeprefix("0") if round(share, 2) < 1 else "1"


def _heading(one: Comparison) -> str:
    settings, machine = one.results.conditions["settings"], one.results.conditions["machine"]
    ran = dict.fromkeys((cell.provenance.get("command", ""), cell.provenance.get("commit", "")) for cell in one.results.cells)
    how = (
        f"on {machine['processor']}, {machine['cores']} cores; {settings['jobs']} at once, {settings['threads']} thread each; "
        f"draft {settings['draft']} in {settings['dtype']} for all that read with one; tokens counted with {settings['target_tokenizer']}"
    )
    return "\n".join([*(origin(command, commit) for command, commit in ran), how])


def _groups(one: Comparison) -> list[list[str]]:
    """All systems; and, where some were measured on fewer rows than the library, those that were not."""
    rows = {system: sum(len(cell.ids) for (_, of), cell in one.cells.items() if of == system) for system in one.systems}
    most = [system for system in one.systems if rows[system] >= rows.get(OURS, 0)]
    return [one.systems] if len(most) in (0, 1, len(one.systems)) else [most, one.systems]


def _means(one: Comparison, systems: Sequence[str]) -> str:
    rows = []
    said = ""
    for recall in RECALLS:
        shared = one.shared(systems, recall)
        if shared:
            said = said or f"{len(shared)} sets ({', '.join(f'{name} {len(ids)}' for name, ids in shared.items())})"
            rows += [[recall, name, *(with_interval(one.mean(name, keep, recall, shared)) for keep in one.keeps)] for name in systems]
    if not rows:
        return f"These systems share no row: {', '.join(systems)}."
    head = f"**Recall, mean over {said}**, on the rows that all of these systems were measured on:"
    return f"{head}\n\n{table(['judged by', 'system', *_asked(one)], rows)}"


def _differences(one: Comparison) -> str:
    rows = []
    for recall in RECALLS:
        for system in one.systems:
            found = [one.difference(system, keep, recall) for keep in one.keeps] if system != OURS else []
            if any(found):
                rows.append([recall, system, str(max(each.n for each in found if each)), *(with_interval(each, "+") for each in found)])
    if not rows:
        return ""
    return f"**{OURS} minus each system**, row by row, mean over sets:\n\n{table(['judged by', 'system', 'rows', *_asked(one)], rows)}"


def _behind(one: Comparison) -> str:
    found = one.behind()
    limit = f"systems that kept at most {TOLERANCE:g} times the share asked for"
    if not one.compared():
        return ""
    head = f"**Where {OURS} does not lead**: {len(found)} of {one.compared()} sets, budgets and ways to judge, among {limit}"
    if not found:
        return f"{head}."
    rows = []
    for each in found:
        figures = (each.difference.n, f"{each.ours:.2f}", f"{each.theirs:.2f}", with_interval(each.difference, "+"))
        rows.append([each.set, each.recall, each.keep, each.system, *figures])
    return f"{head}:\n\n{table(['set', 'judged by', 'budget', 'ahead', 'rows', OURS, 'it', 'difference'], rows)}"


def _shares(one: Comparison) -> str:
    rows = []
    for system in one.systems:
        shown = []
        for keep in one.keeps:
            shares = [share for name in one.sets if (share := one.share(name, system, keep)) is not None]
            shown.append(f"{sum(shares) / len(shares):.3f} [{min(shares):.2f} to {max(shares):.2f}]" if shares else "")
        rows.append([system, *shown])
    return f"**Share of target tokens kept**, mean over sets [least to most of a set]:\n\n{table(['system', *_asked(one)], rows)}"


def _seconds(one: Comparison) -> str:
    rows = []
    for system in one.systems:
        found = [one.seconds(name, system) for name in one.sets]
        known = [each for each in found if each is not None]
        rows.append([system, *("" if each is None else f"{each:.3g}" for each in found), f"{sum(known) / len(known):.3g}" if known else ""])
    return f"**Seconds for 1,000 tokens**, cold, at one budget alone:\n\n{table(['system', *one.sets, 'mean'], rows)}"


def _by_set(one: Comparison, recall: str) -> str:
    rows = []
    for name in one.sets:
        for system in one.systems:
            if (name, system) not in one.cells:
                continue
            found = [estimate([*one.column(name, system, keep, recall).values()]) for keep in one.keeps]
            if any(found):
                rows.append([name, system, str(max(each.n for each in found if each)), *map(with_interval, found)])
    return f"**Recall by set, {recall}**:\n\n{table(['set', 'system', 'rows', *_asked(one)], rows)}" if rows else ""


def _notes(one: Comparison) -> str:
    """What was installed, replaced, missing, and what failed."""
    lines: dict[str, None] = {}
    for cell in one.results.cells:
        said = cell.provenance
        if "not_measured" in said:
            lines[f"- {cell.scorer} was not measured: {said['not_measured']}"] = None
        elif "failed" in said:
            lines[f"- {cell.scorer} failed on {cell.set} {said['failed']}"] = None
        about = [f"needs {said['needs']}"] if "needs" in said else []
        about += [f"with {said['replaced']}"] if "replaced" in said else []
        about += [f"without {said['without']}, which cannot be had here"] if "without" in said else []
        if about:
            lines[f"- {cell.scorer}: {'; '.join(about)}"] = None
    return "\n".join(["**Notes**", "", *sorted(lines)]) if lines else ""


def _asked(one: Comparison) -> list[str]:
    return [f"keep {keep}" for keep in one.keeps]
