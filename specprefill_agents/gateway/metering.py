"""The ledger of a gateway: what each answered call cost, as billed, as sent, and as it would have been uncompressed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from specprefill_agents.accounting.metering import CallMeter, ModelCall, OnStep
from specprefill_agents.accounting.wire import Part, tools_head
from specprefill_agents.compressor import Compressor
from specprefill_agents.gateway.answers import Answer, read_answer
from specprefill_agents.gateway.compressing import EVENT, CallReport
from specprefill_agents.gateway.expanding import TOOL
from specprefill_agents.gateway.messages import part_of
from specprefill_agents.session.stepping import failed
from specprefill_agents.storage.last_used import LastUsed


class Meter(CallMeter[CallReport, Answer]):
    """Keeps the ledger of one tenant's conversations; arguments, `asked`, `answered` and `ledger` are those of `CallMeter`."""

    def answer_of(self, answer: Answer) -> tuple[Part, object]:
        """See `CallMeter`."""
        return part_of(answer.message), answer.usage

    def call_of(self, report: CallReport) -> ModelCall:
        """See `CallMeter`. Uncompressed, nobody would have described the tool that expands gaps."""
        return ModelCall(
            head=tools_head(report.tools),
            plain_head=tools_head([tool for tool in report.tools if tool is not TOOL]),
            sent=tuple(map(part_of, report.sent)),
            plain=tuple(map(part_of, report.messages)),
            scorer_ms=report.result.usage.scorer_ms,
            # A name made of the beginning alone would join conversations: the first call's holds, and the others continue it.
            conversation_id=report.conversation_id if report.is_named else f"{report.conversation_id}/{report.call_id}",
            is_named=report.is_named,
            model=report.model,
            arm=report.arm,
        )


class Accounts:
    """The meters of all tenants, the `limit` used last. What fails here is recorded, and leaves the call alone."""

    def __init__(self, compressor: Compressor, on_step: OnStep | None, limit: int) -> None:
        self._compressor = compressor
        self._on_step = on_step
        self._meters = LastUsed[Meter](limit)
        # Apart from the threads that compress: an answer must not wait until another conversation is scored.
        self._accountant = ThreadPoolExecutor(1, thread_name_prefix="specprefill-ledger")

    @property
    def is_kept(self) -> bool:
        """Whether anybody wants to know what calls cost."""
        return self._on_step is not None

    def asked(self, report: CallReport) -> None:
        """A call is about to be made."""
        if self.is_kept:
            try:
                self._meter(report.tenant).asked(report)
            except Exception as error:
                failed(self._compressor, EVENT, "looking at the prefix", error)

    def answered(self, report: CallReport, data: bytes, content_type: str, first_chunk_ms: float | None) -> None:
        """The call was answered with this body, which is read in a thread of its own; `first_chunk_ms` is of a stream."""
        if self.is_kept:
            self._accountant.submit(self._answered, report, data, content_type, first_chunk_ms)

    def close(self) -> None:
        """Record what is still to be recorded."""
        self._accountant.shutdown(wait=True)

    def _answered(self, report: CallReport, data: bytes, content_type: str, first_chunk_ms: float | None) -> None:
        try:
            self._meter(report.tenant).answered(report, read_answer(data, content_type), first_chunk_ms)
        except Exception as error:
            failed(self._compressor, EVENT, "the ledger", error)

    def _meter(self, tenant: str) -> Meter:
        return self._meters.get(tenant, lambda: Meter(self._compressor.counter, self._on_step))
