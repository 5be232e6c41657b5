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

from specprefill_agents.draft.registry import home

WORKERS = Path(__file__).resolve().parent
STAMP = "installed"
LLMLINGUA = ("llmlingua==0.2.2", "torch==2.13.0", "transformers==5.23.0")
"""0.2.2 is the last release. It hands the model lists of (keys, values), which transformers 4.47.1 was the last to take from
callers; that one can read neither Gemma 3 nor weights saved by transformers 5. So the worker converts caches at the model's
door and runs the version that the library itself runs. On 12 calls (3 questions of `hotpotqa`, both methods, keep .1 and .5,
SmolLM2) the output is byte for byte that of 4.47.1 without the conversion."""


class PeerError(RuntimeError):
    """A peer's environment cannot be made, or its worker ended or answered out of turn."""


@dataclass(frozen=True, slots=True)
class System:
    """One way to compress: the name in results, the worker's file, its arguments, and what it needs installed."""

    name: str
    worker: str
    arguments: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()

    @property
    def needs_draft(self) -> bool:
        """Whether the worker is given a draft model."""
        return bool(self.requirements)


SYSTEMS: Mapping[str, System] = {
    system.name: system
    for system in (
        System("llmlingua", "llmlingua_worker.py", ("--method", "llmlingua"), LLMLINGUA),
        System("longllmlingua", "llmlingua_worker.py", ("--method", "longllmlingua"), LLMLINGUA),
        System("head_tail_text", "head_tail_worker.py"),
    )
}


def interpreter(system: System) -> Path:
    """The Python that runs the system's worker; makes its environment on first use (minutes). Raises `PeerError`."""
    if not system.requirements:
        return Path(sys.executable)
    directory = home() / "peers" / _name(system)
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (directory / STAMP).is_file():
        directory.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", "--clear", str(directory)])
        _run([str(python), "-m", "pip", "install", "--quiet", *system.requirements])
        (directory / STAMP).touch()
    return python


def worker_environment(threads: int) -> dict[str, str]:
    """Environment variables of a worker: no network, no modules of the caller, `threads` threads."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    bundled = Path(sysconfig.get_paths()["purelib"]) / "llama_index" / "core" / "_static" / "tiktoken_cache"
    if "TIKTOKEN_CACHE_DIR" not in kept and bundled.is_dir():
        kept["TIKTOKEN_CACHE_DIR"] = str(bundled)
    return {
        **kept,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _name(system: System) -> str:
    made_of = "\n".join([sys.version, *system.requirements])
    return f"{system.requirements[0].partition('=')[0]}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(f"{' '.join(command[1:])}: {done.stderr.strip()[-1000:]}")
