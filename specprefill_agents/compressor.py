"""Compressor: the one orchestrator. Segments -> candidates -> units -> scores -> selection -> rendered text.

Knows no framework and imports neither torch nor transformers itself; the draft is loaded when it is first needed.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.accounting.tokens import TokenCounter, counter_for
from specprefill_agents.config import CompressionConfig
from specprefill_agents.draft.registry import DEFAULT_DRAFT, known_revision
from specprefill_agents.errors import NotKeptError, ScoringError
from specprefill_agents.guardrails.guard import Guard
from specprefill_agents.guardrails.settings import Guardrails
from specprefill_agents.observe.audit import AuditLog, LoggingAudit, SafeAudit, without_quotes
from specprefill_agents.observe.decisions import Decider
from specprefill_agents.prompt.decided import decided_text
from specprefill_agents.prompt.segments import protection_reason
from specprefill_agents.prompt.titles import title_of
from specprefill_agents.prompt.units import Layout, Limits, layout_of
from specprefill_agents.scoring.base import Scorer, check_scores, score_titled, scorer_fingerprint, scorer_for
from specprefill_agents.scoring.draft_choice import resolve_draft
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.registry import LazyScorer, make_scorer
from specprefill_agents.selection.choice import Candidate, Choice, Chooser, sent_whole
from specprefill_agents.selection.units import priorities
from specprefill_agents.storage.forking import RestartingPool
from specprefill_agents.storage.originals import Originals, default_originals
from specprefill_agents.storage.score_cache import RowStore, content_name, default_cache
from specprefill_agents.types import CompressedSegment, CompressionResult, Segment, TokenScores, Usage

if TYPE_CHECKING:
    from specprefill_agents.session import Session

logger = logging.getLogger(__name__)

NO_SOURCES: Mapping[str, str] = MappingProxyType({})

_conversation: ContextVar[str | None] = ContextVar("specprefill_conversation", default=None)

MAX_REASON_CHARS = 200
"""Longest error text that goes into results and audit records."""


@contextmanager
def recorded_in(conversation_id: str) -> Iterator[None]:
    """Within it, records of calls name a conversation: for whoever leaves a record of each decision besides.

    Not an argument of `compress`, which others override with the arguments it has.
    """
    token = _conversation.set(conversation_id)
    try:
        yield
    finally:
        _conversation.reset(token)


class Compressor:
    """Keeps what a query needs of tool results and documents, within a budget in target tokens.

    `draft` names the local model (see `specprefill models list`); `auto` takes the best one pulled, once, at construction,
    and `self.draft` says which. `scorer` replaces the configured scorer by any object
    with a `score` method. `cache` keeps what the draft computed: on disk for all of the user's processes (in the
    library's own directory, a `ScoreCache` of your own, or one `on_redis`), or in this process's memory alone; `originals` keeps the whole
    texts of what was shortened, in the same place unless given (none with `config.originals` off). `splitter` says how a
    text may be cut; built-in scorers keep to the library's own way. `guardrails` go before `config` where both say
    something; give a `Guard` for prices of your own or to be told of drift. One instance may be
    shared by threads; scoring runs in a single worker. Raises `ConfigError` or `UnknownDraftError` at construction; at
    run time a failing part forwards the original, unless `config.on_error == "raise"`.
    """

    def __init__(
        self,
        draft: str = DEFAULT_DRAFT,
        config: CompressionConfig | None = None,
        *,
        scorer: Scorer | None = None,
        counter: TokenCounter | None = None,
        audit: AuditLog | None = None,
        device: str = "auto",
        cache: RowStore | Literal["disk", "memory"] = "disk",
        originals: Originals | None = None,
        splitter: Callable[[str, Limits], Layout] = layout_of,
        guardrails: Guardrails | Guard | None = None,
    ) -> None:
        self.guard = guardrails if isinstance(guardrails, Guard) else Guard(guardrails)
        rules = self.guard.guardrails
        self.config = rules.compression_config(config) if rules else config or CompressionConfig()
        self.draft = resolve_draft(draft)
        self.counter = counter or counter_for(self.config.target_tokenizer)
        self.audit = SafeAudit(audit or LoggingAudit())
        self._scorer_name = scorer_fingerprint(scorer) if scorer else f"{self.config.scorer}:{self.draft}"
        disk = cache if not isinstance(cache, str) else default_cache() if cache == "disk" else None
        self._scorer = scorer or make_scorer(self.config, self.draft, device, disk)
        self.originals = _originals(originals, cache) if self.config.originals else None
        self._splitter = splitter
        self._limits = Limits(*self.config.unit_chars)
        self._chooser = Chooser(self.config, self.counter.count, self.original_id)
        self._lexical = LexicalScorer(self._limits)
        self._second = make_scorer(replace(self.config, scorer=rules.drift.scorer), self.draft, device, disk) if rules else self._lexical
        self._worker = RestartingPool(thread_name_prefix="specprefill-scorer")
        self.guard.tell(self.audit)

    def load(self) -> None:
        """Load the draft now, and not at the first call: for a server that is about to take requests. Blocks until it has read a text.

        Loading holds Python's lock for some tenths of a second, in whatever thread, and so an event loop. What it loads is much for
        Python's garbage collector to go through: `gc.freeze()` afterwards spares a server that. Raises what loading raises.
        """
        if isinstance(self._scorer, LazyScorer):
            self._scorer.load()
            self._worker.submit(score_titled, self._scorer, ["A text to begin with."], "begin", [None]).result()

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of everything configured that shapes output bytes; loads no model."""
        splitter = "" if self._splitter is layout_of else f":{self._splitter.__module__}.{self._splitter.__qualname__}"
        settings = f"{self.config.fingerprint()}:{self._scorer_name}:{self.counter.name}{splitter}"
        return hashlib.sha256(settings.encode()).hexdigest()[:16]

    @property
    def decider(self) -> Decider:
        """What decides here, as audit records say it; loads no model."""
        reads = isinstance(self._scorer, LazyScorer)  # with the draft
        is_known = getattr(self._scorer, "is_loaded", True)
        return Decider(
            fingerprint=self.fingerprint,
            config=self.config,
            scorer=self._scorer_name,
            scorer_fingerprint=scorer_fingerprint(self._scorer) if is_known else None,
            draft=self.draft if reads else None,
            draft_revision=known_revision(self.draft) if reads else None,
            guardrails=self.guard.audit_fields(),
        )

    def layout(self, text: str) -> Layout:
        """How a text may be cut."""
        return self._splitter(text, self._limits)

    def is_exempt(self, segment: Segment, tokens: int) -> bool:
        """Whether a segment of so many target tokens passes unchanged in whatever company."""
        return self.is_off or protection_reason(segment, tokens, self.config) is not None

    @property
    def is_off(self) -> bool:
        """Whether everything passes unchanged, by the configuration or by the kill switch."""
        return not self.config.enabled or self.guard.is_off

    def session(self, conversation_id: str, *, model_id: str | None = None) -> Session:
        """A new `Session`: one agent conversation whose decisions are made once, then frozen; `model_id` names its target in records."""
        from specprefill_agents.session import Session

        return Session(conversation_id, self, model_id)

    def cutting_all(self, keep_ratio: float) -> Compressor:
        """One that shares everything with this one, but cuts all candidates to `keep_ratio` together: no floors, no tools of their own.

        For callers whose limit is in tokens. What is switched off, or must be kept, stays so. Raises `ConfigError` for a ratio
        out of range.
        """
        other = copy.copy(self)
        other.config = replace(self.config, keep_ratio=keep_ratio, min_tokens=0, min_result_tokens=0, exclude_tools=(), tool_keep_ratio=())
        other._chooser = Chooser(other.config, other.counter.count, other.original_id)
        vars(other).pop("fingerprint", None)
        return other

    def keeping_in(self, originals: Originals) -> Compressor:
        """One that shares everything with this one, but keeps whole texts in `originals`, such as those of another tenant."""
        other = copy.copy(self)
        other.originals = originals
        other._chooser = Chooser(other.config, other.counter.count, other.original_id)
        return other

    def for_tenant(self, tenant: str) -> Compressor:
        """One that shares the draft and everything else with this one, but finds no scores kept for others: how long it takes
        tells nothing of what others had scored."""
        other = copy.copy(self)
        other._scorer, other._second = (scorer_for(one, tenant) for one in (self._scorer, self._second))
        return other

    def compress(self, segments: Sequence[Segment], query: str, *, most_tokens: int | None = None) -> CompressionResult:
        """Compress the candidates among `segments` together, for one budget of `keep_ratio` of their tokens.

        With `most_tokens`, all segments together have no more target tokens than that, as far as what must pass whole
        allows (all of it with `keep_ratio` 1). Everything else comes back unchanged, with the reason. Never raises at run
        time unless told to.
        """
        started = time.perf_counter()
        try:
            result = self._compress(segments, query, most_tokens)
        except Exception as error:
            if self.config.on_error == "raise":
                raise
            logger.debug("a call failed", exc_info=error)
            return self.unchanged(segments, query, f"{type(error).__name__}: {error}"[:MAX_REASON_CHARS])
        self._record(result, query, 1000 * (time.perf_counter() - started))
        return result

    def _compress(self, segments: Sequence[Segment], query: str, most_tokens: int | None) -> CompressionResult:
        tokens = [self.counter.count(segment.text) for segment in segments]
        whole = [sent_whole(segment, count, self._why_not(segment, count)) for segment, count in zip(segments, tokens, strict=True)]
        chosen = [i for i, segment in enumerate(whole) if not segment.reason]
        total = sum(tokens[i] for i in chosen)
        room = None if most_tokens is None else most_tokens - (sum(tokens) - total)
        reason = self._why_none(total, room)
        if reason or not chosen:
            return _all_whole(segments, whole, reason)
        found = [Candidate(i, segments[i], tokens[i], self.layout(segments[i].text)) for i in chosen]
        key = content_name(self.fingerprint, query, *(one.segment.text for one in found))
        refused = self.guard.why_not(total, self._chooser.expected_tokens(found), key)
        if refused:
            all_whole = _all_whole(segments, whole, refused.reason, fallback=refused.reason if refused.is_failure else None)
            return replace(all_whole, is_refused=True)
        if isinstance(self._scorer, LazyScorer):
            self._scorer.load()  # once, and neither scorer time nor under its time limit
        started = time.perf_counter()
        try:
            scores, fallback = self._score([one.segment for one in found], query, total)
        except Exception:
            self.guard.failed()
            raise
        scorer_ms, cached = 1000 * (time.perf_counter() - started), sum(score.cached for score in scores)
        self.guard.succeeded(total, scorer_ms, cached=cached > 0)
        choice = self._choice(found, scores, query, room)
        self.guard.second_opinion(key, choice.kept, lambda: self._choice(found, self._second_scores(found, query), query, room).kept)
        done = list(whole)
        for one, compressed in zip(found, choice.segments, strict=True):
            self.keep_original(one.segment.text, compressed)
            done[one.position] = compressed
        usage = Usage(0, 0, scorer_ms, cached, fallback, choice.note, cache_misses=len(scores) - cached)
        return _result(done, usage)

    def _choice(self, found: Sequence[Candidate], scores: Sequence[TokenScores], query: str, room: int | None) -> Choice:
        return self._chooser.choose(found, self._priorities([one.segment for one in found], scores, query), query, room)

    def _second_scores(self, found: Sequence[Candidate], query: str) -> list[TokenScores]:
        segments = [one.segment for one in found]
        return score_titled(self._second, [segment.text for segment in segments], query, [title_of(segment) for segment in segments])

    def _why_not(self, segment: Segment, tokens: int) -> str:
        return protection_reason(segment, tokens, self.config) or ""

    def _why_none(self, total: int, room: int | None) -> str:
        if not self.config.enabled:
            return "compression is switched off"
        if total < self.config.min_tokens and (room is None or total <= room):
            return f"shorter than min_tokens ({total} < {self.config.min_tokens})"
        return ""

    def original_id(self, text: str) -> str:
        """The id that a mark can name for the whole of `text`; "" where nothing is kept."""
        return self.originals.id_of(text) if self.originals else ""

    def keep_original(self, text: str, decided: CompressedSegment) -> None:
        """See to it that `text` is kept as long as `decided` names it. Raises `NotKeptError` when nothing can hold it."""
        if decided.original_id and self.originals and self.originals.put(text) != decided.original_id:
            raise NotKeptError(f"{decided.original_id} has come to mean another text")

    def restore(self, segment: Segment, decided: CompressedSegment, sources: Mapping[str, str] = NO_SOURCES) -> CompressedSegment:
        """`decided`, an earlier decision on the same text that kept everything but the text, with its text again.

        `sources` are the whole texts of the earlier segments that it recalls, by the names of their decisions.
        """
        return replace(decided, text=decided_text(self.config, segment.kind, segment.text, decided, sources))

    def rank(self, segments: Sequence[Segment], query: str, tokens: int) -> list[NDArray[np.float64]]:
        """What the units (U,) of each segment's layout are worth for `query`, the best unit of all about 1.

        `tokens` are the target tokens of all segments. Raises `ScoringError` when the scorer fails or takes too long.
        """
        return self._priorities(segments, self._score(segments, query, tokens)[0], query)

    def _priorities(self, segments: Sequence[Segment], scores: Sequence[TokenScores], query: str) -> list[NDArray[np.float64]]:
        texts = [segment.text for segment in segments]
        worth = priorities(texts, [self.layout(text) for text in texts], scores, query, self.config.neighbour_bonus)
        return [own + self.config.prior_weight * segment.prior for own, segment in zip(worth, segments, strict=True)]

    def _score(self, segments: Sequence[Segment], query: str, total: int) -> tuple[list[TokenScores], str | None]:
        """Scores from the configured scorer within the time limit, or from BM25 where the contexts are too long for it."""
        contexts = [segment.text for segment in segments]
        if total > self.config.max_scored_tokens and self._scorer is not self._lexical:
            return self._lexical.score(contexts, query), f"{total} tokens exceed max_scored_tokens: scored by bm25"
        titles = [title_of(segment) for segment in segments]
        task = self._worker.submit(score_titled, self._scorer, contexts, query, titles)
        try:
            scores = task.result(self.config.timeout_s)
        except FutureTimeoutError as error:
            task.cancel()
            raise ScoringError(f"scoring took longer than timeout_s ({self.config.timeout_s} s)") from error
        check_scores(contexts, scores)
        return scores, None

    def whole(self, segments: Sequence[Segment], reason: str) -> CompressionResult:
        """Every segment unchanged, for its own reason where it has one, else for `reason`."""
        tokens = [self.counter.count(segment.text) for segment in segments]
        return _all_whole(segments, [sent_whole(s, n, self._why_not(s, n)) for s, n in zip(segments, tokens, strict=True)], reason)

    def unchanged(self, segments: Sequence[Segment], query: str, reason: str) -> CompressionResult:
        """Every original, because a part failed, and an audit record that says which.

        When that was the counter, token counts are unknown and stay zero.
        """
        started = time.perf_counter()
        try:
            tokens = [self.counter.count(segment.text) for segment in segments]
        except Exception as error:
            tokens = [0] * len(segments)
            reason = f"{reason}; counting failed: {type(error).__name__}"
        whole = [sent_whole(s, n, reason, "passthrough") for s, n in zip(segments, tokens, strict=True)]
        result = _result(whole, Usage(fallback_reason=reason))
        self._record(result, query, 1000 * (time.perf_counter() - started))
        return result

    def _record(self, result: CompressionResult, query: str, elapsed_ms: float) -> None:
        fields: dict[str, Any] = {
            "conversation": _conversation.get(),
            "fingerprint": self.fingerprint,
            "scorer": self._scorer_name,
            "query_sha256": hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            "original_tokens": result.usage.original_tokens,
            "kept_tokens": result.usage.kept_tokens,
            "scorer_ms": round(result.usage.scorer_ms, 1),
            "elapsed_ms": round(elapsed_ms, 1),
            "cache_hits": result.usage.cache_hits,
            "cache_misses": result.usage.cache_misses,
            "fallback_reason": without_quotes(result.usage.fallback_reason),
            **self.guard.audit_fields(),
            "note": result.usage.note,
            "segments": [
                [one.outcome, without_quotes(one.reason) if one.outcome == "passthrough" else one.reason] for one in result.segments
            ],
        }
        self.audit.record("compress", fields)


def _originals(given: Originals | None, cache: RowStore | Literal["disk", "memory"]) -> Originals:
    """The store given; else one beside the score cache."""
    if given is not None:
        return given
    return Originals.in_memory() if cache == "memory" else default_originals()


def _all_whole(
    segments: Sequence[Segment], whole: Sequence[CompressedSegment], reason: str, fallback: str | None = None
) -> CompressionResult:
    """Every segment unchanged, for its own reason where it has one."""
    done = [sent_whole(s, w.original_tokens, w.reason or reason, w.outcome) for s, w in zip(segments, whole, strict=True)]
    return _result(done, Usage(fallback_reason=fallback))


def _result(segments: Sequence[CompressedSegment], usage: Usage) -> CompressionResult:
    """The result, with its tokens counted."""
    original = sum(segment.original_tokens for segment in segments)
    kept = sum(segment.kept_tokens for segment in segments)
    return CompressionResult(tuple(segments), replace(usage, original_tokens=original, kept_tokens=kept))
