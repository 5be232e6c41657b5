"""Log records as lines of JSON, for collectors. What they were made of is left out unless this library said it itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import PurePath
from typing import Any

from specprefill_agents.errors import SpecPrefillError
from specprefill_agents.observe.audit import EXTRA, TEXT_FIELDS

REDACTED = "…"
"""Stands for what a message would have quoted."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time` (UTC), `level`, `logger`, `message`, the fields of an audit record, `error` (its type).

    Without `include_text`, strings that a message quotes become `…`, and of an exception only its type and where it was
    raised are said; numbers, paths, what the system says of files, and this library's own errors stay. Meant for the logger
    `specprefill_agents` and those below it.
    """

    def __init__(self, *, include_text: bool = False) -> None:
        super().__init__()
        self._include_text = include_text

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, without its end."""
        fields = getattr(record, EXTRA, None)
        row: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname,
            "logger": record.name,
        }
        if isinstance(fields, Mapping):
            shown = {name: value for name, value in fields.items() if self._include_text or name not in TEXT_FIELDS}
            row |= {"message": shown.get("event", "audit"), "audit": shown}
        else:
            row["message"] = record.getMessage() if self._include_text else _redacted(record)
        if record.exc_info and record.exc_info[1] is not None:
            row |= self._error(record.exc_info[1])
        return json.dumps(row, ensure_ascii=True, default=str)

    def _error(self, error: BaseException) -> dict[str, str]:
        at, place = error.__traceback__, ""
        while at:
            place = f"{PurePath(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}"
            at = at.tb_next
        said = {"error_message": str(error)} if self._include_text or _is_own(error) else {}
        return {"error": type(error).__name__, "error_at": place, **said}


def _redacted(record: logging.LogRecord) -> str:
    given = record.args if isinstance(record.args, tuple) else (record.args,) if record.args else ()
    try:
        return str(record.msg) % tuple(value if _is_own(value) else _Hidden() for value in given) if given else _whole(record.msg)
    except (TypeError, ValueError):
        return _whole(record.msg)


def _whole(message: object) -> str:
    """A message that quotes nothing is one that was written into the program; another object may hold anything."""
    return message if isinstance(message, str) else REDACTED


def _is_own(value: object) -> bool:
    plain = isinstance(value, (int, float, PurePath, OSError, SpecPrefillError)) or value is None
    return plain or type(value).__module__.startswith("specprefill_agents.")


class _Hidden:
    """Formats as `REDACTED`, whatever the conversion."""

    def __str__(self) -> str:
        return REDACTED

    __repr__ = __str__
