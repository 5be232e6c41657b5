"""Token counters."""

from __future__ import annotations

from functools import cache, partial

import pytest
from hypothesis import given

from specprefill_agents import ConfigError
from specprefill_agents.accounting.tokens import counter_for, hugging_face_counter
from tests.strategies import TEXTS

NAMES = ["o200k_base", "cl100k_base", "o200k_harmony", "deepseek", "estimate"]
COUNTERS = {name: cache(partial(counter_for, name)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_each_counter_counts_offline(name: str) -> None:
    counter = counter_for(name)
    assert counter.name == name
    assert counter.count("") == 0
    assert 2 <= counter.count("hello world") <= 4


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS)
def test_every_text_can_be_counted(name: str, text: str) -> None:
    assert COUNTERS[name]().count(text) >= (1 if text.strip() else 0)


@pytest.mark.parametrize(("name", "marker"), [("o200k_base", "<|endoftext|>"), ("deepseek", "<｜User｜>"), ("deepseek", "</think>")])
def test_special_token_strings_count_as_the_text_they_are(name: str, marker: str) -> None:
    assert counter_for(name).count(marker) > 1


def test_the_estimate_is_on_the_high_side() -> None:
    samples = [
        "def foo(x):\n    return x + 1\n" * 9,
        "これは文章です。" * 30,
        "😀 👨‍👩‍👧 " * 30,
        "Plain English words in a sentence. " * 30,
        "12345678 " * 50,
    ]
    for sample in samples:
        assert counter_for("estimate").count(sample) >= counter_for("o200k_base").count(sample)


def test_a_tokenizer_directory_is_a_counter(tiny_draft: str) -> None:
    assert counter_for(tiny_draft).count("<|im_start|>") == len("<|im_start|>")


def test_a_loaded_tokenizer_is_a_counter(tiny_draft: str) -> None:
    from transformers import AutoTokenizer

    counter = hugging_face_counter("tiny", AutoTokenizer.from_pretrained(tiny_draft))
    assert counter.count("<|im_end|>") == len("<|im_end|>")


def test_an_unknown_tokenizer_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="cl100k_base"):
        counter_for("gpt-17")
