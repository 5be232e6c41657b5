"""A model reads tokens at any rising positions, in passes of any size, takes them back and branches, all exactly."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
import torch

from specprefill_agents import ConfigError, TargetError
from specprefill_agents.targets.local import LocalTarget
from specprefill_agents.targets.reading import SMALLEST_CHUNK, Reading, check_attention

IDS = random.Random(1).choices(range(3, 259), k=300)
KEPT = [*sorted(random.Random(2).sample(range(299), 120)), 299]


def reading(target: LocalTarget, chunk: int = 1024) -> Reading:
    return Reading(target.model, threading.Lock(), chunk)


def dense(target: LocalTarget, ids: list[int]) -> Any:
    """The logits of one ordinary pass, after every token."""
    with torch.inference_mode():
        return target.model(input_ids=torch.tensor([ids])).logits[0].float()


@pytest.mark.parametrize("chunk", [1, 7, 64, 1024])
def test_with_all_tokens_the_logits_are_those_of_an_ordinary_pass(target: LocalTarget, chunk: int) -> None:
    rows = reading(target, chunk).read(IDS, range(300), rows=5)
    torch.testing.assert_close(rows, dense(target, IDS)[-5:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("chunk", [1, 50, 1024])
def test_tokens_left_out_are_as_if_nobody_attended_to_them_and_the_others_keep_their_places(target: LocalTarget, chunk: int) -> None:
    rows = reading(target, chunk).read([IDS[at] for at in KEPT], KEPT, rows=3)
    seen = torch.zeros(300, 300, dtype=torch.bool)
    seen[:, KEPT] = True
    mask = (seen & torch.ones(300, 300, dtype=torch.bool).tril()) | torch.eye(300, dtype=torch.bool)
    with torch.inference_mode():
        whole = target.model(input_ids=torch.tensor([IDS]), attention_mask=mask[None, None], position_ids=torch.arange(300)[None])
    torch.testing.assert_close(rows, whole.logits[0, KEPT[-3:]].float(), atol=1e-5, rtol=0)
    assert not torch.allclose(rows[-1], dense(target, IDS)[-1], atol=0.03)


@pytest.mark.parametrize(("size", "rows"), [(300, 1), (300, 5), (3, 5)])
def test_the_output_head_gets_its_rows_by_themselves(target: LocalTarget, size: int, rows: int) -> None:
    shown: list[torch.Tensor] = []
    hook = target.model.get_output_embeddings().register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    try:
        found = reading(target).read(IDS[:size], range(size), rows)
    finally:
        hook.remove()
    (hidden,) = shown
    assert hidden.shape[:2] == (1, min(size, rows))
    assert hidden.stride() == torch.empty(hidden.shape).stride(), "a slice of a longer pass makes torch copy the head's weights"
    assert found.shape == (min(size, rows), target.model.config.vocab_size)


def test_what_is_taken_back_was_never_read(target: LocalTarget) -> None:
    one = reading(target)
    one.read(IDS[:100], range(100))
    once = one.read(IDS[100:110], range(100, 110), rows=10)
    one.rewind(10)
    assert one.ids == IDS[:100]
    torch.testing.assert_close(one.read(IDS[100:110], range(100, 110), rows=10), once, atol=0, rtol=0)


def test_a_fork_goes_its_own_way(target: LocalTarget) -> None:
    one = reading(target)
    one.read(IDS[:100], range(100))
    other = one.fork(60)
    rows = other.read(IDS[200:220], range(60, 80), rows=20)
    torch.testing.assert_close(rows, dense(target, IDS[:60] + IDS[200:220])[-20:], atol=1e-5, rtol=0)
    assert one.ids == IDS[:100]
    torch.testing.assert_close(one.read(IDS[100:101], [100]), dense(target, IDS[:101])[-1:], atol=1e-5, rtol=0)


def test_memory_that_does_not_suffice_makes_the_passes_smaller(target: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    one = reading(target, 256)
    sizes = failing_above(one, 100, monkeypatch)
    rows = one.read(IDS, range(300))
    assert sizes == [256, 128, 64, 64, 64, 64, 44]
    torch.testing.assert_close(rows, dense(target, IDS)[-1:], atol=1e-5, rtol=0)


def test_memory_that_suffices_for_nothing_is_an_error_that_says_what_to_do(target: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    one = reading(target)
    failing_above(one, SMALLEST_CHUNK - 1, monkeypatch)
    with pytest.raises(TargetError, match=r"memory does not suffice to read \d+ tokens after 0: compress more"):
        one.read(IDS, range(300))


def test_flash_attention_is_refused_where_positions_have_gaps(target: LocalTarget) -> None:
    check_attention(target.model)

    class Flashy:
        config = type("Config", (), {"_attn_implementation": "flash_attention_2"})()

    with pytest.raises(ConfigError, match="flash_attention_2"):
        check_attention(Flashy())


def failing_above(one: Reading, most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Makes passes over more tokens than `most` fail after the first layer has grown; the sizes that were tried."""
    sizes: list[int] = []
    model = one._model
    layers = model.model.layers

    def limited(*args: Any, **kwargs: Any) -> Any:
        sizes.append(kwargs["input_ids"].shape[1])
        if sizes[-1] <= most:
            return model(*args, **kwargs)
        handle = layers[1].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("no memory")))
        try:
            return model(*args, **kwargs)
        finally:
            handle.remove()

    class Limited:
        config, device, forward = model.config, model.device, model.forward
        __call__ = staticmethod(limited)

    monkeypatch.setattr(one, "_model", Limited())
    return sizes
