"""`specprefill gateway`: an OpenAI-compatible server in front of another, to which tool outputs go compressed."""

from __future__ import annotations

import argparse
import gc
import os

from specprefill_agents.cli.ratio import keep_ratio
from specprefill_agents.errors import missing_extra

HELP = (
    "Serve an OpenAI-compatible API in front of another one: agents in any language change their base URL, and the tool outputs that "
    "they send are compressed on the way, each once. Everything else passes byte for byte."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The upstream, where to listen, how to compress, and files; all of them may stand in the file of --config as well."""
    parser.add_argument("--upstream", metavar="URL", help="base URL of the provider, such as https://api.deepseek.com/v1")
    parser.add_argument(
        "--config", metavar="FILE", help="settings as TOML; what is given here, or as SPECPREFILL_GATEWAY_*, goes before it"
    )
    parser.add_argument("--api-key-env", metavar="NAME", help="variable that holds the provider's key; else clients send their own")
    parser.add_argument("--token-file", metavar="FILE", help="tokens that clients must show, one a line; needed beyond this machine")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="N", help="port to listen on, 0 for a free one (default 8787)")
    parser.add_argument(
        "--keep-ratio", type=keep_ratio, metavar="R", help="share of target tokens to keep, in (0, 1], or auto; default 0.3"
    )
    parser.add_argument("--scorer", metavar="NAME", help="fused (default), key_index, speculative or bm25")
    parser.add_argument("--draft", metavar="NAME", help="draft model: a name, directory or .gguf file; auto: the best one pulled")
    parser.add_argument("--min-tokens", type=int, metavar="N", help="outputs with fewer tokens pass unchanged; default 384")
    parser.add_argument(
        "--expand", action="store_true", default=None, help="give models the tool expand, and answer its calls unseen by clients"
    )
    parser.add_argument("--guardrails", metavar="FILE", help="guardrails as TOML; they go before the rest")
    parser.add_argument("--ledger", metavar="FILE", help="append what each call cost (JSONL); see specprefill ledger show")
    parser.add_argument("--audit", metavar="FILE", help="append what was decided (JSONL); see specprefill audit")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from specprefill_agents.gateway.settings_file import load_settings
    from specprefill_agents.observe.loopback import listening, url_of

    try:
        from specprefill_agents.gateway.serving import app_from, server_of
    except ModuleNotFoundError as error:
        raise missing_extra("specprefill gateway", "serve") from error
    names = ("upstream", "api_key_env", "token_file", "host", "port", "draft", "expand", "guardrails", "ledger", "audit")
    given = {name: getattr(args, name) for name in names}
    compression = {name: getattr(args, name) for name in ("keep_ratio", "scorer", "min_tokens")}
    settings = load_settings(args.config, os.environ, {**given, "compression": compression})
    app = app_from(settings)
    gc.freeze()  # the loaded draft is much to go through, and never to be collected
    with listening(settings.host, settings.port) as socket:
        print(f"{url_of(socket)}/v1 -> {settings.upstream}", flush=True)
        server_of(app, settings).run(sockets=[socket])
    return 0
