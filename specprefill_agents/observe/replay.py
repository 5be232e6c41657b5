"""Replaying decisions: from the record, the original and the settings, are the bytes the same that were sent?

Of a record without text, what a later text calls an earlier one is not known; it is replayed with the recorded hash in its
place, and proved by the hash of the text that reads so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from specprefill_agents.config import CompressionConfig
from specprefill_agents.errors import ConfigError
from specprefill_agents.observe.audit import SETTINGS
from specprefill_agents.observe.audit_file import Record
from specprefill_agents.observe.decisions import EVENT, decided_from, kind_from, text_hash
from specprefill_agents.prompt.decided import decided_text
from specprefill_agents.storage.originals import Originals

Verdict: TypeAlias = Literal["same", "differs", "not replayed"]

DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a record raises that was not written as it is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one proof, and why where it is not `same`."""

    verdict: Verdict
    reason: str = ""


SAME = Finding("same")


class Unproved(Exception):
    """Ends a proof with what was found."""

    def __init__(self, verdict: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.finding = Finding(verdict, reason)


@dataclass(frozen=True, slots=True)
class Trail:
    """What a log holds for replaying: decisions in order, the last one of each name, settings by their fingerprint, ids by text hash."""

    decisions: tuple[Record, ...]
    by_name: Mapping[str, Record]
    settings: Mapping[str, Mapping[str, Any]]
    ids: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, records: Iterable[Record]) -> Trail:
        """Gather a log."""
        settings: dict[str, Mapping[str, Any]] = {}
        decisions: list[Record] = []
        for record in records:
            if isinstance(record.get(SETTINGS), dict):
                settings[str(record.get("config"))] = record[SETTINGS]
            if record["event"] == EVENT:
                decisions.append(record)
        ids = {str(one.get("text_sha256")): str(one["original_id"]) for one in decisions if one.get("original_id")}
        return cls(tuple(decisions), {str(one.get("decision")): one for one in decisions}, settings, ids)


class Replay:
    """Proves decisions of a trail, with texts from their records or from `originals`."""

    def __init__(self, trail: Trail, originals: Originals | None = None) -> None:
        self._trail = trail
        self._originals = originals

    def bytes_of(self, record: Record) -> Finding:
        """Whether the decision of `record` gives the bytes that were sent."""
        try:
            self._prove(record)
        except Unproved as ended:
            return ended.finding
        except DAMAGE as error:
            return Finding("differs", f"the record is damaged ({type(error).__name__}: {error})")
        return SAME

    def _prove(self, record: Record) -> None:
        decided, kind = decided_from(record), kind_from(record)
        sent = record["sent_sha256"]
        if decided.needs and record.get("masked_sha256"):
            sent = record["masked_sha256"]
        if decided.outcome != "compressed" and not decided.recalled:
            self._prove_whole(record, sent)
            return
        config = self.config_of(record)
        sources = {part.source: self._source(part.source) for part in decided.recalled}
        text = self.text_of(record)
        if text_hash(decided_text(config, kind, text, decided, sources)) != sent:
            raise Unproved("differs", "the decision gives other bytes than were sent")

    def _prove_whole(self, record: Record, sent: str) -> None:
        """What was sent whole needs no text to be proved, and no settings."""
        if record["text_sha256"] != sent:
            raise Unproved("differs", "sent whole, yet not as it was")
        if "text" in record:
            self.text_of(record)

    def config_of(self, record: Record) -> CompressionConfig:
        """The settings that a record names. Raises `Unproved`."""
        name = record["config"]
        values = self._trail.settings.get(name)
        if values is None:
            raise Unproved("not replayed", f"the settings {name} are not in this log")
        rules = [rule if isinstance(rule, str) else _Absent(rule) for rule in values.get("force_keep", ())]
        try:
            config = CompressionConfig.from_dict({**values, "force_keep": rules})
        except ConfigError as error:
            raise Unproved("not replayed", f"settings of another version of this library: {error}") from error
        if config.fingerprint() != name:
            raise Unproved("not replayed", f"the settings {name} were changed, or are of another version of this library")
        return config

    def text_of(self, record: Record) -> str:
        """The whole text that a record is about. Raises `Unproved`."""
        expected = record["text_sha256"]
        text, where = record.get("text"), "the record"
        if text is None:
            name = record["original_id"] or self._trail.ids.get(expected, "")
            if not name:
                raise Unproved("not replayed", f"neither the text nor an original of {record['decision']} was kept")
            text, where = self._originals.get(name) if self._originals else None, name
            if text is None:
                raise Unproved("not replayed", f"the original {name} is not in the store: expired, or kept elsewhere")
        if text_hash(text) != expected:
            raise Unproved("differs", f"{where} holds another text than was decided on")
        return str(text)

    def _source(self, name: str) -> str:
        record = self._trail.by_name.get(name)
        if record is None:
            raise Unproved("not replayed", f"the record of {name}, of which parts were recalled, is not in this log")
        return self.text_of(record)


class _Absent:
    """A function of `force_keep` that a log knows by its name alone; shapes no bytes once spans are decided."""

    def __init__(self, rule: Mapping[str, str]) -> None:
        self.__module__, _, self.__qualname__ = rule["function"].rpartition(".")

    def __call__(self, *_: object) -> tuple[()]:
        raise LookupError(f"{self.__module__}.{self.__qualname__} is not here")
