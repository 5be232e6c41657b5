"""The conversations that a compressor remembers where no state of an agent does: bounded, the ones used last."""

from __future__ import annotations

import threading
from collections import OrderedDict

from specprefill_agents.compressor import Compressor
from specprefill_agents.session import Session

MAX_SESSIONS = 256


class Sessions:
    """The sessions of the conversations used last; a call that names none gets one of its own."""

    def __init__(self, compressor: Compressor, limit: int, model_id: str | None) -> None:
        self._compressor = compressor
        self._limit = limit
        self._model_id = model_id
        self._held: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str | None) -> Session:
        """The session of the conversation `name`."""
        if name is None:
            return self._new("")
        with self._lock:
            session = self._held.pop(name, None) or self._new(name)
            self._held[name] = session
            while len(self._held) > self._limit:
                self._held.popitem(last=False)
            return session

    def _new(self, name: str) -> Session:
        session = self._compressor.session(name)
        session.model_id = self._model_id
        return session
