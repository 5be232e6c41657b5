"""What can happen to a service and to all around it, each as a context: it begins, and at its end all is as good as before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from benchmarks.crash.fleet import Fleet
from benchmarks.service_faults.proxy import Mood, Proxy
from benchmarks.service_faults.service import LocalService, kill_replica
from benchmarks.store_faults.disturbing import Noting, listen
from benchmarks.store_faults.server import LocalServer

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that takes part: the service and the proxy before it, the store, the workers, and who notes what they announce."""

    service: LocalService
    proxy: Proxy
    store: LocalServer
    fleet: Fleet
    tally: Noting
    processes: int

    def until_ready(self) -> None:
        """Returns when the service takes requests; workers are listened to meanwhile."""
        while not self.service.is_ready():
            self._listen()

    def until_ended(self) -> None:
        """Returns when the service's process has ended."""
        while not self.service.has_ended:
            self._listen()

    def kill_workers(self) -> None:
        """End all workers by SIGKILL; what they had announced is noted."""
        for index in range(self.processes):
            for _, event in self.fleet.kill(index):
                self.tally.note(event)

    def _listen(self) -> None:
        listen(self.fleet, self.tally, POLL_S)


Fault: TypeAlias = Callable[[Scene, Random], AbstractContextManager[None]]


@contextmanager
def killed(scene: Scene, _: Random) -> Iterator[None]:
    """Ended by SIGKILL, and started again on a machine that has nothing."""
    scene.service.kill()
    yield
    scene.service.start()
    scene.until_ready()


@contextmanager
def frozen(scene: Scene, _: Random) -> Iterator[None]:
    """Takes connections and answers nothing."""
    scene.service.freeze()
    yield
    scene.service.thaw()


@contextmanager
def drained(scene: Scene, _: Random) -> Iterator[None]:
    """Ended by SIGTERM, with its requests at work, and started again at once."""
    scene.service.end()
    scene.until_ended()
    scene.service.start()
    scene.until_ready()
    yield


@contextmanager
def everything_restarted(scene: Scene, _: Random) -> Iterator[None]:
    """Agents, service and store all end in the middle of what they do; agents and store are back before the service."""
    scene.kill_workers()
    scene.store.kill()
    scene.service.kill()
    scene.store.start()
    for index in range(scene.processes):
        scene.fleet.restart(index)
    yield
    scene.service.start()
    scene.until_ready()


@contextmanager
def replica_killed(_: Scene, random: Random) -> Iterator[None]:
    """One of the replicas ends; Ray starts another."""
    kill_replica(random)
    yield


def _in_mood(mood: Mood) -> Fault:
    @contextmanager
    def fault(scene: Scene, _: Random) -> Iterator[None]:
        scene.proxy.mood = mood
        yield
        scene.proxy.mood = "well"

    return fault


_MOODS: dict[str, Any] = {
    "delayed": _in_mood("late"),
    "garbage": _in_mood("nonsense"),
    "refusing": _in_mood("busy"),
    "cut_off": _in_mood("cut"),
}

FAULTS: dict[str, dict[str, Fault]] = {
    "uvicorn": {"killed": killed, "frozen": frozen, "drained": drained, "everything_restarted": everything_restarted, **_MOODS},
    "ray": {"replica_killed": replica_killed, **_MOODS},
}
"""By engine."""
