"""The arm of a conversation in an experiment with and without compression; `accounting.arms` compares what they cost. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

from specprefill_agents.guardrails.sampling import is_chosen
from specprefill_agents.guardrails.settings import Guardrails

ArmName: TypeAlias = Literal["control", "treated"]


def arm_of(conversation_id: str, settings: Guardrails) -> ArmName:
    """`control`, which runs uncompressed, for the share of conversations that `settings.ab` states; else `treated`.

    It does not depend on the version of the guardrails: a conversation keeps its arm when they change, and one that was
    `treated` becomes `control` only when the share grows or the salt changes.
    """
    return "control" if is_chosen(settings.ab.control_share, "arm", settings.ab.salt, conversation_id) else "treated"
