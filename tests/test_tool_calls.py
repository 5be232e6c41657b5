"""Tool calls are read out of what a model wrote, however it comes in pieces, and broken ones never raise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.targets.declared_calls import DeclaredReader
from specprefill_agents.targets.tool_calls import CallReader
from specprefill_agents.targets.tools import BrokenCall, ToolCall, ToolSpec

F = '{"name": "f", "arguments": {"x": 1}}'
CALL = ToolCall("f", {"x": 1})


def read(text: str, *, pieces: int = 1, single: bool = False) -> tuple[str, list[ToolCall], list[BrokenCall]]:
    reader = CallReader(["f", "g"], single=single)
    said = "".join(reader.push(text[at : at + pieces]) for at in range(0, len(text), pieces))
    return said + reader.finish(), reader.calls, reader.broken


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{F}\n</tool_call>",
        f"<tool_call>{F}</tool_call>\n",
        f"<tool_call>\n{F}",
        F,
        f"\n {F} ",
        '{"name": "f", "parameters": {"x": 1}}',
        '{"type": "function", "name": "f", "parameters": {"x": 1}}',
        '{"type": "function", "function": {"name": "f", "arguments": "{\\"x\\": 1}"}}',
        f"[{F}]",
        f"[TOOL_CALLS] [{F}]",
        f"[TOOL_CALLS][{F}]",
    ],
)
@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_every_usual_form_of_a_call_is_read(text: str, pieces: int) -> None:
    assert read(text, pieces=pieces) == ("", [CALL], [])


@pytest.mark.parametrize("text", [f"<tool_call>{F}</tool_call>\n<tool_call>{F}</tool_call>", f"{F}; {F}", f"[{F}, {F}]"])
def test_several_calls_are_read_in_order_and_single_takes_the_first(text: str) -> None:
    assert read(text) == ("", [CALL, CALL], [])
    assert read(text, single=True) == ("", [CALL], [])


def test_text_around_calls_is_said_without_the_white_space_next_to_them() -> None:
    assert read(f"I look.\n<tool_call>{F}</tool_call>\n") == ("I look.", [CALL], [])
    said, calls, _ = read(f"a\n<tool_call>{F}</tool_call>\nb \n")
    assert (said.split(), calls) == (["a", "b"], [CALL])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1, 2]",
        '{"name": "unknown", "arguments": {}}',
        '{"name": "Bob", "age": 3}',
        '{"answer": 42}',
        f"The form is {F}.",
        "a < b and <tool_",
        "</tool_call>",
        '[{"name": "f", "arguments": {}}, {"name": "unknown", "arguments": {}}]',
    ],
)
@pytest.mark.parametrize("pieces", [1, 1000])
def test_text_that_calls_nothing_is_said_as_it_is(text: str, pieces: int) -> None:
    assert read(text, pieces=pieces) == (text, [], [])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('<tool_call>\n{"name": "f", "arguments": {"x": ', "f"),
        ("<tool_call>\nnonsense\n</tool_call>", None),
        ('<tool_call>{"name": "f", "arguments": [1]}</tool_call>', "f"),
        ('<tool_call>{"name": "f", "arguments": {"x": NaN}}</tool_call>', "f"),
        ('<tool_call>{"name": 3, "arguments": {}}</tool_call>', None),
        ("<tool_call>" + "[" * 100_000 + "</tool_call>", None),
        ('{"name": "f", "parameters": {"x": ', "f"),
        ("<tool_call>", None),
    ],
)
def test_a_broken_call_is_kept_as_text_and_never_raises(text: str, name: str | None) -> None:
    said, calls, broken = read(text, pieces=1000)
    assert (said, calls) == ("", [])
    assert [call.name for call in broken] == [name]
    assert broken[0].text.startswith("<tool_call>\n")


def test_a_closing_tag_inside_a_string_is_text() -> None:
    written = json.dumps({"name": "f", "arguments": {"x": 'a "</tool_call>" b'}})
    assert read(f"<tool_call>{written}</tool_call>")[1] == [ToolCall("f", {"x": 'a "</tool_call>" b'})]


def test_text_is_said_as_soon_as_it_is_certain() -> None:
    reader = CallReader(["f"])
    assert [reader.push(piece) for piece in ("Hi", " there", " <", "b", '{"name"')] == ["Hi", " there", "", " <b", '{"name"']


def test_a_call_is_known_with_its_closing_tag() -> None:
    reader = CallReader(["f"])
    reader.push(f"<tool_call>{F}</tool_call>")
    assert reader.calls == [CALL]


PARTS = st.sampled_from(["<tool_call>", "</tool_call>", F, "{", "}", '"', "\\", "name", " ", "\n", "[", "]", "[TOOL_CALLS]", "x", "<", "é"])


@given(st.lists(PARTS, max_size=12).map("".join), st.integers(1, 9))
def test_what_is_read_does_not_depend_on_the_pieces(text: str, pieces: int) -> None:
    assert read(text, pieces=pieces) == read(text, pieces=1000)


@given(st.lists(PARTS, max_size=12).map("".join).filter(lambda text: "<tool_call>" not in text and F not in text))
def test_text_without_calls_is_never_changed(text: str) -> None:
    assert read(text) == (text, [], [])


@pytest.fixture
def declaring(tiny_draft: str) -> Any:
    """A tokenizer that declares how its model's answers are to be read."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_draft)
    function = {"name": "{content.name}", "arguments": "{content.arguments}"}
    tokenizer.response_template = {
        "version": 1,
        "start_anchor": "assistant\n",
        "defaults": {"role": "assistant"},
        "fields": {
            "reasoning_content": {"open": "<think>", "close": "</think>"},
            "content": {},
            "tool_calls": {
                "open": "<call>",
                "close": "</call>",
                "repeats": True,
                "content": "json",
                "transform": {"type": "function", "function": function},
            },
        },
    }
    return tokenizer


def declared(tokenizer: Any, text: str, *, single: bool = False) -> tuple[str, DeclaredReader]:
    reader = DeclaredReader(tokenizer, "<|im_start|>assistant\n", [ToolSpec("f")], single=single)
    return "".join(reader.push(character) for character in text) + reader.finish(), reader


def test_a_tokenizers_own_parser_reads_its_models_calls(declaring: Any) -> None:
    said, reader = declared(declaring, f"<think>hm</think>I look.<call>{F}</call><call>{F}</call>")
    assert (said, reader.reasoning, reader.calls, reader.broken) == ("I look.", "hm", [CALL, CALL], [])
    assert declared(declaring, f"<call>{F}</call><call>{F}</call>", single=True)[1].calls == [CALL]


def test_what_a_tokenizers_parser_cannot_read_is_a_broken_call(declaring: Any) -> None:
    said, reader = declared(declaring, "So.<call>{nonsense</call>")
    assert (said, reader.calls) == ("So.", [])
    assert "{nonsense" in reader.broken[0].text
