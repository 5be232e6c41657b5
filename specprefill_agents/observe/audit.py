"""Audit records: what was decided, by which draft and settings, and what failed. Hold no conversation text unless asked to."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from specprefill_agents import errors
from specprefill_agents.observe.rotation import RotatingLines

logger = logging.getLogger("specprefill_agents.audit")

SETTINGS = "settings"
"""The field with a whole configuration, whose fingerprint is in the field `config`."""
EXTRA = "specprefill"
"""The attribute of a log record that holds an audit record as it is, for formatters."""
TEXT_FIELDS = frozenset({"text", "query", "call", "repeat", "recalled"})
"""Fields that hold text of the conversation, or may."""
MAX_BYTES = 2**26
KEEP = 7

_OWN_ERRORS = frozenset(name for name, value in vars(errors).items() if isinstance(value, type))


class AuditLog(Protocol):
    """Receives one record per call and per decision: plain JSON types, token counts, reasons and fingerprints.

    One with a true attribute `include_text` also gets the texts that decisions are about.
    """

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Keep one record; must not raise for anything a caller can put into `fields`."""
        ...


class LoggingAudit:
    """Sends records to the `specprefill_agents.audit` logger: calls that failed as warnings, the rest as debug messages."""

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Log one record as JSON, without its settings."""
        has_failed = event != "decision" and fields.get("fallback_reason")  # of a decision, the call's own record says so
        level = logging.WARNING if has_failed else logging.DEBUG
        if logger.isEnabledFor(level):
            shown = {name: value for name, value in fields.items() if name != SETTINGS}
            logger.log(level, "%s %s", event, _json(shown), extra={EXTRA: {"event": event, **shown}})


class JsonlAudit:
    """Appends records to a JSONL file, one line each, with the time in UTC. May be shared by threads and processes.

    A file of about `max_bytes` is set aside as `path.1`, the one before it as `path.2`, and so on up to `keep`; what is older is
    removed. Each file says every configuration once, in a record "config". With `include_text` the texts that were decided on,
    the questions and the arguments of calls are written too. Files are made readable by their owner alone. A record that
    cannot be written goes to the logger, without texts. Raises `ConfigError` at construction, and nothing later.
    """

    def __init__(self, path: str | Path, *, max_bytes: int = MAX_BYTES, keep: int = KEEP, include_text: bool = False) -> None:
        self.include_text = include_text
        self._lines = RotatingLines(path, max_bytes, keep)

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Append one line."""
        try:
            time = datetime.now(timezone.utc).isoformat()
            row = {"time": time, "event": event, **fields}
            settings = row.pop(SETTINGS, None)
            once = {}
            if settings is not None:
                name = str(row.get("config"))
                once[name] = _json({"time": time, "event": "config", "config": name, SETTINGS: settings})
            self._lines.append(_json(row), once)
        except Exception as error:
            _lost(event, fields, error)


class SafeAudit:
    """Hands records on to another log; one that it fails to keep is reported to the logger, and stops nothing."""

    def __init__(self, inner: AuditLog) -> None:
        self.include_text = bool(getattr(inner, "include_text", False))
        self._inner = inner

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Keep one record; never raises."""
        try:
            self._inner.record(event, fields)
        except Exception as error:
            _lost(event, fields, error)


class Audits:
    """Hands each record to several logs, such as a file and telemetry. One that fails stops none of the others.

    Texts go only to those of them that ask for texts.
    """

    def __init__(self, *logs: AuditLog) -> None:
        self._logs = [SafeAudit(log) for log in logs]
        self.include_text = any(log.include_text for log in self._logs)

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Keep one record in each log; never raises."""
        without = _without_text(fields) if self.include_text else fields
        for log in self._logs:
            log.record(event, fields if log.include_text else without)


class SilentAudit:
    """Keeps no records: for callers that say themselves what happened, such as the command line."""

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Nothing."""


def without_quotes(reason: str | None) -> str | None:
    """Why something failed, as a record without text may say it: of an error that is not this library's own, its type alone.

    What such an error says may quote what it was about.
    """
    name, is_said, _ = (reason or "").partition(": ")
    return name if is_said and name.isidentifier() and name not in _OWN_ERRORS else reason


def _without_text(fields: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in fields.items() if name not in TEXT_FIELDS}
    quoting = [name for name in ("reason", "fallback_reason") if isinstance(kept.get(name), str)]
    return {**kept, **{name: without_quotes(kept[name]) for name in quoting}}


def _json(row: Mapping[str, Any]) -> str:
    return json.dumps(dict(row), ensure_ascii=True, default=str)


def _lost(event: str, fields: Mapping[str, Any], error: Exception) -> None:
    cause = str(error) if isinstance(error, OSError) else type(error).__name__
    try:
        said = _json({"event": event, **{name: value for name, value in fields.items() if name not in TEXT_FIELDS | {SETTINGS}}})
    except Exception:  # what JSON does not take, a user's own type that fails to be said
        said = event
    logger.warning("audit record lost (%s): %s", cause, said)
