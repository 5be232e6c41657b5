"""How scores travel between a scoring service and its clients: JSON whose arrays are base64 of their bytes, so that none is rounded."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np

from specprefill_agents.errors import ScoringError
from specprefill_agents.types import TokenScores

OFFSETS = np.dtype("<i8")
SCORES = np.dtype("<f8")
"""Little-endian, whatever the machine."""


def packed(scores: Sequence[TokenScores]) -> list[dict[str, Any]]:
    """Scores in plain JSON types: `offsets` are T pairs of int64, `scores` T float64, both little-endian, in base64."""
    return [
        {
            "tokens": len(one.scores),
            "offsets": _text(one.offsets.astype(OFFSETS, copy=False).tobytes()),
            "scores": _text(one.scores.astype(SCORES, copy=False).tobytes()),
            "cached": one.cached,
        }
        for one in scores
    ]


def unpacked(rows: object) -> list[TokenScores]:
    """What `packed` was given, bit for bit. Raises `ScoringError` for anything else."""
    try:
        return [_one(row) for row in rows]  # type: ignore[attr-defined]
    except (TypeError, KeyError, ValueError, binascii.Error) as error:
        raise ScoringError(f"not scores as a service sends them: {type(error).__name__}") from error


def _one(row: Any) -> TokenScores:
    offsets = np.frombuffer(base64.b64decode(row["offsets"], validate=True), OFFSETS).reshape(row["tokens"], 2)
    scores = np.frombuffer(base64.b64decode(row["scores"], validate=True), SCORES).reshape(row["tokens"])
    return TokenScores(offsets.astype(np.int64, copy=False), scores.astype(np.float64, copy=False), bool(row["cached"]))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
