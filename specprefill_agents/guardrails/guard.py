"""Guard: guardrails at work in one process. It says before a call whether to score, learns how that went, and watches for drift."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias

from specprefill_agents.accounting.pricing import PriceTable
from specprefill_agents.guardrails.arms import arm_of
from specprefill_agents.guardrails.drift import DriftAlert, DriftMonitor
from specprefill_agents.guardrails.kill_switch import VARIABLE, is_killed
from specprefill_agents.guardrails.overlap import overlap
from specprefill_agents.guardrails.pay_guard import PayGuard
from specprefill_agents.guardrails.settings import Guardrails
from specprefill_agents.observe.audit import SafeAudit
from specprefill_agents.scoring.breaker import CircuitBreaker
from specprefill_agents.storage.forking import watch_forks
from specprefill_agents.types import Span

logger = logging.getLogger("specprefill_agents.guardrails")

Kept: TypeAlias = Sequence[Sequence[Span]]
"""What is kept of each candidate of a call."""

WAITING = 4
"""Second opinions that may wait for the thread that forms them; a step beyond those is not sampled."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is not scored. `is_failure`: because of failures before it, not as configured."""

    reason: str
    is_failure: bool = False


class Guard:
    """Guardrails with their state: circuit breaker, measured speed, drift. May be shared by threads and compressors.

    Without `guardrails` only the kill switch is heeded. `prices` are what break-even goes by; `on_alert` is told when a
    drift floor is crossed; `now` is the clock for prices (with a time zone).
    """

    def __init__(
        self,
        guardrails: Guardrails | None = None,
        *,
        prices: PriceTable | None = None,
        on_alert: Callable[[DriftAlert], None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.guardrails = guardrails
        self._now = now
        self._breaker = CircuitBreaker(guardrails.breaker.failures, guardrails.breaker.cooldown_s) if guardrails else None
        self._pay = PayGuard(guardrails, prices or PriceTable()) if guardrails else None
        self.drift = DriftMonitor(guardrails, on_alert) if guardrails else None
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """The second opinions that the parent waits for stay with it."""
        self._worker: ThreadPoolExecutor | None = None
        self._pending: set[Future[None]] = set()
        self._lock = threading.Lock()

    @property
    def is_off(self) -> bool:
        """Whether the kill switch is on."""
        return is_killed()

    def arm(self, conversation_id: str) -> Literal["control", "treated", ""]:
        """The arm of a conversation; "" where there is no experiment."""
        if self.guardrails is None or self.guardrails.ab.control_share == 0:
            return ""
        return arm_of(conversation_id, self.guardrails)

    def audit_fields(self) -> dict[str, Any]:
        """What every record of a decision holds of the guardrails; plain JSON types."""
        return self.guardrails.audit_fields() if self.guardrails else {}

    def tell(self, audit: SafeAudit) -> None:
        """Leave a record of each drift alert in `audit`, for as long as somebody else holds it."""
        if self.drift:
            self.drift.tell(audit)

    def why_not(self, tokens: int, expected_kept_tokens: int, key: str) -> Refusal | None:
        """Why candidates of so many target `tokens` are not scored now; None when they may be, and are to be at once.

        `key` names texts and settings: what does not pay once never does.
        """
        if self.is_off:
            return Refusal(f"switched off by {VARIABLE}")
        if self.guardrails is None or self._pay is None or self._breaker is None:
            return None
        limit = self.guardrails.limits.max_step_tokens
        if limit is not None and tokens > limit:
            return Refusal(f"{tokens} tokens in one step exceed limits.max_step_tokens ({limit})")
        reason = self._pay.why_not(tokens, expected_kept_tokens, self._now(), key)
        if reason:
            return Refusal(reason)
        if not self._breaker.allows():
            return Refusal(f"not scored after {self.guardrails.breaker.failures} failures in a row", is_failure=True)
        return None

    def succeeded(self, tokens: int, scorer_ms: float, cached: bool) -> None:
        """Scoring `tokens` took so long; `cached` when some of them were not read anew."""
        if self._breaker and self._pay:
            self._breaker.succeeded()
            self._pay.observe(tokens, scorer_ms, cached)

    def failed(self) -> None:
        """Scoring failed."""
        if self._breaker:
            self._breaker.failed()

    def second_opinion(self, key: str, kept: Kept, other: Callable[[], Kept]) -> None:
        """On the sampled share of calls, have `other` say what another scorer would keep, in a thread of its own, and compare.

        A step never waits for that.
        """
        drift = self.drift
        if drift is None or not drift.is_sampled(key):
            return
        with self._lock:
            self._worker = self._worker or ThreadPoolExecutor(max_workers=1, thread_name_prefix="specprefill-drift")
            if len(self._pending) >= WAITING:
                return
            task = self._worker.submit(_compare, drift, kept, other)
            self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    def observe_guesses(self, about: Mapping[str, Any]) -> None:
        """Tell the drift monitor of an answer's `guessed_tokens` and `accepted_tokens`, where `about` it says so."""
        guessed, accepted = about.get("guessed_tokens"), about.get("accepted_tokens")
        if self.drift and isinstance(guessed, int) and isinstance(accepted, int) and guessed > 0:
            self.drift.observe_acceptance(accepted / guessed)

    def settle(self) -> None:
        """Wait for the second opinions that were asked for."""
        for task in list(self._pending):
            task.result()


def _compare(drift: DriftMonitor, kept: Kept, other: Callable[[], Kept]) -> None:
    try:
        drift.observe_overlap(overlap(kept, other()))
    except Exception as error:
        logger.warning("drift: the second scorer failed (%s)", type(error).__name__, exc_info=True)
