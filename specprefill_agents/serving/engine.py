"""Engine: request bodies in, answers out. Knows no HTTP; one draft and its keys for all requests; may be shared by threads."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from typing import Any

from specprefill_agents import __version__
from specprefill_agents.scoring.base import Scorer, score_titled, scorer_fingerprint, scorer_for
from specprefill_agents.scoring.score_format import packed
from specprefill_agents.serving.bodies import json_object
from specprefill_agents.serving.contract import BadRequest, answer, is_id, parse_request
from specprefill_agents.serving.pool import CompressorPool
from specprefill_agents.serving.problems import Problem
from specprefill_agents.serving.settings import ServiceSettings
from specprefill_agents.storage.last_used import LastUsed

MOST_TENANTS = 256
LONGEST_TENANT = 200


class Engine:
    """What a service does. Raises `ConfigError` or `UnknownDraftError` at construction; loads the draft in `load`."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._pool = CompressorPool(settings.config, settings.draft, device=settings.device, loads=False)
        self._scorers = LastUsed[Scorer](MOST_TENANTS)

    def load(self) -> None:
        """Load the draft and let it read a text. What it loaded is spared the garbage collector. Raises what loading raises."""
        self._pool.load()
        score_titled(self._pool.scorer, ["A text to begin with."], "begin", [None])
        gc.collect()
        gc.freeze()

    def identity(self) -> dict[str, Any]:
        """Which scorer this is: what a client puts in the place of an embedded one's identity. Loads the draft."""
        scorer = self._pool.scorer
        return {
            "scorer": scorer_fingerprint(scorer),
            "takes_titles": bool(getattr(scorer, "takes_titles", False)),
            "version": __version__,
        }

    def score(self, body: bytes) -> bytes:
        """`{"contexts", "query", "titles"?, "tenant"?}` -> `{"scorer", "scores"}`. Raises `Problem`.

        What is kept of one tenant's texts is found by no other, and not without a tenant's name.
        """
        fields = json_object(body)
        contexts: Any = fields.get("contexts")
        query: Any = fields.get("query")
        titles: Any = fields.get("titles")
        most = self._settings.max_contexts
        _require(_is_texts(contexts) and len(contexts) <= most, f"contexts must be a list of at most {most} strings")
        _require(isinstance(query, str), "query must be a string")
        chars = sum(map(len, contexts)) + len(query)
        _require(
            chars <= self._settings.max_chars, f"contexts and query must have at most {self._settings.max_chars:,} characters together"
        )
        titles = [None] * len(contexts) if titles is None else titles
        is_titles = isinstance(titles, list) and all(title is None or isinstance(title, str) for title in titles)
        _require(is_titles and len(titles) == len(contexts), "titles must be a list with a string or null for each context")
        scores = score_titled(self._scorer_of(fields.get("tenant")), contexts, query, titles)
        return _json({"scorer": scorer_fingerprint(self._pool.scorer), "scores": packed(scores)})

    def _scorer_of(self, tenant: object) -> Scorer:
        if tenant is None:
            return self._pool.scorer
        if not isinstance(tenant, str) or len(tenant) > LONGEST_TENANT:
            raise Problem(422, "invalid", f"tenant must be a string of at most {LONGEST_TENANT} characters")
        return self._scorers.get(tenant, lambda: scorer_for(self._pool.scorer, tenant))

    def compress(self, body: bytes) -> bytes:
        """A request of `serving.contract`, with or without an id -> its answer. Raises `Problem`."""
        fields = json_object(body)
        most = self._settings.max_contexts
        segments = fields.get("segments")
        _require(not isinstance(segments, list) or len(segments) <= most, f"segments must be a list of at most {most} objects")
        _require("id" not in fields or is_id(fields["id"]), "id must be a string or an integer")
        try:
            answered = answer(parse_request(fields), self._pool)
        except BadRequest as error:
            raise Problem(422, "invalid", str(error)) from error
        return _json({**({"id": fields["id"]} if "id" in fields else {}), **answered})


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise Problem(422, "invalid", message)


def _json(answered: Mapping[str, Any]) -> bytes:
    """ASCII, so that a lone surrogate survives as an escape."""
    return json.dumps(answered, separators=(",", ":")).encode("ascii")
