"""Audit records: what was decided, by which draft and settings, and what failed. Never holds conversation text."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

logger = logging.getLogger("specprefill_agents.audit")


class AuditLog(Protocol):
    """Receives one record per call: plain JSON types, token counts, reasons and fingerprints."""

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Keep one record; must not raise for anything a caller can put into `fields`."""
        ...


class LoggingAudit:
    """Sends records to the `specprefill_agents.audit` logger: failures as warnings, the rest as debug messages."""

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Log one record as JSON."""
        level = logging.WARNING if fields.get("fallback_reason") else logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s %s", event, json.dumps(dict(fields), ensure_ascii=True, default=str))


class JsonlAudit:
    """Appends records to a JSONL file, one line each, with the time in UTC; safe to share between threads."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Append one line. A file that cannot be written is reported to the log instead."""
        row = {"time": datetime.now(timezone.utc).isoformat(), "event": event, **fields}
        try:
            with self._lock, self._path.open("a", encoding="ascii") as stream:
                stream.write(json.dumps(row, ensure_ascii=True, default=str) + "\n")
        except OSError as error:
            logger.warning("audit record lost (%s): %s", error, json.dumps(row, ensure_ascii=True, default=str))


class SafeAudit:
    """Hands records on to another log; one that it fails to keep is reported to the logger, and stops nothing."""

    def __init__(self, inner: AuditLog) -> None:
        self._inner = inner

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Keep one record; never raises."""
        try:
            self._inner.record(event, fields)
        except Exception as error:
            row = json.dumps({"event": event, **fields}, ensure_ascii=True, default=str)
            logger.warning("audit record lost (%s): %s", type(error).__name__, row)


class SilentAudit:
    """Keeps no records: for callers that say themselves what happened, such as the command line."""

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Nothing."""
