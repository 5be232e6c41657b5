"""The caches a scorer uses: this process's memory in front of the disk, or the server, that all processes share.

A scorer's caches are bound to what its values depend on, so that it names values by their texts alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.scoring.context_keys import ContextKeys
from specprefill_agents.storage.memory import MemoryCache, MemoryKeyCache, ValueCache
from specprefill_agents.storage.rows import CONTEXT_KEYS, QUERY_VECTORS, SCORES, RowKind
from specprefill_agents.storage.score_cache import RowStore, Scope, content_name
from specprefill_agents.types import TokenScores

V = TypeVar("V")

QUERY_BYTES = 2**23
SCORE_BYTES = 2**25
"""Memory for query vectors and for final scores, in bytes."""


class LayeredCache(Generic[V]):
    """`memory` in front of `disk`; without `disk`, memory alone. `memory` may be shared between scopes and tenants."""

    def __init__(self, kind: RowKind[V], memory: ValueCache[V], disk: RowStore | None, scope: Scope) -> None:
        self._kind = kind
        self._memory = memory
        self._disk = disk
        self._scope = scope
        self._prefix = "\0".join([disk.tenant if disk else "", scope.revision, scope.fingerprint, ""])

    def get(self, name: str, /) -> V | None:
        """The value stored under `name`, or None; it is shared, so it must not be changed."""
        value = self._memory.get(self._prefix + name)
        if value is None and self._disk is not None:
            value = self._disk.get(self._kind, self._scope, name)
            if value is not None:
                self._memory.put(self._prefix + name, value)
        return value

    def put(self, name: str, value: V, /) -> None:
        """Store `value` in both."""
        self._memory.put(self._prefix + name, value)
        if self._disk is not None:
            self._disk.put(self._kind, self._scope, name, value)


class LayeredKeyCache(LayeredCache[ContextKeys]):
    """Keys of contexts, each under the name of its text."""

    def __init__(self, disk: RowStore | None, scope: Scope, memory: ValueCache[ContextKeys] | None = None) -> None:
        super().__init__(CONTEXT_KEYS, MemoryKeyCache() if memory is None else memory, disk, scope)


class LayeredQueryCache(LayeredCache[NDArray[np.float32]]):
    """Query vectors (N, W, D), each under the name of its question."""

    def __init__(self, disk: RowStore | None, scope: Scope, memory: ValueCache[NDArray[np.float32]] | None = None) -> None:
        own = MemoryCache[NDArray[np.float32]](QUERY_BYTES, lambda vectors: vectors.nbytes)
        super().__init__(QUERY_VECTORS, own if memory is None else memory, disk, scope)


class LayeredScoreCache(LayeredCache[tuple[TokenScores, ...]]):
    """Final scores of whole calls, each under the name of the question and all contexts; come back with `cached` set."""

    def __init__(self, disk: RowStore | None, scope: Scope, memory: ValueCache[tuple[TokenScores, ...]] | None = None) -> None:
        super().__init__(SCORES, MemoryCache(SCORE_BYTES, _held_bytes) if memory is None else memory, disk, scope)

    def put(self, name: str, value: Sequence[TokenScores], /) -> None:
        """Store the scores of one call, one per context."""
        super().put(name, tuple(replace(one, cached=True) for one in value))


class TenantCache(Generic[V]):
    """What one tenant has in a cache that others use too: the same text has another name for each, so none hits another's."""

    def __init__(self, cache: ValueCache[V], tenant: str) -> None:
        self._cache = cache
        self._tenant = tenant

    def get(self, name: str, /) -> V | None:
        """The value that this tenant stored under `name`, or None."""
        return self._cache.get(content_name(self._tenant, name))

    def put(self, name: str, value: V, /) -> None:
        """Store `value` for this tenant."""
        self._cache.put(content_name(self._tenant, name), value)


def _held_bytes(scores: Sequence[TokenScores]) -> int:
    return sum(one.offsets.nbytes + one.scores.nbytes for one in scores)


@dataclass(frozen=True, slots=True)
class ScorerCaches:
    """Everything one scorer keeps."""

    keys: ValueCache[ContextKeys]
    queries: ValueCache[NDArray[np.float32]]
    scores: ValueCache[tuple[TokenScores, ...]]

    @classmethod
    def of(cls, disk: RowStore | None, revision: str, fingerprint: str) -> ScorerCaches:
        """Caches of the scorer with this `fingerprint` on the draft of this `revision`; in memory alone without `disk`."""
        scope = Scope(revision, fingerprint)
        return cls(LayeredKeyCache(disk, scope), LayeredQueryCache(disk, scope), LayeredScoreCache(disk, scope))

    def for_tenant(self, tenant: str) -> ScorerCaches:
        """The same caches, and their limits, under names of the tenant's own."""
        return ScorerCaches(TenantCache(self.keys, tenant), TenantCache(self.queries, tenant), TenantCache(self.scores, tenant))
