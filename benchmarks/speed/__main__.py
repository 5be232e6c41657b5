"""Speed of the draft, of its caches, and of everything around it.

    python -m benchmarks.speed --out benchmarks/results/speed.json

Parts: `build` (index against forward passes), `questions` (new and repeated over cached contexts), `outside` (all but
draft and tokenizer), `growth` (memory and time by length), and on request `threads`, `windows`, `splitting` (units of
generated texts of every content kind, without any draft), `steps` (an agent loop, late steps against early ones),
`middleware` (what LangChain's middleware adds to a call at which nothing is new) and `concurrency` (how long many agents at once
keep an event loop waiting).
Ratios are taken between variants that were run in turn, in one process, on text of the same kind: the Python standard
library's own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine_kind, made_by, shown_command, versions
from benchmarks.speed import concurrency, growth, middleware, outside, passes, questions, report, splitting, steps
from benchmarks.speed.plan import QUICK, Sizes, Subject
from specprefill_agents import SpecPrefillError
from specprefill_agents.draft.loading import choose_device, choose_dtype, set_threads
from specprefill_agents.draft.registry import DEFAULT_DRAFT, locate

SCHEMA = 1

PARTS: dict[str, Callable[[Subject], dict[str, Any]]] = {
    "build": passes.build,
    "questions": questions.questions,
    "outside": outside.outside,
    "growth": growth.growth,
    "threads": passes.threads,
    "windows": passes.windows,
    "splitting": splitting.splitting,
    "steps": steps.steps,
    "middleware": middleware.middleware,
    "concurrency": concurrency.concurrency,
}
DEFAULT_PARTS = ("build", "questions", "outside", "growth")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--parts", default=",".join(DEFAULT_PARTS), help=f"of: {', '.join(PARTS)} (default: %(default)s)")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, help="draft model (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of torch (default: torch's own choice)")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repetitions: does it run, not how fast")
    parser.add_argument("--out", type=Path, help="JSON file of the results, written anew after each part")
    return parser.parse_args(arguments)


def measure(subject: Subject, parts: Sequence[str], command: str, out: Path | None) -> dict[str, Any]:
    """Run `parts` and return the document, written to `out` after each of them."""
    location = locate(subject.name)
    device = choose_device(subject.device)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "benchmark": "speed",
        **made_by(command),
        "settings": {
            "draft": subject.name if location.kind in ("pulled", "hub") else Path(location.path).name,
            "heads": [list(head) for head in subject.preset.heads],
            "device": device.type,
            "dtype": str(choose_dtype(device)).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "sizes": asdict(subject.sizes),
        },
        "machine": machine_kind(),
        "versions": versions(),
        "parts": {},
    }
    for name in parts:
        print(f"{name} ...", file=sys.stderr)
        document["parts"][name] = PARTS[name](subject)
        if out:
            _save(document, out)
    return document


def _save(document: dict[str, Any], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    written = out.with_name(f".{out.name}.part")
    written.write_text(json.dumps(document, indent=1, default=_plain) + "\n", encoding="utf-8")
    written.replace(out)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no place in a result")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, store, and print tables; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    parts = options.parts.split(",")
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        print(f"error: --parts {', '.join(unknown)}: known are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    try:
        set_threads(options.threads)
        subject = Subject.of(options.draft, options.device, QUICK if options.quick else Sizes())
        document = measure(subject, parts, shown_command("benchmarks.speed", given), options.out)
    except (ValueError, OSError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report.markdown(json.loads(json.dumps(document, default=_plain))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
