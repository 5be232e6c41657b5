"""`specprefill ledger`: what agents' model calls cost, with and without compression, from the files that a ledger writes."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from specprefill_agents.cli.table import short

HELP = (
    "What agents' model calls cost: as billed, as sent, and as they would have been uncompressed, with the scorer's time and every "
    "call to expand counted against compression."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`show FILE ... [--by B] [--model NAME] [--prices FILE] [--csv OUT] [--json OUT] [--plot OUT]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    showing = actions.add_parser("show", help="a table, a plot, and what speaks against compression", description=HELP)
    showing.add_argument("files", nargs="+", type=Path, metavar="FILE", help="ledger files, .json or .jsonl; several are merged")
    showing.add_argument(
        "--by", choices=("conversation", "step", "arm"), default="conversation", help="what a row stands for (default %(default)s)"
    )
    showing.add_argument(
        "--model", metavar="NAME", help="price all tokens as this model's; its cache must follow the rule that was simulated"
    )
    showing.add_argument("--prices", type=Path, metavar="FILE", help="own prices (TOML or JSON), before the shipped ones")
    showing.add_argument("--csv", type=Path, metavar="OUT", help="also write a row per step to this file")
    showing.add_argument("--json", type=Path, metavar="OUT", help="also write the ledger, merged and priced, to this file")
    showing.add_argument("--plot", type=Path, metavar="OUT", help="also draw it into this .png or .svg file (needs the extra: plot)")
    showing.set_defaults(action=_show)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    status: int = args.action(args)
    return status


def _show(args: argparse.Namespace) -> int:
    from specprefill_agents.accounting.ledger import Ledger
    from specprefill_agents.accounting.ledger_csv import ledger_csv
    from specprefill_agents.accounting.ledger_file import read_ledger, write_ledger
    from specprefill_agents.accounting.ledger_plot import check_plot_path, write_plot
    from specprefill_agents.accounting.ledger_terminal import print_ledger
    from specprefill_agents.accounting.price_file import load_prices
    from specprefill_agents.accounting.pricing import PriceTable
    from specprefill_agents.accounting.repricing import repriced

    if args.plot:
        check_plot_path(args.plot)
    read = [read_ledger(path) for path in args.files]
    ledger = Ledger().merge(*(one.ledger for one in read))
    if args.model or args.prices:
        ledger = repriced(ledger, load_prices(args.prices) if args.prices else PriceTable(), args.model)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an id may hold what the terminal's encoding does not
    if ledger.conversations:
        print_ledger(ledger, args.by, sys.stdout)
    else:
        print("no steps")
    unreadable = sum(one.unreadable_lines for one in read)
    if unreadable:
        print(f"specprefill: {unreadable} line{'s' if unreadable > 1 else ''} could not be read and are not counted", file=sys.stderr)
    if args.csv:
        args.csv.write_text(ledger_csv(ledger), encoding="utf-8", errors="backslashreplace", newline="")
        print(f"csv: {short(args.csv)}")
    if args.json:
        write_ledger(ledger, args.json)
        print(f"json: {short(args.json)}")
    if args.plot:
        write_plot(ledger, args.plot)
        print(f"plot: {short(args.plot)}")
    return 0
