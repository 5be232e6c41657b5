"""`specprefill dashboard`: a local page over ledger and audit files."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from specprefill_agents.cli.table import short

if TYPE_CHECKING:
    from specprefill_agents.config import CompressionConfig
    from specprefill_agents.scoring.base import Scorer

HELP = (
    "Does compression pay, what does it drop, is anything wrong? A page over ledger and audit files, on this machine alone, that "
    "follows the files while agents run; with --html one page that needs no server."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, what of them, and where to."""
    parser.add_argument("ledgers", nargs="*", type=Path, metavar="LEDGER", help="ledger files, .json or .jsonl")
    parser.add_argument(
        "--audit", action="append", default=[], type=Path, metavar="FILE", help="an audit log's latest file; may be repeated"
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--open", action="store_true", help="also open the page in a browser")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write the page as it is now to this file, and end")
    parser.add_argument("--conversation", default="", metavar="ID", help="with --html: only this conversation")
    parser.add_argument("--tool", default="", metavar="NAME", help="with --html: only decisions on this tool's results")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted, or write the page."""
    from specprefill_agents.errors import ConfigError
    from specprefill_agents.observe.dashboard.board import Board
    from specprefill_agents.observe.dashboard.server import Answers, DashboardServer
    from specprefill_agents.observe.dashboard.view import Filters

    if not args.ledgers and not args.audit:
        raise ConfigError("files", [], "a ledger, or --audit FILE, or both")
    if not 0 <= args.port < 2**16:
        raise ConfigError("port", args.port, "0 to 65535")
    answers = Answers(Board(args.ledgers, args.audit), _make_scorer)
    if args.html:
        args.html.write_text(answers.static_page(Filters(args.conversation, args.tool)), encoding="utf-8")
        print(f"dashboard: {short(args.html)}")
        return 0
    answers.page()  # what is missing is said now, not in a browser
    with DashboardServer(answers, args.port) as server:
        print(f"dashboard: {server.url} (end with Ctrl+C)", flush=True)
        if args.open:
            webbrowser.open(server.url)
        server.serve_forever()
    return 0


def _make_scorer(config: CompressionConfig, draft: str) -> Scorer:
    from specprefill_agents.draft.registry import DEFAULT_DRAFT
    from specprefill_agents.scoring.registry import make_scorer
    from specprefill_agents.storage.score_cache import default_cache

    return make_scorer(config, draft or DEFAULT_DRAFT, "auto", default_cache())
