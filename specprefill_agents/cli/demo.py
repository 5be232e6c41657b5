"""`specprefill demo`: starts the demo that an installed integration offers.

The core knows no framework, so the demo is found by name among the entry points of `specprefill.demos`.
"""

from __future__ import annotations

import argparse
from importlib.metadata import entry_points
from pathlib import Path

from specprefill_agents.cli.ratio import keep_ratio
from specprefill_agents.config import CompressionConfig
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.errors import missing_extra

HELP = (
    "An agent answers a question about Python's standard library with real tools; its tool outputs are compressed on the way to the model. "
    "DeepSeek drives it when DEEPSEEK_API_KEY is set; otherwise the tool calls are scripted and a local model writes the answer. "
    "At the end a heat map shows what was kept of the longest tool output, and why."
)

GROUP = "specprefill.demos"
DEMO = "langchain"

PAGE = Path("specprefill-demo.html")
"""In the current directory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much is kept, by which draft, and where the heat map goes."""
    ratio = CompressionConfig().keep_ratio
    parser.add_argument("--keep-ratio", type=keep_ratio, default=ratio, metavar="R", help=f"share of tokens kept, or auto ({ratio})")
    parser.add_argument(
        "--draft", default=DEFAULT_DRAFT, metavar="NAME", help=f"draft model; auto: the best one pulled (default {DEFAULT_DRAFT})"
    )
    parser.add_argument("--html", type=Path, default=PAGE, metavar="OUT", help="file that the heat map is written to (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the demo. Raises ImportError with the pip command when its packages are missing."""
    found = entry_points(group=GROUP, name=DEMO)
    if not found:
        raise missing_extra("The demo", "all")
    try:
        start = next(iter(found)).load()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("specprefill"):
            raise
        raise missing_extra("The demo", "all") from error
    status: int = start(keep_ratio=args.keep_ratio, draft=args.draft, html=args.html)
    return status
