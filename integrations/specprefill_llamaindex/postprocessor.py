"""Node postprocessor: what a query needs of the retrieved nodes, one node out per node in.

Knows LlamaIndex nodes; how a text is scored, cut and rendered is the core's business.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.callbacks import CallbackManager
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MediaResource, MetadataMode, Node, NodeWithScore, ObjectType, QueryBundle, TextNode
from llama_index_instrumentation import get_dispatcher

from specprefill_agents import CompressedSegment, CompressionConfig, CompressionResult, Compressor, Segment
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.selection.units import rank_prior
from specprefill_agents.storage.forking import RestartingPool
from specprefill_llamaindex.events import CompressionEndEvent, CompressionStartEvent
from specprefill_llamaindex.threads import in_thread

logger = logging.getLogger(__name__)
dispatcher = get_dispatcher(__name__)

SPANS_KEY = "specprefill_spans"
"""Metadata key of a compressed node: the kept character ranges `[[start, end], ...]` of its original text."""
TOKENS_KEY = "specprefill_tokens"
"""Metadata key of a compressed node: target tokens `[original, kept]` of its text."""
NODE_ID_KEY = "specprefill_node_id"
"""Metadata key of a compressed node: its id, which citation engines take off the chunks they make of it."""


class SpecPrefillPostprocessor(BaseNodePostprocessor):
    """Keeps the spans of retrieved nodes that the query attends to, within a budget in target tokens.

    Where the retriever scored all nodes, a node counts for more the better its rank (`config.prior_weight`).

    Give a `compressor`, or the `draft` and `config` to make one from. With `joint`, all nodes share one budget, so that
    the one with the answer may stay whole and others vanish; without, each has its own (and must reach `min_tokens`
    alone). The budget covers the nodes' texts, without their metadata.

    Id, score, metadata, relationships and order of the nodes stay; the nodes that come in are never changed. When anything
    is left out, each node that shared the budget is a copy whose text holds its kept spans. Its metadata says more under
    `specprefill_spans` (their ranges), `specprefill_tokens` (`[original, kept]`) and `specprefill_node_id`, none of which
    the LLM or an embedding model is shown. Otherwise the very nodes come back.

    Nodes with an image, audio, video or an object (`IndexNode`) pass unchanged, and so do empty ones, ones that were
    compressed before, and all of them when a part fails. A missing or empty query compresses too, by the scorer's
    query-free form.

    `drop_empty` leaves out nodes of which nothing is kept; otherwise they stay with empty text. `top_n` returns only the
    first so many nodes with text (after dropping empty ones); nodes without text do not count. Each call dispatches a
    `CompressionStartEvent` and, unless it raises, a `CompressionEndEvent`. Serializes by draft and config: a compressor
    with a scorer, tokenizer or audit log of its own must be handed to `from_dict` again. Raises `ConfigError` or
    `UnknownDraftError` at construction.
    """

    draft: str = Field(default=DEFAULT_DRAFT, description="Name of the local draft model.", frozen=True)
    config: CompressionConfig = Field(default_factory=CompressionConfig, description="Settings of the compressor.", frozen=True)
    top_n: int | None = Field(default=None, ge=1, description="At most so many nodes with text are returned.")
    joint: bool = Field(default=True, description="Whether all nodes share one budget; otherwise each has its own.")
    drop_empty: bool = Field(default=True, description="Whether nodes of which nothing is kept are left out.")

    _compressor: Compressor = PrivateAttr()
    # One thread waits for the compressor however many queries run at once, so other work keeps the loop's own executor.
    _edge: RestartingPool = PrivateAttr(default_factory=lambda: RestartingPool(thread_name_prefix="specprefill-llamaindex"))

    def __init__(
        self,
        compressor: Compressor | None = None,
        *,
        draft: str = DEFAULT_DRAFT,
        config: CompressionConfig | Mapping[str, Any] | None = None,
        top_n: int | None = None,
        joint: bool = True,
        drop_empty: bool = True,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        settings = config if isinstance(config, CompressionConfig) else CompressionConfig.from_dict(config or {})
        made = compressor or Compressor(draft, settings)
        fields: dict[str, Any] = {"draft": made.draft, "config": made.config, "top_n": top_n, "joint": joint, "drop_empty": drop_empty}
        super().__init__(callback_manager=callback_manager or CallbackManager([]), **fields)
        self._compressor = made

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex serializes this component."""
        return "SpecPrefillPostprocessor"

    @property
    def compressor(self) -> Compressor:
        """What does the work."""
        return self._compressor

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        query = query_bundle.query_str if query_bundle is not None else ""
        started, reason = time.perf_counter(), None
        decided: dict[int, CompressedSegment] = {}
        results: list[CompressionResult] = []
        try:
            dispatcher.event(CompressionStartEvent.of(self._compressor, len(nodes)))
            decided, results = self._decide(nodes, query)
        except Exception as error:
            if self.config.on_error == "raise":
                raise
            reason = f"nodes are forwarded unchanged: {type(error).__name__}"
            self._compressor.audit.record("llamaindex", {"fallback_reason": reason})
            logger.warning("nodes are forwarded unchanged", exc_info=True)
        kept = self._output(nodes, decided)
        elapsed_ms = 1000 * (time.perf_counter() - started)
        dispatcher.event(CompressionEndEvent.of(results, elapsed_ms, dropped=len(nodes) - len(kept), fallback_reason=reason))
        return kept

    async def _apostprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        return await in_thread(self._edge, self._postprocess_nodes, nodes, query_bundle)

    def _decide(self, nodes: Sequence[NodeWithScore], query: str) -> tuple[dict[int, CompressedSegment], list[CompressionResult]]:
        """Position of each node that shared a budget of which something was left out -> what is kept of it; and every result."""
        priors = _priors(nodes)
        segments = {
            i: Segment(scored.node.get_content(MetadataMode.NONE), "document", id=scored.node.node_id, prior=priors[i])
            for i, scored in enumerate(nodes)
            if _is_candidate(scored.node)
        }
        budgets = [list(segments)] if self.joint else [[i] for i in segments]
        results = [self._compressor.compress([segments[i] for i in sharing], query) for sharing in budgets]
        decided = {
            i: one
            for sharing, result in zip(budgets, results, strict=True)
            if any(segment.outcome == "compressed" for segment in result.segments)
            for i, one in zip(sharing, result.segments, strict=True)
            if one.outcome != "protected"
        }
        return decided, results

    def _output(self, nodes: Sequence[NodeWithScore], decided: Mapping[int, CompressedSegment]) -> list[NodeWithScore]:
        kept: list[NodeWithScore] = []
        texts = 0
        for position, scored in enumerate(nodes):
            one = decided.get(position)
            if one is not None and not one.spans and self.drop_empty:
                continue
            if _has_text_only(scored.node):
                texts += 1
                if self.top_n is not None and texts > self.top_n:
                    continue
            kept.append(scored if one is None else scored.model_copy(update={"node": _compressed(scored.node, one)}))
        return kept


def _priors(nodes: Sequence[NodeWithScore]) -> list[float]:
    """What each node is worth by its score's rank; nodes of one score have one rank, and 0 each where one of them has no score."""
    scores = [node.score for node in nodes if node.score is not None]
    if len(scores) < len(nodes):
        return [0.0] * len(nodes)
    ranks = {score: rank for rank, score in enumerate(sorted(set(scores), reverse=True))}
    return [rank_prior(ranks[score]) for score in scores]


def _is_candidate(node: BaseNode) -> bool:
    return _has_text_only(node) and SPANS_KEY not in node.metadata


def _has_text_only(node: BaseNode) -> bool:
    """Whether the node's text is all there is to it; an image, a table or an index behind it cannot be cut."""
    if node.get_type() == ObjectType.TEXT:
        return isinstance(node, TextNode)
    return isinstance(node, Node) and not (node.image_resource or node.audio_resource or node.video_resource)


def _compressed(node: BaseNode, one: CompressedSegment) -> BaseNode:
    """A copy of `node` that says what was kept; containers are copied too, so later changes cannot reach the original."""
    about = {
        SPANS_KEY: [list(span) for span in one.spans],
        TOKENS_KEY: [one.original_tokens, one.kept_tokens],
        NODE_ID_KEY: node.node_id,
    }
    changes: dict[str, Any] = {
        "metadata": {**node.metadata, **about},
        "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, *about],
        "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, *about],
        "relationships": dict(node.relationships),
    }
    if isinstance(node, Node):
        changes["text_resource"] = (node.text_resource or MediaResource()).model_copy(update={"text": one.text})
    else:
        changes["text"] = one.text
    return node.model_copy(update=changes)
