"""Does what was left out come back when a later question needs it, and only then?

    python -m benchmarks.recall --n 24 --keep 0.1,0.3 --out benchmarks/results/recall-smollm2.json

For each row A of a set a session first reads A's texts, as one tool result, for the question of the next row B. Then a
second tool result arrives, the texts of the row C after that: once with A's question (what it needs was mostly left out,
and is to come back), and once with C's (which needs nothing of A, so that whatever comes back is a cost). `--least` tries
other thresholds than the library's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks import data
from benchmarks.machine import ROOT, git_commit, machine_kind, origin, shown_command, versions
from benchmarks.memo import MemoScorer
from benchmarks.metrics import FoldedText, is_kept, kept_mask, locate
from benchmarks.tables import table
from specprefill_agents import CompressedSegment, CompressionConfig, Compressor, Segment
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.session import recalling
from specprefill_agents.storage.score_cache import ScoreCache


@dataclass(frozen=True, slots=True)
class Measured:
    """Means over the rows of a set: share of A's evidence that can be read before and after recall; target tokens brought
    back when A's question asks for it, and when C's does not."""

    set: str
    keep_ratio: float
    least_priority: float
    rows: int
    before: float
    after: float
    tokens_needed: float
    tokens_not_needed: float


def measured(name: str, questions: Sequence[data.Question], compressor: Compressor, least: float) -> Measured:
    """The figures of one set."""
    rows: list[tuple[float, float, int, int]] = []
    with patch.object(recalling, "LEAST_PRIORITY", least):
        for index, asked in enumerate(questions):
            other, last = (questions[(index + step) % len(questions)] for step in (1, 2))
            first, newest = Segment(_text(asked), "tool_result", "search", "1"), Segment(_text(last), "tool_result", "search", "2")
            needed, not_needed = (_second_step(compressor, first, newest, other.query, query) for query in (asked.query, last.query))
            spans = [span for part in needed[1].recalled for span in part.spans]
            before, after = (_evidence(asked, first.text, list(kept)) for kept in (needed[0].spans, [*needed[0].spans, *spans]))
            rows.append((before, after, _tokens(compressor, needed), _tokens(compressor, not_needed)))
    means = [fmean(column) for column in zip(*rows, strict=True)]
    ratio = compressor.config.keep_ratio
    assert ratio != "auto"
    return Measured(name, ratio, least, len(rows), *(round(mean, 4) for mean in means))


def _second_step(compressor: Compressor, first: Segment, newest: Segment, before: str, now: str) -> tuple[CompressedSegment, ...]:
    """Both segments as they were sent after the second step."""
    session = compressor.session("recall")
    session.step([first], before)
    return session.step([first, newest], now).segments


def _text(question: data.Question) -> str:
    return "\n\n".join(segment.text for segment in question.segments)


def _evidence(question: data.Question, text: str, spans: Sequence[tuple[int, int]]) -> float:
    """Share of the question's evidence that can be read in `spans` of its text."""
    folded, masks = [FoldedText(text)], [kept_mask(len(text), spans)]
    found = [is_kept(locate(folded, one.alternatives), masks) for one in question.needles if one.kind == "evidence"]
    return sum(found) / len(found)


def _tokens(compressor: Compressor, sent: Sequence[CompressedSegment]) -> int:
    """What recall added to the newest segment."""
    newest = sent[-1]
    if not newest.recalled:
        return 0
    return newest.kept_tokens - compressor.counter.count(newest.text[: newest.text.index("\n" + newest.recalled[0].heading)])


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--sets", default="nq_20doc,hotpotqa,quixbugs", help="question sets with evidence (default: %(default)s)")
    parser.add_argument("--keep", default="0.1,0.3", help="keep ratios (default: %(default)s)")
    parser.add_argument("--least", default=str(recalling.LEAST_PRIORITY), help="least priorities (default: the library's, %(default)s)")
    parser.add_argument("--n", type=int, default=24, help="rows per set, spread evenly (default: %(default)s)")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, help="draft model (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file of the results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and store; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    names = data.expand(options.data, options.sets.split(","))
    results: list[Measured] = []
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        settings = {"min_tokens": 0, "min_result_tokens": 0, "timeout_s": None, "on_error": "raise", "repeats": False, "originals": False}
        config = CompressionConfig.from_dict(settings)
        memo = MemoScorer(make_scorer(config, options.draft, "auto", ScoreCache(Path(folder) / "keys")))
        for name in names:
            questions = data.sample(data.load_questions(options.data, name), options.n, 0)
            for keep in map(float, options.keep.split(",")):
                own = CompressionConfig.from_dict({**settings, "keep_ratio": keep})
                compressor = Compressor(options.draft, own, scorer=memo, cache="memory")
                results += [measured(name, questions, compressor, float(least)) for least in options.least.split(",")]
            memo.forget()
    about = {
        "command": shown_command("benchmarks.recall", given),
        "commit": git_commit(),
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
    }
    stored = {**about, "machine": machine_kind(), "versions": versions(), "results": [asdict(one) for one in results]}
    print(markdown(stored))
    if options.out:
        options.out.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    return 0


def markdown(document: Mapping[str, Any]) -> str:
    """The stored figures as a table."""
    rows = []
    for one in document["results"]:
        figures = [f"{one['before']:.2f}", f"{one['after']:.2f}", f"{one['tokens_needed']:.0f}", f"{one['tokens_not_needed']:.0f}"]
        rows.append([f"{one['set']} (n={one['rows']})", f"{one['keep_ratio']:g}", f"{one['least_priority']:g}", *figures])
    machine = document["machine"]
    heading = f"{origin(document['command'], document['commit'])}\non {machine['processor']}, {machine['cores']} cores"
    head = ["set", "keep", "least priority", "evidence before", "after", "tokens brought back when needed", "when not"]
    return f"{heading}\n\n{table(head, rows)}"


if __name__ == "__main__":
    sys.exit(main())
