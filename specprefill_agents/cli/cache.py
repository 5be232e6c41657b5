"""`specprefill cache`: what the score cache holds, whether it is sound, and how to empty it."""

from __future__ import annotations

import argparse

from specprefill_agents.cli.table import columns, megabytes, short
from specprefill_agents.storage.directory import cache_directory
from specprefill_agents.storage.maintenance import clear, contents, verify

HELP = "The score cache: keys of contexts, query vectors and scores, kept for all of your processes."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`stats`, `clear` and `verify [--repair]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    counting = actions.add_parser("stats", help="what it holds, and how often that was of use", description=HELP)
    counting.set_defaults(action=_stats)
    clearing = actions.add_parser("clear", help="remove every row", description="Remove every row; they are computed again when needed.")
    clearing.set_defaults(action=_clear)
    verifying = actions.add_parser(
        "verify", help="read every row", description="Read every row. Exit status 1 when damaged or foreign rows remain."
    )
    verifying.add_argument("--repair", action="store_true", help="remove damaged and foreign rows")
    verifying.set_defaults(action=_verify)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    status: int = args.action(args)
    return status


def _stats(_: argparse.Namespace) -> int:
    found = contents(cache_directory())
    looked_up = found.hits + found.misses
    rows = [
        ("directory", short(cache_directory())),
        ("rows", f"{found.rows:,}"),
        ("size", f"{megabytes(found.bytes)} of at most {megabytes(found.size_limit)}"),
        *((name, f"{_count(count, 'row')}, {megabytes(size)}") for name, (count, size) in sorted(found.kinds.items())),
        ("hits", f"{found.hits:,} of {_count(looked_up, 'look-up')}" + (f" ({found.hits / looked_up:.0%})" if looked_up else "")),
    ]
    print(columns(rows))
    return 0


def _clear(_: argparse.Namespace) -> int:
    print(f"{_count(clear(cache_directory()), 'row')} removed")
    return 0


def _verify(args: argparse.Namespace) -> int:
    found = verify(cache_directory(), repair=args.repair)
    rows = [
        ("sound", _count(found.sound, "row")),
        ("damaged", _count(found.damaged, "row")),
        ("foreign", _count(found.foreign, "row")),
        ("of a later version", _count(found.newer, "row")),
        ("without a row", _count(found.orphans, "file")),
    ]
    print(columns(rows))
    if found.removed:
        print(f"{_count(found.removed, 'row')} removed")
    elif found.remaining:
        print("Remove damaged and foreign rows with: specprefill cache verify --repair")
    return 1 if found.remaining else 0


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
