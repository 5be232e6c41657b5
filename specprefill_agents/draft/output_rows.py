"""Which tokens of a pass get logits, said in the form that its device multiplies fast."""

from __future__ import annotations

from specprefill_agents.errors import missing_extra

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise missing_extra("A local model", "draft") from error


def last_rows(count: int, size: int, device: torch.device) -> int | Tensor:
    """The argument `logits_to_keep` of a pass over `size` tokens for the last `count` of them.

    On a processor these are indices: of a count transformers makes a slice, which torch does not multiply by the output head
    before it has copied all of that head.
    """
    return torch.arange(max(0, size - count), size) if device.type == "cpu" else count
