"""`specprefill models`: which drafts are known and on this machine, and how good they are; pull one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from specprefill_agents.cli.table import columns, megabytes, short, tree_bytes
from specprefill_agents.draft.registry import DEFAULT_DRAFT, KnownDraft, Licence, is_pulled, pulled_directory
from specprefill_agents.scoring.draft_choice import AUTO, KEEP, RatedDraft, rated_drafts, resolve_draft

HELP = "Known draft models. A directory with safetensors, a .gguf file or a hub name works as a draft too, without a pull."

_HEADER = ("NAME", "LICENCE", "DOWNLOAD", "RECALL", "TOKENS/S", "LAYERS", "STATE")
_LEGEND = f"RECALL: of needles at keep_ratio {KEEP}; TOKENS/S: read by the draft; both as calibration measured them, - where it did not."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list [--json]` and `pull NAME [--file PATH] [--accept-licence]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="known drafts, their licences, how good they are, and where they are", description=HELP)
    listing.add_argument("--json", action="store_true", help="one JSON object, with everything that is known")
    listing.set_defaults(action=_list)
    pulling = actions.add_parser("pull", help="download, verify and convert a known draft", description="Make a known draft ready for use.")
    pulling.add_argument("name", metavar="NAME", help=f"name of the draft, such as {DEFAULT_DRAFT}")
    pulling.add_argument(
        "--file", type=Path, metavar="PATH", help="its .gguf file, the wheel that holds it, or a directory with safetensors; no download"
    )
    pulling.add_argument("--accept-licence", action="store_true", help="accept a licence that is not open, without a question")
    pulling.set_defaults(action=_pull)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    status: int = args.action(args)
    return status


def _list(args: argparse.Namespace) -> int:
    drafts, auto = rated_drafts(), resolve_draft(AUTO)
    if args.json:
        print(json.dumps({"auto": auto, "drafts": [_facts(rated) for rated in drafts]}, indent=2))
        return 0
    print(columns([_HEADER, *(_row(rated) for rated in drafts)]))
    print(f"\n{_LEGEND}\nThe draft name {AUTO} stands for {auto} here.")
    return 0


def _row(rated: RatedDraft) -> tuple[str, ...]:
    draft = rated.draft
    return (
        draft.name,
        _licence(draft.licence),
        f"{draft.download_mb:,} MB",
        "-" if rated.recall is None else f"{rated.recall:.2f}",
        _speed(rated),
        f"{'-' if rated.layers is None else rated.layers} of {draft.layers}",
        _state(draft),
    )


def _facts(rated: RatedDraft) -> dict[str, Any]:
    draft, where = rated.draft, pulled_directory(rated.draft.name)
    pulled = is_pulled(draft.name)
    return {
        "name": draft.name,
        "description": draft.description,
        "licence": {"name": draft.licence.name, "url": draft.licence.url, "open": draft.licence.is_open},
        "source": draft.source.label,
        "download_mb": draft.download_mb,
        "pulled": pulled,
        "path": str(where) if pulled else None,
        "bytes": tree_bytes(where) if pulled else None,
        "recall": rated.recall,
        "tokens_per_s": rated.tokens_per_s,
        "machine": rated.machine,
        "layers_used": rated.layers,
        "layers": draft.layers,
    }


def _licence(licence: Licence) -> str:
    return licence.name if licence.is_open else f"{licence.name} (not open)"


def _speed(rated: RatedDraft) -> str:
    if rated.tokens_per_s is None:
        return "-"
    return f"{rated.tokens_per_s:,.0f}" + (f" ({rated.machine})" if rated.machine else "")


def _state(draft: KnownDraft) -> str:
    if not is_pulled(draft.name):
        return f"not pulled: specprefill models pull {draft.name}"
    where = pulled_directory(draft.name)
    return f"pulled: {short(where)} ({megabytes(tree_bytes(where))})"


def _pull(args: argparse.Namespace) -> int:
    from specprefill_agents.draft.progress import TerminalProgress
    from specprefill_agents.draft.pull import known_draft, pull

    draft = known_draft(args.name)
    accepted = args.accept_licence or _accepts(draft)
    where = pull(args.name, file=args.file, accept_licence=accepted, progress=TerminalProgress())
    print(f"{args.name} is ready: {short(where)}")
    return 0


def _accepts(draft: KnownDraft) -> bool:
    """Show a licence that is not open and ask for its acceptance, where there is somebody to ask; no for all else."""
    licence = draft.licence
    if licence.is_open or is_pulled(draft.name) or not sys.stdin.isatty():
        return False
    print(
        f"{draft.name}: {draft.description}\nIt comes under the {licence.name}, which is no open licence and restricts use:\n"
        f"  {licence.url}\nDo you accept these terms? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")
