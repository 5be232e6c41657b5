"""Is every compressed output well-formed in its own kind, within the budget, and can it be made whole again?

    python -m benchmarks.wellformed --scorer bm25 --keep 0.1,0.2,0.3,0.5 --out benchmarks/results/wellformed.json

All segments of all rows are compressed at each keep ratio, those of agent runs step by step in a session. Short outputs
are compressed too (`--min-tokens 0`), since the small budgets are the hard ones. Beside the evaluation data there are two
sets of our own, `made` and `stdlib`, see `outputs`. What fails is listed, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import data
from benchmarks.machine import ROOT, machine_kind, made_by, shown_command, versions
from benchmarks.memo import MemoScorer
from benchmarks.settings import DRAFTLESS
from benchmarks.wellformed import report
from benchmarks.wellformed.counting import Tally
from benchmarks.wellformed.outputs import OWN_SETS, HeldCounts, Recorder, calls_of, load, set_names
from specprefill_agents import CompressionConfig, SpecPrefillError
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.draft.registry import DEFAULT_DRAFT, locate
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.storage.score_cache import ScoreCache

SCHEMA = 1
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to check, and under which settings. `keeps` are as given: numbers, or `auto`."""

    directory: Path
    sets: tuple[str, ...]
    scorer: str
    keeps: tuple[str, ...]
    count: int | None
    draft: str
    device: str
    seed: int
    min_tokens: int

    def config(self, keep: str) -> CompressionConfig:
        """Settings of one compressor; 0 for `min_tokens` is 0 for single results too."""
        values: dict[str, Any] = {"keep_ratio": keep if keep == AUTO else float(keep), "scorer": self.scorer, "seed": self.seed}
        values |= {"min_tokens": self.min_tokens, "timeout_s": None, "on_error": "raise", "max_scored_tokens": 10**9}
        if not self.min_tokens:
            values["min_result_tokens"] = 0
        return CompressionConfig.from_dict(values)

    def settings(self) -> dict[str, Any]:
        """What the counts depend on, as it is stored."""
        settings = {"scorer": self.scorer, "keep_ratios": list(self.keeps), "rows_per_set": self.count, "seed": self.seed}
        settings |= {"min_tokens": self.min_tokens, "target_tokenizer": counter_for().name}
        if self.scorer not in DRAFTLESS:
            location = locate(self.draft)
            settings |= {"draft": self.draft if location.kind in ("pulled", "hub") else Path(location.path).name, "device": self.device}
        return settings


def measure(plan: Plan, command: str, out: Path | None) -> dict[str, Any]:
    """Check every set of `plan`; returns the document, written to `out` after each of them."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "benchmark": "wellformed",
        **made_by(command),
        "settings": plan.settings(),
        "machine": machine_kind(),
        "versions": versions(),
        "data": {name: data.checksum(plan.directory, name) for name in plan.sets if name not in OWN_SETS},
        "rows": {},
    }
    tally = Tally()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        memo = MemoScorer(make_scorer(plan.config(plan.keeps[0]), plan.draft, plan.device, ScoreCache(Path(folder) / "keys")))
        counter = HeldCounts(counter_for())
        recorders = {keep: Recorder(plan.draft, plan.config(keep), memo, counter) for keep in plan.keeps}
        for name in plan.sets:
            started = time.perf_counter()
            document["rows"][name] = _check_set(plan, name, recorders, (memo, counter), tally)
            print(f"{name}: {document['rows'][name]} rows, {time.perf_counter() - started:.1f} s", file=sys.stderr)
            document |= {"counts": tally.to_rows(), "failures": [asdict(one) for one in tally.failures]}
            if out:
                _save(document, out)
    return document


def _check_set(plan: Plan, name: str, recorders: Mapping[str, Recorder], held: Sequence[MemoScorer | HeldCounts], tally: Tally) -> int:
    """Check the rows of one set; returns how many there were."""
    rows = data.sample(load(plan.directory, name), plan.count, plan.seed)
    for row in rows:
        for keep, recorder in recorders.items():
            try:
                calls = calls_of(row, recorder)
            except Exception as error:
                tally.add_crash(name, row.id, keep, error)
                continue
            for call in calls:
                tally.add_call(name, row.id, keep, call)
        for one in held:
            one.forget()
    return len(rows)


def _save(document: dict[str, Any], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    written = out.with_name(f".{out.name}.part")
    written.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    written.replace(out)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wellformed", description=(__doc__ or "").split("\n\n")[0])
    every = ",".join((*data.QUESTION_SETS, *data.TRAJECTORY_SETS, *OWN_SETS))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--sets", default=every, help=f"of: {every} (default: all)")
    parser.add_argument("--scorer", default="bm25", help="scorer name (default: %(default)s)")
    parser.add_argument("--keep", default="0.1,0.2,0.3,0.5", help=f"keep ratios, {AUTO} among them where wanted (default: %(default)s)")
    parser.add_argument("--n", type=int, help="rows per set, spread evenly (default: all)")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, help="draft model (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and the random scorer")
    parser.add_argument("--min-tokens", type=int, default=0, help="of a call; 0 compresses every result (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file of the results, written anew after each set")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, store, and print tables; returns the exit status: 1 when a check failed, 2 when nothing could be checked."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        plan = Plan(
            directory=options.data,
            sets=tuple(dict.fromkeys(set_names(options.data, options.sets.split(",")))),
            scorer=options.scorer,
            keeps=tuple(options.keep.split(",")),
            count=options.n,
            draft=options.draft,
            device=options.device,
            seed=options.seed,
            min_tokens=options.min_tokens,
        )
        document = measure(plan, shown_command("benchmarks.wellformed", given), options.out)
    except (ValueError, OSError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report.markdown(document))
    return 1 if document["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
