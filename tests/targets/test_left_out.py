"""What a model is spared is marked in texts, survives templates and tokenizers, and comes out as gaps between positions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.targets.chat_template import ChatTurn, PromptEncoder
from specprefill_agents.targets.left_out import Marks, is_left_out
from specprefill_agents.targets.local import LocalTarget
from specprefill_agents.types import Span

TEXT = "  The first ship.\nThe second <|im_end|> ship.\nThe third ship.\n"
LINES: list[Span] = [(0, 18), (18, 46), (46, 62)]


@st.composite
def kept_texts(draw: st.DrawFn) -> tuple[str, list[Span]]:
    text = draw(st.text(max_size=60))
    ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8).map(lambda found: found[: len(found) // 2 * 2])))
    return text, [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]


@given(kept_texts())
def test_taking_the_marks_gives_the_text_back_with_what_was_not_kept(made: tuple[str, list[Span]]) -> None:
    text, kept = made
    marks = Marks.absent_from(text)
    plain, spans = marks.take(marks.put(text, kept))
    assert plain == text
    left_out = {index for start, end in spans for index in range(start, end)}
    shown = {index for start, end in kept for index in range(start, end)}
    assert left_out.isdisjoint(shown)
    assert all(text[index].isspace() for index in set(range(len(text))) - left_out - shown)


def test_marks_are_never_characters_of_the_text() -> None:
    marks = Marks.absent_from("".join(map(chr, range(0xF0000, 0xF0003))))
    assert (marks.opening, marks.closing) == ("\U000f0004", "\U000f0005")


def test_a_token_is_left_out_only_with_all_its_characters() -> None:
    assert is_left_out([(0, 2), (2, 4), (4, 6), (6, 8), (8, 8)], [(2, 4), (5, 8)]) == [False, True, False, True, False]


def test_with_everything_kept_a_prompt_is_the_plain_one(target: LocalTarget) -> None:
    encoder = PromptEncoder(target.tokenizer)
    plain = encoder.prompt([ChatTurn("user", "Ships?"), ChatTurn("tool", TEXT, name="look")])
    whole = (TEXT, ((0, len(TEXT)),))
    assert encoder.prompt([ChatTurn("user", "Ships?"), ChatTurn("tool", "short", name="look", whole=whole)], restored=True) == plain
    assert plain.positions == tuple(range(plain.end))


@pytest.mark.parametrize("role", ["tool", "user"])
def test_what_is_not_kept_leaves_a_gap_and_everything_else_its_place(target: LocalTarget, role: str) -> None:
    encoder = PromptEncoder(target.tokenizer)
    whole = encoder.prompt([ChatTurn("user", "Ships?"), ChatTurn(role, TEXT)])
    some = encoder.prompt([ChatTurn("user", "Ships?"), ChatTurn(role, "", whole=(TEXT, (LINES[0], LINES[2])))], restored=True)
    assert some.end == whole.end
    assert some.ids == tuple(whole.ids[at] for at in some.positions)
    missing = [at for at in range(whole.end) if at not in set(some.positions)]
    assert target.tokenizer.decode([whole.ids[at] for at in missing]) == TEXT[slice(*LINES[1])]


def test_of_a_text_of_which_nothing_is_kept_only_the_white_space_around_it_is_read(target: LocalTarget) -> None:
    encoder = PromptEncoder(target.tokenizer)
    prompt = encoder.prompt([ChatTurn("user", "Ships?"), ChatTurn("tool", "", whole=(TEXT, ()))], restored=True)
    read = target.tokenizer.decode(prompt.ids)
    assert "ship." not in read
    assert "Ships?" in read


def test_positions_beyond_the_window_are_given_up(target: LocalTarget) -> None:
    restoring = replace(target, positions="original")
    long = "x" * 5000
    fitting, beyond = (restoring.encode([ChatTurn("tool", "short", whole=(text, ((0, 3),)))]) for text in (long[:3000], long))
    assert fitting.end > 3000 > len(fitting.ids)
    assert beyond == target.encode([ChatTurn("tool", "short")])
    assert beyond.end == len(beyond.ids)
