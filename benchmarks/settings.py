"""`--set NAME=VALUE`: any setting of the compressor, from a benchmark's command line."""

from __future__ import annotations

import json
from typing import Any


def setting(given: str) -> tuple[str, Any]:
    """`NAME=VALUE`, the value as JSON or else plain text. Raises ValueError for anything else."""
    name, separator, value = given.partition("=")
    if not name or not separator:
        raise ValueError(f"--set {given}: must read NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
