"""Audit records of what a session decided: one per new decision, none for what was frozen before."""

from __future__ import annotations

from collections.abc import Collection

from specprefill_agents.compressor import Compressor
from specprefill_agents.observe.decisions import EVENT, Made, Occasion, decision_record
from specprefill_agents.session.view import View


def leave_records(compressor: Compressor, occasion: Occasion, new: Collection[str], view: View) -> None:
    """Record the decisions named `new`, which are in view, in the order of the conversation. Never raises."""
    if not new:
        return
    decider, include_text = compressor.decider, compressor.audit.include_text
    left = set(new)
    for shown in view.shown:
        if shown.name not in left:
            continue
        left.remove(shown.name)
        try:
            sources = view.text_of([part.source for part in shown.decided.recalled])
            record = decision_record(Made(shown.name, shown.segment, shown.decided, sources), occasion, decider, include_text=include_text)
        except Exception as error:
            record = {"decision": shown.name, "fallback_reason": f"the record could not be made: {type(error).__name__}"}
        compressor.audit.record(EVENT, record)
