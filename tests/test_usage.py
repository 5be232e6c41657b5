"""Usage is read in every shape it comes in; what is missing or contradictory is flagged, and never becomes a sum."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.accounting.usage import CONTRADICTION, NO_CACHE_FIGURES, NO_USAGE, read_usage
from tests.ledgers import deepseek_usage

LANGCHAIN = {"input_tokens": 1000, "output_tokens": 20, "total_tokens": 1020}
OPENAI = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}
ANTHROPIC = {"input_tokens": 50, "output_tokens": 20}


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({**LANGCHAIN, "input_token_details": {"cache_read": 900}}, Tokens(900, 100, output_tokens=20)),
        ({**LANGCHAIN, "input_token_details": {"cache_read": 0}}, Tokens(0, 1000, output_tokens=20)),
        ({**LANGCHAIN, "input_token_details": {"cache_read": 600, "cache_creation": 300}}, Tokens(600, 100, 300, output_tokens=20)),
        (
            {
                **LANGCHAIN,
                "input_token_details": {
                    "cache_read": 600,
                    "cache_creation": 0,
                    "ephemeral_5m_input_tokens": 100,
                    "ephemeral_1h_input_tokens": 200,
                },
            },
            Tokens(600, 100, 100, 200, output_tokens=20),
        ),
        (deepseek_usage(900, 100, 20), Tokens(900, 100, output_tokens=20)),
        ({**OPENAI, "prompt_cache_hit_tokens": 900}, Tokens(900, 100, output_tokens=20)),
        ({**OPENAI, "prompt_cache_miss_tokens": 100}, Tokens(900, 100, output_tokens=20)),
        ({**OPENAI, "prompt_tokens_details": {"cached_tokens": 896, "audio_tokens": 0}}, Tokens(896, 104, output_tokens=20)),
        ({**OPENAI, "prompt_tokens_details": {"cached_tokens": 512, "cache_write_tokens": 384}}, Tokens(512, 104, 384, output_tokens=20)),
        ({**LANGCHAIN, "input_tokens_details": {"cached_tokens": 896}}, Tokens(896, 104, output_tokens=20)),
        ({**ANTHROPIC, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 30}, Tokens(900, 50, 30, output_tokens=20)),
        ({**ANTHROPIC, "cache_read_input_tokens": 900, "cache_creation_input_tokens": None}, Tokens(900, 50, output_tokens=20)),
        (
            {
                **ANTHROPIC,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            },
            Tokens(0, 50, 10, 20, output_tokens=20),
        ),
        ({**deepseek_usage(900, 100, 20), "prompt_tokens": 1000.0}, Tokens(900, 100, output_tokens=20)),
    ],
)
def test_every_shape_is_read(usage: dict[str, Any], tokens: Tokens) -> None:
    found = read_usage(usage)
    assert (found.tokens, found.flags, found.at_list_price) == (tokens, (), True)


class Dumped:
    """An object as a provider's client returns it."""

    def __init__(self, fields: object) -> None:
        self._fields = fields

    def model_dump(self) -> Any:
        if isinstance(self._fields, Exception):
            raise self._fields
        return self._fields


def test_a_client_s_usage_object_is_read_like_its_fields() -> None:
    usage = deepseek_usage(900, 100, 20)
    assert read_usage(Dumped(usage)) == read_usage(usage)


@pytest.mark.parametrize(
    ("usage", "flag"),
    [
        (None, NO_USAGE),
        ({}, NO_USAGE),
        ([1, 2], "the usage is a list, not a table"),
        (Dumped(7), "the usage is a Dumped, not a table"),
        (Dumped(RuntimeError("broken")), "the usage is a Dumped, not a table"),
        ({"output_tokens": 5}, "the usage has no input_tokens"),
        ({"prompt_tokens": 5}, "the usage has no completion_tokens"),
        ({**OPENAI, "prompt_tokens": -1}, "prompt_tokens is no count of tokens"),
        ({**OPENAI, "completion_tokens": "20"}, "completion_tokens is no count of tokens"),
        ({**OPENAI, "completion_tokens": float("nan")}, "completion_tokens is no count of tokens"),
        ({**OPENAI, "completion_tokens": True}, "completion_tokens is no count of tokens"),
        ({**LANGCHAIN, "input_token_details": {"cache_read": 1.5}}, "cache_read is no count of tokens"),
    ],
)
def test_a_usage_that_cannot_be_read_has_no_tokens_and_says_why(usage: object, flag: str) -> None:
    found = read_usage(usage)
    assert found.tokens is None
    assert flag in found.flags


@pytest.mark.parametrize(
    ("usage", "flag"),
    [
        (LANGCHAIN, NO_CACHE_FIGURES),
        ({**LANGCHAIN, "input_token_details": None}, NO_CACHE_FIGURES),
        (OPENAI, NO_CACHE_FIGURES),
        ({**OPENAI, "prompt_tokens_details": {"cached_tokens": None}}, NO_CACHE_FIGURES),
        ({**OPENAI, "prompt_cache_hit_tokens": 900, "prompt_cache_miss_tokens": 99}, CONTRADICTION),
        ({**OPENAI, "prompt_cache_hit_tokens": 1001}, CONTRADICTION),
        ({**OPENAI, "prompt_cache_miss_tokens": 1001}, CONTRADICTION),
        ({**OPENAI, "prompt_tokens_details": {"cached_tokens": 1001}}, CONTRADICTION),
        ({**LANGCHAIN, "input_token_details": {"cache_read": 600, "cache_creation": 401}}, CONTRADICTION),
    ],
)
def test_input_of_which_the_hits_are_not_known_is_neither_hit_nor_miss(usage: dict[str, Any], flag: str) -> None:
    found = read_usage(usage)
    assert found.tokens == Tokens(unsplit_tokens=1000, output_tokens=20)
    assert found.flags == (flag,)
    assert found.tokens.hit_share is None


def test_anthropic_without_figures_of_its_cache_is_not_taken_for_uncached() -> None:
    found = read_usage({**ANTHROPIC, "cache_read_input_tokens": None, "cache_creation_input_tokens": None})
    assert found.tokens == Tokens(unsplit_tokens=50, output_tokens=20)
    assert found.flags == (NO_CACHE_FIGURES,)


def test_of_two_hit_counts_the_documented_one_is_used_and_the_difference_is_flagged() -> None:
    found = read_usage({**deepseek_usage(900, 100, 20), "prompt_tokens_details": {"cached_tokens": 800}})
    assert found.tokens == Tokens(900, 100, output_tokens=20)
    assert any("differ" in flag for flag in found.flags)


def test_a_total_that_is_not_the_sum_is_flagged() -> None:
    found = read_usage({**deepseek_usage(900, 100, 20), "total_tokens": 2000})
    assert found.tokens is not None
    assert found.flags == ("total_tokens is not input and output",)


@pytest.mark.parametrize(
    "usage",
    [
        {**LANGCHAIN, "input_token_details": {"priority_cache_read": 900, "priority": 100}},
        {**deepseek_usage(900, 100, 20), "service_tier": "flex"},
        {**OPENAI, "prompt_tokens_details": {"cached_tokens": 900, "audio_tokens": 5}},
        {**LANGCHAIN, "input_token_details": {"cache_read": 900, "audio": 5}},
    ],
)
def test_what_is_not_billed_at_list_price_keeps_its_tokens_and_says_so(usage: dict[str, Any]) -> None:
    found = read_usage(usage)
    assert found.tokens == Tokens(900, 100, output_tokens=20)
    assert not found.at_list_price
    assert "not at list price" in found.flags[0]


NAMES = st.sampled_from(
    "input_tokens output_tokens total_tokens prompt_tokens completion_tokens prompt_cache_hit_tokens prompt_cache_miss_tokens "
    "cache_read_input_tokens cache_creation_input_tokens cached_tokens cache_read cache_creation service_tier audio".split()
)
TABLES = st.sampled_from(["input_token_details", "prompt_tokens_details", "input_tokens_details", "cache_creation"])
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-5, 2000), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
ANYTHING = st.one_of(
    VALUES,
    st.dictionaries(NAMES, VALUES).flatmap(
        lambda flat: st.dictionaries(TABLES, st.one_of(VALUES, st.dictionaries(NAMES, VALUES))).map(lambda deep: {**flat, **deep})
    ),
)


@given(ANYTHING)
def test_no_usage_is_an_exception_and_none_gives_a_negative_count(usage: object) -> None:
    found = read_usage(usage)
    assert found.tokens is not None or found.flags
    if found.tokens is not None:
        assert min(getattr(found.tokens, name) for name in Tokens.__slots__) >= 0
        assert found.tokens.unsplit_tokens == 0 or found.flags
