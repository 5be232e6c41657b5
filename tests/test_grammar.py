"""An answer that is held to a grammar follows it, whatever the model would say, and with whichever tokenizer."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from specprefill_agents import ConfigError
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.constraint import Vocabulary
from specprefill_agents.targets.grammar import Grammar, closed
from specprefill_agents.targets.loading import TargetSettings, load_target
from specprefill_agents.targets.local import LocalTarget
from specprefill_agents.targets.reading import Reading
from specprefill_agents.targets.sampling import Sampling
from specprefill_agents.targets.tool_calls import CallReader
from specprefill_agents.targets.tools import FORMS, TAGGED, CallForm, ToolCall, ToolSpec

POINT = {"type": "object", "properties": {"x": {"type": "integer"}, "on": {"$ref": "#/$defs/On"}}, "required": ["x", "on"]}
SET = ToolSpec("set", "Sets a point.", {**POINT, "$defs": {"On": {"type": "boolean"}}})
PING = ToolSpec("ping", "Pings.")
ASK = [ChatTurn("user", "Set x to 3.")]


@pytest.fixture(scope="module")
def target(tiny_draft: str) -> LocalTarget:
    return load_target(tiny_draft, TargetSettings(device="cpu", dtype="float32"))


def answer(target: LocalTarget, grammar: Grammar, *, seed: int = 0, max_new_tokens: int = 200) -> Any:
    return target.generate(ASK, Sampling(max_new_tokens=max_new_tokens, temperature=1.0, seed=seed), tools=grammar.tools, grammar=grammar)


def called(text: str) -> list[ToolCall]:
    reader = CallReader(["set", "ping"])
    assert reader.push(text) + reader.finish() == ""
    assert reader.broken == []
    return reader.calls


@pytest.mark.parametrize("seed", range(6))
def test_a_random_model_can_only_call_a_tool_as_its_schema_says(target: LocalTarget, seed: int) -> None:
    made = answer(target, Grammar((SET, PING)), seed=seed)
    (call,) = called(made.text)
    assert made.finish_reason == "stop"
    if call.name == "ping":
        assert call.arguments == {}
    else:
        assert (call.name, set(call.arguments)) == ("set", {"x", "on"})
        assert isinstance(call.arguments["x"], int)
        assert isinstance(call.arguments["on"], bool)


def test_a_tool_without_parameters_gets_no_arguments_and_leaves_nothing_to_decode(
    target: LocalTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    read = Reading.read
    monkeypatch.setattr(Reading, "read", lambda self, ids, *more: passes.append(len(ids)) or read(self, ids, *more))
    assert called(answer(target, Grammar((PING,))).text) == [ToolCall("ping", {})]
    assert len(passes) <= 2


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_back(tiny_draft: str, target: LocalTarget, monkeypatch: pytest.MonkeyPatch, form: CallForm) -> None:
    monkeypatch.setattr(type(target._prompts), "form", form)
    assert called(answer(target, Grammar((PING,))).text) == [ToolCall("ping", {})]
    several = [len(called(answer(target, Grammar((PING,), several=True), seed=seed, max_new_tokens=2000).text)) for seed in range(5)]
    assert max(several) > 1


def test_an_answer_by_a_schema_is_its_json(target: LocalTarget) -> None:
    made = answer(target, Grammar(answer={"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}))
    assert json.loads(made.text) in ({"n": 1}, {"n": 2})


def test_calls_and_an_answer_can_both_be_allowed(target: LocalTarget) -> None:
    grammar = Grammar((PING,), {"type": "object", "properties": {"n": {"const": 1}}, "required": ["n"]})
    texts = {answer(target, grammar, seed=seed).text for seed in range(12)}
    assert texts == {'{"n": 1}', '<tool_call>\n{"name": "ping", "arguments": {}}\n</tool_call>'}


def test_an_answer_that_is_cut_off_says_so(target: LocalTarget) -> None:
    made = answer(target, Grammar((SET,)), max_new_tokens=30)
    assert (made.finish_reason, made.completion_tokens) == ("length", 30)
    whole = answer(target, Grammar((PING,))).completion_tokens
    assert answer(target, Grammar((PING,)), max_new_tokens=whole).finish_reason == "stop"


def test_a_large_vocabulary_of_merged_tokens_can_be_held_too(embedded_draft: str) -> None:
    import torch
    from transformers import AutoTokenizer

    from specprefill_agents.draft.registry import pulled_directory

    tokenizer = AutoTokenizer.from_pretrained(pulled_directory(embedded_draft))
    constraint = Vocabulary(tokenizer, len(tokenizer), {tokenizer.eos_token_id}).constraint(Grammar((SET,)).lark(TAGGED))
    tokens = constraint.forced()
    assert tokenizer.decode(tokens).startswith('<tool_call>\n{"name": "set", "arguments":')
    random = torch.Generator().manual_seed(0)
    while not constraint.ended and len(tokens) < 200:
        tokens.append(int(constraint.allowed(torch.rand(len(tokenizer), generator=random)).argmax()))
        constraint.accept(tokens[-1])
    (call,) = called(tokenizer.decode(tokens, skip_special_tokens=True))
    assert set(call.arguments) == {"x", "on"}


def test_without_the_package_that_holds_answers_the_error_is_the_command_that_mends_it(
    target: LocalTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(ImportError, match=r"pip install 'specprefill-agents\[draft\]'"):
        Grammar((PING,))
    assert target.generate(ASK, Sampling(max_new_tokens=2), tools=[PING]).completion_tokens == 2


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "object", "properties": {"x": {"$ref": "#/$defs/Nowhere"}}}, "Nowhere"),
        ({"type": "object", "properties": {"x": {"$ref": "https://example.org/x.json"}}}, "example.org"),
        ({"type": "object", "properties": {"x": {"type": "colour"}}}, "colour"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_an_error_that_names_the_tool(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"tools\['paint'\].*{said}"):
        Grammar((ToolSpec("paint", "", schema),))


def test_a_grammar_that_allows_nothing_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least one tool"):
        Grammar()


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": "f", "parameters": {"type": "string"}}, {"name": "f", "parameters": []}])
def test_a_tool_without_a_name_or_an_objects_schema_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="tools"):
        ToolSpec(**wrong)


def test_only_objects_that_list_their_properties_are_closed() -> None:
    inner = {"type": "object", "properties": {"properties": {"type": "object"}}}
    schema = {
        "properties": {"a": inner, "b": {"type": "array", "items": inner}},
        "additionalProperties": True,
        "default": {"properties": {}},
    }
    done = closed(schema)
    assert done["additionalProperties"] is True
    assert done["properties"]["a"]["additionalProperties"] is False
    assert done["properties"]["a"]["properties"]["properties"] == {"type": "object"}
    assert done["properties"]["b"]["items"]["additionalProperties"] is False
    assert done["default"] == {"properties": {}}
    assert "additionalProperties" not in inner
