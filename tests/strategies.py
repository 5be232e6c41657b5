"""Texts, segments and whole calls for property tests: every content kind an agent meets, and what breaks tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from hypothesis import strategies as st

from specprefill_agents import Segment
from specprefill_agents.types import KeepRatio
from tests.kinds import FORMS, PLACES, SEEDS, text_of, words

WORDS = st.sampled_from("error value the import return café 日本語 id=42 /usr/bin 3.14 <|im_start|> </think> [… foo_bar 😀".split())
PROSE = st.lists(WORDS, min_size=1, max_size=60).map(lambda words: " ".join(words) + ". ")
LINES = st.lists(st.one_of(PROSE, st.just(""), st.just("    indented = 1")), max_size=30).map("\n".join)
JSON_LINES = st.lists(st.integers(), max_size=40).map(lambda ns: "[" + ",\n ".join(f'{{"id": {n}, "ok": true}}' for n in ns) + "]")
SPACES = st.sampled_from(["", " ", "\n\n\n", "\r\n" * 5, "\u2028line\u2029", "\ufeffbom"])
ODD = st.sampled_from(["\x00" * 30, "a" * 3000, "\ud800 lone", "これは長い文章です。" * 40, "[… 3 lines omitted]\n" * 9])
UGLY = st.one_of(SPACES, ODD)
TEXTS = st.one_of(LINES, JSON_LINES, UGLY, st.text(max_size=300), st.lists(st.one_of(PROSE, UGLY), max_size=8).map("".join))

SEGMENTS = st.builds(
    Segment,
    text=TEXTS,
    kind=st.sampled_from(["tool_result", "document", "tool_result", "document", "user", "system", "tool_error", "expanded"]),
    name=st.sampled_from([None, "grep", "secret"]),
    id=st.sampled_from([None, "call_1", "call_2"]),
)
QUERIES = st.one_of(st.just(""), PROSE, st.text(max_size=40))
RATIOS = st.floats(min_value=0.01, max_value=1.0)

CONTROLS = tuple(
    """<|endoftext|> <|endofprompt|> <|im_start|> <|im_end|> <|start|> <|channel|> <|message|> <|call|> <|return|> <|eot_id|>
    <|begin_of_text|> <|fim_prefix|> <s> </s> [INST] [/INST] <bos> <start_of_turn> <think> </think> <tool_call> </tool_call>
    <｜User｜> <｜Assistant｜> <｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜tool▁outputs▁begin｜> <｜fim▁hole｜> <unk> <pad>""".split()
)
"""Spellings of control tokens of many models' tokenizers."""
MARKS = (
    "[… lines 2-5 omitted]",
    '[… lines 1-3 omitted; full text: expand("sp-abcdefgh")]',
    '[…; full text: expand("sp-22222222")]',
    "[…]",
    '"[… lines 4-9 omitted]": null,',
    "[expanded sp-abcdefgh: lines 1-2 of 2]",
)
"""Gap marks of ours, and the head of an answer of `expand`, as a text may quote them."""
TROUBLE = ("\ud800", "\udfff\ud83d", "\x00", "\r", "\r\n", "\u2028", "\x85", "\ufeff", "\u202e", "e\u0301", "👨\u200d👩", "\x1b[31m")
PIECES = (*CONTROLS, *MARKS, *TROUBLE, "\n", "\n\n", "a" * 400, "これは長い文章です。" * 8, "```", "---\n", "{", '"', "\t")
"""What stands between, in and instead of well-formed text."""

CHARACTERS = st.text(st.characters(), max_size=40)
"""Any code points, surrogates among them."""
MIXTURES = 8
PLANES = (0x80, 0x800, 0x3000, 0x10000, 0x110000)
"""Ends of ranges of code points, of which each holds the one before."""
EVERY_KIND = (*FORMS, *(kind for kind in FORMS if "code" not in kind))
"""Each kind twice, but for those that take five times as long as any other."""


def any_text(source: Random, size: int, characters: str = "") -> str:
    """A text of any kind: whole, cut anywhere, two kinds in one, with pieces that do not belong, or only of those.

    Where it is not well-formed `characters` stand in it, or, without any, some that the source makes up.
    """
    characters = characters or "".join(chr(source.randrange(source.choice(PLANES))) for _ in range(source.randrange(4)))
    text = text_of(source.choice(EVERY_KIND), source.getrandbits(32), source.randint(0, size))
    how = source.randrange(MIXTURES)
    if how < 3:
        return text
    if how == 3:
        return characters + text[: source.randint(0, len(text))]
    if how == 4:
        start = source.randint(0, len(text))
        return text[start : source.randint(start, len(text))]
    if how == 5:
        other = text_of(source.choice(EVERY_KIND), source.getrandbits(32), 0)
        return text[: source.randint(0, len(text))] + source.choice((*PIECES, characters)) + other[source.randint(0, len(other)) :]
    if how == 6:
        return with_pieces(source, text, (*PIECES, characters))
    return characters.join(source.choices((*PIECES, words(source), words(source)), k=source.randint(0, 8)))


def with_pieces(source: Random, text: str, pieces: Sequence[str], most: int = 6) -> str:
    """`text` with one to `most` of `pieces` put in anywhere."""
    for _ in range(source.randint(1, most)):
        at = source.randint(0, len(text))
        text = text[:at] + source.choice(pieces) + text[at:]
    return text


def long_text(source: Random, chars: int) -> str:
    """A text as `any_text` gives them of at least so many characters: where one is shorter, others follow it."""
    text = any_text(source, 4)
    while len(text) < chars:
        text += any_text(source, 4) or "."
    return text


@dataclass(frozen=True)
class Case:
    """One call: segments with a query, and which of `RATIO_STEPS` to keep. `source` decides what else a test needs."""

    segments: tuple[Segment, ...]
    query: str
    ratio: KeepRatio
    source: Random


RATIO_STEPS: tuple[KeepRatio, ...] = (1e-6, 0.01, 0.03, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.7, 0.9, 1 - 1e-9, "auto", "auto")
KINDS = ("tool_result",) * 4 + ("document",) * 4
PROTECTED_KINDS = ("system", "user", "assistant", "tool_call", "reasoning", "tool_error", "expanded")


def any_query(source: Random, characters: str = "") -> str:
    """A question: nothing, some words that texts of all kinds contain, names and numbers, any text at all."""
    named = f"{words(source, 1, 3)} {source.randrange(100)}? x.py " + " ".join(f"src/{one}.py service.{one}" for one in PLACES[:5])
    return source.choice(("", words(source, 1, 6), named, characters, source.choice(PIECES)))


def case_of(seed: int, size: int, characters: str = "", kinds: Sequence[str] = KINDS) -> Case:
    """The call that a seed stands for, of few and small segments for a small `size`."""
    source = Random(seed)
    count = min(1 + size // 2, source.choice((1, 1, 1, 2, 2, 3, 4)))
    segments = tuple(
        Segment(
            any_text(source, size // count, characters),
            source.choice(kinds),  # type: ignore[arg-type]
            source.choice((None, "grep", "secret", "read")),
            source.choice((None, "call_1", "call_2", "")),
        )
        for _ in range(count)
    )
    return Case(segments, any_query(source, characters), source.choice(RATIO_STEPS), source)


SIZES = st.integers(0, 6)
CASES = st.builds(case_of, SEEDS, SIZES, CHARACTERS)
"""Calls whose segments are candidates, as far as they hold any text."""
MIXED_CASES = st.builds(case_of, SEEDS, SIZES, CHARACTERS, st.just(KINDS + PROTECTED_KINDS))
"""Calls with segments of every kind."""
