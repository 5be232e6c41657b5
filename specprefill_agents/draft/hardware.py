"""What a draft would run on here: device, number type and why, threads."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from specprefill_agents.draft.loading import choose_device, choose_dtype

import torch  # isort: skip (after loading, whose ImportError says what to install)


@dataclass(frozen=True, slots=True)
class Hardware:
    """`device` and its `name`, the `dtype` that `auto` chooses on it and the reason, and torch's `threads`."""

    device: str
    name: str
    dtype: str
    reason: str
    threads: int


def describe_hardware() -> Hardware:
    """The hardware that `load_draft` would choose."""
    device = choose_device()
    dtype = choose_dtype(device)
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        reason = "the GPU multiplies it natively" if dtype == torch.bfloat16 else "the GPU does not multiply bfloat16 natively"
    elif dtype == torch.bfloat16:
        name, reason = _processor(), "the processor has AVX512-BF16 or AMX"
    else:
        name, reason = _processor(), "the processor has neither AVX512-BF16 nor AMX"
    return Hardware(str(device), name, str(dtype).removeprefix("torch."), reason, torch.get_num_threads())


def _processor() -> str:
    """The processor's model name where Linux tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
