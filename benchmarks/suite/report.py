"""Stored results -> docs/benchmarks.md, a page for each in docs/benchmarks, docs/plots and the blocks of README and docs. Measures nothing.

python -m benchmarks.suite report
python -m benchmarks.suite report --check     exit status 1 when a text does not say what the files say
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.suite.blocks import filled
from benchmarks.suite.documents import commands, provenance, shown
from benchmarks.suite.plan import Benchmark, plan
from benchmarks.suite.plots import PLOTS

INDEX, PAGES, README, DRAWINGS = Path("docs", "benchmarks.md"), Path("docs", "benchmarks"), Path("README.md"), Path("docs", "plots")
RESULTS = ROOT / "benchmarks" / "results"

HEAD = """# Benchmarks

Written by `python -m benchmarks.suite report` from the JSON files under `benchmarks/results`; nothing here was typed by hand.
`python -m benchmarks.suite` runs the benchmarks marked with * again (about {minutes:g} minutes on two cores), `python -m benchmarks.suite
NAME` any other. Brackets hold 95 % bootstrap intervals, unless a table says otherwise.
"""


def index(results: Path) -> str:
    """The whole of docs/benchmarks.md: what was measured, with a link to the page of each."""
    minutes = sum(one.minutes for one in plan().values() if one.is_default)
    lines = (f"- [{one.name}]({PAGES.name}/{one.name}.md){'*' * one.is_default}: {one.about}" for one in _measured(results))
    return HEAD.format(minutes=minutes) + "\n" + "\n".join(lines) + "\n"


def page(one: Benchmark, results: Path, drawings: Path) -> str:
    """The page of one benchmark; `drawings` is where its picture lies, from where the page does."""
    return "\n\n".join(part.strip("\n") for part in _parts(one, results, drawings)) + "\n"


def _measured(results: Path) -> list[Benchmark]:
    return [one for one in plan().values() if any((results / name).is_file() for name in one.results)]


def _parts(one: Benchmark, results: Path, drawings: Path) -> Iterator[str]:
    yield f"# {one.name}"
    yield f"{one.about[0].upper()}{one.about[1:]}."
    files = [file for name in one.results if (file := results / name).is_file()]
    if one.name in PLOTS and files and files[0].name == one.results[0]:
        yield f"![{one.about}]({(drawings / one.name).as_posix()}.svg)"
    for file in files:
        tables, asked = shown(file, one.module), list(commands(file))
        said = all(command in tables for command in asked)
        yield "\n\n".join([provenance(file), *([] if said else ["\n".join(["```sh", *asked, "```"])]), tables])


def draw(results: Path, drawings: Path) -> None:
    """Every drawing of which the results are there, as SVG."""
    for name, plot in PLOTS.items():
        file = results / plan()[name].results[0]
        if file.is_file():
            plot(file, drawings / f"{name}.svg")


def texts(root: Path, results: Path) -> dict[Path, str]:
    """The files of the checkout at `root` that say numbers, as they should read. Raises ValueError for a wrong block."""
    files = [root / README, *sorted((root / "docs").glob("*.md"))]
    made = {file: filled(file.read_text(encoding="utf-8"), results) for file in files if file.is_file() and file != root / INDEX}
    pages = {root / PAGES / f"{one.name}.md": page(one, results, Path("..", DRAWINGS.name)) for one in _measured(results)}
    return {root / INDEX: index(results), **pages, **made}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite report", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of README.md and docs")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when a text is not what the files say")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, or compare; the exit status: 1 when a text differs, 2 when one cannot be made."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        made = texts(options.root, options.results)
        differing = [file for file, text in made.items() if not file.is_file() or file.read_text(encoding="utf-8") != text]
        left = [file for file in sorted((options.root / PAGES).glob("*.md")) if file not in made]
        if not options.check:
            for file in left:
                file.unlink()
            for file in differing:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(made[file], encoding="utf-8", newline="\n")
            draw(options.results, options.root / DRAWINGS)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for file in differing:
        print(f"{'not what the results say' if options.check else 'written'}: {file.relative_to(options.root)}")
    for file in left:
        print(f"{'without results' if options.check else 'removed'}: {file.relative_to(options.root)}")
    return 1 if options.check and (differing or left) else 0
