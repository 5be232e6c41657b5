"""A stable choice: the same things are chosen in every process, on every machine, without anything being stored. Pure."""

from __future__ import annotations

import hashlib

from specprefill_agents.guardrails.checks import check_share


def is_chosen(share: float, *parts: str) -> bool:
    """Whether what `parts` name is among the `share`, in [0, 1], that is chosen: none at 0, all at 1.

    Choices for different parts are as good as independent; what is chosen at a share is chosen at every larger one too.
    Raises `ConfigError` for a share that is none.
    """
    check_share("share", share)
    # With their lengths, so that nothing a part contains can pass for the end of it.
    named = "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(named).digest()[:8], "big") < share * 2.0**64
