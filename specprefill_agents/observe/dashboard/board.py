"""Board: the rows of all files, the newest so many of each kind, and what is new in the files since it last looked."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from specprefill_agents.accounting.ledger import Conversation
from specprefill_agents.accounting.ledger_file import read_ledger
from specprefill_agents.accounting.ledger_json import conversation_from, versioned
from specprefill_agents.errors import ConfigError
from specprefill_agents.observe.audit import SETTINGS
from specprefill_agents.observe.dashboard.rows import (
    Call,
    Decision,
    Spent,
    Trouble,
    alone_of,
    call_of,
    decision_of,
    spent_of,
    trouble_of,
)
from specprefill_agents.observe.dashboard.tail import Place, Tail
from specprefill_agents.observe.decisions import EVENT

MAX_ROWS = 200_000
"""Rows of each kind that are held; older ones are left out, and the page says so. About 60 MB of each kind."""
MAX_SETTINGS = 1_000

Key: TypeAlias = tuple[str, datetime, int]


@dataclass(slots=True)
class Rows:
    """Rows by kind; `spent` by conversation, its start and the step's number, so that what two files hold counts once."""

    limit: int = MAX_ROWS
    decisions: deque[tuple[int, Decision]] = field(default_factory=deque)
    calls: deque[Call] = field(default_factory=deque)
    troubles: deque[Trouble] = field(default_factory=deque)
    spent: dict[Key, Spent] = field(default_factory=dict)
    left_out: int = 0
    made: int = 0
    """Decisions ever added: each has its number, from 0."""

    def decide(self, decision: Decision) -> None:
        """Add a decision under the next number."""
        self.decisions.append((self.made, decision))
        self.made += 1

    def pay(self, conversation: Conversation) -> None:
        """Add the steps of a conversation that are not there yet."""
        for last, spent in spent_of(conversation):
            self.spent.setdefault((conversation.id, conversation.started, last), spent)

    def trim(self) -> None:
        """Leave out the oldest beyond the limit."""
        for rows in (self.decisions, self.calls, self.troubles):
            while len(rows) > self.limit:
                rows.popleft()
                self.left_out += 1
        while len(self.spent) > self.limit:
            del self.spent[next(iter(self.spent))]
            self.left_out += 1


class Board:
    """Follows ledger and audit files. Not thread-safe: whoever serves it holds a lock. Raises OSError where a file is missing."""

    def __init__(self, ledgers: Sequence[Path], audits: Sequence[Path], limit: int = MAX_ROWS) -> None:
        self.rows = Rows(limit)
        self.settings: dict[str, Any] = {}
        self.version = 0
        self._ledgers = [_Ledger(path) for path in ledgers]
        self._audits = [Tail(path) for path in audits]
        self.look()

    @property
    def files(self) -> list[Path]:
        """What is followed."""
        return [*(one.path for one in self._ledgers), *(one.path for one in self._audits)]

    @property
    def unreadable_lines(self) -> int:
        """Lines that were no records."""
        return sum(one.unreadable_lines for one in self._ledgers) + sum(one.unreadable_lines for one in self._audits)

    def look(self) -> bool:
        """Take in what is new; whether anything was."""
        before = self.version
        for ledger in self._ledgers:
            for conversation in ledger.new():
                self.rows.pay(conversation)
                self._changed()
        for tail in self._audits:
            for place, record in tail.new():
                self._add(record, place)
                self._changed()
        self.rows.trim()
        return self.version != before

    def record_of(self, number: int) -> tuple[Decision, dict[str, Any]] | None:
        """A decision and its whole record, by the decision's number; None where either is gone."""
        decisions = self.rows.decisions
        index = number - decisions[0][0] if decisions else -1
        if not 0 <= index < len(decisions):
            return None
        decision = decisions[index][1]
        found = next(filter(None, (tail.at(decision.place) for tail in self._audits)), None)
        return (decision, found) if found else None

    def _changed(self) -> None:
        self.version += 1
        if self.version % 1000 == 0:
            self.rows.trim()

    def _add(self, record: dict[str, Any], place: Place) -> None:
        event = record.get("event")
        if not isinstance(event, str):
            return
        if isinstance(record.get(SETTINGS), dict) and len(self.settings) < MAX_SETTINGS:
            self.settings[str(record.get("config"))] = record[SETTINGS]
        if event == EVENT and "outcome" in record:
            self.rows.decide(decision_of(record, place))
        if event == "compress":
            self.rows.calls.append(call_of(record))
            alone = alone_of(record, place)
            if alone:
                self.rows.decide(alone)
        trouble = trouble_of(record)
        if trouble:
            self.rows.troubles.append(trouble)


class _Ledger:
    """A ledger file of either form."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail = Tail(path)
        self._bad = 0
        self._stamp: tuple[int, int] | None = None
        self._is_whole = _is_whole(path)

    @property
    def unreadable_lines(self) -> int:
        return self._tail.unreadable_lines + self._bad

    def new(self) -> Iterator[Conversation]:
        return self._read_whole() if self._is_whole else self._lines()

    def _read_whole(self) -> Iterator[Conversation]:
        status = self.path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._stamp = stamp
            yield from read_ledger(self.path).ledger.conversations

    def _lines(self) -> Iterator[Conversation]:
        for _, row in self._tail.new():
            try:
                line = versioned(row)
                head = line.get("conversation")
                yield conversation_from({**head, "steps": [line.get("step")]} if isinstance(head, dict) else head)
            except ConfigError:
                self._bad += 1


def _is_whole(path: Path) -> bool:
    """Whether a ledger is one JSON object, not lines of them."""
    with path.open("rb") as stream:
        first = stream.readline()
    try:
        found = json.loads(first)
    except ValueError:
        return first.strip() == b"{"
    return isinstance(found, dict) and "conversations" in found


def newest(rows: Iterable[tuple[int, Decision]], count: int) -> list[tuple[int, Decision]]:
    """The last `count`, the newest first."""
    return list(deque(rows, count))[::-1]
