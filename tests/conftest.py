"""Fixtures that every test shares: a tiny random draft for speed, the embedded draft for what only a real model shows."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from benchmarks.made.draft import write_tiny_draft
from specprefill_agents import CompressionConfig, Compressor
from specprefill_agents.draft.registry import DEFAULT_DRAFT, pulled_directory
from tests.chromium import Browser
from tests.prefix_watch import MARKER, verdict, watching

# `--hypothesis-profile=thorough` is for runs by hand (`tests/invariants.py` makes more of it); no profile has a deadline, since
# machines differ.
settings.register_profile("default", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=10_000, derandomize=False)
settings.load_profile("default")


collect_ignore = ["package", "query_pipeline", "ray_serve", "second_device"]
"""Run by `make test-package`, `make test-query-pipeline`, `make test-ray` and `make test-device`, each in a process of its own."""


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Scores of a test run stay out of the user's cache, and those of earlier runs out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECPREFILL_CACHE_DIR", str(tmp_path_factory.mktemp("scores") / "cache"))
        yield


@pytest.fixture(autouse=True)
def what_was_sent_stays_sent(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which a session or a chat model was sent otherwise what it had been sent before.

    A test that means to show that carries `@pytest.mark.prefix_moves(reason="...")`.
    """
    with watching() as watch:
        yield
    failure = verdict(watch.moves, request.node.get_closest_marker(MARKER))
    if failure:
        pytest.fail(failure, pytrace=False)


@pytest.fixture(scope="session")
def tiny_draft(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Directory of a 2-layer random Llama with a byte-level tokenizer whose special tokens are real ones."""
    directory = tmp_path_factory.mktemp("tiny-draft")
    write_tiny_draft(directory)
    return str(directory)


@pytest.fixture(scope="session")
def embedded_draft() -> str:
    """Name of the embedded draft; `make test` pulls it. Fails, not skips, when it is absent."""
    manifest = pulled_directory(DEFAULT_DRAFT) / "specprefill.json"
    assert manifest.is_file(), f"run: specprefill models pull {DEFAULT_DRAFT}"
    assert json.loads(manifest.read_text(encoding="utf-8"))["name"] == DEFAULT_DRAFT
    return DEFAULT_DRAFT


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium; tests of pages in it are skipped where none is installed."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    opened = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture
def lexical() -> Callable[..., Compressor]:
    """Makes compressors that score with BM25: real selection and rendering, no model to load."""

    def make(**settings: object) -> Compressor:
        values = {"scorer": "bm25", "min_tokens": 0, "min_result_tokens": 0, "target_tokenizer": "o200k_base", **settings}
        return Compressor(config=CompressionConfig.from_dict(values), cache="memory")

    return make


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Outcome:
    """What a command line did."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode("utf-8")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Outcome]:
    """Runs `specprefill` in this process with the given arguments and standard input."""
    from specprefill_agents.cli import main

    def run(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capfdbinary.readouterr()
        try:
            status = main(arguments)
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return Outcome(status, captured.out, captured.err.decode("utf-8", "replace"))

    return run
