"""What tests of shared stores have in common; run as a program, one process among several that use a server."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from specprefill_agents import CompressionConfig, Compressor, Originals, Segment
from specprefill_agents.session.shared import SessionStore
from specprefill_agents.storage.redis_server import RedisServer
from specprefill_agents.storage.rows import CONTEXT_KEYS
from specprefill_agents.storage.score_cache import ScoreCache
from tests.agent_runs import log as tool_output
from tests.cached_values import SCOPE, context_keys, same

SECRET = b"a secret that all of us share"


class Log:
    """An audit log that a test reads."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Mapping[str, Any]]] = []

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        self.rows.append((event, fields))

    def of(self, event: str) -> list[str]:
        """What the records of an event say."""
        return [str(fields.get("fallback_reason") or fields.get("note")) for name, fields in self.rows if name == event]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def compressor(originals: Originals | None = None, audit: Log | None = None, **settings: Any) -> Compressor:
    """One that needs no draft, and decides by the question."""
    values = {"scorer": "bm25", "keep_ratio": 0.3, "min_tokens": 0, "min_result_tokens": 0, "target_tokenizer": "estimate", **settings}
    return Compressor(
        config=CompressionConfig.from_dict(values),
        cache="memory",
        originals=originals or Originals.in_memory(),
        audit=audit,
    )


def outputs(count: int) -> list[Segment]:
    """So many tool outputs of one conversation."""
    return [Segment(tool_output(number), id=f"call-{number}") for number in range(count)]


def steps(session: Any, segments: list[Segment], query: str) -> list[str]:
    """What is sent of a conversation that reads one segment after the other."""
    sent = []
    for number in range(1, len(segments) + 1):
        sent = [one.text for one in session.step(segments[:number], f"{query} {number}").segments]
    return sent


def main(url: str, query: str) -> None:
    """Store and read what every other process does; print what was sent of the conversation that all step."""
    server = RedisServer(url, timeout_s=60, connect_timeout_s=60)
    cache = ScoreCache.on_redis(server, secret=SECRET)
    for name in range(12):
        found = cache.get(CONTEXT_KEYS, SCOPE, str(name))
        if found is None:
            cache.put(CONTEXT_KEYS, SCOPE, str(name), context_keys(name))
        elif not same(found, context_keys(name)):
            raise SystemExit(f"wrong value under {name}")
    store = SessionStore(server, compressor(Originals.on_redis(server, secret=SECRET)), secret=SECRET)
    sent = steps(store.session("conversation"), outputs(6), query)
    if cache.stats.errors or cache.stats.damaged or server.stats.failed:
        raise SystemExit(f"{cache.stats} {server.stats}")
    sys.stdout.write(json.dumps({"sent": sent, "hits": cache.stats.hits}))
    server.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
