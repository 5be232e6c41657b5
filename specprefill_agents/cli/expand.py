"""`specprefill expand`: an original, or some of its lines, by the id in a gap mark."""

from __future__ import annotations

import argparse
import sys

from specprefill_agents.prompt.expand import expand
from specprefill_agents.storage.originals import default_originals

HELP = (
    "Print the text that a gap mark stands for. The text goes to standard output, what it is to standard error. "
    "Exit status 1 when there is no such text."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`ID [--lines FIRST:LAST] [--pattern REGEX] [--tenant NAME]`."""
    parser.add_argument("id", metavar="ID", help="the id in the gap mark, e.g. sp-k3f7a2xq")
    parser.add_argument("--lines", type=_lines, default=(None, None), metavar="FIRST:LAST", help="only these lines, counted from 1")
    parser.add_argument("--pattern", metavar="REGEX", help="only lines in which it occurs, numbered, with a little context")
    parser.add_argument("--tenant", default="", metavar="NAME", help="whose original it is, where one cache serves several")


def run(args: argparse.Namespace) -> int:
    """Print what was asked for."""
    first, last = args.lines
    with default_originals(args.tenant) as originals:
        answer = expand(originals, args.id, first, last, args.pattern, max_chars=sys.maxsize)
    said, _, text = answer.partition("\n")
    print(said, file=sys.stderr)
    sys.stdout.buffer.write(text.encode("utf-8"))
    return 0 if said.startswith("[expanded ") else 1


def _lines(given: str) -> tuple[int | None, int | None]:
    """`40:181`, `40:`, `:181`, or `40` for one line."""
    first, colon, last = given.partition(":")
    try:
        begin = int(first) if first else None
        return begin, (int(last) if last else None) if colon else begin
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{given!r} is not FIRST:LAST, such as 40:181") from error
