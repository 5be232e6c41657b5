"""Generated texts, seeded: every content kind at any size, and the worst that a splitter may be given."""

from benchmarks.made.texts import KINDS, WORST, made_text

__all__ = ["KINDS", "WORST", "made_text"]
