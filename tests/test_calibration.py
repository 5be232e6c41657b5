"""Calibration: honest material, recall as the product measures it, a search that finds planted heads, presets that last."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from specprefill_agents import ConfigError, DraftError
from specprefill_agents.draft.loading import Draft, load_config, load_draft
from specprefill_agents.prompt.units import split_lines
from specprefill_agents.scoring import head_search
from specprefill_agents.scoring.calibration import CalibrationPlan, calibrate, candidate_layers, prefixes
from specprefill_agents.scoring.context_keys import ContextKeys
from specprefill_agents.scoring.head_search import KEEPS, Choice, Recall, TokenUnits, Trial, measured, search, touched
from specprefill_agents.scoring.key_index import attention_mass, load_key_index
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.needles import KINDS, Example, make_examples
from specprefill_agents.scoring.needles.example import rough_tokens, seeded
from specprefill_agents.scoring.presets import HeadPreset, load_preset, load_presets, match_fields, parse_preset, preset_for
from specprefill_agents.scoring.words import content_words
from specprefill_agents.selection.budget import Candidate, select
from specprefill_agents.selection.units import unit_scores
from specprefill_agents.types import TokenScores
from tests.conftest import Outcome

SMALL = CalibrationPlan(examples=2 * len(KINDS), questions=2, tokens=(400, 500))


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return make_examples(3 * len(KINDS), seed=5)


@pytest.fixture(scope="module")
def draft(tiny_draft: str) -> Draft:
    return load_draft(tiny_draft, device="cpu", dtype="float32")


# The material


def test_every_kind_is_there_equally_often(examples: list[Example]) -> None:
    assert [example.kind for example in examples] == [*KINDS] * 3


def test_every_question_has_needles_that_are_in_its_context(examples: list[Example]) -> None:
    for example in examples:
        assert len(example.questions) == 4
        for question in example.questions:
            assert question.needles, f"{example.kind}: {question.text}"
            for start, end in question.needles:
                assert 0 <= start < end <= len(example.text)
                assert example.text[start:end].strip()


def test_needles_are_a_small_part_of_a_context_of_the_length_asked_for(examples: list[Example]) -> None:
    for example in examples:
        assert 800 < rough_tokens(example.text) < 3200
        for question in example.questions:
            assert sum(end - start for start, end in question.needles) < 0.12 * len(example.text)


def test_needles_stand_at_all_depths(examples: list[Example]) -> None:
    depths = [needle[0] / len(example.text) for example in examples for question in example.questions for needle in question.needles]
    counts, _ = np.histogram(depths, bins=4, range=(0, 1))
    assert (counts > 0.1 * len(depths)).all()


@pytest.mark.parametrize("kind", ["facts", "two_facts", "trace", "passages"])
def test_most_needles_cannot_be_told_by_the_words_of_the_question(kind: str, examples: list[Example]) -> None:
    shares = []
    for example in (example for example in examples if example.kind == kind):
        for question in example.questions:
            asked = {word for word, _ in content_words(question.text)}
            for start, end in question.needles:
                shares.append(len(asked & {word for word, _ in content_words(example.text[start:end])}) / len(asked))
    assert np.mean(shares) < 0.35


def test_answers_of_records_belong_to_the_record_that_was_asked_for() -> None:
    for number in range(8):
        example = KINDS["table"](seeded(1, number), 1500, 4)
        for question in example.questions:
            ((start, end),) = question.needles
            row = example.text[start:end]
            assert "\n" not in row
            if asked := re.match(r'get_\w+\(\w+="(\w+)", \w+="([\w-]+)"', question.text):
                assert asked[1] in row
                assert asked[2] in row
                same = [line for line in example.text.splitlines() if re.search(rf"\b{asked[1]}\b.*\b{asked[2]}\b", line)]
                assert len(same) == 1


def test_code_needles_are_statements_and_never_docstrings(examples: list[Example]) -> None:
    needles = [e.text[a:b] for e in examples if e.kind == "code" for question in e.questions for a, b in question.needles]
    assert len(needles) > 20
    assert not [needle for needle in needles if needle.startswith(("#", '"""', "def "))]


def test_material_depends_on_the_seed_and_on_nothing_else() -> None:
    first, again, other = (make_examples(len(KINDS), seed, tokens=(500, 700)) for seed in (3, 3, 4))
    assert first == again
    assert make_examples(len(KINDS) + 4, 3, tokens=(500, 700))[: len(KINDS)] == first
    assert all(one.text != two.text for one, two in zip(first, other, strict=True))


def test_short_contexts_ask_fewer_questions_and_stay_sound() -> None:
    for example in make_examples(len(KINDS), questions=9, tokens=(200, 220)):
        assert example.questions
        assert all(question.needles for question in example.questions)


# Recall and search


def _tokens(text: str) -> np.ndarray:
    return np.array([match.span() for match in re.finditer(r"\s?\S{1,4}", text)])


def test_simulated_scores_and_selection_are_those_of_the_product(examples: list[Example]) -> None:
    for example in examples[: len(KINDS)]:
        units = split_lines(example.text, 48, 192)
        offsets = _tokens(example.text)
        masses = np.random.default_rng(0).random((2, len(offsets))).astype(np.float32)
        layout = TokenUnits.of(units, offsets)
        scores = layout.scores(masses)
        kept = layout.kept(scores)
        for row in range(2):
            expected = unit_scores(units, TokenScores(offsets, masses[row].astype(np.float64)), head_search.NEIGHBOUR_BONUS, 1)
            np.testing.assert_allclose(scores[row], expected, rtol=1e-6)
            candidate = Candidate(scores[row].astype(np.float64), layout.costs, np.zeros(len(units), bool), 0, 0)
            for number, keep in enumerate(KEEPS):
                (mask,) = select([candidate], int(np.floor(keep * layout.costs.sum())))
                assert mask.tolist() == kept[row, number].tolist()


def _planted(strength: dict[int, float], heads: int = 6, questions: int = 24) -> list[Trial]:
    """Trials in which head h finds the needle in a share `strength[h]` of the cases, and noise otherwise."""
    rng = np.random.default_rng(0)
    text = "".join(f"line {n} of a context that is only there to be cut into units\n" for n in range(60))
    units = split_lines(text, 48, 192)
    offsets = _tokens(text)
    layout = TokenUnits.of(units, offsets)
    trials = []
    for number in range(questions):
        unit = units[int(rng.integers(len(units)))]
        inside = (offsets[:, 0] >= unit.start) & (offsets[:, 1] <= unit.end)
        masses = rng.random((heads, len(offsets))).astype(np.float32)
        for head, share in strength.items():
            if (number * 7 % questions) / questions < share:
                masses[head, inside] += 2
        trials.append(Trial(f"kind {number % 3}", masses, layout, touched(units, [(unit.start, unit.end)])))
    return trials


def test_the_search_finds_the_head_that_finds_needles() -> None:
    assert search(_planted({4: 0.95}), layers=[0, 0, 1, 1, 2, 2], max_heads=1).heads == (4,)


def test_a_shallower_head_is_preferred_when_it_is_as_good() -> None:
    layers = [0, 1, 2, 3, 4, 5]
    assert search(_planted({2: 0.9, 5: 0.9}), layers, max_heads=1).heads == (2,)
    assert search(_planted({2: 0.3, 5: 0.95}), layers, max_heads=1).heads == (5,)


def test_a_head_that_adds_nothing_is_left_out_and_one_that_completes_another_is_taken() -> None:
    trials = _planted({1: 0.5})
    rng = np.random.default_rng(1)
    for trial in trials:
        covered = trial.recall(trial.masses[1:2]).mean() == 1
        trial.masses[3] = rng.random(trial.masses.shape[1]) / 10 if covered else _pointing(trial)
    choice = search(trials, [0] * 6, max_heads=4)
    assert set(choice.heads) >= {1, 3}
    assert measured(trials, choice).mean > 0.95
    assert len(choice.heads) < 4


def _pointing(trial: Trial) -> np.ndarray:
    """A mass on the tokens of the needle's unit only."""
    (unit,) = np.flatnonzero(trial.needles[0])
    group = int(np.flatnonzero(trial.layout.filled == unit)[0])
    bounds = [*trial.layout.first.tolist(), len(trial.layout.tokens)]
    mass = np.zeros(trial.masses.shape[1], np.float32)
    mass[trial.layout.tokens[bounds[group] : bounds[group + 1]]] = 3
    return mass


def test_means_are_over_kinds_first() -> None:
    recall = Recall(("a", "a", "a", "b"), np.array([[1.0, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]]))
    assert recall.mean == 0.5
    assert recall.by_kind == {"a": 1.0, "b": 0.0}
    assert recall.by_keep == dict.fromkeys(KEEPS, 0.5)


def test_one_choice_of_one_head_has_the_recall_of_that_head() -> None:
    trials = _planted({4: 0.7})
    assert measured(trials, Choice((4,), (1.0,))).mean == pytest.approx(head_search.single_recalls(trials)[4])
    assert measured(trials, Choice((4,), (2.0,))).mean == measured(trials, Choice((4,), (1.0,))).mean


# End to end


def test_calibrating_a_draft_gives_a_preset_that_loads_it_again(
    draft: Draft, tiny_draft: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    result = calibrate(draft, "tiny", SMALL, said.append)
    preset = result.preset
    assert preset.fits(draft.model.config)
    assert all(layer < 2 and head < 4 for layer, head in preset.heads)
    assert preset.measured["recall"].keys() == {"0.1", "0.2", "0.3"}
    assert preset.measured["by_kind"].keys() == set(KINDS)
    assert preset.measured["questions"] == len(result.held_out.kinds)
    assert said
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "tiny.json").write_text(preset.to_json(), encoding="utf-8")
    assert preset_for(load_config(tiny_draft)) == preset
    (scores,) = load_key_index(tiny_draft, device="cpu").score(["some context to look at"], "context?")
    assert np.isfinite(scores.scores).all()
    assert calibrate(draft, "tiny", SMALL).preset == preset, "the same seed chooses the same"


def test_halves_that_differ_by_more_than_chance_are_reported(draft: Draft) -> None:
    def recall(value: float) -> Recall:
        return Recall(("a",) * 40, np.tile(np.array([[value], [value + 0.1]]), (20, 3)))

    preset = HeadPreset("x", ((0, 0),), "", match_fields(draft.model.config))
    from specprefill_agents.scoring.calibration import Calibration

    assert "disagree" in Calibration(preset, recall(0.8), recall(0.4), recall(0.4)).disagreement
    assert Calibration(preset, recall(0.8), recall(0.79), recall(0.4)).disagreement == ""


def test_only_full_attention_layers_are_candidates(draft: Draft) -> None:
    class Config:
        num_hidden_layers = 3
        layer_types = ("sliding_attention", "full_attention", "sliding_attention", "full_attention")

    class Windowed:
        num_hidden_layers = 2
        sliding_window = 256

    assert candidate_layers(Config(), 512) == [1]
    assert candidate_layers(Windowed(), 512) == []
    assert candidate_layers(Windowed(), 128) == [0, 1]
    assert candidate_layers(draft.model.config, 512) == [0, 1]


def test_prefixes_are_the_begin_token_with_a_newline_and_as_a_chat_begins(draft: Draft) -> None:
    assert prefixes(draft) == ["<|im_start|>", "<|im_start|>\n", "<|im_start|>user\n"]


@pytest.mark.parametrize("wrong", [{"examples": 1}, {"questions": 0}, {"max_heads": 0}, {"tokens": (50, 40)}])
def test_a_plan_out_of_range_is_refused_by_field(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CalibrationPlan(**wrong)  # type: ignore[arg-type]


def test_bm25_alone_does_not_solve_the_material(examples: list[Example]) -> None:
    shares = []
    for example in examples:
        units = split_lines(example.text, 48, 192)
        layout = TokenUnits.of(units, _tokens(example.text))
        for question in example.questions:
            trial = Trial(example.kind, np.zeros((1, 1), np.float32), layout, touched(units, question.needles))
            (scores,) = LexicalScorer().score([example.text], question.text)
            shares.append(trial.recall_of_units(unit_scores(units, scores, 0.3, 1)[None].astype(np.float32)).mean())
    assert 0.3 < np.mean(shares) < 0.85


def test_weights_multiply_the_mass_of_their_heads() -> None:
    rng = np.random.default_rng(0)
    keys = ContextKeys(np.zeros((5, 2), np.int32), rng.integers(-99, 99, (2, 5, 4)).astype(np.int8), np.full((2, 5), 0.01, np.float32))
    queries = rng.normal(size=(2, 3, 4)).astype(np.float32)
    first, second = (
        attention_mass(queries[head : head + 1], [ContextKeys(keys.offsets, keys.keys[head : head + 1], keys.scales[head : head + 1])])[0]
        for head in (0, 1)
    )
    np.testing.assert_allclose(attention_mass(queries, [keys], (2.0, 0.5))[0], 2 * first + 0.5 * second)
    np.testing.assert_allclose(attention_mass(queries, [keys])[0], first + second)


# Presets


PRESET = HeadPreset("x", ((3, 1), (5, 0)), "<s>\n", (("model_type", "llama"),), (1.0, 0.5), {"mean": 0.5})


def test_a_preset_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(PRESET.to_json(), encoding="utf-8")
    assert load_preset(path) == PRESET
    assert load_preset(path).measured == {"mean": 0.5}
    assert json.loads(PRESET.to_json())["layers"] == 6


def test_unknown_keys_are_ignored_and_missing_weights_are_one() -> None:
    raw = {**json.loads(PRESET.to_json()), "from_the_future": 1}
    del raw["weights"]
    assert parse_preset(json.dumps(raw), "x").head_weights == (1.0, 1.0)


@pytest.mark.parametrize(
    "change",
    [{"heads": []}, {"heads": [[1, -2]]}, {"weights": [1]}, {"weights": [1, 0]}, {"match": {}}, {"heads": "many"}, {"prefix": None}],
)
def test_a_damaged_preset_is_refused_by_file_name(change: dict[str, object]) -> None:
    raw = {**json.loads(PRESET.to_json()), **change}
    if change == {"prefix": None}:
        del raw["prefix"]
    with pytest.raises(DraftError, match=r"mine\.json"):
        parse_preset(json.dumps(raw), "mine.json")


def test_every_shipped_preset_says_what_it_was_measured_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    presets = {preset.name: preset for preset in load_presets()}
    assert presets.keys() >= {"smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b"}
    for preset in presets.values():
        assert set(preset.measured["by_kind"]) == set(KINDS)
        assert preset.measured["questions"] >= 80
        low, high = preset.measured["interval_95"]
        assert low < preset.measured["mean"] < high


def test_a_user_s_preset_comes_before_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "none"))
    shipped = next(preset for preset in load_presets() if preset.name == "smollm2-135m")
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    (tmp_path / "presets").mkdir()
    mine = HeadPreset("mine", ((2, 2),), "", shipped.match)
    (tmp_path / "presets" / "mine.json").write_text(mine.to_json(), encoding="utf-8")

    class Config:
        model_type, hidden_size, num_attention_heads, vocab_size = (
            dict(shipped.match)[name] for name in ("model_type", "hidden_size", "num_attention_heads", "vocab_size")
        )

    assert preset_for(Config()) == mine


def test_the_command_writes_a_preset_and_prints_what_it_measured(
    command: Callable[..., Outcome], tiny_draft: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    done = command("calibrate", "--draft", tiny_draft, "--name", "tiny", "--examples", "2", "--heads", "1", "--device", "cpu")
    assert done.status == 0, done.err
    preset = load_preset(tmp_path / "presets" / "tiny.json")
    assert preset.name == "tiny"
    assert "layers that run" in done.text
    assert "keep 0.1" in done.text


def test_the_command_says_in_one_line_what_is_wrong(command: Callable[..., Outcome], tiny_draft: str) -> None:
    assert command("calibrate", "--draft", "no-such-draft").status == 2
    done = command("calibrate", "--draft", tiny_draft, "--examples", "1")
    assert (done.status, done.err) == (2, "specprefill: examples=1 is not valid; allowed: an integer >= 2\n")
