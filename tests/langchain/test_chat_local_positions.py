"""A compressed tool output in front of a local model: read as text, or as the kept tokens of the whole at their own places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from specprefill_agents import Compressor, Guardrails
from specprefill_agents.prompt.original_notes import KEY
from specprefill_agents.targets.chat_template import Prompt
from specprefill_agents.targets.local import LocalTarget
from specprefill_langchain import ChatLocal, ChatSpecPrefill, SpecPrefillMiddleware
from tests.langchain.chat_model.timetables import conversation, timetable


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[Prompt]:
    """What targets read, in order."""
    read: list[Prompt] = []
    encode = LocalTarget.encode

    def kept(self: LocalTarget, *args: Any, **kwargs: Any) -> Prompt:
        read.append(encode(self, *args, **kwargs))
        return read[-1]

    monkeypatch.setattr(LocalTarget, "encode", kept)
    return read


@pytest.fixture(params=["contiguous", "original"])
def chat(tiny_draft: str, request: pytest.FixtureRequest) -> ChatLocal:
    return ChatLocal(model=tiny_draft, max_tokens=5, device="cpu", dtype="float32", positions=request.param)


def test_a_kept_token_stands_where_it_stood(chat: ChatLocal, lexical: Callable[..., Compressor], prompts: list[Prompt]) -> None:
    messages = conversation(2)
    answer = ChatSpecPrefill(inner=chat, compressor=lexical(keep_ratio=0.2)).invoke(messages)
    chat.invoke(messages)
    short, whole = prompts
    decoded = chat.target.tokenizer.decode(short.ids)
    assert answer.response_metadata["specprefill"]["kept_tokens"] > 0
    assert "The train to Basel leaves at 1:30." in decoded
    assert len(short.ids) < 0.6 * len(whole.ids)
    if chat.positions == "original":
        assert short.end == whole.end
        assert short.ids == tuple(whole.ids[at] for at in short.positions)
        assert "[…" not in decoded
    else:
        assert short.positions == tuple(range(short.end))
        assert "[…" in decoded


def test_with_everything_kept_both_read_the_plain_prompt(
    chat: ChatLocal, lexical: Callable[..., Compressor], prompts: list[Prompt]
) -> None:
    answers = [model.invoke(conversation(1)) for model in (ChatSpecPrefill(inner=chat, compressor=lexical(keep_ratio=1.0)), chat)]
    assert prompts[0] == prompts[1]
    assert answers[0].content == answers[1].content


def test_an_agents_next_step_reads_only_what_is_new(chat: ChatLocal, lexical: Callable[..., Compressor]) -> None:
    class Calling(ChatLocal):
        """Calls the tool before it answers; what it says beside the calls is its own."""

        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
            result = super()._generate(messages, *args, **kwargs)
            done = sum(isinstance(message, ToolMessage) for message in messages)
            if done < 1:
                call = {"name": "timetable", "args": {"page": done, "town": "Basel"}, "id": f"c{done}", "type": "tool_call"}
                result.generations[0].message = result.generations[0].message.model_copy(update={"tool_calls": [call]})
            return result

    model = Calling(**{name: getattr(chat, name) for name in ("model", "max_tokens", "device", "dtype", "positions")})
    agent = create_agent(model, [timetable], middleware=[SpecPrefillMiddleware(lexical(keep_ratio=0.2))])
    state = agent.invoke({"messages": [HumanMessage("When does the train to Basel leave?")]})
    answers = [message for message in state["messages"] if isinstance(message, AIMessage)]
    read = [answer.usage_metadata["input_tokens"] for answer in answers if answer.usage_metadata]
    cached = [answer.usage_metadata["input_token_details"]["cache_read"] for answer in answers if answer.usage_metadata]
    assert len(answers) == 2
    assert cached[0] == 0
    assert all(later >= earlier - 1 for earlier, later in zip(read, cached[1:], strict=False))


@pytest.mark.parametrize("way", ["invoke", "stream", "agent"])
def test_the_guardrails_hear_how_many_guesses_were_right(chat: ChatLocal, lexical: Callable[..., Compressor], way: str) -> None:
    rules = Guardrails(id="local", version=1, compression={"scorer": "bm25", "target_tokenizer": "o200k_base"})
    compressor = Compressor(guardrails=rules, cache="memory")
    guessing = chat.model_copy(update={"max_tokens": 60, "assistant": chat.model})
    wrapped = ChatSpecPrefill(inner=guessing, compressor=compressor)
    if way == "agent":
        create_agent(guessing, [], middleware=[SpecPrefillMiddleware(compressor)]).invoke({"messages": conversation(1)})
    else:
        assert list(getattr(wrapped, way)(conversation(1)))
    assert compressor.guard.drift
    assert compressor.guard.drift.metrics()["acceptance_observed"] == 1


def test_only_models_that_read_originals_are_shown_them(chat: ChatLocal, lexical: Callable[..., Compressor], model: Any) -> None:
    sent: list[list[BaseMessage]] = []
    for inner in (chat, model):
        generate = type(inner)._generate
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                type(inner), "_generate", lambda self, given, *a, _g=generate, **k: sent.append(given) or _g(self, given, *a, **k)
            )
            ChatSpecPrefill(inner=inner, compressor=lexical(keep_ratio=0.2)).invoke(conversation(1))
    noted, plain = ([KEY in message.additional_kwargs for message in messages] for messages in sent)
    assert noted == [False, False, True]
    assert plain == [False, False, False]
    assert sent[0][2].content == sent[1][2].content
