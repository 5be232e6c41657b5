"""SpecPrefillMiddleware: an agent's model reads compressed tool outputs; the agent's state keeps the full text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Annotated, Any, cast

from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ContextT,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    PrivateStateAttr,
    ResponseT,
)
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables.config import ensure_config, run_in_executor
from langgraph.types import Command
from typing_extensions import NotRequired, override

from specprefill_agents.compressor import Compressor
from specprefill_agents.prompt.original_notes import reads_originals
from specprefill_agents.session import Session
from specprefill_langchain.conversations import Place, place_of
from specprefill_langchain.expanding import expand_tool
from specprefill_langchain.figures import figures_of, note_in_trace
from specprefill_langchain.first_token import FirstToken, first_token_seen
from specprefill_langchain.metering import Meter, Metered
from specprefill_langchain.parts import head_parts
from specprefill_langchain.reasoning import sending_reasoning
from specprefill_langchain.remembering import Remembered, Replay
from specprefill_langchain.shadow import is_shadowed, next_action
from specprefill_langchain.step import StepReport, compress_step, failed, model_name
from specprefill_langchain.threads import ContextPool

STATE_FIELD = "specprefill"


def merge_sessions(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """The reducer of the private state field: adds decisions made under the same settings, replaces all others."""
    if any(left.get(name) != right.get(name) for name in ("version", "fingerprint", "generation")):
        return dict(right)
    return {**right, "decisions": {**left.get("decisions", {}), **right["decisions"]}}


class SpecPrefillState(AgentState[Any]):
    """The agent's state with this middleware's frozen decisions: spans and counts in plain JSON types, no text."""

    specprefill: NotRequired[Annotated[dict[str, Any], PrivateStateAttr, merge_sessions]]


class SpecPrefillMiddleware(AgentMiddleware[SpecPrefillState, ContextT, ResponseT]):
    """Compresses tool outputs on their way to the model, once each; the bytes once sent are sent again at every step.

    Decisions live in a private field of the agent's state, so any checkpointer keeps them; without one they are worked
    out again from the messages, to the same bytes. The agent gets the tool `expand`, by which its model reads what a gap
    stands for, unless `compressor` keeps no originals.

    `on_step` is called before every model call with a `StepReport` (in a worker thread when the agent runs asynchronously).
    `ledger` is told after every call what it cost: a `LedgerFile`, a function of a conversation and its new step, or a
    `Meter` where the prices or the model's name must be given. Neither stops an agent: what fails is recorded, not passed
    on.

    Where LangSmith traces the agent, the run of this hook around each model call has the step's figures
    under `specprefill` in its metadata.

    Let it stand last in `middleware`: the last one sees what is sent. Before `ContextEditingMiddleware` it would refer to outputs
    that are cleared after it, and before one that adds tools or changes the prompt its reports and ledger would miss those.
    `SummarizationMiddleware` and `HumanInTheLoopMiddleware` may stand anywhere: they change the state, between model calls. What
    a person answered in place of a tool, the notice of a changed call and what was cleared pass as they are.

    Under guardrails with `drift.action_floor`, the model is asked a second time with the uncompressed messages on the sampled
    share of steps, and both next actions are compared. That call is paid for, and not in the ledger.

    A ChatDeepSeek sends the `reasoning_content` of turns that called tools back as it was received, as `ChatSpecPrefill` says.
    """

    state_schema = SpecPrefillState

    def __init__(
        self, compressor: Compressor, *, on_step: Callable[[StepReport], None] | None = None, ledger: Metered | None = None
    ) -> None:
        super().__init__()
        self.compressor = compressor
        self.tools = [expand_tool(compressor)] if compressor.originals else []
        self._on_step = on_step
        self._meter = Meter.feeding(ledger, compressor.counter) if ledger is not None or on_step is not None else None
        self._remembered = Remembered()
        self._worker = ContextPool(thread_name_prefix="specprefill-middleware")
        # Apart, so that accounting for one conversation does not wait until the outputs of another are scored.
        self._accountant = ContextPool(thread_name_prefix="specprefill-ledger")

    @override
    def wrap_model_call(
        self,
        request: ModelRequest[ContextT],
        handler: Callable[[ModelRequest[ContextT]], ModelResponse[ResponseT]],
    ) -> ModelResponse[ResponseT] | ExtendedModelResponse[ResponseT]:
        """Call the model with the compressed messages, and keep what was decided."""
        request = _sending_reasoning(request)
        step, update = self._compress(request)
        sent = _as_sent(request, step)
        with self._watched() as first:
            response = handler(sent)
        self._observe_guesses(response)
        self._account(step, response, first)
        if sent is not request and self._is_shadowed(step):
            try:
                self._compare(response, handler(request))
            except Exception as error:
                failed(self.compressor, "the shadow comparison", error)
        return _with_update(response, update)

    @override
    async def awrap_model_call(
        self,
        request: ModelRequest[ContextT],
        handler: Callable[[ModelRequest[ContextT]], Awaitable[ModelResponse[ResponseT]]],
    ) -> ModelResponse[ResponseT] | ExtendedModelResponse[ResponseT]:
        """As `wrap_model_call`, with the work done in two worker threads of this instance."""
        request = _sending_reasoning(request)
        step, update = await run_in_executor(self._worker, self._compress, request)
        sent = _as_sent(request, step)
        with self._watched() as first:
            response = await handler(sent)
        self._observe_guesses(response)
        if self._meter:
            await run_in_executor(self._accountant, self._account, step, response, first)
        if sent is not request and self._is_shadowed(step):
            try:
                self._compare(response, await handler(request))
            except Exception as error:
                failed(self.compressor, "the shadow comparison", error)
        return _with_update(response, update)

    def _observe_guesses(self, response: ModelResponse[ResponseT]) -> None:
        # A handler may also return the message alone.
        for message in getattr(response, "result", [response]):
            self.compressor.guard.observe_guesses(getattr(message, "response_metadata", {}))

    def _is_shadowed(self, step: StepReport) -> bool:
        return is_shadowed(self.compressor.guard, step.conversation_id, step.messages)

    def _compare(self, response: ModelResponse[ResponseT], plain: ModelResponse[ResponseT]) -> None:
        """Tell the drift monitor whether the model would have done the same uncompressed."""
        assert self.compressor.guard.drift
        self.compressor.guard.drift.observe_action(next_action(response.result) == next_action(plain.result))

    def _compress(self, request: ModelRequest[ContextT]) -> tuple[StepReport, dict[str, Any]]:
        """What to send, and the decisions that the request's state does not hold yet."""
        known = cast("Mapping[str, Any]", request.state.get(STATE_FIELD) or {})
        place = place_of(ensure_config(), known, request.messages)
        replay = self._remembered.take(place.id, known)
        if replay is None:
            session = self._continued(known)
            if session is None:
                known, session = {}, self.compressor.session(place.name)
            replay = Replay(session)
        session = replay.session
        session.model_id = model_name(request.model)
        is_limited = self.compressor.config.max_target_tokens is not None
        head = [part.text for part in head_parts(request.tools, request.system_message)] if is_limited else []
        originals = reads_originals(request.model)
        step = compress_step(self.compressor, replay, request.messages, with_originals=originals, head=head)
        step = replace(step, conversation_id=place.id)
        note_in_trace(figures_of(step.result.usage))
        if self._meter:
            step = self._looked_at(_placed(step, request, place, session))
        data = session.to_dict()
        self._remembered.keep(place.id, replay, data)
        update = _new_decisions(known, data)
        return step, {**update, "run": place.run} if update and place.run else update

    def _looked_at(self, step: StepReport) -> StepReport:
        """The step with its prefix report, after telling `on_step`."""
        assert self._meter
        try:
            step = replace(step, prefix=self._meter.asked(step))
        except Exception as error:
            failed(self.compressor, "looking at the prefix", error)
        try:
            if self._on_step:
                self._on_step(step)
        except Exception as error:
            failed(self.compressor, "on_step", error)
        return step

    def _watched(self) -> AbstractContextManager[FirstToken | None]:
        """Sees when an answer begins, where there is a ledger to tell."""
        return first_token_seen() if self._meter else nullcontext()

    def _account(self, step: StepReport, response: ModelResponse[ResponseT], first: FirstToken | None) -> None:
        """Tell the ledger what the answered call cost, and how long it let one wait."""
        if self._meter is None:
            return
        try:
            for answer in response.result:
                if isinstance(answer, AIMessage):
                    self._meter.answered(step, answer, first.ms if first else None)
        except Exception as error:
            failed(self.compressor, "the ledger", error)

    def _continued(self, known: Mapping[str, Any]) -> Session | None:
        """The session that the state holds; None where it holds none, or one made under other settings."""
        if not known:
            return None
        try:
            return Session.from_dict(known, self.compressor)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            failed(self.compressor, "continuing the session of an earlier step", error)
            return None


def _placed(step: StepReport, request: ModelRequest[Any], place: Place, session: Session) -> StepReport:
    """The step with what a request has beside its messages, and with where it belongs."""
    return replace(
        step,
        tools=tuple(request.tools),
        system=request.system_message,
        model=str(request.model_settings.get("model") or session.model_id or ""),
        conversation_id=place.id,
        is_named=not place.run,
        arm=session.arm,
    )


def _sending_reasoning(request: ModelRequest[ContextT]) -> ModelRequest[ContextT]:
    """The request; to a ChatDeepSeek, which drops the reasoning of turns that called tools, it goes with that reasoning."""
    model = sending_reasoning(request.model)
    return request if model is request.model else request.override(model=model)


def _as_sent(request: ModelRequest[ContextT], step: StepReport) -> ModelRequest[ContextT]:
    """The request with its messages as sent; the very same one where none of them changed."""
    if all(new is old for new, old in zip(step.sent, step.messages, strict=True)):
        return request
    return request.override(messages=cast("list[AnyMessage]", list(step.sent)))


def _new_decisions(known: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """What to write of a session's `data` into the state field; empty when that holds the session and its every decision."""
    if any(data[name] != known.get(name) for name in ("fingerprint", "generation")):
        return dict(data)
    new = {key: row for key, row in data["decisions"].items() if key not in known["decisions"]}
    return {**data, "decisions": new} if new else {}


def _with_update(response: ModelResponse[ResponseT], update: dict[str, Any]) -> ModelResponse[ResponseT] | ExtendedModelResponse[ResponseT]:
    if not update:
        return response
    return ExtendedModelResponse(model_response=response, command=Command(update={STATE_FIELD: update}))
