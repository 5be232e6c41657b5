"""Originals: a text comes back byte for byte to whom it belongs, or its id is unknown; an id is the same everywhere."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diskcache
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import ConfigError
from specprefill_agents.storage import originals as module
from specprefill_agents.storage.originals import NotKeptError, Originals, default_originals, originals_of
from specprefill_agents.storage.shelves import DiskShelf, MemoryShelf
from tests.strategies import TEXTS
from tests.test_disk import Trap

SECRET = b"sixteen bytes or more"
SHORT, LONG = "two\nlines", "".join(f"{i}: {os.urandom(24).hex()}\n" for i in range(4000))
"""Stored in the database, and in a file of its own."""
ODD = ["", "\ud800 and \udfff", "a\0b", "\r\n\r", "日本語 😀", "x" * 100_000, "\ufeffbom"]

Opened = Callable[..., Originals]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "originals"


@pytest.fixture
def opened(directory: Path) -> Iterator[Opened]:
    """Opens the originals in `directory`, each time as another process would; closes them at the end."""
    made: list[Originals] = []

    def make(where: Path = directory, **settings: Any) -> Originals:
        made.append(Originals.on_disk(where, **{"timeout_s": 10, **settings}))
        return made[-1]

    yield make
    for originals in made:
        originals.close()


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Originals]]:
    """One of each kind, for examples that need not start empty."""
    with Originals.on_disk(tmp_path_factory.mktemp("originals"), timeout_s=10) as on_disk:
        yield [on_disk, Originals.in_memory()]


@pytest.fixture
def sql(directory: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Runs a statement on the database, as anyone who can write to it could."""

    def run(statement: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(directory / "cache.db", isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    return run


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self, now: float = 1e9) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which diskcache lets rows expire."""
    ticking = Clock()
    monkeypatch.setattr(diskcache.core, "time", SimpleNamespace(time=ticking))
    return ticking


def disk_of(originals: Originals) -> DiskShelf:
    shelf = originals.shelves[0]
    assert isinstance(shelf, DiskShelf)
    return shelf


@given(text=TEXTS)
def test_any_text_comes_back_byte_for_byte(stores: list[Originals], text: str) -> None:
    for originals in stores:
        name = originals.put(text)
        assert re.fullmatch(r"sp-[a-z2-7]{8}", name)
        assert originals.get(name) == text
        assert originals.id_of(text) == originals.put(text) == name


@given(name=st.text(max_size=60) | st.from_regex(r"sp-[a-z2-7]{8}", fullmatch=True))
def test_any_other_id_is_unknown_and_never_raises(stores: list[Originals], name: str) -> None:
    assert [originals.get(name) for originals in stores] == [None, None]


@pytest.mark.parametrize("text", [*ODD, SHORT, LONG], ids=range(len(ODD) + 2))
def test_another_process_reads_the_same_text_under_the_same_id(opened: Opened, text: str) -> None:
    writer, reader = opened(), opened()
    name = writer.put(text)
    assert reader.id_of(text) == name
    assert reader.get(name) == text
    assert disk_of(writer).stats.stores == 1


def test_an_id_is_known_without_storing_and_then_leads_nowhere(opened: Opened) -> None:
    for originals in (opened(), Originals.in_memory()):
        assert originals.get(originals.id_of(SHORT)) is None


@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_text_has_one_id_wherever_it_is_kept(opened: Opened, tmp_path: Path, secret: bytes | None) -> None:
    stores = [opened(tmp_path / "a", secret=secret), opened(tmp_path / "b", secret=secret), Originals.in_memory(secret=secret)]
    assert len({originals.put(SHORT) for originals in stores}) == 1
    assert all(originals.get(originals.id_of(SHORT)) == SHORT for originals in stores)


def test_a_secret_shapes_the_ids(opened: Opened) -> None:
    assert len({opened(secret=secret).id_of(SHORT) for secret in (None, SECRET, SECRET[::-1])}) == 3


def test_ids_in_memory_are_the_same_in_every_process() -> None:
    code = "from specprefill_agents.storage.originals import Originals; print(Originals.in_memory(tenant='us').id_of('text'))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert elsewhere == Originals.in_memory(tenant="us").id_of("text") != Originals.in_memory(tenant="them").id_of("text")


@pytest.mark.parametrize("secret", [None, SECRET])
def test_an_id_of_another_tenant_is_unknown(opened: Opened, secret: bytes | None) -> None:
    us, them = opened(tenant="us", secret=secret), opened(tenant="them", secret=secret)
    name = us.put(SHORT)
    assert them.get(name) is None
    assert them.put(SHORT) != name
    assert them.get(name) is None, "even of a text that both have"
    assert us.get(name) == SHORT


def test_an_id_made_under_another_secret_is_unknown(opened: Opened) -> None:
    name = opened(secret=SECRET).put(SHORT)
    assert opened(secret=SECRET[::-1]).get(name) is None
    assert opened().get(name) is None


def test_a_text_whose_short_id_is_taken_has_a_longer_one_for_good(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module._full_id
    monkeypatch.setattr(module, "_full_id", lambda text, key: f"sp-aaaaaaaa{real(text, key)[11:]}")
    for first, second in ((opened(), opened()), (Originals.in_memory(),) * 2):
        short, longer = first.put("one"), second.put("another")
        assert (len(short), len(longer)) == (11, 15)
        assert longer.startswith(short)
        assert [second.put(text) for text in ("one", "another")] == [first.id_of(text) for text in ("one", "another")] == [short, longer]
        assert [first.get(name) for name in (short, longer)] == ["one", "another"]


def test_a_text_under_the_id_of_another_is_not_given_out(opened: Opened) -> None:
    originals = opened()
    name = originals.put(SHORT)
    assert disk_of(originals).write(name, "not that text")
    assert originals.get(name) is None


@pytest.mark.parametrize("text", [SHORT, LONG], ids=["in the database", "in a file"])
def test_a_planted_pickle_is_unknown_and_never_runs(opened: Opened, directory: Path, sql: Callable, tmp_path: Path, text: str) -> None:
    originals = opened()
    name = originals.put(text)
    trap = pickle.dumps(Trap(tmp_path / "trapped"))
    ((filename,),) = sql("SELECT filename FROM Cache")
    if filename:
        (directory / filename).write_bytes(trap)
        sql("UPDATE Cache SET mode = 4")
    else:
        sql("UPDATE Cache SET mode = 4, value = ?", trap)
    assert originals.get(name) is None
    assert disk_of(originals).stats.damaged == 1
    assert not (tmp_path / "trapped").exists()
    assert originals.put(text) == name
    assert originals.get(name) == text, "the row is replaced by the next store"


@pytest.mark.parametrize("change", [lambda row: row[:-1], lambda row: row[:20], lambda row: b"", lambda row: row[:-1] + b"\0", bytes.lower])
@pytest.mark.parametrize("text", [SHORT, LONG], ids=["in the database", "in a file"])
def test_a_tampered_or_cut_row_is_unknown_and_counted(opened: Opened, directory: Path, sql: Callable, text: str, change: Callable) -> None:
    originals = opened()
    name = originals.put(text)
    ((filename, value),) = sql("SELECT filename, value FROM Cache")
    if filename:
        (directory / filename).write_bytes(change((directory / filename).read_bytes()))
    else:
        sql("UPDATE Cache SET value = ?", change(value))
    assert originals.get(name) is None
    assert (disk_of(originals).stats.damaged, disk_of(originals).stats.errors) == (1, 0)


def test_a_row_moved_to_another_id_is_unknown(opened: Opened, sql: Callable) -> None:
    originals = opened()
    names = [originals.put("one"), originals.put("another")]
    (first, second) = sql("SELECT rowid, value FROM Cache ORDER BY rowid")
    sql("UPDATE Cache SET value = ? WHERE rowid = ?", first[1], second[0])
    assert [originals.get(name) for name in names] == ["one", None]


def test_on_disk_a_text_lives_as_long_as_it_is_asked_for(opened: Opened, clock: Clock, sql: Callable) -> None:
    originals = opened(max_age_s=100)
    read, stored, left = (originals.put(text) for text in ("read", "stored again", "left"))
    for _ in range(3):
        clock.now += 60
        assert originals.get(read) == "read"
        originals.put("stored again")
    assert [originals.get(name) for name in (read, stored, left)] == ["read", "stored again", None]
    originals.put("one more")
    assert sql("SELECT COUNT(*) FROM Cache") == [(3,)], "what expired is gone from the disk"


def test_in_memory_a_text_lives_as_long_as_it_is_asked_for() -> None:
    clock = Clock()
    originals = Originals([MemoryShelf(max_age_s=100, clock=clock)])
    read, left = originals.put("read"), originals.put("left")
    for _ in range(3):
        clock.now += 60
        assert originals.get(read) == "read"
    assert originals.get(left) is None


def test_on_disk_the_least_recently_used_are_dropped_at_the_limit(opened: Opened, directory: Path) -> None:
    limit = 2**20
    originals = opened(size_limit=limit)
    names = []
    for seed in range(40):
        names.append(originals.put(f"{seed}\n{os.urandom(30_000).hex()}"))
        held = sum(path.stat().st_size for path in [*directory.rglob("*.val"), directory / "cache.db"])
        assert held <= limit
        assert originals.get(names[0]) is not None, "asked for every time"
    assert originals.get(names[-1]) is not None
    assert originals.get(names[1]) is None


def test_in_memory_the_least_recently_used_are_dropped_at_the_limit() -> None:
    originals = Originals.in_memory(max_bytes=100_000)
    names = [originals.put(f"{seed}\n{os.urandom(5000).hex()}") for seed in range(40)]
    assert originals.get(names[0]) is None
    assert originals.get(names[-1]) is not None


def test_a_text_too_large_for_every_shelf_is_an_error_so_that_nothing_is_left_out_of_it() -> None:
    with pytest.raises(NotKeptError, match="could not be kept"):
        Originals.in_memory(max_bytes=1000).put(LONG)


def test_where_the_disk_cannot_be_used_texts_are_kept_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    originals = Originals.on_disk(tmp_path / "file" / "originals")
    names = [originals.put(text) for text in (SHORT, LONG)]
    assert [originals.get(name) for name in names] == [SHORT, LONG]
    assert names == [originals.put(text) for text in (SHORT, LONG)]
    assert len(caplog.records) == 1, "logged once"


def test_an_id_given_out_while_the_disk_could_not_be_used_stays_good_and_the_disk_is_used_again(
    opened: Opened, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = opened()
    with monkeypatch.context() as patch:
        patch.setattr(DiskShelf, "_open", lambda _: None)
        early = originals.put(SHORT)
        assert originals.get(early) == SHORT
    later = originals.put(SHORT)
    assert early == later
    assert opened().get(later) == SHORT


def test_a_full_disk_still_keeps_the_promise_in_this_process(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    originals = opened()
    with monkeypatch.context() as patch:
        patch.setattr(diskcache.Cache, "set", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        name = originals.put(SHORT)
        assert originals.get(name) == SHORT
        assert opened().get(name) is None
    assert originals.put(SHORT) == name
    assert opened().get(name) == SHORT, "stored as soon as there is room"


WORKER = """
import random, sys
from specprefill_agents.storage.originals import Originals
texts = [f"text {i}\\n" * (1 + 3000 * (i % 2)) for i in range(12)]
with Originals.on_disk(sys.argv[1], timeout_s=60) as originals:
    for text in random.Random(int(sys.argv[2])).sample(texts * 2, 24):
        assert originals.get(originals.put(text)) == text
    stats = originals.shelves[0].stats
    assert stats.errors + stats.damaged == 0, stats
    print(*(originals.id_of(text) for text in texts))
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_eight_processes_at_once_agree_on_every_id_and_text(directory: Path) -> None:
    started = [start(WORKER, directory, seed) for seed in range(8)]
    said = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 8, said
    assert len({out for out, _ in said}) == 1


def test_what_was_put_survives_a_process_killed_at_any_moment(opened: Opened, directory: Path) -> None:
    code = (
        "import itertools, sys; from specprefill_agents.storage.originals import Originals\n"
        "originals = Originals.on_disk(sys.argv[1], timeout_s=60)\n"
        "for i in itertools.count(): print(originals.put(f'text {i} ' * (1 + 9000 * (i % 2))), flush=True)"
    )
    process = start(code, directory)
    assert process.stdout is not None
    names = [process.stdout.readline().strip() for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    originals = opened()
    assert [(originals.get(name) or "")[: len(f"text {i} ")] for i, name in enumerate(names)] == [f"text {i} " for i in range(20)]
    assert originals.get(originals.put(SHORT)) == SHORT
    assert disk_of(originals).stats.errors == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_reads_and_stores_on_its_own_connection(opened: Opened) -> None:
    originals = opened()
    name = originals.put(SHORT)

    def child() -> None:
        assert originals.get(name) == SHORT
        assert originals.get(originals.put("child")) == "child"

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert originals.get(originals.id_of("child")) == "child"


@pytest.mark.parametrize(("setting", "value"), [("size_limit", 1000), ("timeout_s", -1), ("max_age_s", 0), ("secret", b"short")])
def test_a_setting_out_of_range_is_refused(directory: Path, setting: str, value: object) -> None:
    arguments: dict[str, Any] = {setting: value}
    with pytest.raises(ConfigError, match=f"^{setting}=") as error:
        Originals.on_disk(directory, **arguments)
    assert "short" not in str(error.value), "a secret is not shown"


def test_by_default_originals_lie_in_the_cache_directory_and_in_memory_where_that_is_unsafe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SPECPREFILL_CACHE_DIR", str(tmp_path / "cache"))
    with default_originals("us") as originals:
        assert disk_of(originals).directory == tmp_path / "cache" / "originals"
        assert originals.tenant == "us"
        originals.put(SHORT)
    (tmp_path / "cache" / "originals").chmod(0o777)
    assert isinstance(default_originals().shelves[0], MemoryShelf)
    assert "in memory only" in caplog.text


def test_what_keeps_originals_stands_for_them() -> None:
    originals = Originals.in_memory()
    assert originals_of(originals) is originals_of(SimpleNamespace(originals=originals)) is originals
    with pytest.raises(ConfigError, match="originals=None"):
        originals_of(SimpleNamespace(originals=None))
