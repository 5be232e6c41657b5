"""`specprefill cache`: what is kept on disk, whether it is sound, and how to shorten and empty it.

Scores can be computed again, originals cannot, so nothing here removes a readable original unless told to.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from specprefill_agents.cli.table import columns, megabytes, short
from specprefill_agents.errors import SpecPrefillError
from specprefill_agents.storage.databases import UnreadableError
from specprefill_agents.storage.directory import cache_directory, originals_directory
from specprefill_agents.storage.maintenance import clear, contents, prune
from specprefill_agents.storage.verification import Verification, verify

HELP = (
    "What is kept on disk for all of your processes: scores (keys of contexts, query vectors, final scores), which are computed "
    "again when needed, and originals (the whole texts of what was shortened), which are not."
)

_KEPT = "{} kept: the texts behind the gaps in messages already sent. Remove them with: specprefill cache clear originals"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`stats`, `verify [--repair] [--tenant NAME]`, `prune` and `clear [scores|originals|all]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    counting = actions.add_parser("stats", help="what is kept, and how often that was of use", description=HELP)
    counting.set_defaults(action=_stats)
    verifying = actions.add_parser(
        "verify",
        help="read every row",
        description="Read every row, and follow each original to its id. Exit status 1 when damaged or foreign rows remain.",
    )
    verifying.add_argument("--repair", action="store_true", help="remove damaged and foreign rows")
    verifying.add_argument(
        "--tenant", action="append", default=[], metavar="NAME", help="whose originals to follow besides those without a tenant; repeatable"
    )
    verifying.set_defaults(action=_verify)
    pruning = actions.add_parser(
        "prune",
        help="remove what is past its time or beyond its limit",
        description="Remove originals past their time, and of both stores the least recently used until its limit in bytes holds. "
        "The same happens, little by little, whenever something is stored.",
    )
    pruning.set_defaults(action=_prune)
    clearing = actions.add_parser(
        "clear",
        help="remove every score, every original, or both",
        description="Remove every score (the default): they are computed again when needed. Removed originals are gone: the gaps in "
        "messages already sent cannot be expanded any more.",
    )
    clearing.add_argument(
        "what", nargs="?", choices=("scores", "originals", "all"), default="scores", help="what to remove (default %(default)s)"
    )
    clearing.set_defaults(action=_clear)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    status: int = args.action(args)
    return status


def _stats(_: argparse.Namespace) -> int:
    with _scores_readable():
        found = contents(cache_directory())
    with _originals_readable():
        originals = contents(originals_directory())
    looked_up = found.hits + found.misses
    held = f"{_count(originals.rows, 'text')}, {_bytes(originals.bytes)} of at most {megabytes(originals.size_limit)}"
    rows = [
        ("directory", short(cache_directory())),
        ("rows", f"{found.rows:,}"),
        ("size", f"{megabytes(found.bytes)} of at most {megabytes(found.size_limit)}"),
        *((name, f"{_count(count, 'row')}, {megabytes(size)}") for name, (count, size) in sorted(found.kinds.items())),
        ("hits", f"{found.hits:,} of {_count(looked_up, 'look-up')}" + (f" ({found.hits / looked_up:.0%})" if looked_up else "")),
        ("originals", held + (f"; {originals.expired:,} past their time" if originals.expired else "")),
    ]
    print(columns(rows))
    return 0


def _verify(args: argparse.Namespace) -> int:
    with _scores_readable():
        scores = verify(cache_directory(), repair=args.repair)
    with _originals_readable():
        originals = verify(originals_directory(), repair=args.repair, tenants=["", *args.tenant])
    both = (scores, originals)
    rows = [
        ("", "scores", "originals"),
        ("sound", *(_count(found.sound, "row") for found in both)),
        ("of no known tenant", *(_count(found.unowned, "row") for found in both)),
        ("damaged", *(_count(found.damaged, "row") for found in both)),
        ("foreign", *(_count(found.foreign, "row") for found in both)),
        ("of a later version", *(_count(found.newer, "row") for found in both)),
        ("without a row", *(_count(found.orphans, "file") for found in both)),
    ]
    print(columns(rows))
    return _judged(both)


def _judged(both: tuple[Verification, Verification]) -> int:
    removed, remaining = sum(found.removed for found in both), sum(found.remaining for found in both)
    if removed:
        print(f"{_count(removed, 'row')} removed")
    elif remaining:
        print("Remove damaged and foreign rows with: specprefill cache verify --repair")
    return 1 if remaining else 0


def _prune(_: argparse.Namespace) -> int:
    print(f"{_count(prune(originals_directory()), 'original')} and {_count(prune(cache_directory()), 'row')} of scores removed")
    return 0


def _clear(args: argparse.Namespace) -> int:
    if args.what != "originals":
        print(f"{_count(clear(cache_directory()), 'row')} removed")
    if args.what != "scores":
        print(f"{_count(clear(originals_directory()), 'original')} removed")
        return 0
    with _originals_readable():
        kept = contents(originals_directory()).rows
    if kept:
        print(_KEPT.format(_count(kept, "original")))
    return 0


@contextmanager
def _scores_readable() -> Iterator[None]:
    with _mended_by("specprefill cache clear"):
        yield


@contextmanager
def _originals_readable() -> Iterator[None]:
    with _mended_by("specprefill cache clear originals"):
        yield


@contextmanager
def _mended_by(command: str) -> Iterator[None]:
    """Says what to type where a database is damaged."""
    try:
        yield
    except UnreadableError as error:
        raise SpecPrefillError(f"{error}; make it anew with: {command}") from error


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _bytes(number: int) -> str:
    """Texts are small: kilobytes below a megabyte."""
    return megabytes(number) if number >= 1e6 else f"{number / 1e3:,.0f} kB"
