"""Who says what is told from what fields hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.transcript import looks_like_transcript, speaker_turns
from tests.units.tool_outputs import OUTPUTS

SAID = [
    "I saw a light in the tower that night.",
    "Nobody was there, as far as I know.",
    "And what did you do then?",
    "We waited for the ferry.",
]
NAMES = ["Ann", "Bob Hill", "Chris d'Entremont", "The Chair"]
ORDER = [0, 1, 0, 2, 1, 0, 3, 2, 1, 3, 0, 1]


def talk(form: str) -> str:
    return "".join(form.format(name=NAMES[who], nick=NAMES[who][:3].lower(), at=at, said=SAID[at % 4]) for at, who in enumerate(ORDER))


@pytest.mark.parametrize(
    "form",
    [
        "{name}: {said}\n",
        "{name}: {said}\n\n",
        "{name} (West Bay): {said}\n",
        "[{name}] {said}\n",
        "**{name}:** {said}\n",
        "[00:{at:02d}] {name}: {said}\n",
        "00:01:{at:02d} {name}: {said}\n",
        "{name}  9:{at:02d} AM\n{said}\n\n",
        "[10:{at:02d}] <{nick}> {said}\n",
        "[10:{at:02d}] {nick}: {said}\n",
        "2024-03-04, 10:{at:02d} - {name}: {said}\n",
    ],
)
def test_talk_is_recognised_however_its_speakers_are_marked(form: str) -> None:
    text = talk(form)
    turns = speaker_turns(text)
    assert looks_like_transcript(text)
    assert len(turns) == len(ORDER)
    assert "".join(text[turn.start : turn.end] for turn in turns) == text
    assert [text[turn.label_end : turn.end].strip() for turn in turns] == [SAID[at % 4] for at in range(len(ORDER))]


def test_two_who_take_turns_are_a_transcript() -> None:
    assert len(speaker_turns("INTERVIEWER: What did you see that night?\nWITNESS: I saw a light in the tower.\n" * 6)) == 12


def test_short_answers_among_longer_ones_do_not_matter() -> None:
    text = talk("{name}: {said}\n") + "Ann: Yes.\nBob Hill: Right.\nAnn: Mm.\nThe Chair: Thank you.\n"
    assert len(speaker_turns(text)) == len(ORDER) + 4


@pytest.mark.parametrize("kind", ["prose", "plain", "log", "json", "grep"])
def test_fields_headers_notes_and_messages_of_programs_are_no_turns(kind: str) -> None:
    assert [name for name, text in OUTPUTS[kind].items() if looks_like_transcript(text)] == []


@given(st.lists(st.sampled_from(["Name", "Street", "City", "Opened", "Remarks"]), min_size=3, max_size=5, unique=True), st.integers(3, 9))
def test_labels_that_come_round_in_the_same_order_are_fields(labels: list[str], records: int) -> None:
    record = "".join(f"{label}: words that say a little more than nothing.\n" for label in labels)
    assert speaker_turns(records * record) == []


@given(
    st.lists(st.sampled_from(["Host", "Port", "State", "Zone"]), min_size=8, max_size=30),
    st.sampled_from(["up", "8080", "eu-north-1", "not ready"]),
)
def test_labels_with_a_word_or_two_behind_them_are_fields_in_any_order(labels: list[str], value: str) -> None:
    assert speaker_turns("".join(f"{label}: {value}\n" for label in labels)) == []


def test_phrases_before_a_colon_name_nobody() -> None:
    text = (
        "Requirement already satisfied: numpy in the usual place for packages\nInstalling build dependencies: this may take some time\n" * 6
    )
    assert speaker_turns(text) == []
