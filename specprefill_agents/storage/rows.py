"""What a stored row looks like: a header that is checked, then arrays. Pure; knows no database and no directory.

Header (32 bytes): magic, schema version, kind, length of the body in bytes, and a BLAKE2b-128 of all that follows the
magic, the row's key and the body, keyed with the cache's secret: a row that was damaged, cut, moved to another key or
written by anyone without the secret does not verify. Body: each array as its type, shape and stored length, then its
bytes in C order, little-endian, through zlib where that makes them smaller.

Axes: N heads, W query rows, T tokens, D head size, C contexts of a call.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.errors import ConfigError
from specprefill_agents.scoring.context_keys import ContextKeys
from specprefill_agents.types import TokenScores

SCHEMA = 1
"""Version of everything this module writes; part of every row's key too."""

_MAGIC = b"SPFR"
_HEADER = struct.Struct("<4sBBxxQ16s")
HEAD_BYTES = _HEADER.size
"""A row's first bytes, which tell it apart from any other row of its key."""
MAX_DECODED_BYTES = 2**30
"""Of all arrays of a row together; more is neither written nor unpacked."""
SMALLEST_SECRET = 16
"""Of a secret that a user gives, in bytes."""
_ARRAY = struct.Struct("<BBBxI")
_DTYPES = [np.dtype(name) for name in ("<i1", "<i4", "<i8", "<f2", "<f4", "<f8")]
_SAMPLE_BYTES = 4096

V = TypeVar("V")
Array = NDArray[Any]


class DamagedRowError(Exception):
    """A row that cannot be used: not ours, damaged, or of another kind."""


class ForeignRowError(DamagedRowError):
    """A row without our magic."""


class NewerRowError(DamagedRowError):
    """A row that a later version of this library wrote."""


@dataclass(frozen=True, slots=True)
class RowKind(Generic[V]):
    """One kind of stored value: its number, its name, and how it turns into arrays and back.

    `pack` raises `ValueError` for a value that must not be stored, `unpack` `DamagedRowError` for arrays that do not fit.
    """

    code: int
    name: str
    pack: Callable[[V], Sequence[Array]]
    unpack: Callable[[Sequence[Array]], V]

    def dump(self, value: V, key: bytes, secret: bytes) -> bytes:
        """The row of `value` under `key`. Raises `ValueError` for a value that is not finite, or beyond `MAX_DECODED_BYTES`."""
        arrays = self.pack(value)
        if sum(array.nbytes for array in arrays) > MAX_DECODED_BYTES:
            raise ValueError(f"{self.name} of more than {MAX_DECODED_BYTES} bytes are not stored")
        body = b"".join(_array_bytes(array) for array in arrays)
        return _header(self.code, body, key, secret) + body

    def load(self, row: bytes, key: bytes, secret: bytes) -> V:
        """The value in `row`. Raises `DamagedRowError` unless it is whole, ours, of this kind and was stored under `key`."""
        if verified_kind(row, key, secret) != self.code:
            raise DamagedRowError("a row of another kind")
        try:
            return self.unpack(_arrays(row[_HEADER.size :]))
        except DamagedRowError:
            raise
        except Exception as error:
            raise DamagedRowError(f"a row that does not decode: {error}") from error


def check_secret(secret: bytes) -> None:
    """Raise `ConfigError` for a secret that is too short to be one."""
    if len(secret) < SMALLEST_SECRET:
        raise ConfigError("secret", f"{len(secret)} bytes", f"at least {SMALLEST_SECRET} bytes")


def row_key(secret: bytes, *parts: str) -> bytes:
    """HMAC-SHA256 of this schema version and `parts`, which cannot be read as other parts."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    message = b"".join(len(part).to_bytes(8, "little") + part for part in encoded)
    return hmac.digest(secret, b"row %d " % SCHEMA + message, "sha256")


def verified_kind(row: bytes, key: bytes, secret: bytes) -> int:
    """The kind's number of a row that is whole, ours, and stored under `key`. Raises `DamagedRowError` otherwise."""
    if not row.startswith(_MAGIC):
        raise ForeignRowError("a row without our magic")
    if len(row) < _HEADER.size:
        raise DamagedRowError("a row that was cut")
    _, schema, kind, length, _ = _HEADER.unpack_from(row)
    if schema > SCHEMA:
        raise NewerRowError(f"a row of schema {schema}")
    body = memoryview(row)[_HEADER.size :]
    if schema < SCHEMA or length != len(body) or not hmac.compare_digest(_header(kind, body, key, secret), row[: _HEADER.size]):
        raise DamagedRowError("a row that does not verify")
    return int(kind)


def _header(kind: int, body: bytes | memoryview, key: bytes, secret: bytes) -> bytes:
    digest = hashlib.blake2b(_HEADER.pack(_MAGIC, SCHEMA, kind, len(body), b""), digest_size=16, key=secret, person=b"specprefill row")
    digest.update(len(key).to_bytes(8, "little") + key)
    digest.update(body)
    return _HEADER.pack(_MAGIC, SCHEMA, kind, len(body), digest.digest())


def _array_bytes(array: Array) -> bytes:
    """One array with its description. Raises `ValueError` for a type that is not stored or a value that is not finite."""
    stored = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    if stored.dtype not in _DTYPES:
        raise ValueError(f"arrays of {array.dtype} are not stored")
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise ValueError("values that are not finite are not stored")
    raw = stored.tobytes()
    packed = zlib.compress(raw, 1) if _is_compressible(raw) else raw
    head = _ARRAY.pack(_DTYPES.index(stored.dtype), stored.ndim, packed is not raw, len(packed))
    return head + struct.pack(f"<{stored.ndim}I", *stored.shape) + packed


def _is_compressible(raw: bytes) -> bool:
    """Whether the first bytes shrink by a fifth; quantized keys and scores do not, offsets do."""
    sample = raw[:_SAMPLE_BYTES]
    return len(zlib.compress(sample, 1)) < 0.8 * len(sample)


def _arrays(body: bytes) -> list[Array]:
    """The arrays of a body that has been verified; each owns its memory. Raises `DamagedRowError` beyond `MAX_DECODED_BYTES`."""
    found = []
    at = decoded = 0
    while at < len(body):
        code, dimensions, is_packed, length = _ARRAY.unpack_from(body, at)
        shape = struct.unpack_from(f"<{dimensions}I", body, at + _ARRAY.size)
        start = at + _ARRAY.size + 4 * dimensions
        at = start + length
        raw = memoryview(body)[start:at]
        dtype = _DTYPES[code]
        size = dtype.itemsize * math.prod(shape)
        decoded += size
        if decoded > MAX_DECODED_BYTES:
            raise DamagedRowError("a row that unpacks to too much")
        content = zlib.decompressobj().decompress(raw, size) if is_packed and size else raw  # to zlib a limit of 0 is none
        found.append(np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("=")))
    return found


def _pack_keys(keys: ContextKeys) -> Sequence[Array]:
    return [keys.offsets, keys.keys, keys.scales]


def _unpack_keys(arrays: Sequence[Array]) -> ContextKeys:
    offsets, keys, scales = arrays
    if keys.ndim != 3 or offsets.shape != (keys.shape[1], 2) or scales.shape != keys.shape[:2]:
        raise DamagedRowError("keys, offsets and scales do not fit each other")
    return ContextKeys(offsets, keys, scales)


def _pack_vectors(vectors: NDArray[np.float32]) -> Sequence[Array]:
    return [vectors]


def _unpack_vectors(arrays: Sequence[Array]) -> NDArray[np.float32]:
    (vectors,) = arrays
    return vectors


def _pack_scores(scores: Sequence[TokenScores]) -> Sequence[Array]:
    lengths = np.array([len(one.scores) for one in scores], dtype=np.int64)
    offsets = np.concatenate([np.zeros((0, 2), np.int64), *(one.offsets for one in scores)])
    narrow = offsets.astype(np.int32)
    values = np.concatenate([np.zeros(0, np.float32), *(one.scores for one in scores)])
    return [lengths, narrow if (narrow == offsets).all() else offsets, values]


def _unpack_scores(arrays: Sequence[Array]) -> tuple[TokenScores, ...]:
    lengths, offsets, values = arrays
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != len(values) or offsets.shape != (len(values), 2):
        raise DamagedRowError("offsets and scores do not fit each other")
    ends = np.cumsum(lengths)
    wide = offsets.astype(np.int64)
    return tuple(TokenScores(wide[start:end], values[start:end], cached=True) for start, end in zip(ends - lengths, ends, strict=True))


def _pack_text(text: str) -> Sequence[Array]:
    return [np.frombuffer(text.encode("utf-8", "surrogatepass"), np.int8)]


def _unpack_text(arrays: Sequence[Array]) -> str:
    if len(arrays) != 1 or arrays[0].dtype != np.int8 or arrays[0].ndim != 1:
        raise DamagedRowError("not the bytes of one text")
    return arrays[0].tobytes().decode("utf-8", "surrogatepass")


def _pack_decisions(session: Mapping[str, Any]) -> Sequence[Array]:
    return _pack_text(json.dumps(session, separators=(",", ":"), allow_nan=False))


def _unpack_decisions(arrays: Sequence[Array]) -> dict[str, Any]:
    session = json.loads(_unpack_text(arrays))
    if not isinstance(session, dict):
        raise DamagedRowError("not a session")
    return session


CONTEXT_KEYS: RowKind[ContextKeys] = RowKind(1, "context keys", _pack_keys, _unpack_keys)
"""`ContextKeys` of one context: int32 offsets (T, 2), int8 or float16 keys (N, T, D), float32 scales (N, T)."""

QUERY_VECTORS: RowKind[NDArray[np.float32]] = RowKind(2, "query vectors", _pack_vectors, _unpack_vectors)
"""Float32 vectors (N, W, D) of one question."""

SCORES: RowKind[tuple[TokenScores, ...]] = RowKind(3, "scores", _pack_scores, _unpack_scores)
"""The C `TokenScores` of one call, float32 or float64; they come back with `cached` set."""

ORIGINAL: RowKind[str] = RowKind(4, "originals", _pack_text, _unpack_text)
"""One text as UTF-8, lone surrogates included."""

DECISIONS: RowKind[Mapping[str, Any]] = RowKind(5, "decisions", _pack_decisions, _unpack_decisions)
"""One session as `Session.to_dict` says it, as JSON."""

KINDS: dict[int, RowKind[Any]] = {kind.code: kind for kind in (CONTEXT_KEYS, QUERY_VECTORS, SCORES, ORIGINAL, DECISIONS)}
