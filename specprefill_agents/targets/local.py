"""LocalTarget: a causal language model on this machine that answers chat turns, as a stream that can be cancelled.

Without threads; closing the stream ends the work. Knows nothing of scoring or compression.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from specprefill_agents.errors import TargetError, missing_extra
from specprefill_agents.targets.chat_template import ChatTurn, Prompt, PromptEncoder
from specprefill_agents.targets.declared_calls import DeclaredReader
from specprefill_agents.targets.grammar import Grammar
from specprefill_agents.targets.guessing import FirstOf, Guesser, LookupGuesser
from specprefill_agents.targets.streaming import TextStream
from specprefill_agents.targets.tool_calls import AnswerReader, CallReader
from specprefill_agents.targets.tools import ToolSpec

try:
    from specprefill_agents.targets.assisting import Assistant, guesser_of
    from specprefill_agents.targets.constraint import Vocabulary
    from specprefill_agents.targets.decoding import Decoding
    from specprefill_agents.targets.kept_readings import KeptReadings
    from specprefill_agents.targets.reading import Reading, check_attention
    from specprefill_agents.targets.sampling import Picker, Sampling
except ImportError as error:
    raise missing_extra("A local target", "draft") from error


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished answer. `completion_tokens` counts every token the model made, an end token and a stop string's too.

    `prompt_tokens` are those that the model read, of which `cached_tokens` were read for an earlier answer. `guessed_tokens`
    were guessed, and `accepted_tokens` of them right. `finish_reason` is "stop" after an end token, a stop string or the end
    of a grammar, "length" when `max_new_tokens` or the window ran out.
    """

    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: Literal["stop", "length"]
    time_to_first_token_ms: float
    elapsed_ms: float
    cached_tokens: int = 0
    guessed_tokens: int = 0
    accepted_tokens: int = 0

    @property
    def completion_tokens(self) -> int:
        """Number of tokens the model made."""
        return len(self.token_ids)


@dataclass(frozen=True)
class LocalTarget:
    """A loaded model with its tokenizer; `targets.loading.load_target` makes one.

    `prefill_tokens` bounds the length of one pass over a prompt, for memory. What was read of earlier prompts is kept in
    `readings`, so that only what is new of a prompt is read. An `assistant` guesses what the model will say next, and with
    `copies` so does what was said before; neither changes an answer, but for rounding: in 16 bits a pass over several tokens may
    tip the choice between two that are about as likely. With `positions` "original", a shortened text is read as the kept tokens
    of the whole one at their places in it (arXiv 2502.02789). May be shared between threads: each answer has a reading of its
    own, and one forward pass runs at a time.
    """

    name: str
    model: Any
    tokenizer: Any
    prefill_tokens: int = 1024
    readings: KeptReadings = field(default_factory=lambda: KeptReadings(0), repr=False, compare=False)
    assistant: Assistant | None = None
    copies: bool = False
    positions: Literal["contiguous", "original"] = "contiguous"
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def window(self) -> int | None:
        """Longest prompt plus answer in tokens that the model was made for; None when it has no limit."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if limit is None else int(limit)

    @cached_property
    def _prompts(self) -> PromptEncoder:
        return PromptEncoder(self.tokenizer)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokenizer, self.model.config.get_text_config().vocab_size, self._end_ids())

    def encode(self, messages: Sequence[ChatTurn], tools: Sequence[ToolSpec] = ()) -> Prompt:
        """The prompt for the next assistant turn; without its original positions where they lie beyond the window.

        Raises as `stream` does.
        """
        prompt = self._prompts.prompt(messages, tools, restored=self.positions == "original")
        if self.window is not None and len(prompt.ids) < prompt.end >= self.window:
            prompt = self._prompts.prompt(messages, tools)
        if self.window is not None and prompt.end >= self.window:
            raise TargetError(
                f"the prompt has {prompt.end} tokens, {self.name} reads at most {self.window - 1}: compress more, or drop messages"
            )
        if len(prompt.ids) < prompt.end:
            check_attention(self.model)
        return prompt

    def stream(
        self,
        messages: Sequence[ChatTurn],
        sampling: Sampling | None = None,
        *,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
        lookup: Sequence[str] = (),
    ) -> Generator[str, None, Generation]:
        """Yield the answer as text deltas of whole characters; the generator's return value is the `Generation`.

        The model is told of `tools`; their calls are text of the answer, which `reader` takes apart. With `grammar` no other
        answers are possible, as far as `max_new_tokens` goes; what it leaves no choice in is not decoded. `lookup` are texts
        that the answer may copy from though the prompt leaves them out; only where the target `copies`. Nothing of a stop
        string is yielded. Closing the generator ends the work. On the first step raises `TargetError` for a prompt that is
        empty, longer than the window, rejected by the chat template or too much for the memory.
        """
        started = time.perf_counter()
        sampling = sampling or Sampling()
        raw = self._reads_as_declared(tools, grammar)
        shown = TextStream(lambda ids: self._decode(ids, raw), sampling.stop)
        prompt = self.encode(messages, tools)
        room = sampling.max_new_tokens if self.window is None else min(sampling.max_new_tokens, self.window - prompt.end)
        constraint = self._vocabulary.constraint(grammar.lark(self._prompts.form)) if grammar else None
        reading = self.readings.continued(prompt.ids, prompt.positions) or Reading(self.model, self._lock, self.prefill_tokens)
        known = len(reading.ids)
        decoding = Decoding(reading, Picker(sampling, self.model.device), constraint, self._guesser(lookup))
        ends = self._end_ids()
        tokens: list[int] = []
        first_ms, text = 0.0, ""
        reason: Literal["stop", "length"] = "stop"
        try:
            for token in decoding.tokens(prompt.ids[known:], prompt.positions[known:], prompt.end):
                first_ms = first_ms or 1000 * (time.perf_counter() - started)
                tokens.append(token)
                if token in ends:
                    break
                delta = shown.push(token)
                text += delta
                if delta:
                    yield delta
                if shown.stopped:
                    break
                if len(tokens) == room:
                    reason = "stop" if constraint and constraint.ended else "length"
                    break
        finally:
            self.readings.keep(reading, len(prompt.ids))
        delta = shown.finish()
        text += delta
        if delta:
            yield delta
        elapsed_ms = 1000 * (time.perf_counter() - started)
        counts = {"cached_tokens": known, "guessed_tokens": decoding.guessed, "accepted_tokens": decoding.accepted}
        return Generation(text, tuple(tokens), len(prompt.ids), reason, first_ms, elapsed_ms, **counts)

    def generate(
        self,
        messages: Sequence[ChatTurn],
        sampling: Sampling | None = None,
        *,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
        lookup: Sequence[str] = (),
    ) -> Generation:
        """The whole answer at once; arguments and errors as in `stream`."""
        stream = self.stream(messages, sampling, tools=tools, grammar=grammar, lookup=lookup)
        while True:
            try:
                next(stream)
            except StopIteration as done:
                generation: Generation = done.value
                return generation

    def reader(
        self, messages: Sequence[ChatTurn], *, tools: Sequence[ToolSpec], grammar: Grammar | None = None, single: bool = False
    ) -> AnswerReader:
        """What takes an answer of `stream` with the same arguments apart; with `single`, calls after the first are left out.

        The tokenizer's own parser where it declares one, else our `CallReader`.
        """
        if self._reads_as_declared(tools, grammar):
            return DeclaredReader(self.tokenizer, self.tokenizer.decode(self.encode(messages, tools).ids), tools, single=single)
        return CallReader([tool.name for tool in tools], single=single)

    def _guesser(self, lookup: Sequence[str]) -> Guesser | None:
        guessers: list[Guesser] = []
        if self.copies:
            guessers.append(LookupGuesser([self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in lookup]))
        if self.assistant:
            guessers.append(guesser_of(self.assistant, self.tokenizer))
        return FirstOf(guessers) if guessers else None

    def _reads_as_declared(self, tools: Sequence[ToolSpec], grammar: Grammar | None) -> bool:
        """Whether the tokenizer's own parser reads the answer, which needs its control tokens. A grammar writes in our form."""
        return bool(tools) and grammar is None and getattr(self.tokenizer, "response_template", None) is not None

    def _decode(self, ids: list[int], raw: bool = False) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=not raw, clean_up_tokenization_spaces=False))

    def _end_ids(self) -> frozenset[int]:
        configured = self.model.generation_config.eos_token_id
        listed = configured if isinstance(configured, list) else [configured]
        return frozenset(int(token) for token in [*listed, self.tokenizer.eos_token_id] if token is not None)
