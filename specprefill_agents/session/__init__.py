"""Agent conversations: decisions that are made once, then frozen; what was sent stays sent."""

from specprefill_agents.session.conversation import VERSION, Session, Turn
from specprefill_agents.session.recompacting import CacheState, Recompacted
from specprefill_agents.session.shared import SessionStore, SharedSession

__all__ = ["VERSION", "CacheState", "Recompacted", "Session", "SessionStore", "SharedSession", "Turn"]
