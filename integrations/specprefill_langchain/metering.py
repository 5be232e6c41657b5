"""Meter: follows an agent's conversations, and says of each model call what it cost and whether the cached prefix held."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TypeAlias

from langchain_core.messages import AIMessage

from specprefill_agents.accounting.caching import RULES
from specprefill_agents.accounting.ledger import Conversation, Ledger, Step
from specprefill_agents.accounting.ledger_file import LedgerFile
from specprefill_agents.accounting.recording import Exchange, LedgerSettings, Recorder
from specprefill_agents.accounting.tokens import TokenCounter
from specprefill_agents.accounting.tracking import PrefixReport, PrefixTracker
from specprefill_agents.accounting.wire import Measurer, Part
from specprefill_langchain.parts import head_parts, names_of_beginnings, part_of, reported_usage
from specprefill_langchain.step import StepReport

MAX_CONVERSATIONS = 256
UNKNOWN_MODEL = "unknown"

OnStep: TypeAlias = Callable[[Conversation, Step], None]


@dataclass(slots=True)
class _Followed:
    """A conversation with one model. `end` names its messages up to the last answer; `scorer_ms` was spent since then."""

    recorder: Recorder
    tracker: PrefixTracker
    end: str = ""
    scorer_ms: float = 0.0
    asked_at: datetime | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Meter:
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
        self._counter = counter
        self._on_step = on_step
        self._settings = settings or LedgerSettings()
        self._model = model
        self._limit = max_conversations
        self._now = now
        self._held: OrderedDict[tuple[str, str], _Followed] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def ledger(self) -> Ledger:
        """What was recorded of the conversations that are followed."""
        with self._lock:
            known = [followed.recorder.conversation for followed in self._held.values()]
        return Ledger(tuple(conversation for conversation in known if conversation))

    def asked(self, report: StepReport) -> PrefixReport:
        """A model call is about to be made: what it shares with the conversation's request before, under each caching rule.

        Whole requests are compared, tools and system prompt included.
        """
        followed = self._follow(report)
        with followed.lock:
            followed.asked_at = self._now()
            followed.scorer_ms += report.result.usage.scorer_ms
            return followed.tracker.request(self._sent(report), followed.asked_at)

    def answered(self, report: StepReport, answer: AIMessage) -> Step:
        """The call of `report` has been answered: what it cost, as billed, as sent, and as it would have been uncompressed."""
        followed = self._follow(report)
        part, plain = part_of(answer), [part_of(message) for message in report.messages]
        # Uncompressed, nobody would have described the tool that expands gaps.
        tools = [tool for tool in report.tools if _name(tool) != self._settings.expand_tool]
        with followed.lock:
            exchange = Exchange(
                sent=self._sent(report),
                plain=[*head_parts(tools, report.system), *plain],
                answer=part,
                usage=reported_usage(answer),
                scorer_ms=followed.scorer_ms,
            )
            followed.scorer_ms = 0.0
            followed.tracker.answer(part)
            *_, followed.end = names_of_beginnings([*plain, part])
            return followed.recorder.record(exchange, followed.asked_at or self._now())

    def _sent(self, report: StepReport) -> list[Part]:
        return [*head_parts(report.tools, report.system), *map(part_of, report.sent)]

    def _follow(self, report: StepReport) -> _Followed:
        """The conversation of `report`; where no config named it, perhaps one that an earlier run of an agent began."""
        key = report.conversation_id, self._model or report.model or UNKNOWN_MODEL
        with self._lock:
            followed = self._held.pop(key, None)
            if followed is None and not report.is_named:
                followed = self._continued(report, key[1])
            if followed is None:
                followed = self._begun(*key, report.arm)
            self._held[key] = followed
            while len(self._held) > self._limit:
                self._held.popitem(last=False)
        return followed

    def _continued(self, report: StepReport, model: str) -> _Followed | None:
        """The conversation that `report` begins with the whole of, longest first, no longer under its name of then."""
        ends = {followed.end: key for key, followed in self._held.items() if key[1] == model and followed.end}
        names = list(names_of_beginnings([part_of(message) for message in report.messages])) if ends else []
        found = next((ends[name] for name in reversed(names) if name in ends), None)
        return self._held.pop(found) if found else None

    def _begun(self, conversation_id: str, model: str, arm: str) -> _Followed:
        counter = Measurer(self._counter)  # one for both, so that a text is counted once
        settings = replace(self._settings, arm=self._settings.arm or arm)
        recorder = Recorder(conversation_id, model, counter, settings, self._on_step)
        return _Followed(recorder, PrefixTracker(counter, tuple(RULES.values())))


Metered: TypeAlias = "Meter | LedgerFile | OnStep"
"""Where steps go: to a file, to a function, or to a meter with settings of its own."""


def meter_for(ledger: Metered | None, counter: TokenCounter) -> Meter:
    """The meter that feeds `ledger`; for None one that feeds nothing, and only looks at prefixes."""
    if isinstance(ledger, Meter):
        return ledger
    return Meter(counter, ledger.append if isinstance(ledger, LedgerFile) else ledger)


def _name(tool: object) -> str:
    if isinstance(tool, dict):
        function = tool.get("function")
        return str((function if isinstance(function, dict) else tool).get("name"))
    return str(getattr(tool, "name", ""))
