"""`specprefill serve`: one draft for many agents, over HTTP, on this host or on Ray Serve."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.errors import ConfigError, missing_extra
from specprefill_agents.scoring.remote import VARIABLE

if TYPE_CHECKING:
    from specprefill_agents.serving.settings import Address, ServiceSettings

HELP = (
    "Serve a scorer over HTTP: POST /v1/score and /v1/compress; GET /healthz, /readyz, /metrics and /openapi.json. "
    "Listens on loopback; any other address needs a token. SIGTERM ends it once the requests at work are answered."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen, what scores, who may ask, and the limits."""
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8765, metavar="N", help="0 for a free one (default 8765)")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, metavar="NAME", help=f"draft model, or auto ({DEFAULT_DRAFT})")
    parser.add_argument("--scorer", default="fused", metavar="NAME", help="fused (default), key_index, speculative, bm25, ...")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--tokenizer", default="auto", metavar="NAME", help="tokenizer that budgets are counted in (default auto)")
    parser.add_argument("--token-file", metavar="FILE", help=f"bearer token that clients must send; else ${VARIABLE}, else none")
    parser.add_argument("--max-waiting", type=int, default=64, metavar="N", help="requests that may wait; beyond, 503 (default 64)")
    parser.add_argument("--time-limit", type=float, default=120, metavar="S", help="seconds for one request; beyond, 503 (default 120)")
    parser.add_argument("--drain", type=int, default=30, metavar="S", help="seconds that requests have after SIGTERM (default 30)")
    parser.add_argument("--engine", choices=("uvicorn", "ray"), default="uvicorn", help="one process (default), or replicas on Ray Serve")
    parser.add_argument("--replicas", type=int, default=2, metavar="N", help="most replicas with --engine ray (default 2)")


def run(args: argparse.Namespace) -> int:
    """Serve until told to end."""
    from specprefill_agents.config import CompressionConfig
    from specprefill_agents.serving.settings import Address, ServiceSettings, check_host

    settings = ServiceSettings(
        config=CompressionConfig(scorer=args.scorer, target_tokenizer=args.tokenizer),
        draft=args.draft,
        device=args.device,
        token=_token(args.token_file),
        max_waiting=args.max_waiting,
        time_limit_s=args.time_limit,
    )
    address = Address(args.host, args.port, args.drain)
    check_host(address.host, settings.token)

    def begun(url: str) -> None:
        print(f"specprefill: serving {args.scorer} on {url}", file=sys.stderr, flush=True)

    if args.engine == "ray":
        _run_on_ray(settings, address, args.replicas, begun)
    else:
        _run_here(settings, address, begun)
    return 0


def _run_here(settings: ServiceSettings, address: Address, begun: Callable[[str], None]) -> None:
    try:
        from specprefill_agents.serving.single_host import run
    except ModuleNotFoundError as error:
        raise missing_extra("A scoring service", "serve") from error
    run(settings, address, begun)


def _run_on_ray(settings: ServiceSettings, address: Address, replicas: int, begun: Callable[[str], None]) -> None:
    try:
        from specprefill_agents.serving.ray_serve import run
    except ModuleNotFoundError as error:
        raise missing_extra("Serving on Ray", "ray") from error
    run(settings, address, replicas, begun)


def _token(file: str | None) -> str | None:
    """The token in `file`, or in the environment; None where there is neither."""
    if file is None:
        return os.environ.get(VARIABLE) or None
    token = Path(file).read_text(encoding="utf-8").strip()
    if not token:
        raise ConfigError("token_file", file, "a file that holds a token")
    return token
