"""One document of the benchmark -> Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.machine import origin
from benchmarks.tables import table

MOST_EXAMPLES = 3
"""Failures shown of one check."""


def markdown(document: Mapping[str, Any]) -> str:
    """What was checked, by set and kind and by check, and examples of what failed."""
    settings, machine = document["settings"], document["machine"]
    heading = (
        f"{origin(document['command'], document['commit'])}\n"
        f"on {machine['processor']}, {machine['cores']} cores; scorer {settings['scorer']}"
        f"{', draft ' + settings['draft'] if 'draft' in settings else ''}, keep {', '.join(settings['keep_ratios'])}, "
        f"tokens counted with {settings['target_tokenizer']}"
    )
    return "\n\n".join([heading, _by_kind(document), _by_check(document), *_examples(document)])


def _by_kind(document: Mapping[str, Any]) -> str:
    """One line for each set and kind, all keep ratios together; checks of whole calls are in the sums alone."""
    sums: dict[tuple[str, str], Counter[str]] = {}
    for one in document["counts"]:
        found = sums.setdefault((one["set"], one["kind"]), Counter())
        found.update({name: one[name] for name in ("outputs", "compressed", "gaps", "long_statements_cut")})
        for made, failed in one["checks"].values():
            found.update(made=made, failed=failed)
    columns = ("outputs", "compressed", "gaps", "made", "failed", "long_statements_cut")
    rows = [
        [name, document["rows"][name], kind, *(found[column] for column in columns)]
        for (name, kind), found in sums.items()
        if kind != "call"
    ]
    head = ["set", "rows", "kind", "outputs", "compressed", "gaps", "checks", "failures", "long statements cut"]
    return table(head, [*rows, ["all", "", "", *(sum(found[column] for found in sums.values()) for column in columns)]])


def _by_check(document: Mapping[str, Any]) -> str:
    sums: dict[str, list[int]] = {}
    for one in document["counts"]:
        for check, (made, failed) in one["checks"].items():
            before = sums.get(check, [0, 0])
            sums[check] = [before[0] + made, before[1] + failed]
    return table(["check", "made", "failures"], [[check, *found] for check, found in sums.items()])


def _examples(document: Mapping[str, Any]) -> list[str]:
    shown: Counter[str] = Counter()
    lines = []
    for one in document["failures"]:
        shown[one["check"]] += 1
        if shown[one["check"]] <= MOST_EXAMPLES:
            where = "" if one["segment"] is None else f", segment {one['segment']}"
            lines.append(f"- {one['check']}: {one['set']}, row {one['row']}{where}, keep {one['keep']}, {one['kind']}: {one['reason']}")
    return ["\n".join(lines)] if lines else []
