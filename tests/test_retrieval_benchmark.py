"""The retrieval benchmark: one corpus for all questions, budgets that hold, citations that are followed, results that resume."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import CompletionResponse

from benchmarks.data import Question, load_questions
from benchmarks.peers.protocol import Reply, Request
from benchmarks.results import load
from benchmarks.retrieval import __main__ as retrieval
from benchmarks.retrieval.citations import NOTHING, QuotingLLM, citation_metrics
from benchmarks.retrieval.corpus import Corpus, corpus_of, document_id, gold, node_id
from benchmarks.retrieval.systems import Found, LongLLMLingua, Similarity, SpecPrefill, TopK, texts_of
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from tests.retrieved_nodes import filler, make

COUNTER = counter_for()
TOPICS = ("copper", "owls", "harbours", "violins", "glaciers", "bridges")


def fact(topic: str) -> str:
    return f"The rarest of all {topic} was found by Ada Quill in 1871."


def passage(topic: str, told: bool) -> str:
    return " ".join([filler(topic, 6), *([fact(topic)] if told else []), filler(f"old {topic}", 6)])


def row(topic: str) -> dict[str, Any]:
    """A question on `topic`, whose passage also stands among those of the others."""
    return {
        "id": f"q-{topic}",
        "segments": [{"kind": "document", "name": other.title(), "text": passage(other, True)} for other in TOPICS],
        "query": f"Who found the rarest of all {topic}?",
        "answers": ["Ada Quill"],
        "needles": [["Ada Quill"], [fact(topic)]],
        "meta": {"needle_kinds": ["answer", "evidence"]},
    }


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with gzip.open(tmp_path / "nq_20doc.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row(topic)) + "\n" for topic in TOPICS[:3])
    return tmp_path


@pytest.fixture
def questions(directory: Path) -> list[Question]:
    return load_questions(directory, "nq_20doc")


@pytest.fixture
def corpus(questions: list[Question]) -> Corpus:
    return corpus_of(questions)


def search(corpus: Corpus, question: Question) -> Found:
    nodes = corpus.retriever(4).retrieve(question.query)
    return Found(question.query, nodes, sum(map(COUNTER.count, texts_of(nodes))))


def test_a_passage_of_many_questions_is_one_document_with_one_node(corpus: Corpus, questions: list[Question]) -> None:
    assert len(corpus.documents) == len(TOPICS)
    assert [node.ref_doc_id for node in corpus.nodes] == [document.node_id for document in corpus.documents]
    assert gold(questions[0]) == {document_id(passage("copper", True))}
    assert node_id(document_id("x")).startswith("node-")


@pytest.mark.parametrize("keep", [0.1, 0.3, 0.6])
def test_no_budget_is_exceeded_and_what_is_whole_stays_whole(corpus: Corpus, questions: list[Question], keep: float) -> None:
    found = search(corpus, questions[0])
    whole = TopK(COUNTER)(found, keep)
    assert whole == texts_of(found.nodes)[: len(whole)]
    for texts in (whole, SpecPrefill(DEFAULT_DRAFT, "bm25")(found, keep)):
        assert sum(map(COUNTER.count, texts)) <= keep * found.tokens
    assert len(whole) == int(keep * 4)


def test_one_similarity_cutoff_meets_the_budget_on_average(corpus: Corpus, questions: list[Question]) -> None:
    everything = [search(corpus, question) for question in questions]
    system = Similarity(COUNTER, everything)
    shares = [sum(map(COUNTER.count, system(found, 0.3))) / found.tokens for found in everything]
    assert 0 < sum(shares) / len(shares) <= 0.3


def test_longllmlingua_is_given_all_nodes_as_one_text_and_its_failure_ends_the_run(corpus: Corpus, questions: list[Question]) -> None:
    found = search(corpus, questions[0])
    asked: list[Request] = []

    def answer(request: Request) -> Reply:
        asked.append(request)
        return Reply("first\n\nsecond", None, 0.1)

    assert LongLLMLingua(answer)(found, 0.2) == ["first", "second"]
    assert asked == [Request(("\n\n".join(texts_of(found.nodes)),), found.query, int(0.2 * found.tokens), found.tokens)]
    with pytest.raises(RuntimeError, match="too long"):
        LongLLMLingua(lambda _: Reply(None, "too long", 0.1))(found, 0.2)


def test_recall_counts_what_goes_on_and_no_more(corpus: Corpus, questions: list[Question]) -> None:
    found = search(corpus, questions[0])
    everything = retrieval.recall_of(questions[0], found, texts_of(found.nodes))
    assert everything == {"evidence": 1.0, "evidence_words": 1.0, "answer": 1.0, "share": 1.0}
    nothing = retrieval.recall_of(questions[0], found, [])
    assert nothing == {"evidence": 0.0, "evidence_words": 0.0, "answer": 0.0, "share": 0.0}
    half = retrieval.recall_of(questions[0], found, ["The rarest of all copper", "was found by Ada Quill"])
    assert half["evidence"] == 0.0
    assert half["answer"] == 1.0
    assert 0.5 < (half["evidence_words"] or 0) < 1.0


def test_the_scripted_model_cites_the_source_that_shows_the_text_and_not_the_templates_example() -> None:
    llm = QuotingLLM(wanted=["The sky is red", "water is wet"])
    prompt = "Source 1:\nThe sky is red in the evening.\n------\nSource 1:\nnothing\n\nSource 2:\nAll water\nis wet.\n\n------\nQuery: ?"
    answer = llm.complete(prompt)
    assert isinstance(answer, CompletionResponse)
    assert answer.text == '"water is wet" [2]'
    assert QuotingLLM(wanted=["snow"]).complete(prompt).text == NOTHING


def test_citations_lead_to_their_document_and_to_the_node_only_where_that_is_noted(corpus: Corpus, questions: list[Question]) -> None:
    retriever = corpus.retriever(4)
    for question in questions:
        plain = citation_metrics(question, retriever, [])
        assert plain == {"cited": 1.0, "document": 1.0, "node": 0.0, "retrieved": 1.0}
        noted = citation_metrics(question, retriever, [make(keep_ratio=0.3)])
        assert noted == {"cited": 1.0, "document": 1.0, "node": 1.0, "retrieved": 1.0}
    other = Question("other", questions[0].segments, questions[0].query, ())
    assert citation_metrics(other, retriever, []) == {"cited": 0.0, "document": None, "node": None, "retrieved": 0.0}


def test_a_run_stores_its_cells_and_a_second_one_measures_only_what_is_new(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "retrieval.json"
    arguments = ["--data", str(directory), "--sets", "nq_20doc", "--n", "3", "--top-k", "4", "--keep", "0.3,0.6", "--out", str(out)]
    assert retrieval.main([*arguments, "--systems", "top_k"]) == 0
    assert retrieval.main([*arguments, "--systems", "top_k,specprefill_bm25"]) == 0
    told = capsys.readouterr()
    assert told.err.count("held already") == 2
    assert [cell.scorer for cell in load(out).cells] == ["everything", "top_k", "specprefill_bm25"]
    assert "| nq_20doc (n=3) | evidence | specprefill_bm25 | 1.00 [1.00, 1.00] |" in told.out
    assert retrieval.main([*arguments, "--keep", "0.9"]) == 2
    assert "other conditions (settings)" in capsys.readouterr().err


def test_an_unknown_system_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert retrieval.main(["--systems", "magic"]) == 2
    assert "magic" in capsys.readouterr().err
