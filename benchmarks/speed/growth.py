"""How build time and memory grow with the context, measured in a process of its own so that its peak is its own.

Peaks are of resident memory: torch's, numpy's and all other. On Linux the peak (VmHWM) is reset once the draft is loaded,
because loading takes more than reading does; elsewhere it is `ru_maxrss`, loading included. A peak never falls, so sizes
are read in rising order. `python -m benchmarks.speed.growth` is that process: the subject's settings
as JSON on standard input, the measurements as JSON on standard output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import Any

import torch

from benchmarks.machine import ROOT
from benchmarks.speed.peak import peak_mib, reset_peak
from benchmarks.speed.plan import Sizes, Subject
from benchmarks.speed.text import questions as ask
from benchmarks.speed.timing import line_through, seconds_of, spread_per_size
from specprefill_agents.storage.layered import ScorerCaches
from specprefill_agents.storage.rows import CONTEXT_KEYS
from specprefill_agents.storage.score_cache import content_name


def growth(subject: Subject) -> dict[str, Any]:
    """Part 5. Raises `subprocess.CalledProcessError` when the measuring process fails."""
    asked = {"draft": subject.name, "device": subject.device, "tokens": subject.sizes.growth_tokens, "threads": torch.get_num_threads()}
    command = [sys.executable, "-m", "benchmarks.speed.growth"]
    done = subprocess.run(command, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    tokens, rows = [row["tokens"] for row in found["rows"]], found["rows"]
    return {
        **found,
        "peak_mib_per_10k_tokens": round(10_000 * line_through(tokens, [row["peak_mib"] for row in rows])["slope"], 2),
        "seconds_per_10k_tokens": round(10_000 * line_through(tokens, [row["build_s"] for row in rows])["slope"], 3),
        "build_r2": line_through(tokens, [row["build_s"] for row in rows])["r2"],
        "most_over_least_per_token": spread_per_size(tokens, [row["build_s"] for row in rows]),
    }


def measure(draft_name: str, device: str, tokens: list[int]) -> dict[str, Any]:
    """Read and question ever longer contexts in this process."""
    subject = Subject.of(draft_name, device, Sizes(growth_tokens=tuple(tokens)))
    draft = subject.draft()
    whole = subject.text(draft, max(tokens))
    offsets = draft.encode(whole).offsets
    caches = ScorerCaches.of(None, draft.revision, "benchmark")
    scorer = subject.scorer(draft, caches)
    scorer.score([whole[: int(offsets[min(tokens) // 2, 1])]], ask()[0])
    how = reset_peak()
    base = peak_mib(how)
    rows, keys = [], None
    for count in sorted(tokens):
        text = whole[: int(offsets[count - 1, 1])]
        taken = seconds_of(partial(scorer.score, [text], ask()[0]))
        keys = caches.keys.get(content_name(text))
        rows.append({"tokens": count, "build_s": round(taken, 4), "peak_mib": round(peak_mib(how), 2)})
    assert keys is not None
    found = {
        "dtype": str(draft.dtype).removeprefix("torch."),
        "peak_of": f"{how} of a process that scores ever longer contexts, draft weights included",
        "before_mib": round(base, 2),
        "rows": rows,
        "key_bytes_per_token": round(keys.nbytes / len(keys.offsets), 1),
        "stored_bytes_per_token": round(len(CONTEXT_KEYS.dump(keys, b"", b"")) / len(keys.offsets), 1),
    }
    if draft.device.type == "cuda":
        found["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 2)
    return found


def main() -> None:
    """The measuring process."""
    asked = json.load(sys.stdin)
    torch.set_num_threads(asked["threads"])
    json.dump(measure(asked["draft"], asked["device"], asked["tokens"]), sys.stdout)


if __name__ == "__main__":
    main()
