"""DriftMonitor: whether what compression keeps, and what the target then does, is still what it was when it was set up.

It only counts and warns. Who samples a step, scores it a second time or asks the target twice hands the outcome in.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import fsum
from typing import Any, Literal, TypeAlias
from weakref import WeakSet

from specprefill_agents.guardrails.checks import is_number
from specprefill_agents.guardrails.sampling import is_chosen
from specprefill_agents.guardrails.settings import Guardrails
from specprefill_agents.observe.audit import SafeAudit

logger = logging.getLogger("specprefill_agents.guardrails")

Measure: TypeAlias = Literal["overlap", "action", "acceptance"]
"""Overlap of what is kept; next actions that are the same without compression; tokens that speculative decoding accepts."""

_ROUNDING = 1e-9
"""The mean of equal samples may differ from them in the last digit; that is no crossing of a floor."""


@dataclass(frozen=True, slots=True)
class DriftAlert:
    """The `mean` of the last `samples` of `measure` fell below `floor`, under these guardrails."""

    measure: Measure
    mean: float
    floor: float
    samples: int
    guardrails_id: str
    guardrails_version: int | str

    def audit_fields(self) -> dict[str, Any]:
        """What an audit record holds of it; plain JSON types."""
        return {
            "measure": self.measure,
            "mean": round(self.mean, 4),
            "floor": self.floor,
            "samples": self.samples,
            "guardrails_id": self.guardrails_id,
            "guardrails_version": self.guardrails_version,
        }

    def __str__(self) -> str:
        under = f"guardrails {self.guardrails_id}, version {self.guardrails_version}"
        return f"drift: mean {self.measure} {self.mean:.3f} of {self.samples} samples is below its floor {self.floor:g} ({under})"


class _Rolling:
    """The last samples of one measure, and whether their mean is below the floor. Not thread-safe itself."""

    def __init__(self, measure: Measure, floor: float | None, settings: Guardrails) -> None:
        self._measure: Measure = measure
        self._floor = floor
        self._settings = settings
        self._samples: deque[float] = deque(maxlen=settings.drift.window)
        self._observed = 0
        self._alerts = 0
        self._is_low = False

    @property
    def _mean(self) -> float | None:
        return fsum(self._samples) / len(self._samples) if self._samples else None

    def add(self, value: float) -> DriftAlert | None:
        """Take one sample in; an alert when the mean crosses the floor downwards by it."""
        self._samples.append(value)
        self._observed += 1
        mean = self._mean
        if self._floor is None or mean is None or len(self._samples) < self._settings.drift.min_samples:
            return None
        was_low, self._is_low = self._is_low, mean < self._floor - _ROUNDING
        if was_low or not self._is_low:
            return None
        self._alerts += 1
        return DriftAlert(self._measure, mean, self._floor, len(self._samples), self._settings.id, self._settings.version)

    def metrics(self) -> dict[str, float | int | None]:
        """Gauges `_mean` (None without samples), `_samples` (within the window), `_low` (0 or 1); counters `_observed`, `_alerts`."""
        shown = {"mean": self._mean, "samples": len(self._samples), "low": int(self._is_low)}
        return {f"{self._measure}_{name}": value for name, value in {**shown, "observed": self._observed, "alerts": self._alerts}.items()}


class DriftMonitor:
    """Rolling means of what is observed, over `settings.drift.window` samples; one alert for each crossing of a floor downwards.

    An alert is a warning of the `specprefill_agents.guardrails` logger, a record "drift" in the audit logs of those who share the
    monitor, a call of `on_alert`, and a counter. It is armed again
    when the mean is back at the floor. `on_alert` runs in the thread that observed; when it raises, that is logged and stops
    nothing. May be shared by threads.
    """

    def __init__(self, settings: Guardrails, on_alert: Callable[[DriftAlert], None] | None = None) -> None:
        self._settings = settings
        self._on_alert = on_alert
        self._lock = threading.Lock()
        self._refused = 0
        self._audits: WeakSet[SafeAudit] = WeakSet()
        drift = settings.drift
        floors: dict[Measure, float | None] = {
            "overlap": drift.overlap_floor,
            "action": drift.action_floor,
            "acceptance": drift.acceptance_floor,
        }
        self._rolling = {measure: _Rolling(measure, floor, settings) for measure, floor in floors.items()}

    def tell(self, audit: SafeAudit) -> None:
        """Leave a record of each alert in `audit`, for as long as somebody else holds it."""
        with self._lock:
            self._audits.add(audit)

    def is_sampled(self, *parts: str) -> bool:
        """Whether the step that `parts` name (such as a conversation and a content hash) is in the share to be measured."""
        return is_chosen(self._settings.drift.share, "drift", *parts)

    def observe_overlap(self, value: float | None) -> None:
        """One sampled step's `overlap.overlap`; None, nothing to compare, is no sample."""
        if value is not None:
            self._observe("overlap", value)

    def observe_action(self, agrees: bool) -> None:
        """Whether the target's next action was the same with and without compression."""
        self._observe("action", 1.0 if agrees else 0.0)

    def observe_acceptance(self, rate: float) -> None:
        """The share of guessed tokens that a local target accepted in one answer."""
        self._observe("acceptance", rate)

    def metrics(self) -> dict[str, float | int | None]:
        """Gauges and counters by name, such as `overlap_mean`; see `_Rolling.metrics`. `refused` counts values that were no share."""
        with self._lock:
            shown = {name: value for rolling in self._rolling.values() for name, value in rolling.metrics().items()}
            return {**shown, "refused": self._refused}

    def _observe(self, measure: Measure, value: float) -> None:
        is_share = is_number(value) and 0 <= value <= 1
        with self._lock:
            alert = self._rolling[measure].add(value) if is_share else None
            self._refused += not is_share
        # Outside the lock: the callback may well read the metrics.
        if not is_share:
            logger.warning("drift: %s of %r is not in [0, 1] and was left out", measure, value)
        if alert:
            self._tell(alert)

    def _tell(self, alert: DriftAlert) -> None:
        logger.warning("%s", alert)
        with self._lock:
            audits = list(self._audits)
        for audit in audits:
            audit.record("drift", alert.audit_fields())
        if self._on_alert:
            try:
                self._on_alert(alert)
            except Exception as error:
                logger.warning("drift: the alert's callback failed (%s)", type(error).__name__, exc_info=True)
