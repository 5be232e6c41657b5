"""The loops benchmark on made runs: requests, dollars worked out by hand, what each policy sends, and what is reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import convert_to_messages, convert_to_openai_messages

from benchmarks.evaluate import shown_masks
from benchmarks.loops import report
from benchmarks.loops.dollars import Bill, compare, price_of
from benchmarks.loops.policies import (
    KINDS,
    PLACEHOLDER,
    Cleared,
    Frozen,
    Policy,
    Rescored,
    Uncompressed,
    View,
    Window,
    always,
    once_needed,
    results_in,
)
from benchmarks.loops.replay import START, Replay, replay
from benchmarks.loops.requests import Message, message_part, turns
from benchmarks.loops.tools import expand_schema, schemas_for, schemas_of
from benchmarks.memo import MemoScorer
from specprefill_agents import Compressor
from specprefill_agents.accounting.recording import Exchange, Recorder
from specprefill_agents.accounting.tokens import FunctionCounter
from specprefill_agents.accounting.wire import Measurer, tools_part
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_langchain.step import compress_step
from tests.agent_runs import Edited, code, log, run

CHARS = FunctionCounter("chars", len)
FLASH = price_of("deepseek-flash")
LOGS = [log(number) for number in range(6)]


class Shortened:
    """Results cut to their first `chars` characters, always alike."""

    def __init__(self, chars: int) -> None:
        self._chars = chars

    def view(self, messages: Sequence[Message]) -> View:
        old = results_in(messages)
        sent = [{**m, "content": m["content"][: self._chars]} if i in old else m for i, m in enumerate(messages)]
        return View(tuple(sent), dict.fromkeys(old, ((0, self._chars),)))


def replayed(policy: Policy, results: Sequence[str] = LOGS, **more: Any) -> Replay:
    made = run(results, **more)
    return replay(made, policy, Measurer(CHARS), schemas_of(made.messages), lambda _view: False)


def stored(identifier: str, policy: str, done: Replay, keep: str = "", **changes: Any) -> dict[str, Any]:
    """A row as the benchmark stores it."""
    tokens = {kind: [getattr(one, f"{kind}_tokens") for one in done.tokens] for kind in ("hit", "miss", "output")}
    known = [one.hit_tokens for one in done.known_tokens]
    values = {"needed": len(done.in_spans), "in_spans": sum(done.in_spans), "in_text": sum(done.in_text)}
    counts = {"result_tokens": done.result_tokens, "kept_tokens": done.kept_tokens, "scorer_ms": 0.0}
    faults = {"moved": list(done.moved), "altered": list(done.altered), "closing": False}
    return {
        "set": "made",
        "id": identifier,
        "policy": policy,
        "keep": keep,
        **tokens,
        "known_hit": known,
        **values,
        **counts,
        **faults,
        **changes,
    }


def sizes(message: Message) -> int:
    return len(message_part(message).wire)


def contents(view: View) -> list[str]:
    return [view.messages[index]["content"] for index in results_in(view.messages)]


def test_a_run_makes_one_request_before_each_answer_and_one_for_an_answer_that_stands_apart() -> None:
    made = run(LOGS[:2], system="Be brief.")
    assert [len(turn.messages) for turn in turns(made)] == [2, 4]
    assert [turn.answer for turn in turns(made)] == [made.messages[2], made.messages[4]]
    ended = run(LOGS[:2], answer="two hosts")
    assert [(len(turn.messages), turn.is_closing) for turn in turns(ended)] == [(1, False), (3, False), (5, True)]
    assert turns(ended)[-1].answer == {"role": "assistant", "content": "two hosts"}


def test_a_request_holds_ids_arguments_and_reasoning_as_they_were_sent() -> None:
    function = {"name": "grep", "arguments": '{"b":1,  "a": 2}'}
    called = {
        "role": "assistant",
        "content": "so",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "x", "type": "function", "function": function}],
    }
    part = message_part(called)
    assert (part.calls[0].id, part.calls[0].arguments, part.reasoning, part.text) == ("x", '{"b":1,  "a": 2}', "hm", "so")
    answered = message_part({"role": "tool", "tool_call_id": "x", "name": "grep", "content": "found"})
    assert (answered.role, answered.tool_call_id, answered.section) == ("tool", "x", "message")
    assert message_part({"role": "system", "content": "s"}).section == "system"


def test_every_tool_has_one_schema_with_the_arguments_seen() -> None:
    made = run(LOGS[:2])
    (schema,) = schemas_of(made.messages)
    assert schema["function"]["name"] == "read_log"
    assert schema["function"]["parameters"]["properties"] == {"host": {"type": "string"}, "after": {"type": "string"}}
    first = run(LOGS[:1])
    assert schemas_for(first, [first, made], "suite") == [schema] != schemas_for(first, [first, made], "run")


def test_the_tool_that_compression_brings_along_is_the_one_that_langchain_sends() -> None:
    schema = expand_schema()
    assert schema["type"] == "function"
    assert schema["function"]["name"] == "expand"
    assert "id" in schema["function"]["parameters"]["properties"]


def test_uncompressed_dollars_are_those_worked_out_by_hand() -> None:
    done = replayed(Uncompressed(), LOGS[:2], answer="done")
    made = run(LOGS[:2], answer="done")
    user, first, one, second, two = map(sizes, made.messages)
    tools = len(tools_part(schemas_of(made.messages)).text)
    answer = sizes({"role": "assistant", "content": "done"})
    assert [(t.hit_tokens, t.miss_tokens, t.output_tokens) for t in done.tokens] == [
        (0, tools + user, first),
        (tools + user + first, one, second),
        (tools + user + first + one + second, two, answer),
    ]
    dollars = Bill(FLASH).usd(stored("run", "none", done))
    hits, misses = 2 * (tools + user + first) + one + second, tools + user + one + two
    assert dollars == pytest.approx((hits * 0.003 + misses * 0.15 + (first + second + answer) * 0.60) / 1e6)
    assert (done.moved, done.altered) == ((), ())


def test_what_is_shortened_at_entry_is_saved_once_fresh_and_then_at_the_price_of_a_hit() -> None:
    whole, short = replayed(Uncompressed(), LOGS[:3]), replayed(Shortened(100), LOGS[:3])
    saved = Bill(FLASH).usd(stored("run", "none", whole)) - Bill(FLASH).usd(stored("run", "ours", short))
    removed = [len(text) - 100 for text in LOGS[:2]]
    assert saved == pytest.approx((removed[0] * (0.15 + 0.003) + removed[1] * 0.15) / 1e6)
    assert (short.moved, short.altered) == ((), ())
    assert (short.result_tokens, short.kept_tokens) == (sum(map(len, LOGS[:2])), 200)


def test_a_known_account_has_tools_and_system_prompt_in_its_cache() -> None:
    done = replayed(Uncompressed(), LOGS[:2], system="Be brief.")
    made = run(LOGS[:2], system="Be brief.")
    head = len(tools_part(schemas_of(made.messages)).text) + sizes(made.messages[0])
    assert [known.hit_tokens - new.hit_tokens for new, known in zip(done.tokens, done.known_tokens, strict=True)] == [head, 0]
    dearer, cheaper = (Bill(FLASH, is_known).usd(stored("run", "none", done)) for is_known in (False, True))
    assert dearer - cheaper == pytest.approx(head * (0.15 - 0.003) / 1e6)


def test_a_rewritten_result_is_a_moved_prefix_and_billed_afresh() -> None:
    class Growing:
        """Old results end with how many there are by now."""

        def view(self, messages: Sequence[Message]) -> View:
            old = results_in(messages)
            return View(tuple({**m, "content": f"{m['content']}{len(old)}"} if i in old else m for i, m in enumerate(messages)))

    done, plain = replayed(Growing(), LOGS[:4]), replayed(Uncompressed(), LOGS[:4])
    assert done.moved == ("content", "content")
    assert done.tokens[1].hit_tokens == plain.tokens[1].hit_tokens
    assert all(moved.hit_tokens < whole.hit_tokens for moved, whole in zip(done.tokens[2:], plain.tokens[2:], strict=True))


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda messages: messages[:-1], "messages for"),
        (lambda messages: [{**messages[0], "content": "something else"}, *messages[1:]], "message 0 (user)"),
        (lambda messages: [{**m, "tool_call_id": "other"} if m["role"] == "tool" else m for m in messages], "(tool)"),
        (lambda messages: [{k: v for k, v in m.items() if k != "tool_calls"} for m in messages], "(assistant)"),
        (lambda messages: [{**m, "reasoning_content": "x"} if m["role"] == "assistant" else m for m in messages], "(assistant)"),
    ],
)
def test_whatever_is_changed_beside_results_is_found(edit: Callable[[list[Message]], list[Message]], what: str) -> None:
    assert any(what in found for found in replayed(Edited(edit), LOGS[:3]).altered)


def test_ours_sends_what_the_langchain_adapter_sends_and_never_changes_it(lexical: Callable[..., Compressor]) -> None:
    made, compressor = run(LOGS), lexical()
    policy, session = Frozen(compressor.session("run")), compressor.session("run")
    sent: dict[int, str] = {}
    for turn in turns(made):
        view = policy.view(turn.messages)
        adapted = convert_to_openai_messages(
            list(compress_step(compressor, session, convert_to_messages([dict(message) for message in turn.messages])).sent)
        )
        assert [message["content"] for message in view.messages] == [message["content"] for message in adapted]
        for index in results_in(view.messages):
            assert sent.setdefault(index, view.messages[index]["content"]) == view.messages[index]["content"]
            assert len(sent[index]) < len(made.messages[index]["content"])
    assert view.names_originals


def test_the_window_keeps_the_newest_three_and_freezes_what_leaves_it(lexical: Callable[..., Compressor]) -> None:
    policy, compressed = Window(lexical().session("run")), set()
    for turn in turns(run(LOGS)):
        texts, originals = contents(policy.view(turn.messages)), contents(View(turn.messages))
        assert texts[-3:] == originals[-3:]
        assert all(len(text) < len(original) for text, original in zip(texts[:-3], originals[:-3], strict=True))
        compressed.update(texts[:-3])
    assert len(compressed) == len(LOGS) - 1 - 3


def test_rescoring_changes_what_was_sent_when_the_question_changes(lexical: Callable[..., Compressor]) -> None:
    done = replayed(Rescored(lexical(keep_ratio=0.2)))
    assert "content" in done.moved
    frozen = replayed(Frozen(lexical(keep_ratio=0.2).session("run")))
    assert frozen.moved == ()


def test_old_results_are_cleared_at_each_step_or_in_batches() -> None:
    made = run([log(number) for number in range(24)])
    cleared = {steps: [contents(Cleared(steps).view(turn.messages)).count(PLACEHOLDER) for turn in turns(made)] for steps in (1, 10)}
    assert cleared[1] == [max(0, number - 3) for number in range(24)]
    # The tenth request has nine results; six of them are old, and that stays so up to the twentieth.
    assert cleared[10] == [0] * 9 + [6] * 10 + [16] * 5
    assert len(replayed(Cleared(10), [log(number) for number in range(24)]).moved) == 2


def test_a_value_is_seen_in_spans_of_its_own_text_or_in_any_text_that_is_sent() -> None:
    whole = replayed(Uncompressed(), LOGS[:3])
    assert (whole.in_spans, whole.in_text) == ((True, True), (True, True))
    cut = replayed(Shortened(100), LOGS[:3])
    assert (cut.in_spans, cut.in_text) == ((False, False), (False, False))

    class Recalled(Shortened):
        """As shortened, with what the first result hides at the end of the newest one."""

        def view(self, messages: Sequence[Message]) -> View:
            view = super().view(messages)
            last = max(results_in(messages), default=None)
            sent = [{**m, "content": f"{m['content']}\nfrom call-0: {code(0)}"} if i == last else m for i, m in enumerate(view.messages)]
            return View(tuple(sent), view.spans)

    recalled = replayed(Recalled(100), LOGS[:3])
    assert (recalled.in_spans, recalled.in_text) == ((False, False), (True, False))


def test_spans_say_which_characters_of_a_message_are_shown() -> None:
    masks = shown_masks(run(LOGS[:1]).messages, {2: [(0, 3)]})
    assert int(masks[2].sum()) == 3
    assert masks[0].all()
    assert masks[1].all()


def test_a_dearer_conversation_is_reported_with_its_share() -> None:
    plain = replayed(Uncompressed(), LOGS[:3])
    dear = replay(run(LOGS[:3]), Uncompressed(), Measurer(CHARS), schemas_of(run(LOGS[:3]).messages), always)
    cheap = replayed(Shortened(100), LOGS[:3])
    base = [stored("a", "none", plain), stored("b", "none", plain)]
    found = compare([stored("a", "ours", dear), stored("b", "ours", cheap)], base, Bill(FLASH))
    assert [row["id"] for _, row in found.dearer] == ["a"]
    assert found.worst == pytest.approx(Bill(FLASH).usd(stored("a", "ours", dear)) / Bill(FLASH).usd(base[0]) - 1)
    assert found.worst > 0.02
    assert found.count == 2
    same = compare(base, base, Bill(FLASH))
    assert (same.dearer, same.worst, same.change) == ((), 0.0, 0.0)


def test_a_closing_request_can_be_left_out() -> None:
    kept = stored("run", "none", replayed(Uncompressed(), LOGS[:2], answer="done"), closing=True)
    assert Bill(FLASH, with_closing=False).steps(kept) == Bill(FLASH).steps(kept)[:-1]
    assert len(Bill(FLASH, with_closing=False).steps({**kept, "closing": False})) == 3


def test_the_tool_may_come_with_the_first_gap_which_moves_the_prefix_once(lexical: Callable[..., Compressor]) -> None:
    made = run(LOGS[:4])
    done = replay(made, Frozen(lexical().session("run")), Measurer(CHARS), schemas_of(made.messages), once_needed)
    assert done.moved == ("tools",)
    without = replay(made, Frozen(lexical(originals=False).session("run")), Measurer(CHARS), schemas_of(made.messages), once_needed)
    assert without.moved == ()


def test_the_figures_are_the_ledgers(lexical: Callable[..., Compressor]) -> None:
    made, compressor = run(LOGS, answer="done"), lexical()
    tools, recorder = tools_part(schemas_of(made.messages)), Recorder("run", "deepseek-flash", CHARS)
    policy = Frozen(compressor.session("run"))
    for turn in turns(made):
        sent, plain = ([tools, *map(message_part, messages)] for messages in (policy.view(turn.messages).messages, turn.messages))
        recorder.record(Exchange(sent, plain, message_part(turn.answer)), START)
    assert recorder.conversation is not None
    totals = recorder.conversation.totals
    ours, none = replayed(Frozen(compressor.session("again")), answer="done"), replayed(Uncompressed(), answer="done")
    assert Bill(FLASH).usd(stored("run", "ours", ours)) == pytest.approx(totals.sent.usd)
    assert Bill(FLASH).usd(stored("run", "none", none)) == pytest.approx(totals.plain.usd)


def test_time_is_charged_to_whoever_asks_though_it_is_spent_once() -> None:
    memo = MemoScorer(LexicalScorer())
    for _ in range(3):
        memo.score(LOGS[:1], "fault")
    assert memo.charged_seconds == pytest.approx(3 * memo.seconds)


def test_what_must_never_be_sent_is_named() -> None:
    done = replayed(Uncompressed(), LOGS[:3])
    sound = [stored("a", policy, done) for policy in KINDS]
    assert report.broken(sound) == []
    assert report.broken([stored("a", "window", done, moved=["content"])]) == [], "a baseline may do so"
    assert report.broken([stored("a", "ours", done, "0.3", moved=["content"])]) == ["made, a, ours at keep 0.3: prefix moved (content)"]
    assert report.broken([stored("a", "ours_late_expand", done, moved=["tools"])]) == []
    assert len(report.broken([stored("a", "ours_late_expand", done, moved=["tools", "tools"])])) == 1
    assert report.broken([stored("a", "none", done, altered=["message 1 (user)"])]) == ["made, a, none: altered message 1 (user)"]
