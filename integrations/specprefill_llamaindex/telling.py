"""Who is told of a model call: event handlers, a user's function, the ledger. What fails here leaves the call alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from llama_index.core.base.llms.types import ChatResponse

from specprefill_agents.accounting.first_chunk import FirstChunk
from specprefill_agents.compressor import Compressor
from specprefill_agents.session.stepping import failed
from specprefill_agents.storage.forking import RestartingPool
from specprefill_llamaindex.metering import Meter, Metered
from specprefill_llamaindex.step import EVENT, StepReport
from specprefill_llamaindex.threads import in_thread


class Listeners:
    """A function that is told of each call before it is made, and a ledger that is told of it then and once it is answered."""

    def __init__(self, compressor: Compressor, on_step: Callable[[StepReport], None] | None, ledger: Metered | None) -> None:
        self._compressor = compressor
        self._on_step = on_step
        # Apart from the thread in which the draft works: an answer must not wait until another conversation is scored.
        self._accountant = RestartingPool(thread_name_prefix="specprefill-ledger")
        self._meter = None if on_step is None and ledger is None else Meter.feeding(ledger, compressor.counter)

    def asked(self, step: StepReport) -> StepReport:
        """A model call is about to be made; the step comes back with its prefix report, where somebody wants one."""
        if self._meter is None:
            return step
        try:
            step = replace(step, prefix=self._meter.asked(step))
        except Exception as error:
            failed(self._compressor, EVENT, "looking at the prefix", error)
        try:
            if self._on_step:
                self._on_step(step)
        except Exception as error:
            failed(self._compressor, EVENT, "on_step", error)
        return step

    def answered(self, step: StepReport, answer: ChatResponse | None, first: FirstChunk | None = None) -> None:
        """The call was answered; None where nothing came. `first` saw a stream begin."""
        if answer is None:
            return
        if isinstance(answer.raw, dict):
            self._compressor.guard.observe_guesses(answer.raw)
        if self._meter is None:
            return
        try:
            self._meter.answered(step, answer, first.ms if first else None)
        except Exception as error:
            failed(self._compressor, EVENT, "the ledger", error)

    async def aanswered(self, step: StepReport, answer: ChatResponse | None, first: FirstChunk | None = None) -> None:
        """As `answered`, in a thread of its own."""
        if self._meter:
            await in_thread(self._accountant, self.answered, step, answer, first)
        else:
            self.answered(step, answer, first)
