"""What can happen to a server, each as a context: it begins, and at its end the server is as good as before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random
from typing import TypeAlias

from benchmarks.store_faults.server import LocalServer

Fault: TypeAlias = Callable[[LocalServer, Random], AbstractContextManager[None]]


@contextmanager
def killed(server: LocalServer, _: Random) -> Iterator[None]:
    """Ended by SIGKILL, and started again with what it had written down."""
    server.kill()
    yield
    server.start()


@contextmanager
def restarted(server: LocalServer, _: Random) -> Iterator[None]:
    """Ended and started at once."""
    server.kill()
    server.start()
    yield


@contextmanager
def emptied(server: LocalServer, _: Random) -> Iterator[None]:
    """All is forgotten."""
    with server.client() as admin:
        admin.flushall()
    yield


@contextmanager
def filled(server: LocalServer, _: Random) -> Iterator[None]:
    """No memory for another byte."""
    with server.client() as admin:
        admin.config_set("maxmemory", "1mb")
        yield
        admin.config_set("maxmemory", "0")


@contextmanager
def frozen(server: LocalServer, _: Random) -> Iterator[None]:
    """Takes connections and answers nothing."""
    server.freeze()
    yield
    server.thaw()


@contextmanager
def delayed(server: LocalServer, random: Random) -> Iterator[None]:
    """Answers everything late, some of it too late."""
    with server.client() as admin:
        admin.client_pause(random.choice((30, 90, 150, 400)))
        yield


@contextmanager
def read_only(server: LocalServer, _: Random) -> Iterator[None]:
    """A replica of a server that is not there."""
    with server.client() as admin:
        admin.replicaof("127.0.0.1", "1")
        yield
        admin.replicaof("no", "one")


@contextmanager
def corrupted(server: LocalServer, random: Random) -> Iterator[None]:
    """Half of all values are damaged: changed, cut, swapped, replaced by noise, by something huge or by another type."""
    with server.client() as admin:
        values = {
            key: admin.get(key) or b"\0" for key in admin.scan_iter(b"specprefill:*", count=1000, _type="STRING") if random.random() < 0.5
        }
        for key, value in values.items():
            way = random.randrange(6)
            if way == 0:
                at = random.randrange(len(value))
                admin.set(key, value[:at] + random.randbytes(1 + random.randrange(8)) + value[at + 1 :])
            elif way == 1:
                admin.set(key, value[: random.randrange(len(value))])
            elif way == 2:
                admin.set(key, random.choice(list(values.values())))
            elif way == 3:
                admin.set(key, random.randbytes(random.randrange(300)))
            elif way == 4:
                admin.delete(key)
                admin.rpush(key, value)
            else:
                admin.set(key, value + bytes(2**18))
        yield


FAULTS: dict[str, Fault] = {fault.__name__: fault for fault in (killed, restarted, emptied, filled, frozen, delayed, read_only, corrupted)}
