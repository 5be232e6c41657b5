"""The most memory that this process has held.

On Linux the peak (VmHWM) can be started anew, and is the process's own; elsewhere it is `ru_maxrss`, all since its start. On
Linux that would begin with the size of the process that started it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def reset_peak() -> str:
    """Start the peak anew where the system can, and say what it is then read from."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return "ru_maxrss"
    return "VmHWM"


def peak_mib(how: str) -> float:
    """The peak in MiB, read as `reset_peak` said."""
    if how == "VmHWM":
        found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii", errors="replace"), re.MULTILINE)
        if found:
            return int(found[1]) / 1024
    import resource  # POSIX only

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20
