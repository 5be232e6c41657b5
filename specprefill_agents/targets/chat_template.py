"""Chat turns -> token ids of a local model's prompt. What a turn says can never become a control token.

The tokenizer's chat template is rendered with a placeholder for every text of the conversation. Only what the template
itself wrote is searched for control tokens; the texts put back for the placeholders are tokenized as plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from specprefill_agents.errors import TargetError
from specprefill_agents.plaintext import plain_tokenizer, without_surrogates


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of an assistant turn; `arguments` holds plain JSON types."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One message to a local target. `role` is system, user, assistant or tool; `name` is the tool's."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    tool_call_id: str = ""


class PromptEncoder:
    """Encodes conversations for one transformers fast tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._plain = plain_tokenizer(tokenizer.backend_tokenizer.to_str())
        self._controls = _pattern([t for t in tokenizer.added_tokens_decoder.values() if not t.content.isspace()])

    def ids(self, turns: Sequence[ChatTurn]) -> list[int]:
        """Ids of the prompt that asks for the next assistant turn, with the template's own control tokens and no others.

        Tool calls and results become readable text where the template knows no tools; turns are merged, and roles
        mapped to `user`, where it rejects them. Without a template the prompt is `role: content` paragraphs.
        Raises `TargetError` for no turns at all and for a template that rejects them in every form.
        """
        if not turns:
            raise TargetError("a prompt needs at least one message")
        return self._templated(turns) if self._tokenizer.chat_template else self._paragraphs(turns)

    def _templated(self, turns: Sequence[ChatTurn]) -> list[int]:
        template = str(self._tokenizer.get_chat_template())
        plain = [_as_text(turn) for turn in turns]
        known = turns if "tool_calls" in template else plain
        reason = ""
        for form in (known, _merged(plain, {"system", "user", "assistant"}), _merged(plain, {"user", "assistant"})):
            slots = _Slots(json.dumps([template, [_message(turn) for turn in form]]))
            messages = [_message(turn, slots) for turn in form]
            try:
                rendered = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            except Exception as error:  # a template raises whatever it likes
                reason = f"{type(error).__name__}: {error}"
                continue
            if slots.all_in(rendered):
                return self._encode(slots.filled(rendered))
            reason = "it leaves messages out"
        raise TargetError(f"the chat template of this model does not take these messages ({reason})")

    def _paragraphs(self, turns: Sequence[ChatTurn]) -> list[int]:
        text = "".join(f"{turn.role}: {turn.content}\n\n" for turn in map(_as_text, turns)) + "assistant:"
        begin = self._tokenizer.bos_token_id
        added = self._tokenizer("", verbose=False)["input_ids"]
        return ([begin] if begin in added else []) + self._text(text)

    def _encode(self, pieces: Iterable[tuple[str, bool]]) -> list[int]:
        """Ids of template text and held texts; what lies between control tokens is tokenized in one go."""
        ids: list[int] = []
        run = ""
        for text, is_held in pieces:
            if is_held:
                run += text
                continue
            for index, part in enumerate(self._controls.split(text)):
                if index % 2 == 0:
                    run += part
                else:
                    ids += self._text(run)
                    ids += self._tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
                    run = ""
        return ids + self._text(run)

    def _text(self, text: str) -> list[int]:
        return list(self._plain.encode(without_surrogates(text), add_special_tokens=False).ids) if text else []


class _Slots:
    """Placeholders for texts. White space around a text stays outside, so a template that trims still does."""

    def __init__(self, reserved: str) -> None:
        self._stem = next(stem for stem in (f"specprefill{n}slot" for n in range(len(reserved) + 1)) if stem not in reserved)
        self._texts: list[str] = []

    def hold(self, text: str) -> str:
        core = text.strip()
        if not core:
            return text
        self._texts.append(core)
        return text.replace(core, f"{self._stem}{len(self._texts) - 1}e", 1)

    def hold_within(self, value: Any) -> Any:
        """As `hold`, for every string value inside plain JSON types."""
        if isinstance(value, str):
            return self.hold(value)
        if isinstance(value, Mapping):
            return {key: self.hold_within(item) for key, item in value.items()}
        return [self.hold_within(item) for item in value] if isinstance(value, (list, tuple)) else value

    def all_in(self, rendered: str) -> bool:
        return all(f"{self._stem}{index}e" in rendered for index in range(len(self._texts)))

    def filled(self, rendered: str) -> Iterator[tuple[str, bool]]:
        """The pieces of `rendered` in order, each with whether it is a held text; JSON-escaped inside JSON quotes."""
        pieces = re.split(f"{self._stem}(\\d+)e", rendered)
        for index, piece in enumerate(pieces):
            if index % 2 == 0:
                yield piece, False
                continue
            text = self._texts[int(piece)]
            quoted = pieces[index - 1].endswith('"') and pieces[index + 1].startswith('"')
            yield (json.dumps(text, ensure_ascii=False)[1:-1] if quoted else text), True


def _message(turn: ChatTurn, slots: _Slots | None = None) -> dict[str, Any]:
    """The dictionary a template expects, with placeholders from `slots` for its texts."""
    hold = slots.hold if slots else str
    within = slots.hold_within if slots else (lambda value: value)
    message: dict[str, Any] = {"role": turn.role, "content": hold(turn.content)}
    if turn.tool_calls:
        message["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": hold(call.name), "arguments": within(dict(call.arguments))}}
            for call in turn.tool_calls
        ]
    if turn.role == "tool":
        message |= {"name": hold(turn.name or ""), "tool_call_id": turn.tool_call_id}
    return message


def _as_text(turn: ChatTurn) -> ChatTurn:
    """The turn without tool fields: calls as lines `name(argument=value)`, a result as a user turn that says so."""
    if turn.role == "tool":
        return ChatTurn("user", f"Result of {turn.name or 'the tool'}:\n{turn.content}")
    if not turn.tool_calls:
        return turn
    calls = [f"{c.name}({', '.join(f'{k}={json.dumps(v, ensure_ascii=False)}' for k, v in c.arguments.items())})" for c in turn.tool_calls]
    return replace(turn, content="\n".join(filter(None, [turn.content, *calls])), tool_calls=())


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
