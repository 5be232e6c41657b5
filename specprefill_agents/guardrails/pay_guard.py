"""PayGuard: whether compressing a text is worth what it costs, decided before it is scored, by measured speed and dated prices."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from datetime import datetime
from statistics import median

from specprefill_agents.accounting.break_even import AtEntry, pays
from specprefill_agents.accounting.pricing import PriceTable
from specprefill_agents.guardrails.checks import is_number
from specprefill_agents.guardrails.settings import Guardrails

MEASURED = 32
"""So many of the last measurements count; by their median, since the first call of a draft and a busy machine are outliers."""

REMEMBERED = 4_096
"""So many of the verdicts asked for last are remembered."""

_MS_PER_HOUR = 3_600_000


class PayGuard:
    """Weighs what is expected to be left out against the time that scoring takes. May be shared by threads.

    Money speaks where `break_even.model` has a price at the time, time speaks where `break_even.target_prefill_tokens_per_s`
    is given; each can forbid. Before the first measurement nothing is forbidden, since without a call there is none.
    """

    def __init__(self, settings: Guardrails, prices: PriceTable) -> None:
        self._settings = settings.break_even
        self._prices = prices
        self._lock = threading.Lock()
        self._ms_per_1000: deque[float] = deque(maxlen=MEASURED)
        self._verdicts: OrderedDict[str, str] = OrderedDict()

    def observe(self, tokens: int, scorer_ms: float, cached: bool) -> None:
        """Learn from a call that scored `tokens` in `scorer_ms` of wall time; `cached` ones were not read, and tell nothing."""
        if not cached and is_number(scorer_ms) and scorer_ms >= 0 and is_number(tokens) and tokens > 0:
            with self._lock:
                self._ms_per_1000.append(1000 * scorer_ms / tokens)

    @property
    def ms_per_1000_tokens(self) -> float | None:
        """What scoring 1,000 target tokens takes, in milliseconds; None before the first measurement."""
        with self._lock:
            return self._expected()

    def why_not(self, tokens: int, expected_kept_tokens: int, now: datetime, key: str) -> str:
        """Why compressing `tokens` to `expected_kept_tokens` does not pay at `now`; "" when it does, or when nothing says.

        The first answer for a `key` (what identifies text and settings) is the answer for it, as long as it is among the
        last `REMEMBERED`: measurements and prices that change must not decide anew on a text. Raises `ConfigError` for a
        `now` without a time zone, where money is asked.
        """
        with self._lock:
            if key in self._verdicts:
                self._verdicts.move_to_end(key)
                return self._verdicts[key]
            speed = self._expected()
            reason = "" if speed is None else self._reason(max(0, tokens - expected_kept_tokens), speed * tokens / 1000, now)
            self._verdicts[key] = reason
            if len(self._verdicts) > REMEMBERED:
                self._verdicts.popitem(last=False)
            return reason

    def _expected(self) -> float | None:
        return median(self._ms_per_1000) if self._ms_per_1000 else None

    def _reason(self, removed_tokens: int, scorer_ms: float, now: datetime) -> str:
        return self._money_says(removed_tokens, scorer_ms, now) or self._time_says(removed_tokens, scorer_ms)

    def _money_says(self, removed_tokens: int, scorer_ms: float, now: datetime) -> str:
        if self._settings.model is None:
            return ""
        price = self._prices.price(self._settings.model, now)
        scorer_usd = self._settings.machine_usd_per_hour * scorer_ms / _MS_PER_HOUR
        verdict = pays(AtEntry(removed_tokens, self._settings.expected_requests), price, scorer_usd)
        # Level at nothing is no verdict: a target that is free on a machine that is free may still gain time.
        is_silent = verdict is None or verdict.pays or verdict.saved_usd == verdict.cost_usd == 0
        return "" if is_silent else str(verdict)

    def _time_says(self, removed_tokens: int, scorer_ms: float) -> str:
        speed = self._settings.target_prefill_tokens_per_s
        if speed is None or scorer_ms < (saved_ms := 1000 * removed_tokens / speed):
            return ""
        return f"the target reads the {removed_tokens:,} tokens left out in {saved_ms:.0f} ms, scoring takes {scorer_ms:.0f} ms"
