"""Why something did not go as configured, as one of few words: labels of metrics must not grow with what errors say. Pure."""

from __future__ import annotations

_SIGNS = (
    ("exceed max_scored_tokens", "too_long"),
    ("took longer than timeout_s", "timeout"),
    ("failures in a row", "breaker_open"),
    ("NotKeptError", "not_kept"),
    ("ScoringError", "scoring"),
    ("DraftError", "draft"),
    ("DraftFetchError", "draft"),
    ("a session step failed", "session_step"),
    (" failed: ", "step"),
)
"""What a reason of this library's own holds, and its word; the first that applies."""
OTHER = "other"
"""What is said by an error that is not this library's own."""
WORDS = (*dict.fromkeys(word for _, word in _SIGNS), OTHER)
"""All there are."""


def reason_word(reason: str) -> str:
    """The word of a fallback reason, one of `WORDS`."""
    return next((word for sign, word in _SIGNS if sign in reason), OTHER)
