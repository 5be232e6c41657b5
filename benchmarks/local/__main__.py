"""How soon a local target answers behind compression, how fast it goes on, and how much memory it holds.

    python -m benchmarks.local --out benchmarks/results/local.json
    python -m benchmarks.local --device cuda --out benchmarks/results/local-cuda.json

Parts: `first_token` (one long output, read for the first time), `loop` (steps of an agent), `decoding` (with guesses and
without), `memory`. Targets are names of models, or `random:SHAPE` for the speed of a shape whose weights are not here. On a GPU
the sizes are others; `--targets`, `--draft`, `--lengths` and so on replace those of the plan. How well a target answers is
measured by `python -m benchmarks.local.quality`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.local import decoding, first_token, loop, memory
from benchmarks.local.measured import Row, Subject
from benchmarks.local.plan import GPU, PROCESSOR, QUICK, Sizes
from benchmarks.local.report import markdown
from benchmarks.local.subjects import RANDOM, shape_of
from benchmarks.machine import machine_kind, made_by, shown_command, versions
from benchmarks.results import write_rows
from benchmarks.settings import named
from specprefill_agents import SpecPrefillError
from specprefill_agents.draft.loading import choose_device, choose_dtype, set_threads
from specprefill_agents.draft.registry import locate

SCHEMA = 1

PARTS: dict[str, Callable[[Subject], list[Row]]] = {
    "first_token": first_token.first_token,
    "loop": loop.loop,
    "decoding": decoding.decoding,
    "memory": memory.memory,
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="of: %(default)s (default: all)")
    parser.add_argument("--targets", help="names of models, or random:SHAPE; separated by commas")
    parser.add_argument("--draft", help="name of the draft, or random:SHAPE")
    parser.add_argument("--assistants", help="models that guess, separated by commas")
    parser.add_argument("--lengths", help="tokens of the outputs read for the first time")
    parser.add_argument("--repeats", type=int, help="of every part")
    parser.add_argument("--memory-target", help="the target of the part memory")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16 (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of torch (default: torch's own choice)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one repetition: does it run, not how fast")
    parser.add_argument("--out", type=Path, help="JSON file of the results, written anew after each part")
    return parser.parse_args(arguments)


def sizes_of(options: argparse.Namespace, device: str) -> Sizes:
    """The plan for a kind of device, with what the command line says otherwise. Raises ValueError for an unknown shape."""
    plan = QUICK if options.quick else GPU if device == "cuda" else PROCESSOR
    given: dict[str, Any] = {
        "targets": options.targets and tuple(options.targets.split(",")),
        "draft": options.draft,
        "assistants": options.assistants and tuple(options.assistants.split(",")),
        "lengths": options.lengths and tuple(int(length) for length in options.lengths.split(",")),
        "repeats": options.repeats,
        "loop_repeats": options.repeats,
        "answer_repeats": options.repeats,
        "memory_target": options.memory_target,
    }
    sizes = replace(plan, **{name: value for name, value in given.items() if value})
    for name in (*sizes.targets, sizes.draft, sizes.memory_target, *sizes.assistants):
        if shape_of(name) is None:
            locate(name)
    return sizes


def _shown(name: str) -> str:
    """A model's name without where on this machine it lies."""
    return name if name.startswith(RANDOM) or locate(name).kind in ("pulled", "hub") else Path(name).name


def measure(subject: Subject, parts: Sequence[str], command: str, out: Path | None) -> dict[str, Any]:
    """Run `parts` and return the document, written to `out` after each of them."""
    device, sizes = choose_device(subject.device), subject.sizes
    shown = {
        "targets": [_shown(name) for name in sizes.targets],
        "draft": _shown(sizes.draft),
        "assistants": [_shown(name) for name in sizes.assistants],
        "memory_target": _shown(sizes.memory_target),
    }
    head = {
        "schema": SCHEMA,
        "benchmark": "local",
        **made_by(command),
        "settings": {
            "device": device.type,
            "dtype": str(choose_dtype(device, subject.dtype)).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "sizes": {**asdict(sizes), **shown},
        },
        "machine": machine_kind(),
        "versions": versions(),
    }
    rows: list[Row] = []
    for name in parts:
        rows += [{**row, "target": _shown(row["target"])} for row in PARTS[name](subject)]
        if out:
            write_rows(head, "rows", rows, out)
    return {**head, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, store, and print tables; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        parts = named("parts", options.parts, tuple(PARTS))
        set_threads(options.threads)
        sizes = sizes_of(options, choose_device(options.device).type)
        subject = Subject(sizes, options.device, options.dtype, options.threads, lambda text: print(text, file=sys.stderr))
        document = measure(subject, parts, shown_command("benchmarks.local", given), options.out)
    except (ValueError, OSError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(markdown(json.loads(json.dumps(document))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
