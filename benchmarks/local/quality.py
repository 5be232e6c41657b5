"""How right a local target's answers are behind compression, at equal token budgets.

    python -m benchmarks.local.quality --sets nq_20doc,hotpotqa --n 40 --out benchmarks/results/local-quality.json

A system is `full`, `closed` (no context at all), `truncated` (both ends of the context, whatever they say), or a scorer, with
`@positions` for kept tokens at their original positions; it is measured at every keep ratio. Prompts that do not fit the target's
window are counted, and have no part in a mean. A cell is one set under one system at one keep ratio; interrupted runs go on with the
cells that `--out` lacks.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import data
from benchmarks.evaluate import trusted
from benchmarks.local.asking import LONG_ANSWERS, METRICS, Shown, answered, answers_by_id, closed, shown, truncated
from benchmarks.local.quality_report import markdown
from benchmarks.local.subjects import scorer_by
from benchmarks.machine import ROOT, code_fingerprint, machine_kind, made_by, shown_command, versions
from benchmarks.memo import MemoScorer
from benchmarks.results import Cell, Results, begun, cell_key, rounded
from specprefill_agents import CompressionConfig, Compressor, SpecPrefillError
from specprefill_agents.accounting.tokens import TokenCounter, hugging_face_counter
from specprefill_agents.draft.loading import choose_device, choose_dtype
from specprefill_agents.draft.registry import DEFAULT_DRAFT, locate
from specprefill_agents.storage.score_cache import ScoreCache
from specprefill_agents.targets.loading import TargetSettings, load_target

FULL, CLOSED, TRUNCATED, POSITIONS = "full", "closed", "truncated", "@positions"
SYSTEMS = "full,closed,fused,fused@positions,key_index,bm25,random,head_tail,truncated"
SETS = "nq_20doc,hotpotqa,kv_140,ruler_8k"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `tokens` is the longest answer, but of sets whose answers are longer."""

    directory: Path
    sets: tuple[str, ...]
    systems: tuple[str, ...]
    keeps: tuple[float, ...]
    count: int | None
    target: str
    draft: str
    device: str
    dtype: str
    tokens: int
    seed: int = 0

    def conditions(self, counter: TokenCounter) -> dict[str, Any]:
        """What all cells of one file share."""
        device = choose_device(self.device)
        settings = {
            "target": _shown(self.target),
            "draft": _shown(self.draft),
            "device": device.type,
            "dtype": str(choose_dtype(device, self.dtype)).removeprefix("torch."),
            "answer_tokens": self.tokens,
            "seed": self.seed,
            "target_tokenizer": counter.name,
        }
        machine = {name: value for name, value in machine_kind().items() if name != "torch_threads"}
        return {"benchmark": "local-quality", "settings": settings, "machine": machine, "versions": versions()}

    def cells(self) -> Iterator[tuple[str, str, float]]:
        """(set, system, keep ratio): the smallest ratio of everything first, so that an interrupted run can be compared."""
        for keep in (1.0, *self.keeps):
            for name in self.sets:
                for system in self.systems:
                    if (system in (FULL, CLOSED)) == (keep == 1.0):
                        yield name, system, keep


def _shown(name: str) -> str:
    return name if locate(name).kind in ("pulled", "hub") else Path(name).name


class Bench:
    """Runs cells; holds the target, its form with restored positions, and the scorers, which share the keys of a draft."""

    def __init__(self, plan: Plan, keys: ScoreCache) -> None:
        self._plan = plan
        self._keys = keys
        settings = TargetSettings(device=plan.device, dtype=plan.dtype, cache_bytes=0)
        self._targets = {"text": load_target(plan.target, settings)}
        self._targets["positions"] = replace(self._targets["text"], positions="original")
        self.counter = hugging_face_counter(_shown(plan.target), self._targets["text"].tokenizer)
        self._scorers: dict[str, MemoScorer] = {}

    def run(self, name: str, system: str, keep: float) -> Cell:
        """Measure one set under one system at one keep ratio."""
        plan = self._plan
        answers = answers_by_id(data.rows_of(plan.directory, name))
        questions: list[data.Question] = data.sample(data.load_questions(plan.directory, name), plan.count, plan.seed)
        scorer, positions, _ = system.partition(POSITIONS)
        target = self._targets["positions" if positions else "text"]
        compressor = None if system in (FULL, CLOSED, TRUNCATED) else self._compressor(scorer, keep)
        tokens = max(plan.tokens, LONG_ANSWERS.get(name, 0))
        started, rows = time.perf_counter(), []
        for number, question in enumerate(questions, start=1):
            prompt = self._prompt(question, system, keep, compressor)
            rows.append(answered(target, prompt, answers[question.id], tokens))
            print(f"\r{name} / {system} {keep:g}: {number} of {len(questions)}", end="", file=sys.stderr)
        seconds = time.perf_counter() - started
        print(f", {seconds:.0f} s", file=sys.stderr)
        return Cell(
            set=name,
            scorer=f"{system} {keep:g}",
            ids=[question.id for question in questions],
            rows={f"{keep:g}": {metric: rounded([row[metric] for row in rows]) for metric in METRICS}},
            min_tokens=0,
            seconds=round(seconds, 1),
            scorer_seconds=0.0,
            draft_tokens_per_s=None,
        )

    def _prompt(self, question: data.Question, system: str, keep: float, compressor: Compressor | None) -> Shown:
        if system == CLOSED:
            return closed(question)
        if system == TRUNCATED:
            return truncated(question, keep)
        decided = trusted(compressor.compress(question.segments, question.query)).segments if compressor else None
        return shown(question.query, question.segments, decided)

    def _compressor(self, scorer: str, keep: float) -> Compressor:
        """Of one scorer all ratios and both forms share the scores."""
        if scorer not in self._scorers:
            self._scorers[scorer] = MemoScorer(scorer_by(scorer, self._plan.draft, self._plan.device, self._keys))
        config = CompressionConfig(keep_ratio=keep, scorer=scorer, min_tokens=0, min_result_tokens=0, timeout_s=None, on_error="raise")
        return Compressor(config=config, scorer=self._scorers[scorer], counter=self.counter, cache="memory")


def measure(plan: Plan, out: Path | None, command: str) -> Results:
    """Run every cell of `plan` that `out` does not hold yet, saving after each; returns the cells of the plan.

    Raises ValueError when `out` was measured under other conditions.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return _measure(plan, Bench(plan, ScoreCache(Path(folder) / "keys")), out, command)


def _measure(plan: Plan, bench: Bench, out: Path | None, command: str) -> Results:
    conditions = plan.conditions(bench.counter)
    results = begun(out, conditions)
    code = _code()
    provenance = made_by(command)
    done: list[Cell] = []
    for name, system, keep in plan.cells():
        key = cell_key(conditions, code, data.checksum(plan.directory, name), plan.count)
        cell = results.get(f"{name}/{system} {keep:g}", key) or replace(bench.run(name, system, keep), provenance=provenance, key=key)
        done.append(cell)
        results = results.with_cell(cell)
        if out:
            results.save(out)
    return Results(conditions, tuple(done))


def _code() -> str:
    """What decides a cell's numbers: the library, and the modules here that make prompts and judge answers."""
    ours = b"".join((Path(__file__).parent / name).read_bytes() for name in ("../answers.py", "asking.py", "subjects.py"))
    return f"{code_fingerprint()}:{hashlib.sha256(ours).hexdigest()[:16]}"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local.quality", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--sets", default=SETS, help="question sets; file:task takes one task (default: %(default)s)")
    parser.add_argument("--systems", default=SYSTEMS, help="scorers, with @positions; full, closed, truncated (default: %(default)s)")
    parser.add_argument("--keep", default="0.1,0.2,0.3", help="keep ratios (default: %(default)s)")
    parser.add_argument("--n", type=int, default=40, help="rows per set, spread evenly (default: %(default)s)")
    parser.add_argument("--target", default=DEFAULT_DRAFT, help="the model that answers (default: %(default)s)")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, help="the model that scores (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16 (default: %(default)s)")
    parser.add_argument("--answer-tokens", type=int, default=40, help="longest answer (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file of the results; cells it holds are not measured again")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, store, and print tables; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        plan = Plan(
            directory=options.data,
            sets=tuple(data.expand(options.data, options.sets.split(","))),
            systems=tuple(options.systems.split(",")),
            keeps=tuple(float(keep) for keep in options.keep.split(",")),
            count=options.n,
            target=options.target,
            draft=options.draft,
            device=options.device,
            dtype=options.dtype,
            tokens=options.answer_tokens,
        )
        results = measure(plan, options.out, shown_command("benchmarks.local.quality", given))
    except (ValueError, OSError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(markdown([results]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
