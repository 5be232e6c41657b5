"""What was used last: made once while it is held, and forgotten in the order in which it was asked for."""

from __future__ import annotations

import pytest

from specprefill_agents.storage.last_used import LastUsed


def test_the_one_that_was_not_asked_for_the_longest_is_made_anew() -> None:
    held = LastUsed[int](2)
    given = [held.get(name, lambda number=number: number) for number, name in enumerate("abacab")]
    assert given == [0, 1, 0, 3, 0, 5]


def test_what_cannot_be_made_leaves_the_others() -> None:
    held = LastUsed[str](1)
    held.get("a", lambda: "first")
    with pytest.raises(KeyError):
        held.get("b", {}.popitem)  # type: ignore[arg-type]
    assert held.get("a", lambda: "second") == "first"
