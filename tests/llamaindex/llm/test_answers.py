"""SpecPrefillLLM: what comes back of a call, and who is told of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.llms.deepseek import DeepSeek
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, ValidationError

from specprefill_agents import Compressor, ConfigError
from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.accounting.ledger_file import LedgerFile, read_ledger
from specprefill_agents.guardrails.settings import AbSettings, Guardrails
from specprefill_llamaindex import CompressionEndEvent, Meter, SpecPrefillLLM, StepReport
from tests.llamaindex.llm.scripted import Scripted
from tests.llamaindex.llm.timetables import FIGURES, QUESTION, TOOL, called, conversation, result, timetable
from tests.openai_server import ANSWER, Recorded

WITH_USAGE = {"stream_options": {"include_usage": True}, "extra_body": {"thinking": {"type": "disabled"}}}


class Train(BaseModel):
    """A train."""

    town: str
    hour: int


class Events(BaseEventHandler):
    """Keeps the names of events, and the figures of ours."""

    names: list[str] = []  # noqa: RUF012 - pydantic copies it
    figures: list[dict[str, Any]] = []  # noqa: RUF012

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.names.append(event.class_name())
        if isinstance(event, CompressionEndEvent):
            self.figures.append({name: getattr(event, name) for name in FIGURES - {"note"}})


@pytest.fixture
def events() -> Iterator[Events]:
    handler = Events()
    handlers = get_dispatcher().event_handlers
    handlers.append(handler)
    yield handler
    handlers.remove(handler)


async def every_answer(llm: Any, messages: list[ChatMessage]) -> list[Any]:
    """The answer by each of the four ways; of a stream its last part."""
    *_, streamed = llm.stream_chat(messages)
    *_, astreamed = [part async for part in await llm.astream_chat(messages)]
    return [llm.chat(messages), await llm.achat(messages), streamed, astreamed]


async def test_answers_are_those_of_the_model_inside_and_carry_figures(llm: SpecPrefillLLM, deepseek: Callable[..., DeepSeek]) -> None:
    given = conversation(1)
    for ours, theirs in zip(await every_answer(llm, given), await every_answer(deepseek(), given), strict=True):
        assert ours.message == theirs.message
        assert type(ours.raw) is type(theirs.raw)
        assert ours.delta == theirs.delta
        figures = ours.additional_kwargs.pop("specprefill")
        assert set(figures) == FIGURES
        assert 0 < figures["kept_tokens"] < 0.5 * figures["original_tokens"]
        assert set(ours.additional_kwargs) == set(theirs.additional_kwargs)


def test_every_part_of_a_stream_comes_as_it_is_made(llm: SpecPrefillLLM) -> None:
    parts = list(llm.stream_chat(conversation(1)))
    assert "".join(part.delta or "" for part in parts) == ANSWER
    assert len(parts) > 5
    assert all(part.additional_kwargs["specprefill"]["original_tokens"] > 0 for part in parts)


async def test_callbacks_and_events_fire_once_and_come_from_the_model_inside(llm: SpecPrefillLLM, events: Events) -> None:
    counter = TokenCountingHandler()
    llm.callback_manager = CallbackManager([counter])
    answers = await every_answer(llm, conversation(1))
    assert len(counter.llm_token_counts) == len(answers) == 4
    assert counter.llm_token_counts[2].prompt_token_count == answers[0].raw.usage.prompt_tokens
    assert [events.names.count(name) for name in ("LLMChatStartEvent", "LLMChatEndEvent", "CompressionEndEvent")] == [4, 4, 4]
    assert {**events.figures[0], "note": None} == answers[2].additional_kwargs["specprefill"]
    assert events.figures[0]["kept_tokens"] < 0.5 * events.figures[0]["original_tokens"]


def test_the_callbacks_of_the_settings_reach_the_model_inside(llm: SpecPrefillLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = TokenCountingHandler()
    monkeypatch.setattr(Settings, "_llm", llm)
    monkeypatch.setattr(Settings, "_callback_manager", CallbackManager([counter]))
    Settings.llm.complete("Hello")
    assert len(counter.llm_token_counts) == 1


async def test_completions_are_passed_on(compressor: Compressor) -> None:
    inner = Scripted(responses=[])
    llm = SpecPrefillLLM(inner, compressor)
    expected = inner.complete("Hello", formatted=True, stop=["x"])
    assert llm.complete("Hello", formatted=True, stop=["x"]) == expected
    assert (await llm.acomplete("Hello", formatted=True, stop=["x"])).text == expected.text
    assert [part.text for part in llm.stream_complete("Hello", formatted=True, stop=["x"])] == [expected.text]
    assert [part.text async for part in await llm.astream_complete("Hello", formatted=True, stop=["x"])] == [expected.text]


async def test_predictions_use_the_prompt_settings_of_the_model_inside(
    deepseek: Callable[..., DeepSeek], compressor: Compressor, server: Recorded
) -> None:
    llm = SpecPrefillLLM(deepseek(system_prompt="Be brief."), compressor)
    prompt = PromptTemplate("When does the train to {town} leave?")
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "When does the train to Basel leave?"}]
    assert llm.predict(prompt, town="Basel") == await llm.apredict(prompt, town="Basel") == ANSWER
    assert "".join(llm.stream(prompt, town="Basel")) == ANSWER
    llm.structured_predict(Train, prompt, town="Basel")
    llm.system_prompt = "Be long."
    llm.structured_predict(Train, prompt, town="Basel")
    assert [request["messages"] for request in server.requests[:4]] == [asked] * 4
    assert server.messages() == [{"role": "system", "content": "Be long."}, asked[1]]


async def test_structured_answers_are_made_by_the_model_inside_of_compressed_outputs(llm: SpecPrefillLLM, server: Recorded) -> None:
    text = "\n".join(f'{{"row": {n}, "to": "{{town}}"}}' for n in range(80))
    given = [ChatMessage(QUESTION, role="user"), called("a", page=1, town="Basel"), result(text, "a"), ChatMessage(QUESTION, role="user")]
    prompt = ChatPromptTemplate(message_templates=given)
    train = Train(town="Basel", hour=1)
    assert llm.structured_predict(Train, prompt) == train
    assert await llm.astructured_predict(Train, prompt) == train
    *_, last = llm.stream_structured_predict(Train, prompt)
    *_, alast = [part async for part in await llm.astream_structured_predict(Train, prompt)]
    assert (last.town, alast.town) == ("Basel", "Basel")
    assert llm.as_structured_llm(Train).chat(given).raw == train
    assert (await llm.as_structured_llm(Train).achat(given)).raw == train
    sent = [request["messages"][2]["content"] for request in server.requests]
    assert len(sent) == 6
    assert len(set(sent)) == 1
    assert len(sent[0]) < 0.5 * len(text)
    assert '"to": "{town}"' in sent[0]
    assert [request["tool_choice"] for request in server.requests] == ["required", "required", "auto", "auto", "required", "required"]


def test_a_tool_is_called_and_its_answer_given(llm: SpecPrefillLLM) -> None:
    response = llm.predict_and_call([TOOL], user_msg="When does the train to 'Basel' leave?")
    assert response.response == timetable(0, "Basel")


async def test_the_draft_works_off_the_event_loop(llm: SpecPrefillLLM, compressor: Compressor, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    compress = compressor.compress
    monkeypatch.setattr(compressor, "compress", lambda *a: threads.add(threading.get_ident()) or compress(*a))
    await asyncio.gather(*(llm.achat(conversation(1, town)) for town in ("Basel", "Chur", "Bern")))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_the_ledger_is_told_what_each_call_cost(
    deepseek: Callable[..., DeepSeek], compressor: Compressor, tmp_path: Path, way: str
) -> None:
    llm = SpecPrefillLLM(deepseek(additional_kwargs=WITH_USAGE), compressor, ledger=LedgerFile(tmp_path / "ledger.jsonl"))
    for steps in (1, 2):
        if way == "chat":
            usage = llm.chat_with_tools([TOOL], chat_history=conversation(steps)).raw.usage
        elif way == "achat":
            usage = (await llm.achat_with_tools([TOOL], chat_history=conversation(steps))).raw.usage
        elif way == "stream_chat":
            *_, last = llm.stream_chat_with_tools([TOOL], chat_history=conversation(steps))
            usage = last.raw.usage
        else:
            *_, last = [part async for part in await llm.astream_chat_with_tools([TOOL], chat_history=conversation(steps))]
            usage = last.raw.usage
    (told,) = read_ledger(tmp_path / "ledger.jsonl").ledger.conversations
    assert [step.model for step in told.steps] == ["deepseek-flash"] * 2
    last_step = told.steps[-1]
    assert last_step.billed.tokens == Tokens(
        usage.prompt_cache_hit_tokens, usage.prompt_cache_miss_tokens, output_tokens=usage.completion_tokens
    )
    assert last_step.sent.tokens.input_tokens < 0.5 * last_step.plain.tokens.input_tokens
    assert last_step.moved is None
    assert [step.first_chunk_ms is not None for step in told.steps] == ["stream" in way] * 2


async def test_two_runs_with_one_question_are_two_conversations(deepseek: Callable[..., DeepSeek], compressor: Compressor) -> None:
    meter = Meter(compressor.counter)
    llm = SpecPrefillLLM(deepseek(), compressor, ledger=meter)
    for _ in range(2):
        history = [ChatMessage(QUESTION, role="user")]
        for number in range(3):
            history += [llm.chat(history).message, ChatMessage(f"And {number}?", role="user")]
    one, other = meter.ledger.conversations
    assert len(one.steps) == len(other.steps) == 3
    assert one.id.split("/")[0] == other.id.split("/")[0]
    assert one.id != other.id


def test_on_step_is_told_before_the_call_and_what_it_raises_leaves_the_call_alone(
    deepseek: Callable[..., DeepSeek], compressor: Compressor
) -> None:
    steps: list[StepReport] = []

    def told(step: StepReport) -> None:
        steps.append(step)
        raise RuntimeError("on purpose")

    llm = SpecPrefillLLM(deepseek(), compressor, on_step=told, ledger=Meter(compressor.counter))
    given = conversation(1)
    assert llm.chat_with_tools([TOOL], chat_history=given).message.content == ANSWER
    (step,) = steps
    assert list(step.messages) == given
    assert [tool["function"]["name"] for tool in step.tools] == ["timetable"]
    assert step.model == "deepseek-flash"
    assert step.prefix is not None
    assert len(step.sent[3].content or "") < len(given[3].content or "")


def test_it_is_serialized_by_draft_and_config_and_without_what_is_inside(llm: SpecPrefillLLM, deepseek: Callable[..., DeepSeek]) -> None:
    data = llm.to_dict()
    assert data["class_name"] == llm.class_name() == "SpecPrefillLLM"
    assert "inner_llm" not in data
    again = SpecPrefillLLM.from_dict(data, inner_llm=deepseek())
    assert again.to_dict() == data
    assert again.config == llm.config
    with pytest.raises(TypeError, match="inner_llm"):
        SpecPrefillLLM.from_dict(data)


def test_it_is_what_the_model_inside_is(llm: SpecPrefillLLM, compressor: Compressor) -> None:
    assert llm.metadata == llm.inner_llm.metadata
    plain = SpecPrefillLLM(Scripted(responses=[]), compressor)
    assert not plain.metadata.is_function_calling_model
    with pytest.raises(ValueError, match="does not call tools; a ReActAgent works with any model"):
        plain.chat_with_tools([TOOL], user_msg="Hello")


def test_settings_that_it_does_not_know_are_refused(deepseek: Callable[..., DeepSeek], compressor: Compressor) -> None:
    for wrong in ({"keep_ratio": 0.3}, {"max_sessions": 0}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            SpecPrefillLLM(deepseek(), compressor, **wrong)
    with pytest.raises(ValidationError, match="inner_llm"):
        SpecPrefillLLM("deepseek-flash", compressor)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="keep_ratio"):
        SpecPrefillLLM(deepseek(), config={"keep_ratio": 2})


async def test_the_control_arm_of_an_experiment_reads_everything(
    deepseek: Callable[..., DeepSeek], lexical: Callable[..., Compressor], server: Recorded
) -> None:
    settings = Guardrails(id="g", version="1", ab=AbSettings(control_share=1.0))
    control = Compressor(config=lexical(keep_ratio=0.2).config, cache="memory", guardrails=settings)
    steps: list[StepReport] = []
    await SpecPrefillLLM(deepseek(), control, on_step=steps.append).achat(conversation(1))
    assert steps[0].arm == "control"
    assert server.messages()[3]["content"] == timetable(0, "Basel")
