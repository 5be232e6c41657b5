"""Documents that others name: the second hop of a question."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.prompt.titles import leading_phrase, title_of
from specprefill_agents.scoring.fusion import FusionScorer, Member
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.links import SCATTERED, Source, best_sources, link_scores
from tests.strategies import TEXTS


def test_a_document_gains_what_the_best_unit_that_names_it_scores() -> None:
    titles = ["Silent Harbour", "Ada Lindqvist", "Ada Brandt"]
    found = link_scores(titles, [Source(0, "It was directed by Ada Lindqvist in 1986.", 2.0), Source(2, "a poor unit", 9.0)])
    assert found[0] == 0
    assert found[1] == 2.0
    assert found[2] < found[1] / 2  # "Ada" alone is less than half of that title


def test_a_document_does_not_gain_by_naming_itself() -> None:
    assert link_scores(["Ada Lindqvist", "Other"], [Source(0, "Ada Lindqvist was born in Lund.", 1.0)]).tolist() == [0, 0]


def test_scattered_words_of_a_title_count_for_less_than_the_phrase() -> None:
    phrase, scattered = link_scores(["north tower", "x", "south gate"], [Source(1, "the gate to the south of the north tower", 1.0)])[
        [0, 2]
    ]
    assert (phrase, scattered) == (1.0, SCATTERED**2)


def test_untitled_contexts_and_empty_titles_gain_nothing() -> None:
    assert link_scores([None, "", "the"], [Source(0, "the", 1.0)])[:2].tolist() == [0, 0]


def test_sources_level_with_the_last_one_taken_are_taken_too() -> None:
    sources = [Source(0, "a", 1.0), Source(1, "b", 2.0), Source(2, "c", 1.0), Source(3, "d", 0.0)]
    assert [source.text for source in best_sources(sources, 2)] == ["a", "b", "c"]
    assert best_sources([Source(0, "a", 0.0)], 2) == []


def test_the_title_is_the_given_name_or_what_the_text_begins_with() -> None:
    assert title_of(Segment("text", "document", name="Ada Lindqvist (director)")) == "Ada Lindqvist"
    assert title_of(Segment("Silent Harbour is a 1986 film.", "document")) == "Silent Harbour"
    assert title_of(Segment("# Release notes\n\nText.", "document")) == "Release notes"
    assert title_of(Segment("text", "tool_result", name="grep")) is None
    assert title_of(Segment("东京塔是日本东京的一座电视塔。", "document")) == "东京塔"
    assert title_of(Segment("東京タワーは、東京都港区にある塔。", "document")) == "東京タワー"
    assert leading_phrase("") is None


@given(TEXTS)
def test_any_text_has_a_short_title_or_none(text: str) -> None:
    title = leading_phrase(text)
    assert title is None or (0 < len(title) <= 80 and title.strip() == title)


@given(st.lists(TEXTS, max_size=4), TEXTS)
def test_links_are_finite_and_never_negative(titles: list[str], text: str) -> None:
    found = link_scores(titles, [Source(0, text, 1.0)])
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 1).all()


def test_the_second_hop_is_kept_although_it_shares_no_word_with_the_question() -> None:
    filler = [
        Segment(f"Station {n} lies on the coast. Its keeper counts the birds each morning.", "document", name=f"Station {n}")
        for n in range(8)
    ]
    first = Segment("Silent Harbour is a film from 1986. It was directed by Ada Lindqvist.", "document", name="Silent Harbour")
    second = Segment("She grew up beside a sawmill in Sweden.", "document", name="Ada Lindqvist")
    segments = [*filler[:4], second, *filler[4:], first]
    query = "Where did the person who directed the film Silent Harbour live when young?"
    config = CompressionConfig(keep_ratio=0.35, min_tokens=0, min_result_tokens=0)

    def kept(link_weight: float) -> str:
        scorer = FusionScorer([Member(LexicalScorer())], link_weight=link_weight)
        return Compressor(config=config, scorer=scorer).compress(segments, query).segments[4].text

    assert "sawmill" in kept(0.5)
    assert "sawmill" not in kept(0.0)
