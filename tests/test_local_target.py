"""The local target answers as transformers itself would, streams whole characters and stops where it is told to."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from specprefill_agents import ConfigError, DraftError, TargetError, UnknownDraftError
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.loading import TargetSettings, load_target
from specprefill_agents.targets.local import Generation, LocalTarget
from specprefill_agents.targets.reading import Reading
from specprefill_agents.targets.sampling import Sampling
from specprefill_agents.targets.streaming import TextStream

QUESTION = [ChatTurn("user", "Tell me about ships, and about harbours.")]


@pytest.fixture(scope="module")
def target(tiny_draft: str) -> LocalTarget:
    return load_target(tiny_draft, TargetSettings(device="cpu", dtype="float32", cache_bytes=0))


def drain(stream: Generator[str, None, Generation]) -> tuple[list[str], Generation]:
    deltas = []
    while True:
        try:
            deltas.append(next(stream))
        except StopIteration as done:
            return deltas, done.value


def spoken(target: LocalTarget, monkeypatch: pytest.MonkeyPatch, text: str, *, end: bool = True) -> LocalTarget:
    """The target with a model that always says `text`, byte by byte, whatever it reads."""
    import torch

    said = target.tokenizer(text, add_special_tokens=False)["input_ids"] + ([target.tokenizer.eos_token_id] if end else [])
    script = iter(said)
    vocabulary = target.model.config.vocab_size

    def read(self: Reading, ids: list[int], positions: list[int], rows: int = 1) -> Any:
        return torch.nn.functional.one_hot(torch.tensor([next(script)]), vocabulary).float()

    monkeypatch.setattr(Reading, "read", read)
    return replace(target, copies=False)


def test_greedy_answers_equal_transformers_generate_token_for_token(target: LocalTarget) -> None:
    import torch

    prompt = torch.tensor([target.encode(QUESTION).ids])
    expected = target.model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=40)
    assert target.generate(QUESTION, Sampling(max_new_tokens=40)).token_ids == tuple(expected[0, prompt.shape[1] :].tolist())


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_prefill_in_chunks_gives_the_same_answer(target: LocalTarget, chunk: int) -> None:
    whole = target.generate(QUESTION, Sampling(max_new_tokens=24))
    assert replace(target, prefill_tokens=chunk).generate(QUESTION, Sampling(max_new_tokens=24)).token_ids == whole.token_ids


def test_the_embedded_model_answers_a_simple_question(embedded_draft: str) -> None:
    answer = load_target(embedded_draft).generate([ChatTurn("user", "What is the capital of France?")], Sampling(max_new_tokens=12))
    assert "Paris" in answer.text
    assert answer.finish_reason == "stop"


def test_deltas_join_to_the_text_of_the_result(target: LocalTarget) -> None:
    deltas, result = drain(target.stream(QUESTION, Sampling(max_new_tokens=50)))
    assert "".join(deltas) == result.text
    assert all(deltas)


def test_usage_counts_the_prompt_and_every_token_made(target: LocalTarget) -> None:
    result = target.generate(QUESTION, Sampling(max_new_tokens=9))
    assert result.prompt_tokens == len(target.encode(QUESTION).ids)
    assert result.completion_tokens == len(result.token_ids) == 9
    assert result.finish_reason == "length"
    assert 0 < result.time_to_first_token_ms <= result.elapsed_ms


def test_an_end_token_ends_the_answer_and_is_counted_but_not_shown(target: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    result = spoken(target, monkeypatch, "Aye.").generate(QUESTION)
    assert (result.text, result.finish_reason, result.completion_tokens) == ("Aye.", "stop", 5)


def test_an_emoji_is_never_split(target: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    deltas, result = drain(spoken(target, monkeypatch, "ok 😀é日!").stream(QUESTION))
    assert deltas == ["o", "k", " ", "😀", "é", "日", "!"]
    assert result.text == "ok 😀é日!"


def test_a_character_cut_off_by_the_length_limit_is_left_out(target: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    result = spoken(target, monkeypatch, "ok 😀", end=False).generate(QUESTION, Sampling(max_new_tokens=5))
    assert (result.text, result.finish_reason) == ("ok ", "length")


@pytest.mark.parametrize(
    ("said", "stop", "shown"),
    [
        ("one END two", ["END"], "one "),
        ("one ENDE two", ["ENDED", "DE"], "one EN"),
        ("aab", ["ab"], "a"),
        ("a 😀 b", ["😀"], "a "),
        ("no such thing", ["thingy"], "no such thing"),
    ],
)
def test_a_stop_string_split_over_tokens_is_never_shown(
    target: LocalTarget, monkeypatch: pytest.MonkeyPatch, said: str, stop: list[str], shown: str
) -> None:
    deltas, result = drain(spoken(target, monkeypatch, said).stream(QUESTION, Sampling(stop=tuple(stop))))
    assert "".join(deltas) == result.text == shown
    assert result.finish_reason == "stop"


def test_generation_stops_with_the_stop_string(target: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spoken(target, monkeypatch, "a.b.c").generate(QUESTION, Sampling(stop=(".",))).completion_tokens == 2


def test_text_that_could_begin_a_stop_string_waits_only_as_long_as_it_could() -> None:
    stream = TextStream(lambda ids: "".join(map(chr, ids)), ["xyz"])
    assert [stream.push(ord(c)) for c in "axyxyq"] == ["a", "", "", "xy", "", "xyq"]
    assert stream.finish() == ""


def test_invalid_bytes_are_shown_once_something_follows_them() -> None:
    stream = TextStream(lambda ids: bytes(ids).decode("utf-8", "replace"), [])
    assert [stream.push(byte) for byte in b"a\xff\xffb"] == ["a", "", "", "\ufffd\ufffdb"]


def test_closing_the_stream_ends_the_work(target: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    read = Reading.read
    monkeypatch.setattr(Reading, "read", lambda self, ids, *more, **named: passes.append(len(ids)) or read(self, ids, *more, **named))
    stream = target.stream([ChatTurn("user", "abc")], Sampling(max_new_tokens=1000))
    next(stream)
    made = len(passes)
    stream.close()
    assert len(passes) == made < 1000


def test_a_stream_left_open_does_not_block_other_callers(target: LocalTarget) -> None:
    first = target.stream(QUESTION, Sampling(max_new_tokens=50))
    next(first)
    second = target.generate(QUESTION, Sampling(max_new_tokens=50))
    assert drain(first)[1].token_ids == second.token_ids


def test_answers_do_not_depend_on_other_threads(target: LocalTarget) -> None:
    questions = [[ChatTurn("user", text)] for text in ("one", "two", "three", "four")]
    alone = [target.generate(question, Sampling(max_new_tokens=20)).token_ids for question in questions]
    together: dict[int, tuple[int, ...]] = {}
    work = [
        Thread(target=lambda i=i: together.update({i: target.generate(questions[i], Sampling(max_new_tokens=20)).token_ids}))
        for i in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert [together[index] for index in range(4)] == alone


def test_streaming_leaves_no_inference_mode_behind(target: LocalTarget) -> None:
    import torch

    stream = target.stream(QUESTION, Sampling(max_new_tokens=50))
    next(stream)
    assert not torch.is_inference_mode_enabled()
    stream.close()


def test_sampling_repeats_with_its_seed_and_varies_without(target: LocalTarget) -> None:
    def sample(seed: int | None) -> tuple[int, ...]:
        return target.generate(QUESTION, Sampling(max_new_tokens=20, temperature=1.0, seed=seed)).token_ids

    assert sample(1) == sample(1) != sample(2)
    assert len({sample(None) for _ in range(3)}) > 1


def test_a_prompt_longer_than_the_window_is_an_error_that_says_so(target: LocalTarget) -> None:
    with pytest.raises(TargetError, match=r"the prompt has \d+ tokens, .* reads at most 4095"):
        target.generate([ChatTurn("user", "x" * 5000)])


def test_an_answer_ends_where_the_window_does(target: LocalTarget) -> None:
    frame = target.encode([ChatTurn("user", "x")]).end - 1
    result = target.generate([ChatTurn("user", "x" * (4090 - frame))], Sampling(max_new_tokens=100))
    assert result.prompt_tokens == 4090
    assert result.completion_tokens <= 6


@pytest.mark.parametrize(
    "setting",
    [
        {"max_new_tokens": 0},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"stop": ("",)},
        {"stop": "END"},
        {"top_p": 0},
        {"top_k": 0},
    ],
)
def test_a_bad_setting_is_an_error_that_names_it(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        Sampling(**setting)


def test_no_messages_are_an_error(target: LocalTarget) -> None:
    with pytest.raises(TargetError):
        target.generate([])


def test_a_name_that_leads_nowhere_lists_the_known_ones() -> None:
    with pytest.raises(UnknownDraftError, match="smollm2-135m"):
        load_target("no-such-model")


def test_weights_in_an_unsafe_format_are_refused(tiny_draft: str, tmp_path: Any) -> None:
    import shutil

    import torch

    copy = tmp_path / "model"
    shutil.copytree(tiny_draft, copy)
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(DraftError):
        load_target(str(copy))
