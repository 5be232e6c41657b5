"""Masks over the characters of a text, and what they say of its units. Pure.

Axes: U units of a layout.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.prompt.units import Layout
from specprefill_agents.types import Span

Mask: TypeAlias = NDArray[np.bool_]


def mask_of(length: int, spans: Iterable[Span]) -> Mask:
    """Which of `length` characters lie in `spans`, which may overlap."""
    mask = np.zeros(length, np.bool_)
    for start, end in spans:
        mask[start:end] = True
    return mask


def units_without(mask: Mask, layout: Layout) -> Mask:
    """Which units (U,) hold no character of `mask`."""
    counts = np.concatenate([[0], np.cumsum(mask)])
    starts, ends = (np.array([getattr(unit, name) for unit in layout.units], np.intp) for name in ("start", "end"))
    without: Mask = counts[ends] == counts[starts]
    return without
