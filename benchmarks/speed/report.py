"""One speed document -> Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.machine import origin
from benchmarks.tables import table

Cells = Sequence[Sequence[object]]

_OF_THE_LONGEST = ["idle process", "by this process", "garbage collection", "by this process without it"]


def markdown(document: Mapping[str, Any]) -> str:
    """Every part that was measured, each as a table."""
    settings, machine = document["settings"], document["machine"]
    where = ", ".join([machine["processor"], f"{machine['cores']} cores", *([machine["gpu"]] if "gpu" in machine else [])])
    parts = [
        f"{origin(document['command'], document['commit'])}\n"
        f"on {where}, {settings['threads']} threads; draft {settings['draft']}, {settings['dtype']} by default"
    ]
    return "\n\n".join([*parts, *(_TABLES[name](part) for name, part in document["parts"].items())])


def _build(part: Mapping[str, Any]) -> str:
    head = ["dtype", "index tokens/s", "full, last logits", "full, all logits", "truncated", "index / full", "capture cost", "strict"]
    rows = []
    for dtype, one in part["dtypes"].items():
        rate = one["tokens_per_s"]
        rates = [rate[name] for name in ("index", "full_last_logits", "full_all_logits", "truncated")]
        ratios = [_ratio(one["index_over_full_last_logits"]), _cost(one["capture_cost"]), _cost(one["capture_cost_strict"])]
        rows.append([dtype, *rates, *ratios])
    return _titled("Index build against forward passes (tokens/s; ratio: median [smallest, largest])", head, rows)


def _questions(part: Mapping[str, Any]) -> str:
    rows = [[name, ms, _ratio(part["cheaper"][name]) if name in part["cheaper"] else ""] for name, ms in part["ms"].items()]
    inside = part["inside_a_new_question_ms"]
    note = f"A new question: {inside['draft_pass']} ms in the draft, {inside['product']} ms product ({inside['rows']:g} query rows)."
    title = f"Questions over {part['tokens']} tokens in {part['contexts']} contexts ({part['dtype']})"
    return _titled(title, ["question", "ms", "times cheaper than afresh"], rows) + f"\n\n{note}"


def _outside(part: Mapping[str, Any]) -> str:
    head = ["tokens", "ms", "ms per 10k", "counting ms", "units ms", "BM25 ms", "key index ms"]
    rows = []
    for name, ms in part["ms"].items():
        stages = part["of_which_ms"][name]
        stage_ms = [stages[stage] for stage in ("units", "bm25", "key_index")]
        rows.append([name, ms, part["ms_per_10k_tokens"][name], part["counting_ms"][name], *stage_ms])
    title = f"Outside draft and tokenizer (per token, most over least: {part['most_over_least_per_token']})"
    return _titled(title, head, rows)


def _growth(part: Mapping[str, Any]) -> str:
    rows = [[row["tokens"], row["build_s"], row["peak_mib"]] for row in part["rows"]]
    note = (
        f"{part['seconds_per_10k_tokens']} s and {part['peak_mib_per_10k_tokens']} MiB per 10k tokens (time: r2 {part['build_r2']}, "
        f"per token most over least {part['most_over_least_per_token']}); keys {part['key_bytes_per_token']} bytes a token, on disk "
        f"{part['stored_bytes_per_token']}. Peak: {part['peak_of']}, {part['before_mib']} MiB before."
    )
    return _titled(f"Growth ({part['dtype']})", ["tokens", "build s", "peak MiB"], rows) + f"\n\n{note}"


def _splitting(part: Mapping[str, Any]) -> str:
    head = ["text", "kind", "characters", "units", "layout s", "r2", "choice s", "r2"]
    rows = [
        [
            name,
            one["kind"],
            one["chars"][-1],
            one["units"][-1],
            one["layout_s"][-1],
            one["layout_r2"],
            one["choice_s"][-1],
            one["choice_r2"],
        ]
        for name, one in part["texts"].items()
    ]
    return _titled(f"Splitting into units, and choosing at keep {part['keep_ratio']} ({part['stand_ins']})", head, rows)


def _steps(part: Mapping[str, Any]) -> str:
    over = part["late_over_early"]
    rows = [
        [step, ms, part["step_ms"][step], _ratio(over["scorer"][step]), _ratio(over["step"][step])]
        for step, ms in part["scorer_ms"].items()
    ]
    first = next(iter(part["scorer_ms"]))
    head = ["step", "scorer ms", "whole step ms", f"scorer, over step {first}", f"whole, over step {first}"]
    return _titled(f"Steps of a loop of {part['steps']} outputs of {part['tokens']} tokens each, scorer {part['scorer']}", head, rows)


def _middleware(part: Mapping[str, Any]) -> str:
    rows = [[name.replace("_", " "), ms] for name, ms in part["ms"].items()]
    title = f"Middleware, nothing new at {part['messages']} messages with {part['outputs']} tool outputs of {part['chars']} characters"
    return _titled(title, ["session", "ms a call"], rows)


def _concurrency(part: Mapping[str, Any]) -> str:
    names = {"off": "not compressed", "loading": "one, which loads the draft", "on": "compressed"}
    figures = ("p50", "p99", "longest", "over_goal")
    rows = []
    for name, late in part["late_ms"].items():
        rows.append([names[name], *(late[figure] for figure in figures), *_held_up(late)])
    title = (
        f"Event loop beside {part['conversations']} agents at once, {part['outputs_each']} output(s) of {part['chars_each']} characters "
        f"each, scorer {part['scorer']}: how late a beat of {part['beat_ms']:g} ms comes"
    )
    head = ["agents", "p50 ms", "p99 ms", "longest ms", f"later than {part['goal_ms']:g} ms", *_OF_THE_LONGEST]
    return _titled(title, head, rows)


def _held_up(late: Mapping[str, Any]) -> list[object]:
    return [
        late["idle_process"]["longest"],
        late["by_this_process"]["longest"],
        late["longest_collection"],
        late["without_collections"]["longest"],
    ]


def _rates(of: str) -> Callable[[Mapping[str, Any]], str]:
    def shown(part: Mapping[str, Any]) -> str:
        rates = part["tokens_per_s"]
        return _titled(f"Index build by {of} ({part['dtype']})", [of, *rates], [["tokens/s", *rates.values()]])

    return shown


_TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "build": _build,
    "questions": _questions,
    "outside": _outside,
    "growth": _growth,
    "threads": _rates("threads"),
    "windows": _rates("window tokens"),
    "splitting": _splitting,
    "steps": _steps,
    "middleware": _middleware,
    "concurrency": _concurrency,
}


def _ratio(one: Mapping[str, float]) -> str:
    return f"{one['median']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"


def _cost(one: Mapping[str, float]) -> str:
    """A ratio of times as what is added, in per cent."""
    return "{:+.1f} % [{:+.1f}, {:+.1f}]".format(*(100 * (one[name] - 1) for name in ("median", "low", "high")))


def _titled(title: str, head: Sequence[str], rows: Cells) -> str:
    return f"**{title}**\n\n{table(head, rows)}"
