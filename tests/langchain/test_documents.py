"""SpecPrefillDocumentCompressor on documents, alone and in a retrieval chain."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from specprefill_agents import CompressionConfig, Compressor
from specprefill_langchain import SpecPrefillDocumentCompressor
from tests.langchain.retrieved import NEEDLE, QUERY, Overlap, joined, make_documents


@pytest.fixture
def make(lexical: Callable[..., Compressor]) -> Callable[..., SpecPrefillDocumentCompressor]:
    def made(keep_ratio: float = 0.3, **settings: Any) -> SpecPrefillDocumentCompressor:
        return SpecPrefillDocumentCompressor(compressor=lexical(keep_ratio=keep_ratio), **settings)

    return made


def test_what_answers_is_kept_within_the_budget_and_all_else_about_a_document_stays(
    make: Callable[..., SpecPrefillDocumentCompressor],
) -> None:
    given = make_documents()
    kept = make(drop_empty=False).compress_documents(given, QUERY)
    assert given == make_documents()
    assert NEEDLE in kept[3].page_content
    assert [document.id for document in kept] == [document.id for document in given]
    for now, was in zip(kept, given, strict=True):
        about = now.metadata.pop("specprefill")
        assert now.metadata == was.metadata
        assert set(about) == {"spans", "score", "original_tokens", "kept_tokens"}
        assert all(was.page_content[start:end].strip() in now.page_content for start, end in about["spans"])
    assert sum(len(document.page_content) for document in kept) < 0.4 * sum(len(document.page_content) for document in given)


def test_the_document_that_answers_has_the_highest_score(make: Callable[..., SpecPrefillDocumentCompressor]) -> None:
    scores = [document.metadata["specprefill"]["score"] for document in make(drop_empty=False).compress_documents(make_documents(), QUERY)]
    assert scores.index(max(scores)) == 3
    assert all(0 <= score < scores[3] for number, score in enumerate(scores) if number != 3)


def test_the_figures_are_json_and_add_up(make: Callable[..., SpecPrefillDocumentCompressor]) -> None:
    kept = make(0.3, drop_empty=False).compress_documents(make_documents(), QUERY)
    figures = [document.metadata["specprefill"] for document in kept]
    assert json.loads(json.dumps(figures)) == figures
    assert sum(one["kept_tokens"] for one in figures) <= 0.3 * sum(one["original_tokens"] for one in figures)
    assert all((one["kept_tokens"] == 0) == (document.page_content == "") for one, document in zip(figures, kept, strict=True))


def test_documents_of_which_nothing_is_kept_are_left_out_or_stay_empty(make: Callable[..., SpecPrefillDocumentCompressor]) -> None:
    given = make_documents()
    all_of_them = make(0.1, drop_empty=False).compress_documents(given, QUERY)
    some = make(0.1).compress_documents(given, QUERY)
    assert len(all_of_them) == len(given)
    assert "" in [document.page_content for document in all_of_them]
    assert some == [document for document in all_of_them if document.page_content]
    assert make(0.1, top_n=1, drop_empty=False).compress_documents(given, QUERY) == all_of_them[:1]
    assert make(0.1, top_n=1).compress_documents(given, QUERY) == some[:1]


def test_nothing_left_out_means_the_very_documents(make: Callable[..., SpecPrefillDocumentCompressor]) -> None:
    given = [*make_documents(2), Document("")]
    assert all(now is was for now, was in zip(make(1.0).compress_documents(given, QUERY), given, strict=True))
    assert make().compress_documents([], QUERY) == []


def test_what_was_compressed_before_is_not_cut_again(make: Callable[..., SpecPrefillDocumentCompressor]) -> None:
    once = make().compress_documents(make_documents(), QUERY)
    assert all(now is was for now, was in zip(make().compress_documents(once, "gardens"), once, strict=True))


def test_empty_documents_and_documents_without_an_id_pass(make: Callable[..., SpecPrefillDocumentCompressor]) -> None:
    given = [Document(""), *(document.model_copy(update={"id": None}) for document in make_documents())]
    kept = make().compress_documents(given, "")
    assert kept[0] is given[0]
    assert all(document.id is None for document in kept)


def test_sync_and_async_give_the_same_and_async_works_off_the_event_loop(
    make: Callable[..., SpecPrefillDocumentCompressor], monkeypatch: pytest.MonkeyPatch
) -> None:
    compressor = make()
    expected = compressor.compress_documents(make_documents(), QUERY)
    threads: list[threading.Thread] = []
    compress = compressor.compressor.compress

    def watched(segments: Any, query: str) -> Any:
        threads.append(threading.current_thread())
        return compress(segments, query)

    monkeypatch.setattr(compressor.compressor, "compress", watched)

    async def several() -> list[Any]:
        return await asyncio.gather(*(compressor.acompress_documents(make_documents(), QUERY) for _ in range(4)))

    assert asyncio.run(several()) == [expected] * 4
    assert len(threads) == 4
    assert len(set(threads)) == 1
    assert threading.main_thread() not in threads


def test_a_part_that_fails_returns_the_documents_that_came(
    make: Callable[..., SpecPrefillDocumentCompressor], monkeypatch: pytest.MonkeyPatch
) -> None:
    compressor, given = make(top_n=4), make_documents()
    monkeypatch.setattr(compressor.compressor, "compress", lambda *_: 1 / 0)
    assert all(now is was for now, was in zip(compressor.compress_documents(given, QUERY), given[:4], strict=True))


def test_where_it_is_asked_for_a_failure_is_raised(lexical: Callable[..., Compressor], monkeypatch: pytest.MonkeyPatch) -> None:
    core = lexical(on_error="raise")
    monkeypatch.setattr(core, "compress", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        SpecPrefillDocumentCompressor(compressor=core).compress_documents(make_documents(), QUERY)


@pytest.mark.parametrize("settings", [{"top_n": 0}, {"keep_ratio": 2}, {"topn": 3}])
def test_settings_that_mean_nothing_are_errors(lexical: Callable[..., Compressor], settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SpecPrefillDocumentCompressor(compressor=lexical(), **settings)


@pytest.fixture(scope="module")
def shared() -> SpecPrefillDocumentCompressor:
    """One for all examples: it holds no state."""
    config = CompressionConfig(scorer="bm25", min_tokens=0, min_result_tokens=0, keep_ratio=0.4, target_tokenizer="o200k_base")
    return SpecPrefillDocumentCompressor(compressor=Compressor(config=config, cache="memory"), drop_empty=False)


texts = st.lists(
    st.sampled_from(["The train leaves at noon. ", "Nothing here.\n", "a | b\n", "多字节的文字。", "\ud800"]), max_size=30
).map("".join)


@given(
    st.lists(st.builds(Document, texts, id=st.none() | st.just("a"), metadata=st.just({"k": [1]})), max_size=6),
    st.sampled_from(["", "noon"]),
)
def test_no_document_is_lost_moved_or_changed_beside_its_text(
    shared: SpecPrefillDocumentCompressor, documents: list[Document], query: str
) -> None:
    before = [document.model_copy(deep=True) for document in documents]
    kept = shared.compress_documents(documents, query)
    assert documents == before
    for now, was in zip(kept, documents, strict=True):
        assert (now.id, now.type) == (was.id, was.type)
        assert {**now.metadata, "specprefill": None} == {**was.metadata, "specprefill": None}


async def test_it_shortens_the_context_of_a_retrieval_chain(make: Callable[..., SpecPrefillDocumentCompressor], model: Any) -> None:
    compressor, retriever = make(), Overlap(documents=make_documents())

    def shorten(found: dict[str, Any]) -> Any:
        return compressor.compress_documents(found["documents"], found["question"])

    async def ashorten(found: dict[str, Any]) -> Any:
        return await compressor.acompress_documents(found["documents"], found["question"])

    prompt = ChatPromptTemplate.from_messages([("system", "Answer from:\n{context}"), ("human", "{question}")])
    chain = (
        RunnablePassthrough.assign(documents=itemgetter("question") | retriever)
        | RunnablePassthrough.assign(context=RunnableLambda(shorten, ashorten) | joined)
        | prompt
        | model
        | StrOutputParser()
    )
    assert chain.invoke({"question": QUERY})
    assert await chain.ainvoke({"question": QUERY})
    first, second = ([message.content for message in request] for request in model.requests)
    assert first == second
    assert NEEDLE in first[0]
    assert len(first[0]) < 0.5 * len(joined(retriever.invoke(QUERY)))
