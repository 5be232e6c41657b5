"""Recall of supporting text after a real LlamaIndex retriever, at equal token budgets, for several postprocessors.

    python -m benchmarks.retrieval --sets nq_20doc,hotpotqa --n 40 --out benchmarks/results/retrieval-smollm2.json
    python -m benchmarks.retrieval --citations --n 25 --out benchmarks/results/retrieval-smollm2.json

All passages of a set are one corpus; `BM25Retriever` finds `--top-k` of them for each question, and the budgets are shares of
their tokens. Supporting text that was not retrieved counts as lost: the row `everything` shows what all of it would keep.
Matching is by text, the same for all. Interrupted runs go on with the cells that `--out` lacks.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.data import Question
from benchmarks.machine import ROOT, machine_kind, made_by, shown_command, versions
from benchmarks.metrics import FoldedText, estimate
from benchmarks.peers.environment import PEERS, PeerError
from benchmarks.peers.plan import PeerHost
from benchmarks.peers.words import shows, words, words_kept
from benchmarks.results import Cell, Results, begun, cell_key, rounded
from benchmarks.retrieval import citations
from benchmarks.retrieval.corpus import Corpus, corpus_of
from benchmarks.retrieval.embedding import DraftEmbedding
from benchmarks.retrieval.systems import Found, LongLLMLingua, Sentences, Similarity, SpecPrefill, System, TopK, texts_of
from benchmarks.settings import named
from benchmarks.tables import keep_names, table, with_interval
from specprefill_agents import CompressionConfig, Compressor, SpecPrefillError
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_llamaindex import SpecPrefillPostprocessor

NAMES = ("top_k", "similarity", "sentence_embedding", "longllmlingua", "specprefill", "specprefill_bm25")
RECALL = ("evidence", "evidence_words", "answer", "share")
"""Share of supporting sentences that read on verbatim, of their words that read on in order, of answers; of target tokens."""
EVERYTHING = "everything"
CITATIONS = ("citations", "citations_specprefill")
PACKAGES = ("llama-index-core", "llama-index-retrievers-bm25", "bm25s")


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    directory: Path
    sets: tuple[str, ...]
    systems: tuple[str, ...]
    keeps: tuple[float, ...]
    count: int
    top_k: int
    draft: str
    seed: int

    def conditions(self) -> dict[str, Any]:
        """What all cells of one file share."""
        settings = {
            "keep_ratios": list(self.keeps),
            "top_k": self.top_k,
            "seed": self.seed,
            "draft": self.draft,
            "target_tokenizer": counter_for().name,
        }
        packages = {name: metadata.version(name) for name in PACKAGES}
        return {"benchmark": "retrieval", "settings": settings, "machine": machine_kind(), "versions": versions() | packages}

    def rows(self, name: str) -> list[Question]:
        """The questions of a set that are asked."""
        return data.sample(data.load_questions(self.directory, name), self.count, self.seed)


class Searched:
    """One set: its corpus, and what is found for each of the plan's questions."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.name = name
        self.questions = plan.rows(name)
        self.corpus: Corpus = corpus_of(data.load_questions(plan.directory, name))
        self.retriever = self.corpus.retriever(plan.top_k)

    @cached_property
    def found(self) -> list[Found]:
        """What the retriever finds for each question."""
        count = counter_for().count
        answers = [(question.query, self.retriever.retrieve(question.query)) for question in self.questions]
        return [Found(query, nodes, sum(map(count, texts_of(nodes)))) for query, nodes in answers]


def recall_of(question: Question, found: Found, texts: Sequence[str]) -> dict[str, float | None]:
    """The metrics of one question when `texts` go on."""
    shown = [FoldedText(text) for text in texts]
    read = words("\n".join(texts))
    hits = {kind: [shows(shown, one.alternatives) for one in question.needles if one.kind == kind] for kind in ("answer", "evidence")}
    counts = [words_kept(one.alternatives, read) for one in question.needles if one.kind == "evidence"]
    total = sum(of for _, of in counts)
    return {
        "evidence": _mean(hits["evidence"]),
        "evidence_words": sum(kept for kept, _ in counts) / total if total else None,
        "answer": _mean(hits["answer"]),
        "share": sum(map(counter_for().count, texts)) / found.tokens,
    }


@contextmanager
def system(name: str, plan: Plan, searched: Searched) -> Iterator[System]:
    """The system called `name`, ready to be asked. Raises `PeerError` when a peer cannot be run."""
    counter = counter_for()
    if name == "longllmlingua":
        with PeerHost(plan.draft).peer(PEERS[name]) as peer:
            yield LongLLMLingua(peer.compress)
        return
    makers: dict[str, Callable[[], System]] = {
        "top_k": lambda: TopK(counter),
        "similarity": lambda: Similarity(counter, searched.found),
        "sentence_embedding": lambda: Sentences(counter, DraftEmbedding(plan.draft)),
        "specprefill": lambda: SpecPrefill(plan.draft, "fused"),
        "specprefill_bm25": lambda: SpecPrefill(plan.draft, "bm25"),
    }
    yield makers[name]()


def recall_cell(plan: Plan, searched: Searched, name: str) -> Cell:
    """One set under one system at every budget."""
    keeps = plan.keeps
    measured: list[list[dict[str, float | None]]] = []
    seconds = 0.0
    with system(name, plan, searched) as one:
        for question, found in zip(searched.questions, searched.found, strict=True):
            started = time.perf_counter()
            outputs = [one(found, keep) for keep in keeps]
            seconds += time.perf_counter() - started
            one.forget()
            measured.append([recall_of(question, found, texts) for texts in outputs])
    rows = {f"{keep:g}": [row[index] for row in measured] for index, keep in enumerate(keeps)}
    return _cell(searched, name, rows, RECALL, seconds)


def everything_cell(searched: Searched) -> Cell:
    """What was retrieved, whole."""
    rows = [recall_of(question, found, texts_of(found.nodes)) for question, found in zip(searched.questions, searched.found, strict=True)]
    return _cell(searched, EVERYTHING, {"1": rows}, RECALL, 0.0)


def citation_cell(plan: Plan, searched: Searched, name: str) -> Cell:
    """One set with citations, with the compressing postprocessor at every budget, or without any."""
    keeps = plan.keeps if name == CITATIONS[1] else (1.0,)
    rows: dict[str, list[dict[str, float | None]]] = {}
    started = time.perf_counter()
    for keep in keeps:
        config = CompressionConfig(keep_ratio=keep, min_tokens=0, timeout_s=None, on_error="raise")
        posts = [SpecPrefillPostprocessor(Compressor(plan.draft, config))] if name == CITATIONS[1] else []
        rows[f"{keep:g}"] = [citations.citation_metrics(question, searched.retriever, posts) for question in searched.questions]
    return _cell(searched, name, rows, citations.METRICS, time.perf_counter() - started)


def _cell(searched: Searched, name: str, rows: dict[str, list[dict[str, float | None]]], metrics: Sequence[str], seconds: float) -> Cell:
    columns = {keep: {metric: rounded([one[metric] for one in column]) for metric in metrics} for keep, column in rows.items()}
    ids = [question.id for question in searched.questions]
    return Cell(searched.name, name, ids, columns, 0, round(seconds, 2), 0.0, None)


def measure(plan: Plan, out: Path | None, command: str) -> Results:
    """Run every cell of `plan` that `out` does not hold yet, saving after each; returns all cells of `out` and `plan`.

    Raises ValueError when `out` was measured under other conditions, `PeerError` when a peer cannot be run.
    """
    conditions = plan.conditions()
    results = begun(out, conditions)
    provenance = made_by(command)
    for name in plan.sets:
        searched = Searched(plan, name)
        key = cell_key(conditions, data.checksum(plan.directory, name), plan.count)
        for asked in plan.systems:
            if results.get(f"{name}/{asked}", key):
                print(f"{name}, {asked}: held already", file=sys.stderr)
                continue
            if asked in CITATIONS:
                cell = citation_cell(plan, searched, asked)
            else:
                cell = everything_cell(searched) if asked == EVERYTHING else recall_cell(plan, searched, asked)
            results = results.with_cell(replace(cell, provenance=provenance, key=key))
            if out:
                results.save(out)
            print(f"{name}, {asked}: {len(cell.ids)} rows, {cell.seconds:.1f} s", file=sys.stderr)
    return results


def markdown(results: Results) -> str:
    """Recall, and citations where they were counted, as tables."""
    keeps = keep_names(results)
    recall = [
        [f"{cell.set} (n={len(cell.ids)})", metric, cell.scorer, *_columns(cell, metric, keeps)]
        for metric in RECALL
        for cell in results.cells
        if cell.scorer not in CITATIONS
    ]
    parts = [table(["set", "kept", "system", *(f"budget {keep}" for keep in keeps)], recall)] if recall else []
    cited = [
        [f"{cell.set} (n={len(cell.ids)})", cell.scorer, keep, *(_count(cell.rows[keep][metric]) for metric in citations.METRICS)]
        for cell in results.cells
        if cell.scorer in CITATIONS
        for keep in cell.rows
    ]
    parts += [table(["set", "system", "budget", "cited", "right document", "right node", "retrieved"], cited)] if cited else []
    return "\n\n".join(parts)


def _columns(cell: Cell, metric: str, keeps: Sequence[str]) -> list[str]:
    if cell.scorer == EVERYTHING:
        return [with_interval(estimate(cell.rows["1"][metric]))] * len(keeps)
    return [with_interval(estimate(cell.rows[keep][metric])) for keep in keeps]


def _count(values: Sequence[float | None]) -> str:
    """How many are 1, of those that have a value."""
    present = [value for value in values if value is not None]
    return f"{sum(present):g} of {len(present)}"


def _mean(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--sets", default="nq_20doc,hotpotqa", help="question sets of documents (default: %(default)s)")
    parser.add_argument("--systems", default=",".join(NAMES), help="of: %(default)s (default: all)")
    parser.add_argument("--citations", action="store_true", help="count citations in place of recall")
    parser.add_argument("--n", type=int, default=40, help="questions per set, spread evenly (default: %(default)s)")
    parser.add_argument("--top-k", type=int, default=20, help="nodes retrieved for each question (default: %(default)s)")
    parser.add_argument("--keep", default="0.1,0.2,0.3,0.5", help="budgets as shares of the retrieved tokens (default: %(default)s)")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, help="draft model (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample of questions")
    parser.add_argument("--out", type=Path, help="JSON file of the results; cells it holds are not measured again")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, store, and print tables; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        plan = Plan(
            directory=options.data,
            sets=named("sets", options.sets, ("nq_20doc", "hotpotqa")),
            systems=CITATIONS if options.citations else (EVERYTHING, *named("systems", options.systems, NAMES)),
            keeps=tuple(float(keep) for keep in options.keep.split(",")),
            count=options.n,
            top_k=options.top_k,
            draft=options.draft,
            seed=options.seed,
        )
        results = measure(plan, options.out, shown_command("benchmarks.retrieval", given))
    except (ValueError, OSError, PeerError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
