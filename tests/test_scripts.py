"""Texts in scripts that are not written as words between spaces are searched as well as English ones."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.prompt.identifiers import identifiers, places_of, searchable
from specprefill_agents.prompt.scripts import blanked, escaped_letters, unescaped
from specprefill_agents.scoring.fusion import FusionScorer, Member, legible
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.words import words, words_between
from specprefill_agents.types import TokenScores

ASKED = {
    "Chinese": (
        "{}在杭州开面馆，{}休息。",
        "请问{}的店哪天休息？",
        "张 王 李 赵 陈 杨 周 吴 徐 孙",
        "建国 晓明 文博 雨桐",
        "周一 周四 周日",
    ),
    "Japanese": (
        "{}さんは京都で本屋を営み、{}が休みです。",
        "{}さんの店の休みはいつですか？",
        "佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤",
        "健一 美咲 翔太 花子",
        "月曜 木曜 日曜",
    ),
    "Korean": (
        "{}씨는 부산에서 서점을 하며 {}에 쉽니다. ",
        "{}의 가게는 언제 쉬나요?",
        "김 이 박 최 정 강 조 윤 장 임",
        "민준 서연 도윤 지우",
        "월요일 목요일 일요일",
    ),
    "Thai": (
        "{}เปิดร้านหนังสือที่ภูเก็ตและหยุดวัน{}\n",
        "ร้านของ{}หยุดวันไหน",
        "ทองคำ ศรีสุข บุญมา วงศ์ไทย ใจดี รักชาติ สุขใจ จันทร์แก้ว พงษ์ชัย แสงทอง",
        "สมชาย มาลี อรุณ ธนา",
        "จันทร์ พุธ ศุกร์",
    ),
}
"""A sentence about somebody and a day, the question for the day, first and last parts of names, days."""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("图书馆几点开门？ORD-12订单", ["图书", "书馆", "馆几", "几点", "点开", "开门", "ord", "12", "订单"]),
        ("東京タワーは", ["東京", "京タ", "タワ", "ワー", "ーは"]),
        ("서버12의 상태", ["서버", "12", "의", "상태"]),
        ("图", ["图"]),
        ("राम शर्मा की दुकान", ["राम", "शर्मा", "की", "दुकान"]),
        ("e\u0301tat Straße naïve", ["e\u0301tat", "strasse", "naïve"]),
    ],
)
def test_a_run_without_spaces_is_searched_by_its_pairs_and_a_sign_belongs_to_its_letter(text: str, found: list[str]) -> None:
    assert [word for word, _ in words(text)] == words_between(text, 0, len(text)) == found


@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_in_latin_letters_words_are_what_they_always_were(text: str) -> None:
    assert words_between(text, 0, len(text)) == [word.casefold() for word in re.findall(r"\w+", text)]


@given(st.text(st.sampled_from("a1 _,图书馆ラーあ한국ไท ี่")))
def test_words_cover_every_letter_and_their_spans_rise(text: str) -> None:
    spans = [span for _, span in words(text)]
    assert spans == sorted(spans, key=lambda span: span[1])
    assert {index for start, end in spans for index in range(start, end)} >= {i for i, letter in enumerate(text) if letter.isalnum()}


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("订单ORD-20391的状态是什么？", ["ord-20391"]),
        ("第105号仓库的管理员是谁？", ["105"]),
        ("注文A7-3312の状態を教えて", ["a7-3312"]),
        ("서버db-12의 상태는?", ["db-12"]),
    ],
)
def test_an_identifier_ends_where_such_a_script_begins(question: str, named: list[str]) -> None:
    assert identifiers(question) == named
    assert len(list(places_of(named[0], question.casefold()))) == 1
    assert blanked(question).strip("？? ").casefold() == named[0]


@pytest.mark.parametrize("language", ASKED)
def test_a_name_in_a_question_finds_its_sentence(language: str) -> None:
    text, asked = listing(language)
    for question, sentence in asked:
        (scores,) = LexicalScorer().score([text], question)
        start, end = scores.offsets[int(np.argmax(scores.scores))]
        assert sentence.strip() in text[start:end]


@pytest.mark.parametrize("language", ["Chinese", "Thai"])
def test_the_embedded_draft_does_not_outvote_what_it_cannot_read(language: str, embedded_draft: str) -> None:
    text, asked = listing(language)
    config = CompressionConfig(keep_ratio=0.15, min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base", on_error="raise")
    compressor = Compressor(embedded_draft, config, cache="memory")
    kept = [sentence.strip() in compressor.compress([Segment(text)], question).segments[0].text for question, sentence in asked]
    assert sum(kept) >= len(kept) - 1


def listing(language: str) -> tuple[str, list[tuple[str, str]]]:
    """A text of forty sentences that differ in a name and a day, and questions with the sentence that answers each."""
    sentence, question, first, last, days = ASKED[language]
    people = [one + other for other in last.split() for one in first.split()]
    closed = days.split()
    sentences = [sentence.format(name, closed[index % len(closed)]) for index, name in enumerate(people)]
    return "".join(sentences), [(question.format(people[index]), sentences[index]) for index in (3, 17, 22, 36)]


def test_tokens_that_are_pieces_of_letters_are_illegible_and_those_of_other_characters_are_not() -> None:
    whole = np.array([[0, 2], [2, 3]])
    cut = [[0, 1], [0, 1]]
    assert legible("abc", whole) == 1
    assert legible("", np.zeros((0, 2), dtype=np.int64)) == 1
    for others, trust in ((0, 0), (2, 0), (4, 2 / 3), (6, 1), (9, 1)):
        offsets = np.array([*cut, *([at, at + 1] for at in range(1, others + 1))])
        assert legible("字" + "b" * others, offsets) == pytest.approx(trust)
        assert legible("🎈" + "b" * others, offsets) == 1


def test_a_member_counts_as_far_as_its_tokens_are_legible() -> None:
    class Cut:
        def score(self, contexts: list[str], query: str) -> list[TokenScores]:
            offsets = np.array([[0, 1], [0, 1], [1, 2], [2, 3], [3, 4], [4, 5]])
            return [TokenScores(offsets, np.array([1.0, 0, 0, 0, 0, 0])) for _ in contexts]

    scores = FusionScorer([Member(Cut())], block_weight=0).score(["字abcd", "🎈abcd"], "?")
    assert [part.scores.max() for part in scores] == pytest.approx([2 / 3, 1])


NAMES = ["张伟", "王秀英", "李建国", "Иван Петров", "Jürgen Groß", "김민준"]


@pytest.mark.parametrize("name", NAMES)
def test_letters_that_json_writes_as_numbers_are_read_as_letters(name: str) -> None:
    records = [{"name": one, "desk": index} for index, one in enumerate(NAMES)]
    text = json.dumps(records, indent=0)
    (scores,) = LexicalScorer().score([text], f"{name}?")
    start, end = scores.offsets[int(np.argmax(scores.scores))]
    assert json.dumps(name) in text[start:end]


def test_an_identifier_behind_such_a_letter_stands_alone() -> None:
    text = json.dumps(["工号E12345", "XE12345", "éE12345"])
    assert list(places_of("e12345", searchable(text))) == [text.index("E12345")]
    assert len(searchable(text)) == len(text)


def test_tokens_within_such_letters_are_pieces_of_them() -> None:
    text = json.dumps("张伟") + "abcdefgh"
    offsets = np.array([[at, at + 1] for at in range(len(text))])
    assert len(text) == 22
    assert legible(text, offsets) == pytest.approx(2 - 4 * 10 / 22)
    assert legible(json.dumps("→→") + "abcdefgh", offsets) == 1


@given(st.text(st.sampled_from('ab\\u5f20é张 "')))
def test_what_is_no_such_letter_stays(text: str) -> None:
    assert unescaped(json.dumps(text)[1:-1]).count("张") >= text.count("张")
    assert len(searchable(text)) == len(text.casefold())
    assert all(text[start : start + 2] == "\\u" and end - start == 6 for start, end in escaped_letters(text))
