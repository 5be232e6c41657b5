"""What the workers announced, against what the same steps sent when nobody was killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Reference = dict[tuple[str, int], str]
"""Digest of the bytes sent, by task and step."""


@dataclass
class Tally:
    """Counts, and what went wrong in words.

    A step that a worker had announced before it was killed, and takes again, has its new results' decisions either
    `found` in the saved session or `remade`. `reopened` counts conversations that went on with a saved session, `begun` those
    without. `lost` are originals named in what was sent that could not be had.
    """

    reference: Reference
    kills: int = 0
    restarts: int = 0
    steps: int = 0
    repeated: int = 0
    found: int = 0
    remade: int = 0
    reopened: int = 0
    begun: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    _announced: dict[int, tuple[object, int]] = field(default_factory=dict)

    def note(self, worker: int, event: Mapping[str, Any]) -> None:
        """Add one event of a worker that was not told to end."""
        if event["event"] == "begin":
            self.reopened += bool(event["decisions"])
            self.begun += not event["decisions"]
        elif event["event"] == "ended":
            self.exceptions.append(f"worker {worker} ended with status {event['status']}")
        else:
            self._step(worker, event)

    def _step(self, worker: int, event: Mapping[str, Any]) -> None:
        self.steps += 1
        self.lost += event["lost"]
        expected = self.reference.get((event["task"], event["step"]))
        if event["digest"] != expected:
            self.wrong.append(f"worker {worker}, {event['task']}, step {event['step']}: {event['digest']}, without kills {expected}")
        conversation = (event["task"], event["cycle"])
        before, furthest = self._announced.get(worker, (None, 0))
        if before == conversation and event["step"] <= furthest:
            self.repeated += 1
            self.remade += event["made"]
            self.found += event["arrived"] - event["made"]
        else:
            self._announced[worker] = conversation, event["step"]

    @property
    def counts(self) -> dict[str, int]:
        """Every count, by name."""
        names = ("kills", "restarts", "steps", "repeated", "found", "remade", "reopened", "begun", "lost")
        return {**{name: getattr(self, name) for name in names}, "wrong": len(self.wrong), "exceptions": len(self.exceptions)}

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.wrong or self.exceptions or self.lost)
