"""The tables that the README and docs show, each from one stored file.

A block stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.demo import markdown as markdown_of_demo
from benchmarks.loops.dollars import Bill, compare, price_of
from benchmarks.metrics import estimate
from benchmarks.peers.report import brief
from benchmarks.results import Cell, load, read_columns
from benchmarks.suite.documents import commands, provenance, read
from benchmarks.suite.plan import feeding
from benchmarks.tables import keep_names, table
from specprefill_agents.session.recalling import LEAST_PRIORITY

BLOCK = re.compile(r"(<!-- bench:([\w-]+) -->\n)(.*?)(<!-- /bench:\2 -->)", re.DOTALL)
MARK = re.compile(r"<!-- /?bench:")
NEEDED = ("values", "evidence", "answer")
"""What a set is judged by: the first of these that it has."""
ABOUT = {
    "nq_20doc": "20 documents",
    "hotpotqa": "two hops",
    "kv_140": "JSON keys",
    "qmsum_val": "meetings",
    "quixbugs": "code",
    "ruler_8k:niah_single_1": "RULER, one number",
    "ruler_8k:vt": "RULER, chain of five",
    "ruler_8k:qa_2": "RULER, two hops in 8k",
    "langgraph_frames": "short results",
    "agentdojo": "tool loops, needed values",
    "sweagent": "coding runs, needed values",
    "langgraph_seed": "one long run, needed values",
}
KEEPS = ("0.1", "0.2", "0.3", "0.5")
OURS = "ours"
"""Of the loops: the library's policy, which is shown at every keep ratio; the others at one."""
POLICIES = (OURS, "ours_no_expand", "window", "rescore", "clear", "clear_batch")
"""Those of the loops that a block shows."""


def filled(text: str, results: Path) -> str:
    """`text` with every block made anew from the files in `results`.

    Raises ValueError for a block that nobody makes, that has no results, or whose marks are no pair.
    """

    def made(found: re.Match[str]) -> str:
        name = found[2]
        benchmark = feeding(name)
        if name not in BLOCKS or benchmark is None:
            raise ValueError(f"no block is called {name!r}; there are: {', '.join(BLOCKS)}")
        file = results / benchmark.results[0]
        if not file.is_file():
            raise ValueError(f"block {name}: {file.name} is not there; python -m benchmarks.suite {benchmark.name} makes it")
        return f"{found[1]}{BLOCKS[name](file)}\n\n{source(file)}\n{found[4]}"

    if len(MARK.findall(text)) != 2 * len(BLOCK.findall(text)):
        raise ValueError("a <!-- bench:NAME --> has no <!-- /bench:NAME --> behind it, or the other way round")
    return BLOCK.sub(made, text)


def source(file: Path) -> str:
    """One line on where a block's numbers come from, and what makes them again."""
    return f"<sub>{'<br>'.join(f'`{command}`' for command in commands(file))}<br>{provenance(file)}</sub>"


def needles(file: Path) -> str:
    """What each scorer keeps of a set, at the keep ratios of `KEEPS` that were measured, as `.93/.97/.97/1`."""
    results = load(file)
    keeps = [keep for keep in keep_names(results) if keep in KEEPS]
    scorers = [name for name in dict.fromkeys(cell.scorer for cell in results.cells) if "@" not in name]
    rows = []
    for name in dict.fromkeys(cell.set for cell in results.cells):
        cells = {cell.scorer: cell for cell in results.cells if cell.set == name}
        count = len(next(iter(cells.values())).ids)
        about = f"{name} ({ABOUT[name]})" if name in ABOUT else name
        rows.append([about, count, *(_kept(cells[scorer], keeps) if scorer in cells else "" for scorer in scorers)])
    return table([f"kept at {'/'.join(keep.removeprefix('0') for keep in keeps)}", "n", *(f"`{scorer}`" for scorer in scorers)], rows)


def needed_metric(cell: Cell) -> str:
    """The metric by which the set of a cell is judged."""
    columns = next(iter(cell.rows.values()))
    return next((name for name in NEEDED if any(value is not None for value in columns[name])), NEEDED[-1])


def _kept(cell: Cell, keeps: Sequence[str]) -> str:
    metric = needed_metric(cell)
    found = (estimate(cell.rows[keep][metric]) for keep in keeps)
    return "/".join(_short(one.mean) if one else "-" for one in found)


def _short(share: float) -> str:
    """Two digits without the zero before the point; 1 and 0 as they are."""
    digits = f"{share:.2f}".rstrip("0").rstrip(".") if share in (0, 1) or round(share, 2) in (0, 1) else f"{share:.2f}"
    return digits.removeprefix("0") or "0"


def loops(file: Path) -> str:
    """Dollars against the uncompressed runs, by policy and set: in a new account, and in one that has seen tools and system prompt."""
    document = read_columns(file, "runs")
    rows, models = document["runs"], document["settings"]["models"]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    lines = []
    measured = dict.fromkeys((row["policy"], row["keep"]) for row in rows)
    first = next(keep for policy, keep in measured if policy == OURS)
    for policy, keep in ((policy, keep) for policy in POLICIES for of, keep in measured if of == policy):
        if policy != OURS and keep not in ("", first):
            continue
        cells = [_change(rows, policy, keep, [name], models[0]) for name in sets]
        cells += [_change(rows, policy, keep, sets, model) for model in models]
        lines.append([f"{document['policies'][policy]}{f', keep {keep}' if keep else ''}", *cells])
    counts = {name: len({row["id"] for row in rows if row["set"] == name}) for name in sets}
    head = [f"new / known account, {models[0]}", *(f"{name} ({counts[name]})" for name in sets), *(f"all, {model}" for model in models)]
    return table(head, lines)


def _change(rows: Sequence[Mapping[str, object]], policy: str, keep: str, sets: Sequence[str], model: str) -> str:
    inside = [row for row in rows if row["set"] in sets]
    ours = [row for row in inside if (row["policy"], row["keep"]) == (policy, keep)]
    plain = [row for row in inside if row["policy"] == "none"]
    new, known = (100 * compare(ours, plain, Bill(price_of(model), is_known)).change for is_known in (False, True))
    return f"{new:+.0f} / {known:+.0f} %"


def speed(file: Path) -> str:
    """The figures of a draft that a user asks for first."""
    return "\n".join(f"- {line}" for line in _speed_lines(file))


def _speed_lines(file: Path) -> Iterator[str]:
    document = read(file)
    parts, settings = document["parts"], document["settings"]
    if "build" in parts:
        built = parts["build"]["dtypes"][settings["dtype"]]
        over = built["index_over_full_last_logits"]["median"]
        rate = built["tokens_per_s"]["index"]
        yield f"the index of {settings['draft']} is built at {rate:,.0f} tokens/s, {over:.2f} times a full forward pass"
    if "questions" in parts:
        asked = parts["questions"]
        cheaper = asked["cheaper"]
        yield (
            f"a new question over {asked['tokens']:,} tokens read before takes {asked['ms']['fused_new_memory'] / 1000:.2f} s, "
            f"{cheaper['fused_new_memory']['median']:,.0f} times less than afresh; the same question again "
            f"{cheaper['fused_repeated_memory']['median']:,.0f} times less"
        )
    if "outside" in parts:
        yield f"everything outside draft and tokenizer takes {_longest(parts['outside']['ms_per_10k_tokens']):.0f} ms per 10,000 tokens"
    if "growth" in parts:
        grown = parts["growth"]
        first, last = grown["rows"][0]["tokens"], grown["rows"][-1]["tokens"]
        memory = grown["peak_mib_per_10k_tokens"] * 1024 * 1024 / 10_000
        yield (
            f"time is linear from {first:,} to {last:,} tokens (r2 {grown['build_r2']}); a token costs "
            f"{grown['key_bytes_per_token']:.0f} bytes of keys and {memory:.0f} bytes of memory"
        )


def _longest(by_tokens: Mapping[str, float]) -> float:
    return by_tokens[max(by_tokens, key=int)]


def peers(file: Path) -> str:
    """What other compressors keep, each beside the library."""
    return brief(load(file))


def recall(file: Path) -> str:
    """What a later question brings back, under the library's own threshold."""
    rows = []
    for one in read(file)["results"]:
        if one["least_priority"] == LEAST_PRIORITY:
            figures = [f"{one[name]:.2f}" for name in ("before", "after")] + [
                f"{one[name]:.0f}" for name in ("tokens_needed", "tokens_not_needed")
            ]
            rows.append([one["set"], one["rows"], f"{one['keep_ratio']:g}", *figures])
    return table(["set", "n", "keep", "evidence before", "after", "tokens brought back when needed", "when not"], rows)


def demo(file: Path) -> str:
    """The loop of `make demo` with compression and without."""
    return markdown_of_demo(read(file)).partition("\n\n")[2]


BLOCKS: Mapping[str, Callable[[Path], str]] = {
    "needles": needles,
    "loops": loops,
    "speed": speed,
    "peers": peers,
    "recall": recall,
    "demo": demo,
}
"""By the names that the plan's benchmarks feed."""
