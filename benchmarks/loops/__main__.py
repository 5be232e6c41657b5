"""Do agent loops get cheaper? Recorded runs, replayed request by request, billed as DeepSeek's prefix cache bills them.

    python -m benchmarks.loops --scorer bm25 --keep 0.3,auto --out benchmarks/results/loops.json

Every run of the agent sets is stepped through: one request before each assistant message, with tools, system prompt and
messages. Beside the library (`ours`) there are baselines that exist here only, see `policies`. Answers
cost the same under each policy, and no policy changes what the agent does next: what a model would have asked again
because of a gap is not in these figures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.loops import report
from benchmarks.loops.dollars import Bill, price_of
from benchmarks.loops.plot import write_plot
from benchmarks.loops.policies import KINDS
from benchmarks.loops.replay import replay
from benchmarks.loops.requests import turns
from benchmarks.loops.tools import Schema, expand_schema, schemas_for
from benchmarks.machine import ROOT, machine_kind, made_by, shown_command, versions
from benchmarks.memo import MemoScorer
from benchmarks.results import write_columns
from benchmarks.settings import DRAFTLESS, named, setting
from specprefill_agents import CompressionConfig, Compressor, SpecPrefillError
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.accounting.wire import Measurer, tools_part
from specprefill_agents.draft.registry import DEFAULT_DRAFT, locate
from specprefill_agents.scoring.registry import make_scorer

SCHEMA = 2
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to replay, and under which settings. `keeps` are as given: numbers, or `auto`; `more` are settings of the compressor."""

    directory: Path
    sets: tuple[str, ...]
    policies: tuple[str, ...]
    scorer: str
    keeps: tuple[str, ...]
    models: tuple[str, ...]
    count: int | None
    draft: str
    device: str
    seed: int
    tools: str = "run"
    more: Mapping[str, Any] = field(default_factory=dict)

    def config(self, keep: str, own: Mapping[str, object]) -> CompressionConfig:
        """Settings of one compressor; a failure must end the run, never count as a kept original."""
        values: dict[str, Any] = {"keep_ratio": keep if keep == AUTO else float(keep), "scorer": self.scorer, "seed": self.seed}
        values |= {"timeout_s": None, "on_error": "raise", "max_scored_tokens": 10**9}
        return CompressionConfig.from_dict({**values, **self.more, **own})

    def settings(self) -> dict[str, Any]:
        """What the figures depend on, as it is stored."""
        settings: dict[str, Any] = {"scorer": self.scorer, "keep_ratios": list(self.keeps), "runs_per_set": self.count, "seed": self.seed}
        settings |= {"models": list(self.models), "tools": self.tools, "target_tokenizer": counter_for().name, "more": dict(self.more)}
        if self.scorer not in DRAFTLESS:
            location = locate(self.draft)
            settings |= {"draft": self.draft if location.kind in ("pulled", "hub") else Path(location.path).name, "device": self.device}
        return settings


class Bench:
    """Runs a plan; holds a scorer for each way of reading, so that none finds what another one has read.

    Raises `ConfigError` or `DraftError` at construction, before anything is replayed.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._measurer = Measurer(counter_for())
        kinds = {name: KINDS[name] for name in plan.policies}
        self._scorers: dict[str, MemoScorer] = {}
        for reading in dict.fromkeys(kind.reading for kind in kinds.values()):
            scorer = make_scorer(plan.config(plan.keeps[0], {}), plan.draft, plan.device, None)
            if reading:
                scorer.score(["Loads the draft before any time is taken."], "loaded?")
            self._scorers[reading] = MemoScorer(scorer)
        self._compressors = {
            (name, keep): Compressor(plan.draft, plan.config(keep, kind.settings), scorer=self._scorers[kind.reading], cache="memory")
            for name, kind in kinds.items()
            for keep in plan.keeps
        }

    def expand_tool(self) -> dict[str, Any]:
        """The tool that compression brings along, and what it weighs."""
        schema, count = expand_schema(), self._measurer.count
        function = schema["function"]
        arguments = [str(one.get("description", "")) for one in function["parameters"]["properties"].values()]
        return {
            "tokens": count(tools_part([schema]).text),
            "description_tokens": count(function["description"]),
            "argument_tokens": sum(map(count, arguments)),
            "schema": schema,
        }

    def rows(self, name: str, run: data.Trajectory, tools: Sequence[Schema]) -> list[dict[str, Any]]:
        """One run under every policy and keep ratio, as it is stored."""
        asked = [(policy, keep) for policy in self._plan.policies for keep in (self._plan.keeps if KINDS[policy].scored else [""])]
        found = [
            {"set": name, "id": run.id, "policy": policy, "keep": keep, **self._row(run, tools, policy, keep)} for policy, keep in asked
        ]
        for scorer in self._scorers.values():
            scorer.forget()
        return found

    def _row(self, run: data.Trajectory, tools: Sequence[Schema], policy: str, keep: str) -> dict[str, Any]:
        kind, compressor = KINDS[policy], self._compressors[policy, keep or self._plan.keeps[0]]
        scorer = self._scorers[kind.reading]
        before = scorer.charged_seconds
        done = replay(run, kind.make(compressor, run.id), self._measurer, tools, kind.has_expand)
        row: dict[str, Any] = {
            "hit": [tokens.hit_tokens for tokens in done.tokens],
            "known_hit": [tokens.hit_tokens for tokens in done.known_tokens],
            "miss": [tokens.miss_tokens for tokens in done.tokens],
            "output": [tokens.output_tokens for tokens in done.tokens],
            "closing": turns(run)[-1].is_closing,
            "scorer_ms": round(1000 * (scorer.charged_seconds - before), 1),
            "moved": list(done.moved),
            "altered": list(done.altered),
            "needed": len(run.needed),
            "in_spans": sum(done.in_spans),
            "in_text": sum(done.in_text),
            "result_tokens": done.result_tokens,
            "kept_tokens": done.kept_tokens,
        }
        return {**row, "usd": {model: round(Bill(price_of(model)).usd(row), 10) for model in self._plan.models}}


def measure(plan: Plan, command: str, out: Path | None) -> dict[str, Any]:
    """Replay every set of `plan`; returns the document, written to `out` after each of them."""
    bench = Bench(plan)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "benchmark": "loops",
        **made_by(command),
        "settings": plan.settings(),
        "machine": machine_kind(),
        "versions": versions(),
        "data": {name: data.checksum(plan.directory, name) for name in plan.sets},
        "prices": {model: asdict(price_of(model)) for model in plan.models},
        "policies": {name: KINDS[name].about for name in plan.policies},
        "expand_tool": bench.expand_tool(),
        "runs": [],
    }
    for name in plan.sets:
        started = time.perf_counter()
        every = data.load_runs(plan.directory, name)
        runs = data.sample(every, plan.count, plan.seed)
        for run in runs:
            document["runs"] += bench.rows(name, run, schemas_for(run, every, plan.tools))
        print(f"{name}: {len(runs)} runs, {time.perf_counter() - started:.1f} s", file=sys.stderr)
        if out:
            write_columns({**document, "runs": []}, "runs", document["runs"], out)
    return document


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loops", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--sets", help="sets of agent runs (default: all of the folder)")
    parser.add_argument("--policies", default=",".join(KINDS), help="of: %(default)s (default: all); none is always among them")
    parser.add_argument("--scorer", default="fused", help="scorer name (default: %(default)s)")
    parser.add_argument("--keep", default=f"0.3,{AUTO}", help="keep ratios (default: %(default)s)")
    parser.add_argument("--model", default="deepseek-flash,deepseek-v4-pro", help="whose prices to take (default: %(default)s)")
    parser.add_argument(
        "--tools",
        choices=("run", "suite"),
        default="run",
        help="tools of a request: those its run calls, or all that runs of its suite call",
    )
    parser.add_argument("--n", type=int, help="runs per set, spread evenly (default: all)")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, help="draft model (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and the random scorer")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the compressor, the value as JSON or plain text"
    )
    parser.add_argument("--out", type=Path, help="JSON file of the results, written anew after each set")
    parser.add_argument("--plot", type=Path, metavar="SVG", help="draw the dollars of the longest run of each set")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay, store, draw and print tables; returns the exit status: 1 when something was sent that must never be."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        plan = Plan(
            directory=options.data,
            sets=tuple(data.expand_runs(options.data, options.sets)),
            policies=named("policies", f"none,{options.policies}", list(KINDS)),
            scorer=options.scorer,
            keeps=tuple(dict.fromkeys(options.keep.split(","))),
            models=tuple(dict.fromkeys(options.model.split(","))),
            count=options.n,
            draft=options.draft,
            device=options.device,
            seed=options.seed,
            tools=options.tools,
            more=dict(map(setting, options.set)),
        )
        for model in plan.models:
            price_of(model)
        document = measure(plan, shown_command("benchmarks.loops", given), options.out)
        if options.plot:
            write_plot(document, options.plot)
    except (ValueError, OSError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report.markdown(document))
    faults = report.broken(document["runs"])
    print("".join(f"broken: {fault}\n" for fault in faults), end="", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
