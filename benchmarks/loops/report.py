"""One document of the benchmark -> Markdown: dollars by set and policy, which conversations got dearer, what was still visible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.loops.dollars import DEAREST, Bill, Comparison, Row, compare, price_of
from benchmarks.machine import origin
from benchmarks.tables import table

ALL = "all"
MOST_EXAMPLES = 5
"""Dearer conversations shown of one policy."""
OURS = ("ours", "ours_late_expand", "ours_no_expand")
MOVES_TOOLS = ("ours_late_expand",)
"""Of these one prefix moves by design, where the tool comes."""


def markdown(document: Mapping[str, Any]) -> str:
    """Heading, a table of dollars for each model, one of what holds beside the dollars, and the goals."""
    models = document["settings"]["models"]
    parts = [_heading(document), *(_dollars(document, model) for model in models), _kept(document), _goals(document), *_dearest(document)]
    return "\n\n".join(parts)


def _heading(document: Mapping[str, Any]) -> str:
    settings, machine = document["settings"], document["machine"]
    policies = "\n".join(f"- `{name}`: {about}" for name, about in document["policies"].items())
    return (
        f"{origin(document['command'], document['commit'])}\n"
        f"on {machine['processor']}, {machine['cores']} cores; scorer {settings['scorer']}"
        f"{', draft ' + settings['draft'] if 'draft' in settings else ''}; tokens counted with {settings['target_tokenizer']}; "
        f"off-peak prices, DeepSeek's caching rule; in a known account tools and system prompt are cached before the first request"
        f"\n\n{policies}\n\n"
        f"The schema of `expand` has {document['expand_tool']['tokens']} tokens, of which {document['expand_tool']['description_tokens']} "
        f"are its description and {document['expand_tool']['argument_tokens']} the words on its arguments."
    )


def _groups(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, list[Row], list[Row]]]:
    """(set, policy, keep, its rows, the uncompressed rows of the set), all sets together last."""
    rows = document["runs"]
    names = list(dict.fromkeys(row["set"] for row in rows))
    for name in [*names, *([ALL] if len(names) > 1 else [])]:
        inside = [row for row in rows if name in (ALL, row["set"])]
        plain = [row for row in inside if row["policy"] == "none"]
        for policy, keep in dict.fromkeys((row["policy"], row["keep"]) for row in inside):
            yield name, policy, keep, [row for row in inside if (row["policy"], row["keep"]) == (policy, keep)], plain


def _dollars(document: Mapping[str, Any], model: str) -> str:
    price = price_of(model)
    lines = []
    for name, policy, keep, rows, plain in _groups(document):
        tokens = [sum(sum(row[kind]) for row in rows) for kind in ("hit", "miss", "output")]
        new, known, recorded = (compare(rows, plain, bill) for bill in (Bill(price), Bill(price, True), Bill(price, False, False)))
        shown = [cell for found in (new, known) for cell in (f"{1000 * found.usd:.3f}", _percent(found.change), _dear(found))]
        lines.append([name, policy, keep, *tokens, *shown, f"{_percent(recorded.change)}, {_dear(recorded)}"])
    head = ["set", "policy", "keep", "hit tokens", "miss", "output", "USD / 1000", "against none", "dearer, at most"]
    head += ["known account", "against none", "dearer, at most", "new account without closing requests"]
    return f"**{model}**\n\n{table(head, lines)}"


def _kept(document: Mapping[str, Any]) -> str:
    lines = []
    for name, policy, keep, rows, _ in _groups(document):
        steps = sum(len(row["hit"]) - 1 for row in rows)
        moved = sum(len(row["moved"]) for row in rows)
        needed = sum(row["needed"] for row in rows)
        values = [f"{sum(row[kind] for row in rows)} of {needed}" for kind in ("in_spans", "in_text")]
        share = sum(row["kept_tokens"] for row in rows) / max(1, sum(row["result_tokens"] for row in rows))
        lines.append(
            [
                name,
                policy,
                keep,
                len(rows),
                steps + len(rows),
                f"{100 * (steps - moved) / max(1, steps):.1f} %",
                sum(len(row["altered"]) for row in rows),
                *values,
                f"{share:.3f}",
                f"{sum(row['scorer_ms'] for row in rows) / 1000:.1f}",
            ]
        )
    head = ["set", "policy", "keep", "runs", "requests", "extend the one before", "altered otherwise"]
    head += ["values in spans", "values in text", "share of result tokens", "scorer s"]
    return f"**What is sent**\n\n{table(head, lines)}"


def _goals(document: Mapping[str, Any]) -> str:
    """Whether the library's own policies are where they must be, a line for each."""
    lines = []
    for model in document["settings"]["models"]:
        for is_known in (False, True):
            for name, policy, keep, rows, plain in _groups(document):
                if policy not in OURS:
                    continue
                found = compare(rows, plain, Bill(price_of(model), is_known))
                over = sum(share > DEAREST for share, _ in found.dearer)
                cheaper = "yes" if found.usd < found.plain_usd else "no"
                account = "known" if is_known else "new"
                lines.append([model, account, name, policy, keep, cheaper, f"{over} of {found.count}", _percent(found.worst)])
    head = ["model", "account", "set", "policy", "keep", "cheaper in total", f"dearer by more than {100 * DEAREST:g} %", "dearest"]
    return f"**Goals**\n\n{table(head, lines)}"


def _dearest(document: Mapping[str, Any]) -> Iterator[str]:
    bill = Bill(price_of(document["settings"]["models"][0]))
    for name, policy, keep, rows, plain in _groups(document):
        found = compare(rows, plain, bill)
        if policy in OURS and name != ALL and found.dearer:
            lines = [
                [row["id"], _percent(share), len(row["hit"]), row["result_tokens"], row["kept_tokens"], row["hit"][-1] + row["miss"][-1]]
                for share, row in found.dearer[:MOST_EXAMPLES]
            ]
            head = ["run", "dearer", "requests", "result tokens", "as sent", "last request"]
            yield f"Dearest of {name}, {policy}{f', keep {keep}' if keep else ''}:\n\n{table(head, lines)}"


def _percent(share: float) -> str:
    return f"{100 * share:+.1f} %"


def _dear(found: Comparison) -> str:
    return f"{len(found.dearer)} of {found.count}, {_percent(found.worst)}" if found.dearer else f"0 of {found.count}"


def broken(rows: Sequence[Row]) -> list[str]:
    """What must never be: a request that is altered beyond its results, or a prefix of ours that moved."""
    found = []
    for row in rows:
        where = f"{row['set']}, {row['id']}, {row['policy']}{' at keep ' * bool(row['keep'])}{row['keep']}"
        found += [f"{where}: altered {what}" for what in row["altered"]]
        if row["policy"] in OURS:
            by_design = 1 if row["policy"] in MOVES_TOOLS and row["moved"][:1] == ["tools"] else 0
            found += [f"{where}: prefix moved ({cause})" for cause in row["moved"][by_design:]]
    return found
