"""`specprefill compress`: one text in, its compressed text out. Bytes that are no UTF-8 pass through as they are."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from specprefill_agents.cli.ratio import keep_ratio
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.types import Segment

if TYPE_CHECKING:
    from specprefill_agents.serving.pool import CompressorPool

HELP = (
    "Compress a text to what a question needs of it. With --jsonl, each input line is one request "
    '{"id": .., "segments": [{"text": .., "kind": .., "name": ..}], "query": .., "keep_ratio": ..} and gives one output line.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to compress, for which question, how much to keep, and in which form to answer."""
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="what to compress; standard input when absent or -")
    parser.add_argument("--query", default="", metavar="Q", help="the question the text is read for (a line's own with --jsonl)")
    parser.add_argument(
        "--keep-ratio", type=keep_ratio, default=0.3, metavar="R", help="share of target tokens to keep, in (0, 1], or auto; default 0.3"
    )
    parser.add_argument("--kind", choices=("tool_result", "document"), default="tool_result", help="what the text is (default tool_result)")
    parser.add_argument(
        "--scorer",
        default="fused",
        metavar="NAME",
        help="fused (default), key_index, speculative, bm25, random, head_tail, or a service's http(s) address",
    )
    parser.add_argument(
        "--draft",
        default=DEFAULT_DRAFT,
        metavar="NAME",
        help=f"draft model: a name, directory or .gguf file; auto: the best one pulled ({DEFAULT_DRAFT})",
    )
    parser.add_argument("--tokenizer", default="auto", metavar="NAME", help="tokenizer that budgets are counted in (default auto)")
    parser.add_argument("--min-tokens", type=int, default=384, metavar="N", help="texts with fewer tokens pass unchanged; default 384")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help='one JSON object: {"text", "spans", "usage"}')
    form.add_argument("--jsonl", action="store_true", help="many requests, a line of JSON each; in order, with one loaded model")


def run(args: argparse.Namespace) -> int:
    """Read, compress, write. What could not be compressed is written as it is, with the reason on standard error."""
    from specprefill_agents.cli.jsonl import answer_lines
    from specprefill_agents.config import CompressionConfig
    from specprefill_agents.serving.pool import CompressorPool

    config = CompressionConfig(keep_ratio=args.keep_ratio, scorer=args.scorer, min_tokens=args.min_tokens, target_tokenizer=args.tokenizer)
    with _input(args.file) as stream:
        pool = CompressorPool(config, args.draft)
        if args.jsonl:
            answer_lines(stream, sys.stdout.buffer, pool)
        else:
            _compress_one(stream.read().decode("utf-8", "surrogateescape"), args, pool)
    return 0


def _input(file: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb")


def _compress_one(text: str, args: argparse.Namespace, pool: CompressorPool) -> None:
    from specprefill_agents.serving.contract import segment_json, usage_json

    result = pool.at(None).compress([Segment(text, args.kind)], args.query)
    (segment,) = result.segments
    if args.json:
        print(json.dumps({**segment_json(segment), "usage": usage_json(result.usage)}))
    else:
        sys.stdout.buffer.write(segment.text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    if result.usage.fallback_reason:
        print(f"specprefill: {result.usage.fallback_reason}", file=sys.stderr)
    elif segment.outcome != "compressed":
        print(f"specprefill: not compressed: {segment.reason}", file=sys.stderr)
    if result.usage.note:
        print(f"specprefill: {result.usage.note}", file=sys.stderr)
