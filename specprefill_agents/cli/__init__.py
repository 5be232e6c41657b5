"""The `specprefill` command: one module per verb, imported only when that verb is asked for.

A verb's module has `HELP` (a description), `add_arguments(parser)` and `run(args) -> int` (the exit status).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from specprefill_agents import __version__
from specprefill_agents.errors import SpecPrefillError

VERBS = {
    "demo": "watch an agent loop whose tool outputs are compressed",
    "compress": "compress a text, or a stream of JSON lines",
    "explain": "show what is kept of a text, and why: in the terminal or as a heat-map page",
    "gateway": "serve an OpenAI-compatible API before another one, and compress what it is sent",
    "expand": "print the text that a gap mark stands for",
    "serve": "score and compress for many agents, over HTTP",
    "models": "list the known draft models, or pull one",
    "calibrate": "choose the heads of a draft, and store them as a preset",
    "bench": "try compression on your own agents' logs, or run the project's benchmarks",
    "cache": "look after the cache of scores and the originals",
    "guardrails": "check a file of guardrails, and show what it comes to",
    "ledger": "show what model calls cost, with and without compression",
    "dashboard": "watch what compression saves and drops, on a local page",
    "audit": "show what was decided, and prove that the same bytes come of it",
    "doctor": "say what is installed, and what to type to mend what is not",
}
"""Each verb with one line of help; kept here so that `--help` imports none of them."""

FAILED = 2
INTERRUPTED = 130
PIPE_CLOSED = 141
"""Exit statuses: an error that was explained, and as a shell reports SIGINT and SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status. Errors that can be explained are one line on standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(arguments).parse_args(arguments)
        status: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; what is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (SpecPrefillError, ImportError, OSError) as error:
        print(f"specprefill: {_explain(error)}", file=sys.stderr)
        return FAILED
    return status


def _explain(error: Exception) -> str:
    """An error as one line."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the verb that occurs first in `arguments` has its own arguments."""
    parser = argparse.ArgumentParser(prog="specprefill", description="Local draft-model compression of what an agent's target model reads.")
    parser.add_argument("--version", action="version", version=f"specprefill-agents {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    chosen = next((argument for argument in arguments if argument in VERBS), None)
    for name, summary in VERBS.items():
        verb = verbs.add_parser(name, help=summary)
        if name == chosen:
            module = import_module(f"{__name__}.{name}")
            verb.description = module.HELP
            module.add_arguments(verb)
            verb.set_defaults(run=module.run)
    return parser
