"""ContextKeys: what the attention-key index keeps of one context. Knows no model, so that storage can hold it.

Axes: N heads, T context tokens, D head size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ContextKeys:
    """What the index keeps of one context, about N(D + 4) + 8 bytes a token as int8.

    `offsets` (T, 2) int32 character spans; `keys` (N, T, D) int8 or float16 and `scales` (N, T) float32 with
    key = keys * scale.
    """

    offsets: NDArray[np.int32]
    keys: NDArray[np.int8] | NDArray[np.float16]
    scales: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.offsets.nbytes + self.keys.nbytes + self.scales.nbytes
