"""Needle recall: which share of what an answer needs survives, by set, scorer and keep ratio.

    python -m benchmarks.needles --sets nq_20doc,agentdojo --n 40 --out benchmarks/results/needles.json

Questions are compressed once; agent runs are stepped through by a session, and a value counts while any message still
shows it. Every scorer works on the same units, selection and budget, but for the baseline `SCORER@chunks`, of which the same scores
choose among chunks of a fixed length. `--min-tokens` defaults to 0 for questions, so that
the budget binds whatever their length (0 switches `min_result_tokens` off too), and to the library's default for agent
runs and `langgraph_frames`, where leaving short outputs alone is part of the product. Interrupted runs go on with the
cells that `--out` lacks.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks import data
from benchmarks.chunks import chunk_layout
from benchmarks.evaluate import METRICS, RowMetrics, row_metrics
from benchmarks.machine import ROOT, code_fingerprint, machine_kind, made_by, shown_command, versions
from benchmarks.memo import MemoScorer
from benchmarks.report import markdown
from benchmarks.results import Cell, Results, begun, cell_key, rounded
from benchmarks.settings import DRAFTLESS
from benchmarks.tables import keep_name
from specprefill_agents import CompressionConfig, Compressor, Scorer, SpecPrefillError
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.draft.registry import DEFAULT_DRAFT, locate
from specprefill_agents.prompt.units import layout_of
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.storage.score_cache import ScoreCache
from specprefill_agents.types import KeepRatio

CHUNKED = "@chunks"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and under which settings."""

    directory: Path
    sets: tuple[str, ...]
    scorers: tuple[str, ...]
    keeps: tuple[KeepRatio, ...]
    count: int | None
    draft: str
    device: str
    seed: int
    min_tokens: int | None

    def min_tokens_for(self, name: str) -> int:
        """The `min_tokens` of a set: as asked for, else 0 where the budget must bind, and the library's default elsewhere."""
        if self.min_tokens is not None:
            return self.min_tokens
        return CompressionConfig().min_tokens if data.is_left_alone(name, self.directory) else 0

    def config(self, scorer: str, keep: KeepRatio, min_tokens: int) -> CompressionConfig:
        """Settings of one compressor; a failure must end the run, never count as a kept original."""
        return CompressionConfig(
            keep_ratio=keep,
            scorer=scorer,
            min_tokens=min_tokens,
            min_result_tokens=CompressionConfig().min_result_tokens if min_tokens else 0,
            seed=self.seed,
            timeout_s=None,
            on_error="raise",
            max_scored_tokens=10**9,
        )

    def conditions(self) -> dict[str, Any]:
        """What all cells of one file share."""
        location = locate(self.draft)
        settings = {
            "keep_ratios": list(self.keeps),
            "seed": self.seed,
            "draft": self.draft if location.kind in ("pulled", "hub") else Path(location.path).name,
            "device": self.device,
            "target_tokenizer": counter_for().name,
        }
        return {"benchmark": "needles", "settings": settings, "machine": machine_kind(), "versions": versions()}

    def rows(self, name: str) -> Sequence[data.Question | data.Trajectory]:
        """The rows of a set that are measured."""
        return data.sample(data.load(self.directory, name), self.count, self.seed)


class Bench:
    """Runs cells of a plan; holds the drafts, and the keys that all scorers of one draft share.

    Raises `ConfigError` or `DraftError` at construction, before anything is measured.
    """

    def __init__(self, plan: Plan, keys: ScoreCache) -> None:
        self._plan = plan
        for keep in plan.keeps:
            plan.config("bm25", keep, 0)
        self._scorers: dict[str, Scorer] = {}
        for name in dict.fromkeys(name.partition(CHUNKED)[0] for name in plan.scorers):
            self._scorers[name] = make_scorer(plan.config(name, 0.5, 0), plan.draft, plan.device, keys)
            self._scorers[name].score(["Loads the draft before any time is taken."], "loaded?")

    def run(self, name: str, scorer: str, progress: Progress) -> Cell:
        """Measure one set under one scorer, every keep ratio from the same scores."""
        plan = self._plan
        plain = scorer.partition(CHUNKED)[0]
        splitter = layout_of if plain == scorer else chunk_layout
        memo = MemoScorer(self._scorers[plain])
        min_tokens = plan.min_tokens_for(name)
        compressors = [
            Compressor(plan.draft, plan.config(plain, keep, min_tokens), scorer=memo, cache="memory", splitter=splitter)
            for keep in plan.keeps
        ]
        rows = plan.rows(name)
        measured: list[list[RowMetrics]] = []
        started = time.perf_counter()
        for row in progress.track(rows, description=f"{name} / {scorer}"):
            measured.append(row_metrics(row, compressors))
            memo.forget()
        seconds = time.perf_counter() - started
        return Cell(
            set=name,
            scorer=scorer,
            ids=[row.id for row in rows],
            rows={
                keep_name(keep): {metric: rounded([row[index][metric] for row in measured]) for metric in METRICS}
                for index, keep in enumerate(plan.keeps)
            },
            min_tokens=min_tokens,
            seconds=round(seconds, 2),
            scorer_seconds=round(memo.seconds, 2),
            draft_tokens_per_s=None if plain in DRAFTLESS or not memo.fresh_seconds else round(memo.fresh_tokens / memo.fresh_seconds, 1),
        )


def measure(plan: Plan, out: Path | None, command: str, console: Console) -> Results:
    """Run every cell of `plan` that `out` does not hold yet, saving after each; returns the cells of the plan.

    Raises ValueError when `out` was measured under other conditions.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return _measure(plan, Bench(plan, ScoreCache(Path(folder) / "keys")), out, command, console)


def _measure(plan: Plan, bench: Bench, out: Path | None, command: str, console: Console) -> Results:
    conditions = plan.conditions()
    results = begun(out, conditions)
    code = code_fingerprint()
    provenance = made_by(command)
    done: list[Cell] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        for name in plan.sets:
            min_tokens = plan.min_tokens_for(name)
            key = cell_key(conditions, code, data.checksum(plan.directory, name), min_tokens, plan.count)
            for scorer in plan.scorers:
                held = results.get(f"{name}/{scorer}", key)
                cell = held or replace(bench.run(name, scorer, progress), provenance=provenance, key=key)
                done.append(cell)
                how = "held already" if held else f"{cell.seconds:.1f} s"
                console.print(f"{name}: {len(cell.ids)} rows, min_tokens {min_tokens}, {scorer}: {how}")
                if out and not held:
                    results = results.with_cell(cell)
                    results.save(out)
    return Results(conditions, tuple(done))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.needles", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--sets", help="files of the folder, or hub:SOURCE/PART; file:task takes one task (default: all of the folder)")
    parser.add_argument(
        "--scorers",
        default="fused,key_index,bm25,random,head_tail",
        help="scorer names, with @chunks for chunks in place of units (default: %(default)s)",
    )
    parser.add_argument("--keep", default="0.1,0.2,0.3,0.5", help="keep ratios, of which one may be auto (default: %(default)s)")
    parser.add_argument("--n", type=int, help="rows per set, spread evenly (default: all)")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, help="draft model (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample, the random scorer and the resampling")
    parser.add_argument(
        "--min-tokens", type=int, help="default: 0 for questions; the library's default for agent runs and langgraph_frames"
    )
    parser.add_argument("--paired", metavar="SCORER", help="show the differences between this scorer and each other one")
    parser.add_argument("--out", type=Path, help="JSON file of the results; cells it holds are not measured again")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, store, and print tables; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        plan = Plan(
            directory=options.data,
            sets=tuple(data.expand(options.data, options.sets.split(",") if options.sets else data.sets_in(options.data))),
            scorers=tuple(options.scorers.split(",")),
            keeps=tuple("auto" if keep == "auto" else float(keep) for keep in options.keep.split(",")),
            count=options.n,
            draft=options.draft,
            device=options.device,
            seed=options.seed,
            min_tokens=options.min_tokens,
        )
        if options.paired not in (None, *plan.scorers):
            raise ValueError(f"--paired {options.paired}: not among the scorers {', '.join(plan.scorers)}")
        results = measure(plan, options.out, shown_command("benchmarks.needles", given), Console(stderr=True))
    except (ValueError, OSError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(markdown(results, options.paired))
    return 0


if __name__ == "__main__":
    sys.exit(main())
