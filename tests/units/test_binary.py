"""Bytes read as text are told from text, however damaged that is."""

from __future__ import annotations

import base64
import gzip
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units import DEFAULT_LIMITS, layout_of
from specprefill_agents.prompt.units.binary import looks_like_binary
from specprefill_agents.prompt.units.layout import check_layout

DUMPS = [
    "00000000  7f 45 4c 46 02 01 01 00  00 00 00 00 00 00 00 00  |.ELF............|\n" * 9,
    "00000000: 7f45 4c46 0201 0100 0000 0000 0000 0000  .ELF............\n" * 9,
    "000000 7f 45 4c 46 02 01 01 00 00 00 00 00 00 00 00 00  >.ELF............<\n" * 9,
]


@pytest.mark.parametrize("text", DUMPS)
def test_dumps_of_bytes_are_binary(text: str) -> None:
    assert looks_like_binary(text)


@given(st.binary(min_size=400, max_size=4_000), st.sampled_from(["latin-1", "cp1252", "utf-8"]))
def test_compressed_bytes_are_binary_in_whatever_encoding_they_were_read(content: bytes, encoding: str) -> None:
    text = (gzip.compress(content) + content).decode(encoding, "replace")
    layout = layout_of(text, DEFAULT_LIMITS)
    check_layout(text, layout)
    assert not looks_like_binary(text) or layout.kind == "plain"


@given(st.integers(0, 9_999), st.integers(5_000, 9_000), st.sampled_from(["latin-1", "cp1252", "utf-8"]))
def test_random_bytes_are_cut_into_pieces_of_sensible_size(seed: int, size: int, encoding: str) -> None:
    # 12 % of the characters of cp1252 are no text; fewer bytes than these may happen to have less than MAX_SHARE of them.
    text = random.Random(seed).randbytes(size).decode(encoding, "replace")
    layout = layout_of(text, DEFAULT_LIMITS)
    assert looks_like_binary(text)
    assert layout.kind == "plain"
    assert max(unit.end - unit.start for unit in layout.units) <= 2 * DEFAULT_LIMITS.max_chars


@given(st.integers(0, 9_999), st.integers(300, 6_000))
def test_base64_is_plain_in_one_line_and_in_many(seed: int, size: int) -> None:
    content = random.Random(seed).randbytes(size)
    for text in (base64.b64encode(content).decode(), base64.encodebytes(content).decode()):
        layout = layout_of(text, DEFAULT_LIMITS)
        assert layout.kind == "plain"
        assert max(unit.end - unit.start for unit in layout.units) <= 2 * DEFAULT_LIMITS.max_chars


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Plain words, in a line of their own.\n" * 9,
        "L'\ufffdt\ufffd dernier, nous avons visit\ufffd le phare du port.\n" * 9,
        "\x1b[32mgreen\x1b[0m and \x1b[31mred\x1b[0m\n" * 9,
        "one\0two words\0three words of it\0" * 9,
        "done ... -\x08 \x08\\\x08 \x08done, and all went well\n" * 9,
        "漢字とかな。👩‍🚀\n" * 9,
        "1a2b 3c4d 5e6f\n" * 9,
    ],
)
def test_text_is_not_binary_though_damaged_coloured_or_foreign(text: str) -> None:
    assert not looks_like_binary(text)
