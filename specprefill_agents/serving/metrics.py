"""What a service counts, for Prometheus. Labels are routes and statuses: never a conversation, never content."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ServiceMetrics:
    """Counters of one application; `pending` tells how many requests it holds, `is_ready` whether it takes any."""

    def __init__(self, pending: Callable[[], float], is_ready: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("specprefill_service_requests", "Requests answered.", ["route", "status"], registry=self._registry)
        self._seconds = Histogram(
            "specprefill_service_request_seconds",
            "From a request's first byte to its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        Gauge("specprefill_service_pending_requests", "Requests waiting or worked on.", registry=self._registry).set_function(pending)
        Gauge("specprefill_service_ready", "1 once the draft has read a text.", registry=self._registry).set_function(is_ready)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """These and the process's own, in the exposition format."""
        return generate_latest(self._registry) + generate_latest(REGISTRY)
