"""Agent conversations: decisions that are made once, then frozen; what was sent stays sent."""

from specprefill_agents.session.conversation import VERSION, Session, Turn

__all__ = ["VERSION", "Session", "Turn"]
