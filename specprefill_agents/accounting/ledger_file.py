"""The ledger on disk: a JSONL file that grows by a line per step, and files of either form read back."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specprefill_agents.accounting.ledger import Conversation, Ledger, Step
from specprefill_agents.accounting.ledger_json import (
    VERSION,
    conversation_from,
    dumps,
    head_to,
    ledger_from,
    ledger_to,
    step_to,
    versioned,
)
from specprefill_agents.errors import ConfigError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReadLedger:
    """A ledger from a file, and how many of its lines could not be read, such as one that a crash cut short."""

    ledger: Ledger
    unreadable_lines: int = 0


class LedgerFile:
    """Appends a line per step, each complete in itself; processes and threads may share the file.

    A file that cannot be written is reported to the log: accounting never stops an agent.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()

    def append(self, conversation: Conversation, step: Step) -> None:
        """Add one step of a conversation."""
        row = dumps({"version": VERSION, "conversation": head_to(conversation), "step": step_to(step)})
        try:
            with self._lock, self._path.open("ab", buffering=0) as stream:
                # Begin on a line of our own: another process may have been killed in the middle of one.
                stream.write(f"{'' if self._ends_whole() else chr(10)}{row}\n".encode("ascii"))
        except OSError as error:
            logger.warning("ledger record lost (%s): %s", error, row)

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as stream:
            if stream.seek(0, 2) == 0:
                return True
            stream.seek(-1, 2)
            return stream.read(1) == b"\n"


def read_ledger(path: str | Path) -> ReadLedger:
    """The ledger in a file: one JSON object as `write_ledger` makes it, or the lines of a `LedgerFile`.

    Raises OSError, and `ConfigError` for a file without any record, or with one of a later version.
    """
    data = Path(path).read_bytes()
    whole = _parsed(data)
    if isinstance(whole, dict) and "conversations" in whole:
        return ReadLedger(ledger_from(whole))
    records: list[Conversation] = []
    unreadable = 0
    for line in data.splitlines():
        row = _parsed(line)
        if isinstance(row, dict):
            records.append(_record(row))
        elif line.strip():
            unreadable += 1
    if unreadable and not records:
        raise ConfigError("file", str(path), "a ledger: JSON, or JSON lines")
    return ReadLedger(Ledger(tuple(_gathered(records))), unreadable)


def write_ledger(ledger: Ledger, path: str | Path) -> None:
    """Write a ledger as one JSON object."""
    Path(path).write_text(json.dumps(ledger_to(ledger), ensure_ascii=True, allow_nan=False, indent=1) + "\n", encoding="ascii")


def _parsed(data: bytes) -> Any:
    """What JSON `data` are; None for what is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _record(row: dict[str, Any]) -> Conversation:
    line = versioned(row)
    head = line.get("conversation")
    return conversation_from({**head, "steps": [line.get("step")]} if isinstance(head, dict) else head)


def _gathered(records: list[Conversation]) -> list[Conversation]:
    """One conversation of all the lines that are of it; merging them one by one would take the square of their number."""
    groups: dict[tuple[Any, ...], list[Conversation]] = {}
    for record in records:
        groups.setdefault((record.key, record.rule, record.counter, record.arm), []).append(record)
    gathered: list[Conversation] = []
    for group in groups.values():
        first = group[0]
        steps = {step.number: step for record in group for step in record.steps}
        clashing = [record for record in group if record.steps and steps[record.steps[0].number] != record.steps[0]]
        ordered = tuple(steps[number] for number in sorted(steps))
        gathered.append(Conversation(first.id, first.started, first.rule, first.counter, first.arm, ordered))
        gathered += clashing  # refused, with their number, when the ledger is made
    return gathered
