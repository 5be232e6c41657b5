"""Chat turns -> token ids of a local model's prompt. What a turn says can never become a control token.

The tokenizer's chat template is rendered with a placeholder for every text of the conversation. Only what the template
itself wrote is searched for control tokens; the texts put back for the placeholders are tokenized as plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from specprefill_agents.errors import TargetError
from specprefill_agents.plaintext import plain_tokenizer, without_surrogates
from specprefill_agents.targets.left_out import Marks, is_left_out
from specprefill_agents.targets.slots import Slots
from specprefill_agents.targets.tools import TAGGED, CallForm, ToolCall, ToolSpec, form_of, tool_instructions
from specprefill_agents.types import Span


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One message to a local target. `role` is system, user, assistant or tool; `name` is the tool's.

    `whole` is what `content` is a shorter form of, with the sorted, disjoint spans of it that are kept: where positions are
    restored, the model reads these tokens of the whole, each at its place, in place of `content`.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    tool_call_id: str = ""
    whole: tuple[str, tuple[Span, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads before it answers: token `ids`, each at its position in the whole prompt of `end` tokens."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    end: int


class PromptEncoder:
    """Encodes conversations for one transformers fast tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._plain = plain_tokenizer(tokenizer.backend_tokenizer.to_str())
        self._controls = _pattern([t for t in tokenizer.added_tokens_decoder.values() if not t.content.isspace()])

    @cached_property
    def form(self) -> CallForm:
        """How the model writes tool calls: as its template shows where that takes tools, else as our text asks it to."""
        return form_of(self._template) if self._template_takes_tools else TAGGED

    def prompt(self, turns: Sequence[ChatTurn], tools: Sequence[ToolSpec] = (), *, restored: bool = False) -> Prompt:
        """The prompt that asks for the next assistant turn, with the template's own control tokens and no others.

        `tools` are shown by the template where it takes any, else by a text in the system turn. Tool calls and results
        become readable text where the template knows no tools; turns are merged, and roles mapped to `user`, where it
        rejects them. Without a template the prompt is `role: content` paragraphs.
        Raises `TargetError` for no turns at all and for a template that rejects them in every form.
        """
        if not turns:
            raise TargetError("a prompt needs at least one message")
        marks = None
        if restored and any(turn.whole for turn in turns):
            marks = Marks.absent_from("".join(turn.whole[0] if turn.whole else turn.content for turn in turns))
            turns = [_marked(turn, marks) for turn in turns]
        return self._templated(turns, tools, marks) if self._tokenizer.chat_template else self._paragraphs(_told(turns, tools), marks)

    def ids(self, turns: Sequence[ChatTurn], tools: Sequence[ToolSpec] = ()) -> list[int]:
        """Token ids of `prompt`."""
        return list(self.prompt(turns, tools).ids)

    @cached_property
    def _template(self) -> str:
        return str(self._tokenizer.get_chat_template()) if self._tokenizer.chat_template else ""

    @cached_property
    def _template_takes_tools(self) -> bool:
        """Whether a prompt with a tool differs from the one without by naming it."""
        try:
            return self._rendered([ChatTurn("user", "x")], [ToolSpec("probe", "Probes.")]) is not None
        except Exception:  # a template raises whatever it likes; one that refuses a tool takes none
            return False

    def _templated(self, turns: Sequence[ChatTurn], tools: Sequence[ToolSpec], marks: Marks | None) -> Prompt:
        told = _told(turns, tools)
        plain = [_as_text(turn) for turn in told]
        knows_calls = "tool_calls" in self._template
        forms: list[tuple[Sequence[ChatTurn], Sequence[ToolSpec]]] = [
            (told if knows_calls else plain, ()),
            (_merged(plain, {"system", "user", "assistant"}), ()),
            (_merged(plain, {"user", "assistant"}), ()),
        ]
        if tools and self._template_takes_tools:
            forms.insert(0, (turns if knows_calls else [_as_text(turn) for turn in turns], tools))
        reason = ""
        for form, shown in forms:
            try:
                pieces = self._rendered(form, shown)
            except Exception as error:  # a template raises whatever it likes
                reason = f"{type(error).__name__}: {error}"
                continue
            if pieces is not None:
                return self._encode(pieces, marks)
            reason = "it leaves messages out"
        raise TargetError(f"the chat template of this model does not take these messages ({reason})")

    def _rendered(self, turns: Sequence[ChatTurn], tools: Sequence[ToolSpec]) -> list[tuple[str, bool]] | None:
        """What the template makes of them, as `Slots.filled` gives it; None when it leaves a message or a tool out."""
        functions = [tool.as_function() for tool in tools]
        slots = Slots(json.dumps([self._template, [_message(turn) for turn in turns], functions]))
        messages = [_message(turn, slots) for turn in turns]
        shown = [slots.hold_schema(function) for function in functions]
        for function, tool in zip(shown, tools, strict=True):
            function["function"]["name"] = slots.hold(tool.name)
        rendered = self._tokenizer.apply_chat_template(messages, tools=shown or None, tokenize=False, add_generation_prompt=True)
        return list(slots.filled(rendered)) if slots.all_in(rendered) else None

    def _paragraphs(self, turns: Sequence[ChatTurn], marks: Marks | None) -> Prompt:
        text = "".join(f"{turn.role}: {turn.content}\n\n" for turn in map(_as_text, turns)) + "assistant:"
        begin = self._tokenizer.bos_token_id
        added = self._tokenizer("", verbose=False)["input_ids"]
        tokens = _Tokens()
        tokens.add([begin] if begin in added else [])
        self._add(tokens, text, marks)
        return tokens.as_prompt()

    def _encode(self, pieces: Iterable[tuple[str, bool]], marks: Marks | None) -> Prompt:
        """Template text and held texts as tokens; what lies between control tokens is tokenized in one go."""
        tokens = _Tokens()
        run = ""
        for text, is_held in pieces:
            if is_held:
                run += text
                continue
            for index, part in enumerate(self._controls.split(text)):
                if index % 2 == 0:
                    run += part
                else:
                    self._add(tokens, run, marks)
                    tokens.add(self._tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"])
                    run = ""
        self._add(tokens, run, marks)
        return tokens.as_prompt()

    def _add(self, tokens: _Tokens, text: str, marks: Marks | None) -> None:
        if text:
            plain, spans = marks.take(text) if marks else (text, [])
            encoded = self._plain.encode(without_surrogates(plain), add_special_tokens=False)
            tokens.add(encoded.ids, is_left_out(encoded.offsets, spans) if spans else None)


class _Tokens:
    """The tokens of a prompt, as they come."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._positions: list[int] = []
        self._end = 0

    def add(self, ids: Sequence[int], left_out: Sequence[bool] | None = None) -> None:
        wanted = range(len(ids)) if left_out is None else [index for index, is_out in enumerate(left_out) if not is_out]
        self._ids += [ids[index] for index in wanted]
        self._positions += [self._end + index for index in wanted]
        self._end += len(ids)

    def as_prompt(self) -> Prompt:
        return Prompt(tuple(self._ids), tuple(self._positions), self._end)


def _marked(turn: ChatTurn, marks: Marks) -> ChatTurn:
    return replace(turn, content=marks.put(*turn.whole), whole=None) if turn.whole else turn


def _message(turn: ChatTurn, slots: Slots | None = None) -> dict[str, Any]:
    """The dictionary a template expects, with placeholders from `slots` for its texts."""
    hold = slots.hold if slots else str
    within = slots.hold_within if slots else (lambda value: value)
    # Some templates check an id's length, and one of letters and digits alone is no control string.
    loosely = (lambda text: text if text.isalnum() else slots.hold_loosely(text)) if slots else str
    message: dict[str, Any] = {"role": turn.role, "content": hold(turn.content)}
    if turn.tool_calls:
        message["tool_calls"] = [
            {"type": "function", "id": loosely(call.id), "function": {"name": hold(call.name), "arguments": within(dict(call.arguments))}}
            for call in turn.tool_calls
        ]
    if turn.role == "tool":
        message |= {"name": hold(turn.name or ""), "tool_call_id": loosely(turn.tool_call_id)}
    return message


def _told(turns: Sequence[ChatTurn], tools: Sequence[ToolSpec]) -> list[ChatTurn]:
    """The turns with the tools described in the system turn that they begin with, or in one of their own."""
    if not tools:
        return list(turns)
    text = tool_instructions(tools)
    if turns[0].role != "system":
        return [ChatTurn("system", text), *turns]
    return [replace(turns[0], content=f"{turns[0].content}\n\n{text}"), *turns[1:]]


def _as_text(turn: ChatTurn) -> ChatTurn:
    """The turn without tool fields: calls in the form that `tool_instructions` asks for, a result as a user turn that says so."""
    if turn.role == "tool":
        return ChatTurn("user", f"Result of {turn.name or 'the tool'}:\n{turn.content}")
    if not turn.tool_calls:
        return turn
    calls = TAGGED.written(turn.tool_calls)
    return replace(turn, content=f"{turn.content}\n{calls}" if turn.content else calls, tool_calls=())


def _merged(turns: Sequence[ChatTurn], roles: Collection[str]) -> list[ChatTurn]:
    """Turns of `roles` only, any other role read as `user`, neighbours of one role joined by a blank line."""
    merged: list[ChatTurn] = []
    for turn in turns:
        role = turn.role if turn.role in roles else "user"
        if merged and merged[-1].role == role:
            merged[-1] = ChatTurn(role, f"{merged[-1].content}\n\n{turn.content}")
        else:
            merged.append(ChatTurn(role, turn.content))
    return merged


def _pattern(tokens: Sequence[Any]) -> re.Pattern[str]:
    """Finds any of the added tokens, longest first, with the white space that they swallow; one group."""
    longest_first = sorted(tokens, key=lambda token: -len(token.content))
    forms = [r"\s*" * t.lstrip + re.escape(t.content) + r"\s*" * t.rstrip for t in longest_first]
    return re.compile(f"({'|'.join(forms)})" if forms else r"(\Z\A.)")
