"""The loop of `make demo` with its scripted calls, billed off-peak: tokens, dollars, cache hits and seconds of scoring as JSON.

    python -m benchmarks.demo --out benchmarks/results/demo.json

The tool outputs are the standard library's own sources, so that tokens and dollars hold for one version of Python.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from rich.console import Console

from benchmarks.loops.replay import START
from benchmarks.machine import git_commit, machine_kind, origin, shown_command, versions
from benchmarks.results import write_rows
from benchmarks.tables import table
from specprefill_agents import CompressionConfig, Compressor, Segment, SpecPrefillError
from specprefill_agents.accounting.ledger import total
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_langchain.chat_local import ChatLocal
from specprefill_langchain.demo import REMINDER, play
from specprefill_langchain.demo.model import DEEPSEEK_MODEL, ScriptedModel
from specprefill_langchain.demo.task import script

SCHEMA = 1
ANSWER_TOKENS = 96


def measure(compressor: Compressor, model: BaseChatModel) -> dict[str, Any]:
    """Play the loop with `model`; sums over its calls, and a row for each call."""
    compressor.compress([Segment("Loads the draft before any time is taken. " * 64, "document")], "loaded?")
    started = time.perf_counter()
    played = play(Console(file=io.StringIO()), compressor, model, "benchmark", now=lambda: START)
    seconds = time.perf_counter() - started
    totals = total(call.step for call in played.calls)
    sides = {name: {**asdict(side.tokens), "usd": side.usd} for name, side in (("plain", totals.plain), ("sent", totals.sent))}
    return {
        **sides,
        "tool_tokens": sum(call.new_tokens for call in played.calls),
        "kept_tokens": sum(call.kept_tokens for call in played.calls),
        "scorer_s": round(totals.scorer_ms / 1000, 2),
        "seconds": round(seconds, 1),
        "moved": sum(call.step.moved is not None for call in played.calls[1:]),
        "facts": {fact.fact.what: fact.sent for fact in played.facts},
        "calls": [{"label": call.label, "new_tokens": call.new_tokens, "kept_tokens": call.kept_tokens} for call in played.calls],
    }


def markdown(document: Mapping[str, Any]) -> str:
    """The sums beside those without compression, and what of the answer reached the model."""
    plain, sent, facts = document["plain"], document["sent"], document["facts"]
    lines = [["tokens of tool outputs", document["tool_tokens"], document["kept_tokens"]]]
    names = {"hit_tokens": "tokens found in the prefix cache", "miss_tokens": "tokens not found", "output_tokens": "tokens of answers"}
    lines += [[about, plain[name], sent[name]] for name, about in names.items()]
    shown = [[about, f"{before:,}", f"{after:,}", f"{after / before:.0%}" if before else ""] for about, before, after in lines]
    shown.append(["USD", f"{plain['usd']:.6f}", f"{sent['usd']:.6f}", f"{sent['usd'] / plain['usd']:.0%}"])
    machine = document["machine"]
    heading = f"{origin(document['command'], document['commit'])}\non {machine['processor']}, {machine['cores']} cores"
    settings = document["settings"]
    note = (
        f"Draft {settings['draft']}, keep {settings['keep_ratio']}, prices of {settings['model']} off-peak. {document['scorer_s']} s of "
        f"scoring; {len(document['calls']) - 1 - document['moved']} of {len(document['calls']) - 1} requests extend the one before; "
        f"{sum(map(bool, facts.values()))} of {len(facts)} lines that answer the question were sent."
    )
    return "\n\n".join([heading, table(["", "without", "with compression", "left"], shown), note])


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--draft", default=DEFAULT_DRAFT, help="draft model (default: %(default)s)")
    parser.add_argument("--keep", type=float, default=0.3, help="keep ratio (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file of the results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, store, and print a table; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        compressor = Compressor(options.draft, CompressionConfig(keep_ratio=options.keep, on_error="raise"), cache="memory")
        model = ScriptedModel(steps=script(), writer=ChatLocal(max_tokens=ANSWER_TOKENS), reminder=REMINDER)
        measured = measure(compressor, model)
    except (ValueError, OSError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    head = {
        "schema": SCHEMA,
        "benchmark": "demo",
        "command": shown_command("benchmarks.demo", given),
        "commit": git_commit(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "settings": {"draft": options.draft, "keep_ratio": options.keep, "model": DEEPSEEK_MODEL},
        "machine": machine_kind(),
        "versions": versions(),
    }
    document = {**head, **measured}
    if options.out:
        write_rows({name: value for name, value in document.items() if name != "calls"}, "calls", document["calls"], options.out)
    print(markdown(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
