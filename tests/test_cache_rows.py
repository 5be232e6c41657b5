"""The bytes of a cache row: any change, cut or foreign key is noticed before a value is made of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.storage import rows
from specprefill_agents.storage.rows import CONTEXT_KEYS, KINDS, QUERY_VECTORS, DamagedRowError, NewerRowError, RowKind, row_key
from tests.cached_values import context_keys

KEY, SECRET = b"k" * 32, b"s" * 32
ROW = CONTEXT_KEYS.dump(context_keys(5), KEY, SECRET)


@given(at=st.integers(0, len(ROW) - 1), change=st.integers(1, 255))
def test_a_changed_byte_anywhere_is_noticed(at: int, change: int) -> None:
    damaged = ROW[:at] + bytes([ROW[at] ^ change]) + ROW[at + 1 :]
    with pytest.raises(DamagedRowError):
        CONTEXT_KEYS.load(damaged, KEY, SECRET)


def test_every_single_byte_counts() -> None:
    for at in range(len(ROW)):
        with pytest.raises(DamagedRowError):
            CONTEXT_KEYS.load(ROW[:at] + bytes([ROW[at] ^ 1]) + ROW[at + 1 :], KEY, SECRET)


def test_a_row_cut_or_extended_at_any_length_is_noticed() -> None:
    for length in range(len(ROW)):
        with pytest.raises(DamagedRowError):
            CONTEXT_KEYS.load(ROW[:length], KEY, SECRET)
    with pytest.raises(DamagedRowError):
        CONTEXT_KEYS.load(ROW + b"\0", KEY, SECRET)


@given(row=st.binary(max_size=200), prefix=st.sampled_from([b"", b"SPFR", b"SPFR\x01\x01"]))
def test_any_other_bytes_are_noticed(row: bytes, prefix: bytes) -> None:
    with pytest.raises(DamagedRowError):
        CONTEXT_KEYS.load(prefix + row, KEY, SECRET)


def test_a_row_under_another_key_or_secret_or_of_another_kind_or_later_schema_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, key, secret in ((CONTEXT_KEYS, b"other", SECRET), (CONTEXT_KEYS, KEY, b"other"), (QUERY_VECTORS, KEY, SECRET)):
        with pytest.raises(DamagedRowError):
            kind.load(ROW, key, secret)
    monkeypatch.setattr(rows, "SCHEMA", rows.SCHEMA + 1)
    later = CONTEXT_KEYS.dump(context_keys(5), KEY, SECRET)
    with pytest.raises(DamagedRowError):
        CONTEXT_KEYS.load(ROW, KEY, SECRET)
    assert row_key(SECRET, "x") != rows.row_key(SECRET, "y")
    monkeypatch.undo()
    with pytest.raises(NewerRowError):
        CONTEXT_KEYS.load(later, KEY, SECRET)


@pytest.mark.parametrize(
    "arrays",
    [
        [],
        [np.zeros((5, 2), np.int32), np.zeros((2, 5, 4), np.int8), np.zeros((2, 4), np.float32)],
        [np.zeros((4, 2), np.int32), np.zeros((2, 5, 4), np.int8), np.zeros((2, 5), np.float32)],
        [np.zeros((5, 2), np.int32), np.zeros((2, 5), np.int8), np.zeros((2, 5), np.float32)],
    ],
)
def test_arrays_that_do_not_fit_each_other_are_noticed(arrays: list[np.ndarray]) -> None:
    loose = RowKind(CONTEXT_KEYS.code, "loose", lambda _: arrays, lambda found: found)
    with pytest.raises(DamagedRowError):
        CONTEXT_KEYS.load(loose.dump(None, KEY, SECRET), KEY, SECRET)


def test_kinds_have_numbers_and_names_of_their_own() -> None:
    assert sorted(KINDS) == [1, 2, 3, 4, 5]
    assert len({kind.name for kind in KINDS.values()}) == len(KINDS)
