"""Repeats: what an earlier output of the conversation shows already is not said again.

The ordinary decision on the new text says what the question needs of it; of that, what the earlier text shows is left out,
and what is new in the text or changed is added as far as the tokens so won allow. So where the earlier text was cut, what
the question needs now is shown. A gap refers to the earlier text when all of it stands there and some of it can be read
there; what cannot is behind the marks of the earlier text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from specprefill_agents.compressor import Compressor
from specprefill_agents.prompt.decided import decided_text
from specprefill_agents.prompt.line_matching import matching_lines, split_lines_of
from specprefill_agents.prompt.units import Layout
from specprefill_agents.selection.fit import gap_forms, gap_starts, kept_spans
from specprefill_agents.selection.forced import forced_units
from specprefill_agents.session.masks import Mask, mask_of, units_without
from specprefill_agents.session.view import Shown, View
from specprefill_agents.types import CompressedSegment, Repeat, Segment

SHARED_LINES = 0.5
"""Share of a text's lines, blank ones aside, that must stand in an earlier text for a reference to be worth reading."""
GAIN = 0.9
"""A reference is used when it leaves at most this share of the tokens of the ordinary decision."""
LOOK_BACK = 64
"""Earlier segments that are compared, the latest first."""
_KINDS = frozenset({"tool_result", "document"})


@dataclass(frozen=True, slots=True)
class _Source:
    """An earlier segment, and masks over the characters of the new text: what can be read of it there, and what stands there at all."""

    shown: Shown
    visible: Mask
    present: Mask


def as_repeat(compressor: Compressor, segment: Segment, plain: CompressedSegment, view: View) -> CompressedSegment:
    """The decision on `segment` by reference to what is in view; `plain`, the ordinary one, where that gains too little."""
    if not compressor.config.repeats or segment.kind not in _KINDS or compressor.is_exempt(segment, plain.original_tokens):
        return plain
    source = _best_source(segment.text, view)
    if source is None:
        return plain
    layout = compressor.layout(segment.text)
    covered = _inside(source.visible, segment.text, layout)
    wanted = _inside(mask_of(len(segment.text), plain.spans), segment.text, layout) & ~covered
    changed = ~_inside(source.present, segment.text, layout)
    wanted |= forced_units(segment, layout, compressor.config.force_keep)
    repeat = Repeat(source.shown.name, view.label(source.shown), ())
    for kept in (wanted | changed, wanted):
        decided = _decided(compressor, segment, layout, _with_needs(layout, kept), _Gaps(covered, ~changed, repeat))
        if decided.repeat and decided.repeat.gaps and decided.kept_tokens <= GAIN * plain.kept_tokens:
            compressor.keep_original(segment.text, decided)
            return replace(decided, original_tokens=plain.original_tokens)
    return plain


def _best_source(text: str, view: View) -> _Source | None:
    """The earlier segment that shows most of `text`; of equals the latest. None where none has half of its lines."""
    lines = split_lines_of(text)
    earlier = [one for one in view.shown if one.segment.kind in _KINDS and one.decided.repeat is None]
    compared = [_compared(text, lines, shown, view) for shown in earlier[: -LOOK_BACK - 1 : -1]]
    return max((one for one in compared if one), key=lambda one: int(one.visible.sum()), default=None)


def _compared(text: str, lines: Sequence[str], shown: Shown, view: View) -> _Source | None:
    earlier = shown.segment.text
    readable = mask_of(len(earlier), view.visible(shown))
    if earlier == text:
        return _Source(shown, readable, np.ones(len(text), np.bool_))
    others = split_lines_of(earlier)
    inked = {line for line in lines if not line.isspace()}
    if len(inked.intersection(others)) < SHARED_LINES * len(inked) or not inked:
        return None
    pairs = matching_lines(lines, others)
    if sum(not lines[new].isspace() for new, _ in pairs) < SHARED_LINES * sum(not line.isspace() for line in lines):
        return None
    starts, places = ([0, *accumulate(map(len, part))] for part in (lines, others))
    visible, present = np.zeros(len(text), np.bool_), np.zeros(len(text), np.bool_)
    for new, old in pairs:
        present[starts[new] : starts[new + 1]] = True
        visible[starts[new] : starts[new + 1]] = bool(readable[places[old] : places[old + 1]].all())
    return _Source(shown, visible, present)


@dataclass(frozen=True, slots=True)
class _Gaps:
    """What gaps hide: which units (U,) can be read in the earlier text, which stand there at all, and what it is called."""

    covered: Mask
    present: Mask
    repeat: Repeat

    def referring(self, kept: Mask) -> Repeat:
        """With the numbers of the gaps between the units `kept` (U,) that refer to the earlier text."""
        starts = gap_starts(kept)
        ends = [int(np.argmax(kept[start:])) + start if kept[start:].any() else len(kept) for start in starts]
        gaps = enumerate(slice(start, end) for start, end in zip(starts, ends, strict=True))
        return replace(self.repeat, gaps=tuple(n for n, gap in gaps if self.present[gap].all() and self.covered[gap].any()))


def _decided(compressor: Compressor, segment: Segment, layout: Layout, kept: Mask, hidden: _Gaps) -> CompressedSegment:
    """The decision that keeps the units `kept` (U,) of a segment."""
    repeat = hidden.referring(kept)
    decided = CompressedSegment(
        text="",
        spans=kept_spans(layout, kept),
        outcome="compressed",
        original_tokens=0,
        kept_tokens=0,
        forms=gap_forms(layout, kept),
        original_id=compressor.original_id(segment.text) if len(repeat.gaps) < len(gap_starts(kept)) else "",
        repeat=repeat,
    )
    text = decided_text(compressor.config, segment.kind, segment.text, decided, {})
    return replace(decided, text=text, kept_tokens=compressor.counter.count(text))


def _with_needs(layout: Layout, kept: Mask) -> Mask:
    """The units `kept` (U,) with all that they cannot be read without."""
    whole = kept.copy()
    for index in np.flatnonzero(kept):
        whole[list(layout.with_needs(int(index)))] = True
    return whole


def _inside(mask: Mask, text: str, layout: Layout) -> Mask:
    """Which units (U,) have no ink outside of `mask` over the characters of `text`."""
    blank = np.fromiter(map(str.isspace, text), np.bool_, len(text))
    return units_without(~(mask | blank), layout)
