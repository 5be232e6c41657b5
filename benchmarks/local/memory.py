"""The most memory that a target holds, each case in a process of its own.

`python -m benchmarks.local.memory` is that process: a case and the settings as JSON on standard input, the figures as JSON on
standard output. Peaks count from the moment at which everything is loaded; `loaded_mib` was held then.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch

from benchmarks.local.measured import Row, Subject, answer
from benchmarks.local.plan import Sizes
from benchmarks.local.prompts import Texts, conversation, query_of, question, segment_of
from benchmarks.local.subjects import target_by
from benchmarks.machine import ROOT
from benchmarks.speed.peak import peak_mib, reset_peak
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.kept_readings import KeptReadings
from specprefill_agents.targets.local import LocalTarget


@dataclass(frozen=True, slots=True)
class Case:
    """`conversations` prompts of `tokens` each. `form` is what is read of them; "compressed" also loads a scorer and runs it."""

    name: str
    tokens: int
    prefill_tokens: int
    form: str = "whole"
    conversations: int = 1
    cache_bytes: int = 0


def cases(sizes: Sizes) -> list[Case]:
    """What is measured: passes of several lengths, a scorer in the same process, a cache that is too small and one that is not."""
    long = [Case(f"whole, passes of {size}", sizes.memory_tokens, size) for size in sizes.prefill_tokens]
    compressed = Case("compressed to a tenth, scorer included", sizes.memory_tokens, max(sizes.prefill_tokens), "compressed")
    many = Case("conversations, no cache", sizes.conversation_tokens, max(sizes.prefill_tokens), "whole", sizes.conversations)
    bounded = replace(many, name="conversations, bounded cache", cache_bytes=sizes.cache_bytes)
    return [*long, compressed, many, bounded, replace(many, name="conversations, cache for all", cache_bytes=1 << 40)]


def memory(subject: Subject) -> list[Row]:
    """One row for each case. Raises `subprocess.CalledProcessError` when the measuring process fails."""
    rows = []
    for case in cases(subject.sizes):
        subject.say(f"memory: {case.name}")
        asked = {
            "case": asdict(case),
            "sizes": asdict(subject.sizes),
            "device": subject.device,
            "dtype": subject.dtype,
            "threads": torch.get_num_threads(),
        }
        command = [sys.executable, "-m", "benchmarks.local.memory"]
        done = subprocess.run(command, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
        rows.append({"part": "memory", "target": subject.sizes.memory_target, **asdict(case), **json.loads(done.stdout)})
    return rows


def measure(case: Case, subject: Subject) -> dict[str, Any]:
    """Run one case in this process."""
    settings = replace(subject.settings, prefill_tokens=case.prefill_tokens, cache_bytes=case.cache_bytes)
    target = target_by(subject.sizes.memory_target, settings)
    texts = Texts(target.tokenizer)
    parts = [texts.take(case.tokens) for _ in range(case.conversations)]
    answer(replace(target, readings=KeptReadings(0)), [ChatTurn("user", "Begin.")], 1)
    compressed = partial(_compressed, subject.compressor(subject.scorer("fused"), 0.1)) if case.form == "compressed" else None
    how = reset_peak()
    before, started = peak_mib(how), time.perf_counter()
    largest = _read(target, parts, compressed)
    figures = {
        "peak_of": how,
        "loaded_mib": round(before, 1),
        "peak_mib": round(peak_mib(how), 1),
        "cache_mib": round(target.readings.nbytes / 2**20, 1),
        "prompt_tokens": largest,
        "seconds": round(time.perf_counter() - started, 1),
    }
    if target.model.device.type == "cuda":
        figures["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return figures


def _read(target: LocalTarget, parts: list[str], compressed: Any) -> int:
    """Answer about each part, and give the length of the longest prompt."""
    turns = [conversation(question(number), [(text, compressed(text) if compressed else None)]) for number, text in enumerate(parts)]
    return max(answer(target, one, 1).prompt_tokens for one in turns)


def _compressed(compressor: Any, text: str) -> Any:
    return compressor.compress([segment_of(text, 0)], query_of(question(0), 0)).segments[0]


def main() -> None:
    """The measuring process."""
    asked = json.load(sys.stdin)
    torch.set_num_threads(asked["threads"])
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in asked["sizes"].items()}
    subject = Subject(Sizes(**given), asked["device"], asked["dtype"])
    json.dump(measure(Case(**asked["case"]), subject), sys.stdout)


if __name__ == "__main__":
    main()
