"""Stored results -> Markdown, by the module that measured them, and where each came from.

Every module has a report of its own; this one knows which, and imports it when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.results import load, read_columns
from benchmarks.tables import table

BASE = "fused"
"""The scorer that others are compared with, row by row."""


def shown(file: Path, module: str) -> str:
    """All tables of what `module` stored in `file`. Raises KeyError for a module whose results have no report."""
    return _SHOWN[module](file)


def provenance(file: Path) -> str:
    """Where the numbers of a file come from: date, commit, machine, and the package versions that matter."""
    document = json.loads(file.read_text(encoding="utf-8"))
    cells = [cell["provenance"] for cell in document.get("cells", [])] or [document]
    machine = document["machine"]
    commits = dict.fromkeys(cell["commit"][:12] for cell in cells)
    parts = [
        f"`{file.name}`",
        ", ".join(sorted({cell["date"] for cell in cells if "date" in cell})),
        f"commit {', '.join(commits)}",
        f"{machine['processor']}, {machine['cores']} cores{', ' + machine['gpu'] if 'gpu' in machine else ''}",
        ", ".join(f"{name} {document['versions'][name]}" for name in ("python", "torch") if name in document["versions"]),
    ]
    return "; ".join(filter(None, parts))


def commands(file: Path) -> Iterator[str]:
    """The command or commands that a file's numbers come from."""
    document = json.loads(file.read_text(encoding="utf-8"))
    cells = [cell["provenance"] for cell in document.get("cells", [])] or [document]
    yield from dict.fromkeys(cell["command"] for cell in cells)


def read(file: Path) -> dict[str, Any]:
    """A stored document."""
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


def _needles(file: Path) -> str:
    from benchmarks.report import markdown

    results = load(file)
    return markdown(results, BASE if any(cell.scorer == BASE for cell in results.cells) else None)


def _peers(file: Path) -> str:
    from benchmarks.peers.report import markdown

    return markdown(load(file))


def _loops(file: Path) -> str:
    from benchmarks.loops.report import markdown

    return markdown(read_columns(file, "runs"))


def _quality(file: Path) -> str:
    from benchmarks.local.quality_report import markdown

    return markdown([load(file)])


def _retrieval(file: Path) -> str:
    from benchmarks.retrieval.__main__ import markdown

    return markdown(load(file))


def _load(file: Path) -> str:
    from benchmarks.load.__main__ import FIGURES

    document = read(file)
    same = f"{document['bytes']['identical']} of {document['bytes']['compared']} answers have the bytes of the embedded scorer."
    return "\n\n".join([table(FIGURES, [[row[name] for name in FIGURES] for row in document["rows"]]), same])


def _soak(file: Path) -> str:
    from benchmarks.soak import FIGURES

    return table(FIGURES, [[row[name] for name in FIGURES] for row in read(file)["minutes"]])


def _by(module: str) -> Callable[[Path], str]:
    """The function `markdown` of a module, on the document."""

    def shown(file: Path) -> str:
        markdown: Callable[[Mapping[str, Any]], str] = import_module(module).markdown
        return markdown(read(file))

    return shown


_SHOWN: Mapping[str, Callable[[Path], str]] = {
    "benchmarks.needles": _needles,
    "benchmarks.peers": _peers,
    "benchmarks.loops": _loops,
    "benchmarks.recall": _by("benchmarks.recall"),
    "benchmarks.speed": _by("benchmarks.speed.report"),
    "benchmarks.local": _by("benchmarks.local.report"),
    "benchmarks.local.quality": _quality,
    "benchmarks.demo": _by("benchmarks.demo"),
    "benchmarks.retrieval": _retrieval,
    "benchmarks.wellformed": _by("benchmarks.wellformed.report"),
    "benchmarks.crash": _by("benchmarks.crash.__main__"),
    "benchmarks.service_faults": _by("benchmarks.service_faults.__main__"),
    "benchmarks.store_faults": _by("benchmarks.store_faults.__main__"),
    "benchmarks.load": _load,
    "benchmarks.soak": _soak,
}
