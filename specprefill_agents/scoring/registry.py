"""Scorer names -> scorers. Draft-backed scorers are imported only when asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from specprefill_agents.config import CompressionConfig
from specprefill_agents.draft.registry import locate
from specprefill_agents.errors import ConfigError, missing_extra
from specprefill_agents.prompt.units import Limits
from specprefill_agents.scoring.base import Scorer, score_titled, scorer_for
from specprefill_agents.scoring.controls import HeadTailScorer, RandomScorer
from specprefill_agents.scoring.draft_choice import resolve_draft
from specprefill_agents.scoring.fusion import IDENTIFIER_WEIGHT, LEXICAL_WEIGHT, FusionScorer, Member
from specprefill_agents.scoring.identifiers import IdentifierScorer
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.remote import RemoteScorer, is_address
from specprefill_agents.storage.score_cache import RowStore
from specprefill_agents.types import TokenScores


class LazyScorer:
    """A scorer made on first use, so that constructing a `Compressor` loads no model."""

    def __init__(self, make: Callable[[], Scorer]) -> None:
        self._make = make
        self._made: Scorer | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Make the scorer now if it was not made yet."""
        _ = self.inner

    @property
    def inner(self) -> Scorer:
        """The scorer itself; made now if it was not yet."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    @property
    def is_loaded(self) -> bool:
        """Whether the scorer was made."""
        return self._made is not None

    @property
    def fingerprint(self) -> str:
        """The inner scorer's fingerprint; loads it."""
        return str(getattr(self.inner, "fingerprint", type(self.inner).__qualname__))

    takes_titles = True

    def for_tenant(self, tenant: str) -> LazyScorer:
        """One that serves this tenant alone; whichever is used first makes the inner scorer for all."""
        return LazyScorer(lambda: scorer_for(self.inner, tenant))

    def score(self, contexts: Sequence[str], query: str, titles: Sequence[str | None] = ()) -> list[TokenScores]:
        """As the inner scorer, which gets `titles` when it takes them."""
        return score_titled(self.inner, contexts, query, titles)


@contextmanager
def _torch_needed() -> Iterator[None]:
    """An import of a draft-backed scorer: says what to install where torch or transformers is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing_extra("A scorer that reads with a draft model", "draft") from error


def _key_index(draft: str, device: str, disk: RowStore | None) -> Scorer:
    with _torch_needed():
        from specprefill_agents.scoring.key_index import load_key_index
    return load_key_index(draft, device=device, disk=disk)


def _fused(draft: str, device: str, disk: RowStore | None, limits: Limits) -> Scorer:
    members = [
        Member(_key_index(draft, device, disk)),
        Member(LexicalScorer(limits), LEXICAL_WEIGHT),
        Member(IdentifierScorer(limits), IDENTIFIER_WEIGHT),
    ]
    return FusionScorer(members, limits)


def _speculative(draft: str, device: str) -> Scorer:
    with _torch_needed():
        from specprefill_agents.scoring.speculative import load_speculative
    return load_speculative(draft, device=device)


def make_scorer(config: CompressionConfig, draft: str, device: str, disk: RowStore | None) -> Scorer:
    """The scorer that `config.scorer` names. Raises `ConfigError` for an unknown one, `UnknownDraftError` for a draft
    name that leads nowhere; weights are read on first use. What is computed is kept in memory, and in `disk` when given.

    A name that is an http(s) address means the service there, which need not be there yet.
    """
    if is_address(config.scorer):
        return RemoteScorer(config.scorer, asks_at_once=False)
    draft = resolve_draft(draft)
    limits = Limits(*config.unit_chars)
    makers: dict[str, Callable[[], Scorer]] = {
        "fused": lambda: LazyScorer(lambda: _fused(draft, device, disk, limits)),
        "key_index": lambda: LazyScorer(lambda: _key_index(draft, device, disk)),
        "bm25": lambda: LexicalScorer(limits),
        "random": lambda: RandomScorer(config.seed, limits),
        "head_tail": HeadTailScorer,
        "speculative": lambda: LazyScorer(lambda: _speculative(draft, device)),
    }
    if config.scorer not in makers:
        raise ConfigError("scorer", config.scorer, ", ".join(makers))
    if config.scorer in ("fused", "key_index", "speculative"):
        locate(draft)
    return makers[config.scorer]()
