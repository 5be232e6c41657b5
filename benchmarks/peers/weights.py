"""Where a peer's weights are: the draft as a folder of safetensors, or what a hub has, brought before anything is measured."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from benchmarks.peers.environment import DRAFT, STAMP, PeerError, System
from specprefill_agents.draft.registry import home, locate

_WANTED = ("*.json", "*.safetensors", "*.onnx", "*.txt", "*.model")


def draft_folder(name: str) -> Path:
    """The folder with the safetensors, configuration and tokenizer of a draft; one that is kept otherwise is written out once.

    Raises `UnknownDraftError` or `DraftError`.
    """
    location = locate(name)
    if location.kind in ("pulled", "directory"):
        return Path(location.path)
    from transformers import AutoModelForCausalLM  # seconds, and seldom needed

    from specprefill_agents.draft.loading import load_pretrained, revision, torch

    known = revision(location, None) if location.kind == "gguf" else hashlib.sha256(location.path.encode()).hexdigest()[:16]
    folder = home() / "peers" / "drafts" / f"{Path(location.path).stem}-{known}"
    if not (folder / STAMP).is_file():
        model, tokenizer = load_pretrained(name, AutoModelForCausalLM, torch.float32)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / STAMP).touch()
    return folder


@cache
def hub_weights(name: str) -> tuple[str, str]:
    """The folder of `name`, a folder or a name on the Hugging Face hub, once it is on this machine; else "" and why it is not."""
    if Path(name).is_dir():
        return name, ""
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(name, allow_patterns=list(_WANTED), etag_timeout=3), ""
    except Exception as error:  # of whatever type an absent network causes
        shown = Path(name).name if Path(name).is_absolute() else name
        return "", f"the weights {shown} cannot be had here ({type(error).__name__})"


def weights_of(system: System, draft: Path, given: str) -> str:
    """What a system's worker is given as weights; "" for none. `given` takes the place of the system's own.

    Raises `PeerError` when it cannot do without weights that cannot be had.
    """
    if system.weights == DRAFT:
        return str(draft)
    if not system.weights:
        return ""
    folder, cause = hub_weights(given or system.weights)
    if cause and not system.does_without:
        raise PeerError(cause)
    return folder


@cache
def fingerprint(directory: Path) -> str:
    """16 hex digits of the weights, configuration and tokenizer in `directory`."""
    digest = hashlib.sha256()
    for file in sorted([*directory.glob("*.json"), *directory.glob("*.safetensors")]):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()[:16]
