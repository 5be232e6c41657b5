"""A keep ratio on the command line."""

from __future__ import annotations

import argparse

from specprefill_agents.types import KeepRatio


def keep_ratio(word: str) -> KeepRatio:
    """A number, or `auto`; what the number may be is the configuration's to say. Raises what argparse shows as an error."""
    if word == "auto":
        return "auto"
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is neither a number nor auto") from None
