"""`specprefill bench`: a trial on a user's own logs, or, in a checkout, the project's benchmarks."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from specprefill_agents.cli.ratio import keep_ratio
from specprefill_agents.cli.table import short
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.errors import SpecPrefillError

if TYPE_CHECKING:
    from specprefill_agents.trial.log_file import Log
    from specprefill_agents.trial.report import Report
    from specprefill_agents.types import KeepRatio

HELP = (
    "With --on, what compression would have kept, saved and risked on your own agents' conversations, at several keep ratios, and "
    "what to set for each tool. Reads chat-completions messages, a conversation (or a request) per line of JSON; runs nothing and "
    "sends nothing. With a NAME, one of the project's benchmarks, which needs a checkout."
)
REPOSITORY_HINT = (
    "the project's benchmarks are not part of the installed package: run this in a checkout (git clone the repository, cd into it, "
    "then: make bench, or: specprefill bench NAME). Your own logs need none: specprefill bench --on FILE.jsonl"
)
SHOWN_BAD_LINES = 5

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which log, what to try, where to write; or a benchmark's name and its own arguments."""
    parser.add_argument("suite", nargs=argparse.REMAINDER, metavar="NAME ...", help="a benchmark of the project, and its arguments")
    parser.add_argument("--on", type=Path, metavar="FILE", help="a log, .jsonl or .jsonl.gz")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, metavar="NAME", help=f"draft model, as for compress ({DEFAULT_DRAFT})")
    parser.add_argument("--scorer", default="fused", metavar="NAME", help="as for compress; bm25 needs no draft (default %(default)s)")
    parser.add_argument(
        "--keep", type=_keep_ratios, default="0.1,0.2,0.3,0.5,auto", metavar="R,R", help="keep ratios to try (default %(default)s)"
    )
    parser.add_argument("--model", default="deepseek-flash", metavar="NAME", help="whose prices to take (default %(default)s)")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="own prices (TOML or JSON), before the shipped ones")
    parser.add_argument("--tokenizer", default="auto", metavar="NAME", help="tokenizer that tokens are counted with (default auto)")
    parser.add_argument("--risk", type=float, default=0.02, metavar="P", help="share of values used that may be lost (default %(default)s)")
    parser.add_argument("--limit", type=_count, metavar="N", help="only the first N conversations")
    parser.add_argument("--html", type=Path, metavar="OUT", help="also write a page with every value at risk to this file")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write everything to this file")
    parser.add_argument("--guardrails", type=Path, metavar="OUT", help="also write the recommended settings to this TOML file")


def run(args: argparse.Namespace) -> int:
    """Try the log, or hand over to the project's benchmarks."""
    if args.on is None:
        return _suite(args.suite)
    if args.suite:
        raise SpecPrefillError(f"--on goes without the name of a benchmark ({' '.join(args.suite)})")
    return _try(args)


def _suite(arguments: Sequence[str]) -> int:
    """The benchmarks of the checkout that is the current directory."""
    here = Path.cwd()
    if not (here / "benchmarks" / "suite" / "__main__.py").is_file():
        raise SpecPrefillError(REPOSITORY_HINT)
    sys.path.insert(0, str(here))
    status: int | None = import_module("benchmarks.suite.__main__").main(list(arguments))
    return status or 0


def _try(args: argparse.Namespace) -> int:
    from specprefill_agents.trial.log_file import read_log

    log = read_log(args.on, args.limit)
    report = _report(log, args)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a value may hold what the terminal's encoding does not
    from specprefill_agents.trial.terminal import print_report

    print_report(report, sys.stdout)
    _write(report, args)
    _say_bad(log)
    return 0


def _report(log: Log, args: argparse.Namespace) -> Report:
    from datetime import datetime, timezone

    from specprefill_agents.accounting.price_file import load_prices
    from specprefill_agents.accounting.pricing import PriceTable
    from specprefill_agents.guardrails.settings import SCORERS
    from specprefill_agents.trial.advice import check_risk, recommend
    from specprefill_agents.trial.replay import Pricing
    from specprefill_agents.trial.report import Report
    from specprefill_agents.trial.settings_text import config_snippet, guardrails_toml
    from specprefill_agents.trial.trial import Settings, run_trial

    check_risk(args.risk)
    settings = Settings(args.keep, args.scorer, args.draft, args.model, args.tokenizer)
    prices = load_prices(args.prices) if args.prices else PriceTable()
    pricing = Pricing.of(prices, args.model, datetime.now(timezone.utc))
    scorer = settings.make_scorer()
    found = run_trial(log, settings, pricing, scorer, lambda rows: _watched(rows, "replaying"))
    advice = recommend(found, args.risk)
    again = run_trial(log, settings.under(advice), pricing, scorer, lambda rows: _watched(rows, "as recommended"))
    name = f"bench-{args.on.name.split('.')[0]}" if args.on.name.strip(".") else "bench"
    return Report(found, advice, again.ratios[0], guardrails_toml(advice, name, args.scorer, SCORERS), config_snippet(advice, args.scorer))


def _write(report: Report, args: argparse.Namespace) -> None:
    if args.html:
        from specprefill_agents.trial.page import render_trial

        args.html.write_bytes(render_trial(report).encode("utf-8"))
        print(f"page: {short(args.html)}")
    if args.json:
        from specprefill_agents.trial.report import report_json

        args.json.write_text(json.dumps(report_json(report), indent=1) + "\n", encoding="ascii")
        print(f"everything: {short(args.json)}")
    if args.guardrails:
        args.guardrails.write_text(report.toml, encoding="utf-8")
        print(f"guardrails: {short(args.guardrails)}")


def _say_bad(log: Log) -> None:
    for one in log.bad[:SHOWN_BAD_LINES]:
        print(f"specprefill: {log.name}, line {one.line} is not counted: {one.reason}", file=sys.stderr)
    if len(log.bad) > SHOWN_BAD_LINES:
        print(f"specprefill: {len(log.bad) - SHOWN_BAD_LINES} more lines are not counted", file=sys.stderr)


def _watched(rows: Sequence[T], what: str) -> Iterable[T]:
    """The rows one by one, with a bar on a terminal."""
    if not sys.stderr.isatty():
        return rows
    from rich.console import Console
    from rich.progress import track

    return track(rows, what, console=Console(stderr=True), transient=True)


def _keep_ratios(word: str) -> tuple[KeepRatio, ...]:
    return tuple(keep_ratio(part.strip()) for part in word.split(","))


def _count(word: str) -> int:
    number = int(word) if word.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number >= 1")
    return number
