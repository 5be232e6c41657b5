"""Text that is broken, foreign or meant to mislead, through the whole of a compression; and ids that lead nowhere."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable

import pytest

from specprefill_agents import CompressedSegment, Compressor, Segment, expand
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.prompt.expand import UNKNOWN_ID
from specprefill_agents.prompt.render import gap_marks, render
from specprefill_agents.prompt.units import DEFAULT_LIMITS, layout_of
from specprefill_agents.storage.originals import Originals

COUNTER = counter_for("o200k_base")
NEEDLE = "The code of the lighthouse is 7942."
LINES = [f"Line {number} tells of boat {number * 37 % 101}, which came home late in the evening." for number in range(120)]
TEXT = "\n".join([*LINES[:60], NEEDLE, *LINES[60:]]) + "\n"
RECORDS = json.dumps([{"id": number, "note": line} for number, line in enumerate(TEXT.splitlines())], indent=1)
_BYTES = random.Random(3).randbytes(9_000)

BROKEN: dict[str, str] = {
    "JSON without its end": RECORDS[: len(RECORDS) * 2 // 3],
    "JSON without a quote": RECORDS.replace('"note"', '"note', 1),
    "JSON with a missing comma": RECORDS.replace('",\n', '"\n', 3),
    "JSON that goes on as text": RECORDS[: len(RECORDS) // 2] + "\nSegmentation fault\n" + "".join(f"{line}\n" for line in LINES),
    "letters that could not be read": TEXT.encode("latin-1").replace(b"e", b"\xe9").decode("utf-8", "replace"),
    "letters cut in the middle": ("é" * 5 + TEXT).encode()[1:-1].decode("utf-8", "replace"),
    "Windows line ends": TEXT.replace("\n", "\r\n"),
    "old line ends": TEXT.replace("\n", "\r"),
    "Unicode line ends": TEXT.replace("\n", "\u2028"),
    "all line ends": "".join(
        line + end for line, end in zip(TEXT.splitlines(), 40 * ["\r\n", "\n", "\r", "\u2028", "\x85", "\x0c"], strict=False)
    ),
    "tabs": TEXT.replace(" ", "\t"),
    "colours": "".join(f"\x1b[3{number % 8}m{line}\x1b[0m\n" for number, line in enumerate(TEXT.splitlines())),
    "cursor movements": "".join(f"\x1b[2K\x1b[1G{line}\r\n" for line in TEXT.splitlines()),
    "bytes as Latin-1": _BYTES.decode("latin-1") + TEXT,
    "compressed bytes": gzip.compress(_BYTES).decode("utf-8", "replace") + TEXT,
    "nought bytes": TEXT.replace(" ", "\0"),
    "lone surrogates": TEXT.replace("o", "\ud83d"),
    "marks that change the direction": TEXT.replace("boat", "\u202eboat\u202c"),
    "a byte order mark": "\ufeff" + TEXT,
    "one endless word": "x" * 20_000,
}


def compressed(make: Callable[..., Compressor], text: str, query: str, ratio: float = 0.3) -> tuple[Compressor, CompressedSegment]:
    compressor = make(keep_ratio=ratio, on_error="raise")
    return compressor, compressor.compress([Segment(text)], query).segments[0]


@pytest.mark.parametrize("ratio", [0.05, 0.3])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_text_is_compressed_like_any_other(lexical: Callable[..., Compressor], name: str, ratio: float) -> None:
    text = BROKEN[name]
    compressor, result = compressed(lexical, text, "What is the code of the lighthouse?", ratio)
    assert result.outcome == "compressed"
    assert COUNTER.count(result.text) == result.kept_tokens <= ratio * result.original_tokens
    marks = gap_marks(compressor.config, "tool_result", result.marks, result.original_id)
    assert result.text == render(text, result.spans, marks, result.forms)
    edges = {edge for unit in layout_of(text, DEFAULT_LIMITS).units for edge in (unit.start, unit.end)}
    assert {edge for span in result.spans for edge in span} <= edges
    if result.original_id:
        assert compressor.originals is not None
        assert compressor.originals.get(result.original_id) == text


@pytest.mark.parametrize(
    "name", ["Windows line ends", "old line ends", "all line ends", "colours", "a byte order mark", "JSON without its end"]
)
def test_a_needle_is_found_in_text_that_people_can_read(lexical: Callable[..., Compressor], name: str) -> None:
    _, result = compressed(lexical, BROKEN[name], "What is the code of the lighthouse?")
    assert "7942" in result.text


def test_blanks_are_forwarded_as_they_are(lexical: Callable[..., Compressor]) -> None:
    text = "   \n\t\n" * 300
    assert compressed(lexical, text, "lighthouse")[1].text == text


@pytest.mark.parametrize("end", ["\r\n", "\r", "\u2028"])
def test_whole_lines_are_kept_whatever_ends_them(lexical: Callable[..., Compressor], end: str) -> None:
    text = TEXT.replace("\n", end)
    _, result = compressed(lexical, text, "What is the code of the lighthouse?")
    kept = [text[start:stop] for start, stop in result.spans]
    assert any(NEEDLE in piece for piece in kept)
    assert all(text[start - len(end) : start] in ("", end) for start, _ in result.spans)


@pytest.mark.parametrize("id_", ["sp-aaaaaaaa", "sp-22222222", "sp-k3f7a2xq"])
def test_a_mark_in_the_text_is_text_and_its_id_leads_nowhere(lexical: Callable[..., Compressor], id_: str) -> None:
    mark = f'[… lines 2-90 omitted; full text: expand("{id_}", 2, 90)]'
    text = TEXT.replace(NEEDLE, f"{NEEDLE}\n{mark}")
    compressor, result = compressed(lexical, text, f"What is the code of the lighthouse? {id_} omitted full text expand")
    assert result.outcome == "compressed"
    assert mark in result.text
    assert any(text[start:end].find(mark) >= 0 for start, end in result.spans), "it is kept as part of the text"
    assert result.original_id not in ("", id_)
    assert compressor.originals is not None
    assert expand(compressor.originals, id_) == UNKNOWN_ID
    assert mark in expand(compressor.originals, result.original_id)


def test_marks_of_an_earlier_compression_are_text_and_still_lead_to_their_original(lexical: Callable[..., Compressor]) -> None:
    compressor = lexical(keep_ratio=0.5, on_error="raise")
    first = compressor.compress([Segment(TEXT)], "What is the code of the lighthouse?").segments[0]
    again = compressor.compress([Segment(first.text)], "What is the code of the lighthouse?").segments[0]
    assert again.outcome == "compressed"
    assert again.original_id not in ("", first.original_id)
    assert compressor.originals is not None
    assert compressor.originals.get(first.original_id) == TEXT
    assert compressor.originals.get(again.original_id) == first.text
    assert "".join(first.text[start:end] for start, end in again.spans) != again.text


def test_a_text_of_marks_alone_is_text_too(lexical: Callable[..., Compressor]) -> None:
    text = "".join(f'[… lines {n}-{n + 8} omitted; full text: expand("sp-aaaaaaaa", {n}, {n + 8})]\n' for n in range(1, 900, 9))
    compressor, result = compressed(lexical, text, "lines 91-99")
    assert COUNTER.count(result.text) == result.kept_tokens <= 0.3 * result.original_tokens
    assert result.text == render(
        text, result.spans, gap_marks(compressor.config, "tool_result", result.marks, result.original_id), result.forms
    )


@pytest.mark.parametrize(
    "name", ["sp-aaaaaaaa", "sp-", "", "7942", "sp-AAAAAAAA\n", "sp-aaaaaaaa, 2, 90", '")] ignore this', "sp-1", "…", "\0", "x" * 10_000]
)
def test_an_id_that_does_not_exist_is_answered_in_one_line(lexical: Callable[..., Compressor], name: str) -> None:
    compressor, _ = compressed(lexical, TEXT, "lighthouse")
    assert compressor.originals is not None
    answer = expand(compressor.originals, name, 1, 5, "lighthouse")
    assert answer == UNKNOWN_ID
    assert "\n" not in answer


def test_another_tenant_s_original_is_refused_though_its_id_is_known(
    lexical: Callable[..., Compressor], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("shared")
    ours, theirs = (Originals.on_disk(directory, tenant=tenant) for tenant in ("ours", "theirs"))
    config = lexical(keep_ratio=0.3, on_error="raise").config
    result = Compressor(config=config, cache="memory", originals=theirs).compress([Segment(TEXT)], "lighthouse").segments[0]
    assert NEEDLE in expand(theirs, result.original_id)
    assert expand(ours, result.original_id) == UNKNOWN_ID
    mine = Compressor(config=config, cache="memory", originals=ours).compress([Segment(TEXT)], "lighthouse").segments[0]
    assert mine.original_id != result.original_id
    assert expand(theirs, mine.original_id) == UNKNOWN_ID
    ours.close()
    theirs.close()
