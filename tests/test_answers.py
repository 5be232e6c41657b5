"""The measures of an answer agree with values worked out by hand, and with plain definitions on whatever comes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.answers import allows, best_subspan_em, exact_match, f1, longest_common, rouge_l, string_match_all, valid_tool_call

TOOL = {
    "type": "function",
    "function": {
        "name": "send_money",
        "parameters": {
            "type": "object",
            "properties": {"amount": {"type": "number"}, "to": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
            "required": ["amount", "to"],
            "additionalProperties": False,
        },
    },
}


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}


def test_words_are_compared_as_squad_compares_them() -> None:
    assert f1("The Eiffel Tower!", ["eiffel tower"]) == exact_match("The Eiffel Tower!", ["eiffel tower"]) == 1.0
    assert f1("big Eiffel tower there", ["eiffel tower"]) == pytest.approx(2 / 3)
    assert exact_match("big Eiffel tower there", ["eiffel tower"]) == 0.0
    assert f1("", ["x"]) == 0.0
    assert f1("one", ["two", "one"]) == 1.0


def test_an_answer_may_stand_inside_what_was_said() -> None:
    assert best_subspan_em("It was Galileo, of course.", ["galileo"]) == 1.0
    assert best_subspan_em("It was Newton.", ["Galileo"]) == 0.0
    assert string_match_all("AB and cd", ["ab", "xy"]) == 0.5


def test_rouge_l_of_the_sentences_of_its_paper() -> None:
    # Lin 2004, section 3.1: recall and precision 3/4 and 2/4 against "police killed the gunman".
    assert rouge_l("police kill the gunman", ["police killed the gunman"]) == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", ["police killed the gunman"]) == pytest.approx(2 / 4)
    assert rouge_l("", ["police"]) == 0.0
    assert rouge_l("Of several, the best.", ["none", "of several the best"]) == 1.0


@cache
def subsequence(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """By the definition, without a table."""
    if not one or not other:
        return 0
    if one[-1] == other[-1]:
        return 1 + subsequence(one[:-1], other[:-1])
    return max(subsequence(one[:-1], other), subsequence(one, other[:-1]))


WORDS = st.lists(st.sampled_from("abc"), max_size=9)


@given(WORDS, WORDS)
def test_the_longest_common_subsequence_is_that_of_its_definition(one: Sequence[str], other: Sequence[str]) -> None:
    assert longest_common(one, other) == subsequence(tuple(one), tuple(other)) == longest_common(other, one)


@pytest.mark.parametrize(
    ("name", "arguments", "valid"),
    [
        ("send_money", '{"amount": 12.5, "to": "Ada", "tags": ["rent"]}', True),
        ("send_money", '{"amount": 12, "to": "Ada"}', True),
        ("pay", '{"amount": 12, "to": "Ada"}', False),
        ("send_money", '{"amount": 12, "to": "Ada"', False),
        ("send_money", '["Ada"]', False),
        ("send_money", '{"amount": "12", "to": "Ada"}', False),
        ("send_money", '{"amount": true, "to": "Ada"}', False),
        ("send_money", '{"amount": 12}', False),
        ("send_money", '{"amount": 12, "to": "Ada", "when": "now"}', False),
        ("send_money", '{"amount": 12, "to": "Ada", "tags": [1]}', False),
    ],
)
def test_a_call_is_valid_when_its_tool_is_there_and_allows_its_arguments(name: str, arguments: str, valid: bool) -> None:
    assert valid_tool_call(call(name, arguments), [TOOL]) is valid


LEAVES = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0]) | st.sampled_from(["", "a", "b"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2), max_leaves=4
)
TYPES = st.sampled_from(["string", "number", "integer", "boolean", "object", "array", "null"])
ENUMS = st.lists(LEAVES, min_size=1, max_size=2)
SCHEMAS = st.recursive(
    st.fixed_dictionaries({}, optional={"type": TYPES | st.lists(TYPES, min_size=1, unique=True), "enum": ENUMS}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "properties": st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
            "required": st.lists(st.sampled_from("xy"), unique=True),
            "additionalProperties": st.booleans(),
        },
    ),
    max_leaves=4,
)


@settings(max_examples=200)
@given(SCHEMAS, VALUES)
def test_a_schema_allows_what_a_validator_allows(schema: dict[str, Any], value: object) -> None:
    value = json.loads(json.dumps(value))
    assert allows(schema, value) == jsonschema_rs.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, value)
