"""What a retriever ranked first counts for more, beside what the scorer finds, and where nothing is known nothing changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode

from specprefill_agents import CompressionConfig, Compressor, ConfigError, Segment
from specprefill_langchain import SpecPrefillDocumentCompressor
from specprefill_llamaindex import SpecPrefillPostprocessor

QUESTION = "Which harbour has the red ship?"
ALIKE = "\n".join(f"Harbour {number} has the red ship, and it is a large one." for number in range(12))


def shares(compressor: Compressor, priors: tuple[float, ...]) -> list[float]:
    segments = [Segment(ALIKE, "document", id=str(number), prior=prior) for number, prior in enumerate(priors)]
    return [one.kept_tokens / one.original_tokens for one in compressor.compress(segments, QUESTION).segments]


def test_of_texts_alike_the_one_known_to_be_worth_more_is_kept(lexical: Callable[..., Compressor]) -> None:
    first, second, third = shares(lexical(keep_ratio=0.3), (0.0, 1.0, 0.0))
    assert second > 0.6
    assert max(first, third) < 0.2
    without = shares(lexical(keep_ratio=0.3, prior_weight=0.0), (0.0, 1.0, 0.0))
    assert without == shares(lexical(keep_ratio=0.3), (0.0, 0.0, 0.0))


def test_what_answers_is_kept_though_it_was_ranked_last(lexical: Callable[..., Compressor]) -> None:
    other = "\n".join(f"Mountain {number} has a hut, and that is closed in winter." for number in range(12))
    segments = [Segment(other, "document", prior=1.0), Segment(other, "document", prior=0.5), Segment(ALIKE, "document", prior=1 / 3)]
    kept = lexical(keep_ratio=0.2).compress(segments, QUESTION).segments
    assert kept[2].kept_tokens > 3 * (kept[0].kept_tokens + kept[1].kept_tokens)


def test_scores_of_nodes_are_ranks_and_nodes_without_scores_know_none(lexical: Callable[..., Compressor]) -> None:
    post = SpecPrefillPostprocessor(lexical(keep_ratio=0.3), drop_empty=False)
    nodes = [NodeWithScore(node=TextNode(text=ALIKE, id_=str(number)), score=score) for number, score in enumerate((0.1, 0.9, 0.1))]
    kept = [len(node.text) for node in post.postprocess_nodes(nodes, query_str=QUESTION)]
    assert kept[1] > 2 * max(kept[0], kept[2])
    unknown = [NodeWithScore(node=TextNode(text=ALIKE, id_=str(number)), score=score) for number, score in enumerate((0.1, None, 0.1))]
    plain = [NodeWithScore(node=TextNode(text=ALIKE, id_=str(number))) for number in range(3)]
    assert [node.text for node in post.postprocess_nodes(unknown, query_str=QUESTION)] == [
        node.text for node in post.postprocess_nodes(plain, query_str=QUESTION)
    ]


def test_documents_come_in_the_order_of_their_rank(lexical: Callable[..., Compressor]) -> None:
    chosen = SpecPrefillDocumentCompressor(compressor=lexical(keep_ratio=0.3), drop_empty=False)
    kept = [len(one.page_content) for one in chosen.compress_documents([Document(ALIKE, id=str(n)) for n in range(3)], QUESTION)]
    assert kept[0] > kept[1] >= kept[2]


@pytest.mark.parametrize("value", [-0.1, 1.1, True, "much"])
def test_the_weight_is_a_share(value: object) -> None:
    with pytest.raises(ConfigError, match="prior_weight"):
        CompressionConfig(prior_weight=value)  # type: ignore[arg-type]
