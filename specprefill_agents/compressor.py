"""Compressor: the one orchestrator. Segments -> candidates -> units -> scores -> selection -> rendered text.

Knows no framework and imports neither torch nor transformers itself; the draft is loaded when it is first needed.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.accounting.tokens import TokenCounter, counter_for
from specprefill_agents.config import CompressionConfig
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.errors import NotKeptError, ScoringError
from specprefill_agents.observe.audit import AuditLog, LoggingAudit
from specprefill_agents.prompt.aggregation import AGGREGATION_NOTE, asks_about_everything
from specprefill_agents.prompt.render import GapMarks, gap_marks, merge_spans, render
from specprefill_agents.prompt.segments import protection_reason
from specprefill_agents.prompt.titles import title_of
from specprefill_agents.prompt.units import Layout, Limits, layout_of
from specprefill_agents.scoring.base import Scorer, check_scores, score_titled, scorer_fingerprint
from specprefill_agents.scoring.draft_choice import resolve_draft
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.registry import LazyScorer, make_scorer
from specprefill_agents.selection.budget import Candidate, select
from specprefill_agents.selection.units import lifted, unit_scores
from specprefill_agents.storage.originals import Originals, default_originals
from specprefill_agents.storage.score_cache import ScoreCache, default_cache
from specprefill_agents.types import CompressedSegment, CompressionResult, GapForm, MarkStyle, Segment, Span, TokenScores, Usage

if TYPE_CHECKING:
    from specprefill_agents.session import Session

BRIEF_BELOW_TOKENS = 100
"""With less budget than this for each candidate, gaps are marked as briefly as possible."""

MAX_REASON_CHARS = 200
"""Longest error text that goes into results and audit records."""
FILL_ROUNDS = 3
"""How often the selection is repeated with what the cost estimates left unspent, until less than 1 % is."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A candidate on its way: its position among the segments, its length in tokens, how it may be cut and its gaps read."""

    position: int
    text: str
    title: str | None
    tokens: int
    layout: Layout
    style: MarkStyle
    marks: GapMarks
    original_id: str

    def spans(self, kept: NDArray[np.bool_]) -> tuple[Span, ...]:
        units = self.layout.units
        return merge_spans([(units[i].start, units[i].end) for i in np.flatnonzero(kept)])

    def forms(self, kept: NDArray[np.bool_]) -> tuple[GapForm, ...]:
        """The form of each gap: that of its first unit; () when all are plain."""
        opens = np.flatnonzero(~kept & np.concatenate([[True], kept[:-1]]))
        forms = tuple(self.layout.gaps[i] for i in opens)
        return () if set(forms) <= {"plain"} else forms


class Compressor:
    """Keeps what a query needs of tool results and documents, within a budget in target tokens.

    `draft` names the local model (see `specprefill models list`); `auto` takes the best one pulled, once, at construction,
    and `self.draft` says which. `scorer` replaces the configured scorer by any object
    with a `score` method. `cache` keeps what the draft computed: on disk for all of the user's processes (in the
    library's own directory, or a `ScoreCache` of your own), or in this process's memory alone; `originals` keeps the whole
    texts of what was shortened, in the same place unless given (none with `config.originals` off). `splitter` says how a
    text may be cut; built-in scorers keep to the library's own way. One instance may be
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
        cache: ScoreCache | Literal["disk", "memory"] = "disk",
        originals: Originals | None = None,
        splitter: Callable[[str, Limits], Layout] = layout_of,
    ) -> None:
        self.config = config or CompressionConfig()
        self.draft = resolve_draft(draft)
        self.counter = counter or counter_for(self.config.target_tokenizer)
        self.audit: AuditLog = audit or LoggingAudit()
        self._scorer_name = scorer_fingerprint(scorer) if scorer else f"{self.config.scorer}:{self.draft}"
        disk = cache if isinstance(cache, ScoreCache) else default_cache() if cache == "disk" else None
        self._scorer = scorer or make_scorer(self.config, self.draft, device, disk)
        self.originals = _originals(originals, cache) if self.config.originals else None
        self._splitter = splitter
        self._limits = Limits(*self.config.unit_chars)
        self._lexical = LexicalScorer(self._limits)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="specprefill-scorer")

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of everything configured that shapes output bytes; loads no model."""
        splitter = "" if self._splitter is layout_of else f":{self._splitter.__module__}.{self._splitter.__qualname__}"
        settings = f"{self.config.fingerprint()}:{self._scorer_name}:{self.counter.name}{splitter}"
        return hashlib.sha256(settings.encode()).hexdigest()[:16]

    def session(self, conversation_id: str) -> Session:
        """A new `Session`: one agent conversation whose decisions are made once, then frozen."""
        from specprefill_agents.session import Session

        return Session(conversation_id, self)

    def compress(self, segments: Sequence[Segment], query: str) -> CompressionResult:
        """Compress the candidates among `segments` together, for one budget of `keep_ratio` of their tokens.

        Everything else comes back unchanged, with the reason. Never raises at run time unless told to.
        """
        started = time.perf_counter()
        try:
            result = self._compress(segments, query)
        except Exception as error:
            if self.config.on_error == "raise":
                raise
            result = self._unchanged(segments, f"{type(error).__name__}: {error}"[:MAX_REASON_CHARS])
        self._record(result, query, 1000 * (time.perf_counter() - started))
        return result

    def _compress(self, segments: Sequence[Segment], query: str) -> CompressionResult:
        tokens = [self.counter.count(segment.text) for segment in segments]
        whole = [_whole(segment, count, self._why_not(segment, count)) for segment, count in zip(segments, tokens, strict=True)]
        chosen = [i for i, segment in enumerate(whole) if not segment.reason]
        total = sum(tokens[i] for i in chosen)
        reason = self._why_none(total)
        if reason or not chosen:
            done = [_whole(s, w.original_tokens, w.reason or reason, w.outcome) for s, w in zip(segments, whole, strict=True)]
            return _result(done)
        budget = int(total * self.config.keep_ratio)
        style: MarkStyle = "brief" if budget < BRIEF_BELOW_TOKENS * len(chosen) else "full"
        parts = [self._prepare(i, segments[i], tokens[i], style) for i in chosen]
        if isinstance(self._scorer, LazyScorer):
            self._scorer.load()  # once, and neither scorer time nor under its time limit
        started = time.perf_counter()
        scores, fallback = self._score([part.text for part in parts], query, [part.title for part in parts], total)
        scorer_ms = 1000 * (time.perf_counter() - started)
        done = list(whole)
        for part, compressed in zip(parts, self._choose(parts, scores, budget), strict=True):
            self.keep_original(part.text, compressed)
            done[part.position] = compressed
        note = AGGREGATION_NOTE if asks_about_everything(query) else None
        return _result(done, scorer_ms, sum(score.cached for score in scores), fallback, note)

    def _why_not(self, segment: Segment, tokens: int) -> str:
        return protection_reason(segment, tokens, self.config) or ""

    def _why_none(self, total: int) -> str:
        if not self.config.enabled:
            return "compression is switched off"
        if self.config.keep_ratio == 1:
            return "keep_ratio is 1"
        if total < self.config.min_tokens:
            return f"shorter than min_tokens ({total} < {self.config.min_tokens})"
        return ""

    def _prepare(self, position: int, segment: Segment, tokens: int, style: MarkStyle) -> _Part:
        layout = self._splitter(segment.text, self._limits)
        original_id = self.originals.id_of(segment.text) if self.originals and style == "full" else ""
        marks = gap_marks(self.config, segment.kind, style, original_id)
        return _Part(position, segment.text, title_of(segment), tokens, layout, style, marks, original_id)

    def keep_original(self, text: str, decided: CompressedSegment) -> None:
        """See to it that `text` is kept as long as `decided` names it. Raises `NotKeptError` when nothing can hold it."""
        if decided.original_id and self.originals and self.originals.put(text) != decided.original_id:
            raise NotKeptError(f"{decided.original_id} has come to mean another text")

    def restore(self, segment: Segment, decided: CompressedSegment) -> CompressedSegment:
        """`decided`, an earlier decision on the same text that kept everything but the text, with its text again."""
        if decided.outcome != "compressed":
            return replace(decided, text=segment.text)
        marks = gap_marks(self.config, segment.kind, decided.marks, decided.original_id)
        return replace(decided, text=render(segment.text, decided.spans, marks, decided.forms))

    def _score(self, contexts: list[str], query: str, titles: list[str | None], total: int) -> tuple[list[TokenScores], str | None]:
        """Scores from the configured scorer within the time limit, or from BM25 where the contexts are too long for it."""
        if total > self.config.max_scored_tokens and self._scorer is not self._lexical:
            return self._lexical.score(contexts, query), f"{total} tokens exceed max_scored_tokens: scored by bm25"
        task = self._worker.submit(score_titled, self._scorer, contexts, query, titles)
        try:
            scores = task.result(self.config.timeout_s)
        except FutureTimeoutError as error:
            task.cancel()
            raise ScoringError(f"scoring took longer than timeout_s ({self.config.timeout_s} s)") from error
        check_scores(contexts, scores)
        return scores, None

    def _choose(self, parts: list[_Part], scores: list[TokenScores], budget: int) -> list[CompressedSegment]:
        """The best selection whose rendered text fits: unit costs are estimates (a tokenizer may join across borders), so
        the target is raised by what was left over and lowered by what was too much."""
        found = [unit_scores(part.layout.units, score, self.config.neighbour_bonus) for part, score in zip(parts, scores, strict=True)]
        ranked = lifted(found, [part.layout for part in parts])
        candidates = [self._candidate(part, values) for part, values in zip(parts, ranked, strict=True)]
        best: list[CompressedSegment] | None = None
        target = budget
        for _ in range(FILL_ROUNDS):
            masks = select(candidates, target)
            done = [self._rendered(part, mask) for part, mask in zip(parts, masks, strict=True)]
            spare = budget - sum(segment.kept_tokens for segment in done)
            if spare >= 0:
                best = done
            if 0 <= spare * 100 <= budget or (spare < 0 and best):
                break
            target += spare
        while best is None and target > 0:
            target = min(target - 1, int(0.97 * target))
            masks = select(candidates, target)
            done = [self._rendered(part, mask) for part, mask in zip(parts, masks, strict=True)]
            if sum(segment.kept_tokens for segment in done) <= budget:
                best = done
        return best or [CompressedSegment("", (), "compressed", part.tokens, 0, marks="none") for part in parts]

    def _candidate(self, part: _Part, scores: NDArray[np.float64]) -> Candidate:
        count = self.counter.count
        units = part.layout.units
        patterns = [re.compile(pattern) for pattern in self.config.force_keep]
        forced = [any(p.search(part.text, u.start, u.end) for p in patterns) for u in units]
        gap = part.marks.words(999, 1, is_first=False) + "\n"
        note = count(part.marks.note)
        return Candidate(
            scores=scores,
            costs=np.array([count(part.text[unit.start : unit.end]) for unit in units], dtype=np.int64),
            forced=np.array(forced, dtype=np.bool_),
            empty_cost=max(0, count(render(part.text, (), part.marks, part.forms(np.zeros(len(units), np.bool_)))) - note),
            gap_cost=count(gap),
            needs=part.layout.needs,
            note_cost=note,
        )

    def _rendered(self, part: _Part, kept: NDArray[np.bool_]) -> CompressedSegment:
        """The segment as it would be sent; the original itself where marks would make it no shorter."""
        spans, forms = part.spans(kept), part.forms(kept)
        text = render(part.text, spans, part.marks, forms)
        tokens = self.counter.count(text)
        if tokens >= part.tokens:
            return CompressedSegment(part.text, ((0, len(part.text)),), "passthrough", part.tokens, part.tokens, "nothing gained")
        return CompressedSegment(
            text, spans, "compressed", part.tokens, tokens, marks=part.style, forms=forms, original_id=part.original_id
        )

    def _unchanged(self, segments: Sequence[Segment], reason: str) -> CompressionResult:
        """Every original, because a part failed; when that was the counter, token counts are unknown and stay zero."""
        try:
            tokens = [self.counter.count(segment.text) for segment in segments]
        except Exception as error:
            tokens = [0] * len(segments)
            reason = f"{reason}; counting failed: {type(error).__name__}"
        return _result([_whole(s, n, reason, "passthrough") for s, n in zip(segments, tokens, strict=True)], fallback=reason)

    def _record(self, result: CompressionResult, query: str, elapsed_ms: float) -> None:
        fields: dict[str, Any] = {
            "fingerprint": self.fingerprint,
            "scorer": self._scorer_name,
            "query_sha256": hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            "original_tokens": result.usage.original_tokens,
            "kept_tokens": result.usage.kept_tokens,
            "scorer_ms": round(result.usage.scorer_ms, 1),
            "elapsed_ms": round(elapsed_ms, 1),
            "fallback_reason": result.usage.fallback_reason,
            "note": result.usage.note,
            "segments": [[segment.outcome, segment.reason] for segment in result.segments],
        }
        self.audit.record("compress", fields)


def _originals(given: Originals | None, cache: ScoreCache | Literal["disk", "memory"]) -> Originals:
    """The store given; else one beside the score cache."""
    if given is not None:
        return given
    return Originals.in_memory() if cache == "memory" else default_originals()


def _whole(segment: Segment, tokens: int, reason: str, outcome: str = "") -> CompressedSegment:
    spans = ((0, len(segment.text)),) if segment.text else ()
    return CompressedSegment(segment.text, spans, "protected" if outcome != "passthrough" else "passthrough", tokens, tokens, reason)


def _result(
    segments: Sequence[CompressedSegment],
    scorer_ms: float = 0.0,
    cache_hits: int = 0,
    fallback: str | None = None,
    note: str | None = None,
) -> CompressionResult:
    original = sum(segment.original_tokens for segment in segments)
    kept = sum(segment.kept_tokens for segment in segments)
    return CompressionResult(tuple(segments), Usage(original, kept, scorer_ms, cache_hits, fallback, note))
