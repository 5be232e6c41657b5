"""The code that decides a benchmark's numbers: its modules, whatever of the checkout they import, and the library."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from benchmarks.machine import ROOT

ROOTS = {"benchmarks": ROOT, "specprefill_langchain": ROOT / "integrations", "specprefill_llamaindex": ROOT / "integrations"}
"""Packages whose imports are followed. The library counts whole: a plug may be found by name alone."""
NO_NUMBERS = ("specprefill_agents/cli/",)
SHOWS_ONLY = ("report", "plot", "drawing", "tables", "quality_report", "compare")
"""Modules that make tables and drawings of what is stored."""


def code_key(module: str) -> str:
    """16 hex digits of every source file that can change what `module` measures."""
    digest = hashlib.sha256(library_key().encode())
    for file in sources(module):
        digest.update(f"{file.relative_to(ROOT).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


@cache
def library_key() -> str:
    """Digest of the library's sources and presets."""
    digest = hashlib.sha256()
    for file in sorted((ROOT / "specprefill_agents").rglob("*")):
        name = file.relative_to(ROOT).as_posix()
        if file.suffix in {".py", ".json"} and not name.startswith(NO_NUMBERS):
            digest.update(f"{name}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def sources(module: str) -> list[Path]:
    """The files of `module` and of all that it imports, in order of their names. A package counts with all of its files."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        for file in _files(waiting.pop()):
            if file not in found and file.stem not in SHOWS_ONLY:
                found.add(file)
                waiting += _imports(file)
    return sorted(found)


def _files(module: str) -> list[Path]:
    """The files of a package, workers that are started by name among them, or the one file of a module."""
    package = module.partition(".")[0]
    if package not in ROOTS or module == package == "benchmarks":
        return []
    path = ROOTS[package].joinpath(*module.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [file] if (file := path.with_suffix(".py")).is_file() else []


def _imports(file: Path) -> Iterator[str]:
    """What a file imports, of a name from a package both the package's module of that name and the package."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
