"""`specprefill compress`: a text in, what is kept of it out; and the machine contract of `--jsonl`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents import CompressionConfig, Compressor
from specprefill_agents.scoring import registry
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.serving.pool import MAX_COMPRESSORS, CompressorPool
from tests.conftest import Outcome

Command = Callable[..., Outcome]

NEEDLE = "The spare key of the observatory hangs behind the blue map in room 12.\n"
LINES = [f"Day {day}: the weather was mild, the visitors were few, and the log has nothing else to say.\n" for day in range(60)]
HAYSTACK = "".join([*LINES[:37], NEEDLE, *LINES[37:]])
QUESTION = "Where does the spare key of the observatory hang?"
BM25 = ("--scorer", "bm25", "--tokenizer", "o200k_base")


def ask(command: Command, *lines: object, arguments: tuple[str, ...] = BM25) -> list[dict[str, Any]]:
    """The answers to lines of the machine contract; a string is sent as it is."""
    sent = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    outcome = command("compress", "--jsonl", *arguments, stdin=sent.encode("utf-8", "surrogatepass"))
    assert outcome.status == 0
    assert outcome.out.isascii()
    return [json.loads(line) for line in outcome.text.splitlines()]


def request(text: str = HAYSTACK, **fields: object) -> dict[str, object]:
    return {"id": 1, "segments": [{"text": text}], "query": QUESTION, **fields}


def test_standard_input_is_compressed_to_standard_output(command: Command) -> None:
    outcome = command("compress", "--query", QUESTION, "--keep-ratio", "0.2", *BM25, stdin=HAYSTACK.encode())
    assert outcome.status == 0
    assert outcome.err == ""
    assert NEEDLE in outcome.text
    assert len(outcome.text) < 0.4 * len(HAYSTACK)


def test_a_file_is_compressed_like_standard_input(command: Command, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(HAYSTACK, encoding="utf-8")
    arguments = ("--query", QUESTION, *BM25)
    from_file = command("compress", str(tmp_path / "log.txt"), *arguments)
    assert from_file == command("compress", "-", *arguments, stdin=HAYSTACK.encode())


def test_json_output_has_the_text_its_spans_and_the_usage(command: Command) -> None:
    outcome = command("compress", "--json", "--query", QUESTION, "--keep-ratio", "0.2", *BM25, stdin=HAYSTACK.encode())
    answer = json.loads(outcome.text)
    assert set(answer) == {"text", "spans", "usage"}
    assert all(HAYSTACK[start:end] in answer["text"] for start, end in answer["spans"])
    assert set(answer["usage"]) == {"original_tokens", "kept_tokens", "scorer_ms", "fallback_reason"}
    assert answer["usage"]["kept_tokens"] <= 0.2 * answer["usage"]["original_tokens"]


def test_a_document_of_which_nothing_fits_vanishes(command: Command) -> None:
    outcome = command("compress", "--kind", "document", "--keep-ratio", "0.001", *BM25, stdin=HAYSTACK.encode())
    assert outcome.out == b""


@pytest.mark.parametrize("text", [b"", b" \n\t ", b"short\r\n", b"caf\xe9 \xff\xfe\x00 <|im_start|>", "\u2028 line \ufeff".encode()])
def test_a_text_that_is_not_compressed_comes_back_byte_for_byte_with_the_reason(text: bytes, command: Command) -> None:
    outcome = command("compress", *BM25, stdin=text)
    assert outcome.out == text
    assert outcome.status == 0
    assert outcome.err.startswith("specprefill: not compressed: ")


def test_bytes_that_are_no_utf_8_survive_compression(command: Command) -> None:
    needle = b"caf\xe9 \xff\x00 <|im_end|> key\n"
    text = HAYSTACK.encode().replace(NEEDLE.encode(), needle)
    outcome = command("compress", "--query", "im_end key", "--keep-ratio", "0.2", *BM25, stdin=text)
    assert needle in outcome.out
    assert len(outcome.out) < len(text) / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--keep-ratio", "7"), "keep_ratio=7.0 is not valid; allowed: a number in (0, 1], or 'auto'"),
        (("--scorer", "magic"), "scorer='magic' is not valid; allowed: fused, key_index, bm25, random, head_tail"),
        (("--draft", "no-such"), "unknown draft 'no-such'. Known drafts: smollm2-135m"),
        (("--tokenizer", "no-such"), "target_tokenizer='no-such' is not valid"),
        (("--min-tokens", "-1"), "min_tokens=-1 is not valid"),
        (("absent.txt",), "absent.txt: No such file or directory"),
    ],
)
def test_a_wrong_setting_is_one_line_on_standard_error(arguments: tuple[str, ...], message: str, command: Command) -> None:
    outcome = command("compress", *arguments)
    assert outcome.status == 2
    assert outcome.out == b""
    assert outcome.err.startswith(f"specprefill: {message}")
    assert outcome.err.count("\n") == 1


def test_a_draft_that_was_not_pulled_is_an_error_at_once(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    outcome = command("compress", stdin=HAYSTACK.encode())
    assert outcome.status == 2
    assert "specprefill models pull smollm2-135m" in outcome.err


class Failing:
    """A scorer that never works."""

    fingerprint = "failing"

    def score(self, contexts: object, query: str) -> list[Any]:
        raise RuntimeError("no luck")


def test_a_scorer_that_fails_forwards_the_original_and_says_so(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specprefill_agents.serving.pool.make_scorer", lambda *_: Failing())
    outcome = command("compress", "--query", QUESTION, stdin=HAYSTACK.encode())
    assert outcome == Outcome(0, HAYSTACK.encode(), "specprefill: RuntimeError: no luck\n")
    (answer,) = ask(command, request())
    assert answer["segments"] == [{"text": HAYSTACK, "spans": [[0, len(HAYSTACK)]]}]
    assert answer["usage"]["fallback_reason"] == "RuntimeError: no luck"


def test_each_line_is_answered_in_order_by_the_contract(command: Command) -> None:
    first = {"id": "a", "segments": [{"text": HAYSTACK, "kind": "document", "name": "log"}, {"text": "Be brief.", "kind": "system"}]}
    answers = ask(command, {**first, "query": QUESTION, "keep_ratio": 0.2}, request(id=7), {"id": 8, "segments": [], "query": ""})
    assert [answer["id"] for answer in answers] == ["a", 7, 8]
    for answer in answers:
        assert set(answer) == {"id", "segments", "usage"}
        assert set(answer["usage"]) == {"original_tokens", "kept_tokens", "scorer_ms", "fallback_reason"}
    log, system = answers[0]["segments"]
    assert NEEDLE in log["text"]
    assert all(HAYSTACK[start:end] in log["text"] for start, end in log["spans"])
    assert system == {"text": "Be brief.", "spans": [[0, 9]]}
    assert answers[2]["segments"] == []


def test_a_line_s_keep_ratio_wins_over_the_command_s(command: Command) -> None:
    sent = [request(id=i, keep_ratio=ratio) for i, ratio in enumerate([0.1, 0.5, 1, None])]
    usages = [answer["usage"] for answer in ask(command, *sent, arguments=(*BM25, "--keep-ratio", "0.3"))]
    total = usages[0]["original_tokens"]
    kept = [usage["kept_tokens"] / total for usage in usages]
    assert kept[0] <= 0.1 < kept[3] <= 0.3 < kept[1] <= 0.5
    assert kept[2] == 1


def test_a_line_may_leave_the_ratio_to_the_library_and_name_spans_to_keep(command: Command) -> None:
    start = HAYSTACK.index("7")
    kept = {"text": HAYSTACK, "keep": [[start, start + 1]]}
    (answer,) = ask(command, {"id": 1, "segments": [kept], "query": QUESTION, "keep_ratio": "auto"})
    assert NEEDLE in answer["segments"][0]["text"]
    assert any(first <= start < end for first, end in answer["segments"][0]["spans"])
    assert answer["usage"]["kept_tokens"] < 0.6 * answer["usage"]["original_tokens"]
    assert command("compress", "--keep-ratio", "auto", "--query", QUESTION, *BM25, stdin=HAYSTACK.encode()).out.count(NEEDLE.encode()) == 1


@pytest.mark.parametrize(
    ("line", "id_", "error"),
    [
        ("{not json", None, "not valid JSON"),
        ("[1, 2]", None, "not a JSON object"),
        ("[" * 100_000, None, "not valid JSON"),
        ("\x00", None, "not valid JSON"),
        ({"segments": [], "query": ""}, None, "id must be a string or an integer"),
        ({"id": [1], "segments": [], "query": ""}, None, "id must be a string or an integer"),
        ({"id": 1, "query": ""}, 1, "segments must be a list of objects"),
        ({"id": 1, "segments": "text", "query": ""}, 1, "segments must be a list of objects"),
        ({"id": 1, "segments": [{"text": "a"}]}, 1, "query must be a string"),
        ({"id": 1, "segments": [{"text": "a"}, "b"], "query": ""}, 1, "segments[1] must be an object"),
        ({"id": 1, "segments": [{"text": None}], "query": ""}, 1, "segments[0].text must be a string"),
        ({"id": 1, "segments": [{"text": "a", "kind": "poem"}], "query": ""}, 1, "segments[0].kind must be one of tool_result, document"),
        ({"id": 1, "segments": [{"text": "a", "kind": []}], "query": ""}, 1, "segments[0].kind must be one of tool_result, document"),
        ({"id": 1, "segments": [{"text": "a", "keep": [[0, 2]]}], "query": ""}, 1, "segments[0].keep must be a list of [start, end]"),
        ({"id": 1, "segments": [{"text": "a", "keep": "a"}], "query": ""}, 1, "segments[0].keep must be a list of [start, end]"),
        ({"id": 1, "segments": [{"text": "a", "name": 3}], "query": ""}, 1, "segments[0].name must be a string"),
        ({"id": "x", "segments": [], "query": "", "keep_ratio": "0.2"}, "x", "keep_ratio must be a number in (0, 1], or auto"),
        ({"id": "x", "segments": [], "query": "", "keep_ratio": True}, "x", "keep_ratio must be a number in (0, 1], or auto"),
        (
            {"id": "x", "segments": [], "query": "", "keep_ratio": 0},
            "x",
            "keep_ratio=0 is not valid; allowed: a number in (0, 1], or 'auto'",
        ),
        ('{"id": 1, "segments": [], "query": "", "keep_ratio": NaN}', None, "not valid JSON: NaN is not JSON"),
    ],
)
def test_a_bad_line_is_answered_with_its_error_and_the_rest_goes_on(line: object, id_: object, error: str, command: Command) -> None:
    before, bad, after = ask(command, request(id="before"), line, request(id="after"))
    assert set(bad) == {"id", "error"}
    assert bad["id"] == id_
    assert bad["error"].startswith(error)
    assert before["segments"] == after["segments"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "\ud800 lone \udfff",
        "nul \x00 nul",
        "<|im_start|>system<|im_end|><|endoftext|>",
        "a\u2028b\u2029c\x85d\x0be\x1cf",
        "\ufeffbom",
        "日本語の文です。" * 50,
    ],
)
def test_no_text_breaks_a_line_or_loses_a_character(text: str, command: Command) -> None:
    (whole,) = ask(command, request(text, keep_ratio=1))
    assert whole["segments"][0]["text"] == text
    mixed = HAYSTACK.replace(NEEDLE, f"{text} {NEEDLE}")
    (answer,) = ask(command, request(mixed, keep_ratio=0.3))
    assert answer["usage"]["fallback_reason"] is None
    assert NEEDLE in answer["segments"][0]["text"]


def test_text_that_is_sent_raw_and_not_escaped_is_read_too(command: Command) -> None:
    raw = '{"id": 1, "segments": [{"text": "é \u2028 \ud800"}], "query": ""}'
    (answer,) = ask(command, raw)
    assert answer["segments"][0]["text"] == "é \u2028 \ud800"


def test_bytes_that_are_no_utf_8_in_a_line_do_not_stop_the_stream(command: Command) -> None:
    line = b'{"id": 1, "segments": [{"text": "caf\xe9"}], "query": ""}\n'
    outcome = command("compress", "--jsonl", *BM25, stdin=line + line)
    assert [json.loads(line)["segments"][0]["text"] for line in outcome.text.splitlines()] == ["caf\udce9"] * 2


def test_blank_lines_and_a_missing_last_newline_are_no_requests(command: Command) -> None:
    outcome = command("compress", "--jsonl", *BM25, stdin=b"\n \r\n" + json.dumps(request()).encode())
    assert len(outcome.text.splitlines()) == 1


def test_five_megabytes_on_one_line_pass(command: Command) -> None:
    (answer,) = ask(command, request("a" * 5_000_000, keep_ratio=0.1), arguments=("--scorer", "head_tail", "--tokenizer", "estimate"))
    assert answer["usage"]["kept_tokens"] <= 0.1 * answer["usage"]["original_tokens"]


def test_one_model_is_loaded_for_a_whole_stream(tiny_draft: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []

    def load(draft: str, *_: object) -> LexicalScorer:
        loads.append(draft)
        return LexicalScorer()

    monkeypatch.setattr(registry, "_key_index", load)
    answers = ask(command, *(request(id=i, keep_ratio=0.1 * (i + 1)) for i in range(5)), arguments=("--draft", tiny_draft))
    assert len(answers) == 5
    assert loads == [tiny_draft]


def test_a_stream_of_ever_new_keep_ratios_holds_few_compressors() -> None:
    pool = CompressorPool(CompressionConfig(scorer="bm25"), "smollm2-135m")
    first = pool.at(0.5)
    made: list[Compressor] = [pool.at(0.001 * step) for step in range(1, 2 * MAX_COMPRESSORS)]
    assert pool.at(made[-1].config.keep_ratio) is made[-1]
    assert pool.at(0.5) is not first
    assert pool.at(None).config.keep_ratio == CompressionConfig().keep_ratio


def test_each_answer_is_written_before_the_next_line_is_read() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "specprefill_agents.cli", "compress", "--jsonl", *BM25], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin
    assert child.stdout
    for number in range(3):
        child.stdin.write(json.dumps(request(id=number)).encode() + b"\n")
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["id"] == number
    child.communicate()
    assert child.returncode == 0


def test_the_embedded_draft_keeps_what_the_question_asks_for(embedded_draft: str, command: Command) -> None:
    question = "Where is the thing that opens the observatory?"
    arguments = ("--draft", embedded_draft, "--tokenizer", "o200k_base")
    first, again = ask(command, request(query=question, keep_ratio=0.1), request(query=question, keep_ratio=0.2), arguments=arguments)
    assert first["usage"]["fallback_reason"] is None
    assert NEEDLE in first["segments"][0]["text"]
    assert NEEDLE in again["segments"][0]["text"]
