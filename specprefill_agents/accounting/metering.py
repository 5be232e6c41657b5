"""CallMeter: follows an agent's conversations, and says of each model call what it cost and whether the cached prefix held.

Knows no message format: who has one makes a subclass that says which parts a call and an answer have.
"""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Generic, TypeAlias, TypeVar

from specprefill_agents.accounting.caching import RULES
from specprefill_agents.accounting.ledger import Conversation, Ledger, Step
from specprefill_agents.accounting.ledger_file import LedgerFile
from specprefill_agents.accounting.recording import Exchange, LedgerSettings, Recorder
from specprefill_agents.accounting.tokens import TokenCounter
from specprefill_agents.accounting.tracking import PrefixReport, PrefixTracker
from specprefill_agents.accounting.wire import Measurer, Part

MAX_CONVERSATIONS = 256
UNKNOWN_MODEL = "unknown"

OnStep: TypeAlias = Callable[[Conversation, Step], None]

Report = TypeVar("Report")
Answer = TypeVar("Answer")
Meter = TypeVar("Meter", bound="CallMeter[Any, Any]")


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A model call as its provider reads it, and as it would be uncompressed.

    `head` and `plain_head` come before the messages: tools, and a system prompt that is kept apart from them. `model` is
    "" where nobody says its name; a `conversation_id` that is not `is_named` holds for one run of an agent.
    """

    head: tuple[Part, ...]
    plain_head: tuple[Part, ...]
    sent: tuple[Part, ...]
    plain: tuple[Part, ...]
    scorer_ms: float
    conversation_id: str
    is_named: bool
    model: str = ""
    arm: str = ""


@dataclass(slots=True)
class _Followed:
    """A conversation with one model. `asked` and `answered` name its messages without and with the last answer.

    `scorer_ms` was spent since then.
    """

    recorder: Recorder
    tracker: PrefixTracker
    asked: str = ""
    answered: str = ""
    scorer_ms: float = 0.0
    asked_at: datetime | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class CallMeter(ABC, Generic[Report, Answer]):
    """Keeps the ledger of every conversation and looks at its prefix: `asked` before a model call, `answered` after it.

    Tokens are counted with `counter`. `on_step` is told of each step, for instance `LedgerFile.append`; the conversations
    used last, `max_conversations` of them, are followed and found in `ledger`. `settings` bring prices, an arm's label and
    the cost of the draft's machine. `model` is the name that prices go by, for a model that does not say its own. Calls of
    one conversation to several models are accounted for each on its own, as their caches are. `now` tells the time, with
    its zone. Safe to share between threads and agents.
    """

    def __init__(
        self,
        counter: TokenCounter,
        on_step: OnStep | None = None,
        *,
        settings: LedgerSettings | None = None,
        model: str | None = None,
        max_conversations: int = MAX_CONVERSATIONS,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.settings = settings or LedgerSettings()
        self._counter = counter
        self._on_step = on_step
        self._model = model
        self._limit = max_conversations
        self._now = now
        self._held: OrderedDict[tuple[str, str], _Followed] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def feeding(cls: type[Meter], ledger: Meter | LedgerFile | OnStep | None, counter: TokenCounter) -> Meter:
        """The meter that feeds `ledger`: itself where it is one; for None one that feeds nothing, and only looks at prefixes."""
        if isinstance(ledger, CallMeter):
            return ledger
        return cls(counter, ledger.append if isinstance(ledger, LedgerFile) else ledger)

    @property
    def ledger(self) -> Ledger:
        """What was recorded of the conversations that are followed."""
        with self._lock:
            known = [followed.recorder.conversation for followed in self._held.values()]
        return Ledger(tuple(conversation for conversation in known if conversation))

    @abstractmethod
    def call_of(self, report: Report) -> ModelCall:
        """The call that `report` is of."""

    @abstractmethod
    def answer_of(self, answer: Answer) -> tuple[Part, object]:
        """An answer as a part, and the usage that the provider reported with it; None where it did not."""

    def asked(self, report: Report) -> PrefixReport:
        """A model call is about to be made: what it shares with the conversation's request before, under each caching rule.

        Whole requests are compared, tools and system prompt included.
        """
        call = self.call_of(report)
        followed = self._follow(call)
        with followed.lock:
            followed.asked_at = self._now()
            followed.scorer_ms += call.scorer_ms
            return followed.tracker.request([*call.head, *call.sent], followed.asked_at)

    def answered(self, report: Report, answer: Answer, first_chunk_ms: float | None = None) -> Step:
        """The call of `report` has been answered: what it cost, as billed, as sent, and as it would have been uncompressed.

        `first_chunk_ms` is what the answer took to begin, where it was streamed.
        """
        call, (part, usage) = self.call_of(report), self.answer_of(answer)
        followed = self._follow(call)
        with followed.lock:
            exchange = Exchange(
                sent=[*call.head, *call.sent],
                plain=[*call.plain_head, *call.plain],
                answer=part,
                usage=usage,
                scorer_ms=followed.scorer_ms,
                first_chunk_ms=first_chunk_ms,
            )
            followed.scorer_ms = 0.0
            followed.tracker.answer(part)
            *_, followed.asked, followed.answered = ["", *_names_of_beginnings([*call.plain, part])]
            return followed.recorder.record(exchange, followed.asked_at or self._now())

    def _follow(self, call: ModelCall) -> _Followed:
        """The conversation of `call`; where nobody named it, perhaps one that an earlier run of an agent began."""
        key = call.conversation_id, self._model or call.model or UNKNOWN_MODEL
        with self._lock:
            followed = self._held.pop(key, None)
            if followed is None and not call.is_named:
                followed = self._continued(call, key[1])
            if followed is None:
                followed = self._begun(*key, call.arm)
            self._held[key] = followed
            while len(self._held) > self._limit:
                self._held.popitem(last=False)
        return followed

    def _continued(self, call: ModelCall, model: str) -> _Followed | None:
        """The conversation that `call` goes on with, longest first, no longer under its name of then.

        Some agents put an answer in other words before they send it back; then what was asked before must be the same.
        """
        held = {key: followed for key, followed in self._held.items() if key[1] == model and followed.answered}
        answered = {followed.answered: key for key, followed in held.items()}
        asked = {followed.asked: key for key, followed in held.items()}
        names = list(_names_of_beginnings(call.plain)) if held else []
        for name in reversed(names):
            found = answered.get(name) or (asked.get(name) if name != names[-1] else None)
            if found:
                return self._held.pop(found)
        return None

    def _begun(self, conversation_id: str, model: str, arm: str) -> _Followed:
        counter = Measurer(self._counter)  # one for both, so that a text is counted once
        settings = replace(self.settings, arm=self.settings.arm or arm)
        recorder = Recorder(conversation_id, model, counter, settings, self._on_step)
        return _Followed(recorder, PrefixTracker(counter, tuple(RULES.values())))


def _names_of_beginnings(parts: Sequence[Part]) -> Iterator[str]:
    """A name for each beginning of `parts`, the shortest first; equal only where all their texts are."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.wire.encode("utf-8", "surrogatepass")
        state.update(b"%d:" % len(data))
        state.update(data)
        yield state.hexdigest()
