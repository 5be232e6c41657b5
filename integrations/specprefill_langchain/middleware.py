"""SpecPrefillMiddleware: an agent's model reads compressed tool outputs; the agent's state keeps the full text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
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
from langchain_core.messages import AnyMessage
from langchain_core.runnables.config import ContextThreadPoolExecutor, ensure_config, run_in_executor
from langgraph.types import Command
from typing_extensions import NotRequired, override

from specprefill_agents.compressor import Compressor
from specprefill_agents.session import Session
from specprefill_langchain.expanding import expand_tool
from specprefill_langchain.step import StepReport, compress_step, conversation_id, failed, model_name

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
    stands for, unless `compressor` keeps no originals. `on_step` is called before every model call with a `StepReport`
    (in a worker thread when the agent runs asynchronously); an exception it raises is recorded, not passed on.
    """

    state_schema = SpecPrefillState

    def __init__(self, compressor: Compressor, *, on_step: Callable[[StepReport], None] | None = None) -> None:
        super().__init__()
        self.compressor = compressor
        self.tools = [expand_tool(compressor)] if compressor.originals else []
        self._on_step = on_step
        self._worker = ContextThreadPoolExecutor(max_workers=1, thread_name_prefix="specprefill-middleware")

    @override
    def wrap_model_call(
        self,
        request: ModelRequest[ContextT],
        handler: Callable[[ModelRequest[ContextT]], ModelResponse[ResponseT]],
    ) -> ModelResponse[ResponseT] | ExtendedModelResponse[ResponseT]:
        """Call the model with the compressed messages, and keep what was decided."""
        compressed, update = self._compress(request)
        return _with_update(handler(compressed), update)

    @override
    async def awrap_model_call(
        self,
        request: ModelRequest[ContextT],
        handler: Callable[[ModelRequest[ContextT]], Awaitable[ModelResponse[ResponseT]]],
    ) -> ModelResponse[ResponseT] | ExtendedModelResponse[ResponseT]:
        """As `wrap_model_call`, with the work done in this instance's one worker thread."""
        compressed, update = await run_in_executor(self._worker, self._compress, request)
        return _with_update(await handler(compressed), update)

    def _compress(self, request: ModelRequest[ContextT]) -> tuple[ModelRequest[ContextT], dict[str, Any]]:
        """The request to send, and the decisions that its state does not hold yet."""
        known = cast("Mapping[str, Any]", request.state.get(STATE_FIELD) or {})
        session = self._continued(known)
        if session is None:
            known, session = {}, self.compressor.session(conversation_id(ensure_config()) or "")
        session.model_id = model_name(request.model)
        step = compress_step(self.compressor, session, request.messages)
        self._report(step)
        if any(new is not old for new, old in zip(step.sent, step.messages, strict=True)):
            request = request.override(messages=cast("list[AnyMessage]", list(step.sent)))
        return request, _new_decisions(known, session)

    def _continued(self, known: Mapping[str, Any]) -> Session | None:
        """The session that the state holds; None where it holds none, or one made under other settings."""
        if not known:
            return None
        try:
            return Session.from_dict(known, self.compressor)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            failed("continuing the session of an earlier step", error)
            return None

    def _report(self, step: StepReport) -> None:
        if self._on_step is None:
            return
        try:
            self._on_step(step)
        except Exception as error:
            failed("on_step", error)


def _new_decisions(known: Mapping[str, Any], session: Session) -> dict[str, Any]:
    """What to write into the state field; empty when it holds every decision of `session` already."""
    data = session.to_dict()
    if all(data[name] == known.get(name) for name in ("fingerprint", "generation")):
        data["decisions"] = {key: row for key, row in data["decisions"].items() if key not in known["decisions"]}
    return data if data["decisions"] else {}


def _with_update(response: ModelResponse[ResponseT], update: dict[str, Any]) -> ModelResponse[ResponseT] | ExtendedModelResponse[ResponseT]:
    if not update:
        return response
    return ExtendedModelResponse(model_response=response, command=Command(update={STATE_FIELD: update}))
