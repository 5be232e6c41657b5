"""`specprefill explain`: a text as a heat map, on the terminal or as a page of its own."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from specprefill_agents.cli.ratio import keep_ratio
from specprefill_agents.cli.table import short
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.types import Segment

if TYPE_CHECKING:
    from specprefill_agents.observe.explain import Explanation

HELP = (
    "Show what a compressor keeps of a text for a question, and why: importance as colour, unit by unit, for several "
    "scorers side by side. On the terminal, or with --html as one page that needs no network."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to explain, for which question and budget, by which scorers, and where to."""
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="what to explain; standard input when absent or -")
    parser.add_argument("--query", default="", metavar="Q", help="the question the text is read for")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write a page to this file instead of printing")
    parser.add_argument(
        "--keep",
        "--keep-ratio",
        dest="keep_ratio",
        type=keep_ratio,
        default=0.3,
        metavar="R",
        help="share of target tokens to keep, or auto (default 0.3)",
    )
    parser.add_argument("--kind", choices=("tool_result", "document"), default="tool_result", help="what the text is (default tool_result)")
    parser.add_argument(
        "--scorers",
        default="fused,key_index,bm25",
        metavar="NAMES",
        help="the one that decides, then others to compare (default %(default)s)",
    )
    parser.add_argument("--draft", default=DEFAULT_DRAFT, metavar="NAME", help=f"draft model, as for compress ({DEFAULT_DRAFT})")
    parser.add_argument("--force-keep", action="append", default=[], metavar="REGEX", help="what this matches is kept; may be repeated")
    parser.add_argument("--tokenizer", default="auto", metavar="NAME", help="tokenizer that budgets are counted in (default auto)")
    parser.add_argument("--min-tokens", type=int, default=384, metavar="N", help="texts with fewer tokens pass unchanged; default 384")


def run(args: argparse.Namespace) -> int:
    """Read, score, and print or write. A scorer that fails is an error here, not a text forwarded unchanged."""
    from specprefill_agents.compressor import Compressor
    from specprefill_agents.config import CompressionConfig
    from specprefill_agents.observe.audit import SilentAudit
    from specprefill_agents.observe.explain import explain
    from specprefill_agents.scoring.draft_choice import resolve_draft
    from specprefill_agents.scoring.registry import make_scorer
    from specprefill_agents.storage.score_cache import default_cache

    names = list(dict.fromkeys(name.strip() for name in args.scorers.split(",")))
    configs = [
        CompressionConfig(
            keep_ratio=args.keep_ratio,
            scorer=name,
            force_keep=tuple(args.force_keep),
            min_tokens=args.min_tokens,
            target_tokenizer=args.tokenizer,
            timeout_s=None,
            on_error="raise",
        )
        for name in names
    ]
    draft, cache = resolve_draft(args.draft), default_cache()
    scorers = {config.scorer: make_scorer(config, draft, "auto", cache) for config in configs}
    compressor = Compressor(draft, configs[0], scorer=scorers[names[0]], audit=SilentAudit())
    title = "standard input" if args.file == "-" else Path(args.file).name
    explanation = explain(compressor, Segment(_read(args.file), args.kind), args.query, scorers, title)
    if args.html is None:
        _print(explanation)
    else:
        _write(explanation, args.html)
    return 0


def _read(file: str) -> str:
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    return data.decode("utf-8", "surrogateescape")


def _print(explanation: Explanation) -> None:
    from specprefill_agents.observe.explain_terminal import print_explanation

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the text may hold what the terminal's encoding does not
    print_explanation(explanation, sys.stdout)


def _write(explanation: Explanation, out: Path) -> None:
    from specprefill_agents.observe.explain_page import render_page, summary

    out.write_bytes(render_page(explanation).encode("utf-8"))
    print(summary(explanation))
    print(f"heat map: {short(out)}")
