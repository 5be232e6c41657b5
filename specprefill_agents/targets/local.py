"""LocalTarget: a causal language model on this machine that answers chat turns, as a stream that can be cancelled.

One small decoding loop over the model's own key/value cache, without threads; closing the stream ends the work.
Knows nothing of scoring or compression.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from specprefill_agents.draft.key_values import cache_argument, empty_cache
from specprefill_agents.draft.loading import choose_device, choose_dtype, load_pretrained, set_threads
from specprefill_agents.errors import ConfigError, TargetError, missing_extra
from specprefill_agents.targets.chat_template import ChatTurn, PromptEncoder
from specprefill_agents.targets.declared_calls import DeclaredReader
from specprefill_agents.targets.grammar import Grammar
from specprefill_agents.targets.streaming import TextStream
from specprefill_agents.targets.tool_calls import AnswerReader, CallReader
from specprefill_agents.targets.tools import ToolSpec

try:
    import torch
    from torch import Tensor
    from transformers import AutoModelForCausalLM, DynamicCache

    from specprefill_agents.targets.constraint import Constraint, Vocabulary
except ImportError as error:
    raise missing_extra("A local target", "draft") from error


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished answer. `completion_tokens` counts every token the model made, an end token and a stop string's too.

    `finish_reason` is "stop" after an end token, a stop string or the end of a grammar, "length" when `max_new_tokens`
    or the window ran out.
    """

    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: Literal["stop", "length"]
    time_to_first_token_ms: float
    elapsed_ms: float

    @property
    def completion_tokens(self) -> int:
        """Number of tokens the model made."""
        return len(self.token_ids)


@dataclass(frozen=True)
class LocalTarget:
    """A loaded model with its tokenizer. `prefill_tokens` bounds the length of one pass over a prompt, for memory.

    May be shared between threads: each answer has a cache of its own, and one forward pass runs at a time.
    """

    name: str
    model: Any
    tokenizer: Any
    prefill_tokens: int = 1024
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def load(cls, name: str, *, device: str = "auto", dtype: str = "auto", threads: int | None = None) -> LocalTarget:
        """Load a target by the names, devices and dtypes that drafts have (`draft.loading.load_draft`).

        Raises `UnknownDraftError` for a name that leads nowhere, `DraftError` when the weights are absent or unreadable.
        """
        set_threads(threads)
        where = choose_device(device)
        model, tokenizer = load_pretrained(name, AutoModelForCausalLM, choose_dtype(where, dtype))
        return cls(name, model.to(where), tokenizer)

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

    def encode(self, messages: Sequence[ChatTurn], tools: Sequence[ToolSpec] = ()) -> list[int]:
        """Token ids of the prompt for the next assistant turn. Raises as `stream` does."""
        ids = self._prompts.ids(messages, tools)
        if self.window is not None and len(ids) >= self.window:
            raise TargetError(
                f"the prompt has {len(ids)} tokens, {self.name} reads at most {self.window - 1}: compress more, or drop messages"
            )
        return ids

    def stream(
        self,
        messages: Sequence[ChatTurn],
        *,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Generator[str, None, Generation]:
        """Yield the answer as text deltas of whole characters; the generator's return value is the `Generation`.

        The model is told of `tools`; their calls are text of the answer, which `reader` takes apart. With
        `grammar` no other answers are possible, as far as `max_new_tokens` goes; what it leaves no choice in is not decoded.
        `temperature` 0 is greedy, above it sampling from the whole distribution, repeatable for one `seed`. Nothing of
        a `stop` string is yielded. Closing the generator ends the work. On the first step raises `TargetError` for a
        prompt that is empty, longer than the window or rejected by the chat template, `ConfigError` for a bad setting.
        """
        started = time.perf_counter()
        pick = _Picker(temperature, seed, self.model.device)
        raw = self._reads_as_declared(tools, grammar)
        shown = TextStream(lambda ids: self._decode(ids, raw), stop)
        if max_new_tokens < 1:
            raise ConfigError("max_new_tokens", max_new_tokens, "an integer >= 1")
        prompt = self.encode(messages, tools)
        room = max_new_tokens if self.window is None else min(max_new_tokens, self.window - len(prompt))
        constraint = self._vocabulary.constraint(grammar.lark(self._prompts.form)) if grammar else None
        ends = self._end_ids()
        tokens: list[int] = []
        first_ms, text = 0.0, ""
        reason: Literal["stop", "length"] = "stop"
        for token in self._decoded(prompt, pick, constraint):
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
        delta = shown.finish()
        text += delta
        if delta:
            yield delta
        elapsed_ms = 1000 * (time.perf_counter() - started)
        return Generation(text, tuple(tokens), len(prompt), reason, first_ms, elapsed_ms)

    def generate(
        self,
        messages: Sequence[ChatTurn],
        *,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Generation:
        """The whole answer at once; arguments and errors as in `stream`."""
        stream = self.stream(
            messages, tools=tools, grammar=grammar, max_new_tokens=max_new_tokens, stop=stop, temperature=temperature, seed=seed
        )
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
            return DeclaredReader(self.tokenizer, self.tokenizer.decode(self.encode(messages, tools)), tools, single=single)
        return CallReader([tool.name for tool in tools], single=single)

    def _decoded(self, prompt: list[int], pick: _Picker, constraint: Constraint | None) -> Iterator[int]:
        """The tokens of an answer, made one by one as they are asked for; ends only where a grammar does."""
        cache = empty_cache(self.model)
        run = constraint.forced() if constraint else []
        logits = self._prefill(prompt + run, cache)
        yield from run
        while not (constraint and constraint.ended):
            run = [pick(constraint.allowed(logits) if constraint else logits)]
            if constraint:
                constraint.accept(run[0])
                run += constraint.forced()
            yield from run
            logits = self._prefill(run, cache)

    def _prefill(self, prompt: list[int], cache: DynamicCache) -> Tensor:
        starts = range(0, len(prompt), self.prefill_tokens)
        return [self._forward(prompt[start : start + self.prefill_tokens], cache) for start in starts][-1]

    def _forward(self, ids: list[int], cache: DynamicCache) -> Tensor:
        """Logits (vocabulary,) in float32 after `ids`, which are added to `cache`."""
        # Inference mode must not outlive the pass: around a yield it would reach into the caller's code.
        with self._lock, torch.inference_mode():
            inputs = torch.tensor([ids], device=self.model.device)
            logits: Tensor = self.model(input_ids=inputs, use_cache=True, logits_to_keep=1, **cache_argument(self.model, cache)).logits
            return logits[0, -1].float()

    def _reads_as_declared(self, tools: Sequence[ToolSpec], grammar: Grammar | None) -> bool:
        """Whether the tokenizer's own parser reads the answer, which needs its control tokens. A grammar writes in our form."""
        return bool(tools) and grammar is None and getattr(self.tokenizer, "response_template", None) is not None

    def _decode(self, ids: list[int], raw: bool = False) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=not raw, clean_up_tokenization_spaces=False))

    def _end_ids(self) -> frozenset[int]:
        configured = self.model.generation_config.eos_token_id
        listed = configured if isinstance(configured, list) else [configured]
        return frozenset(int(token) for token in [*listed, self.tokenizer.eos_token_id] if token is not None)


class _Picker:
    """Chooses the next token from logits: the likeliest, or a seeded sample. Raises `ConfigError` below temperature 0."""

    def __init__(self, temperature: float, seed: int | None, device: torch.device) -> None:
        if not temperature >= 0:
            raise ConfigError("temperature", temperature, "a number >= 0")
        self._temperature = temperature
        self._random = torch.Generator(device=device)
        if seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(seed)

    def __call__(self, logits: Tensor) -> int:
        if self._temperature == 0:
            return int(logits.argmax())
        odds = torch.softmax(logits / self._temperature, dim=-1)
        return int(torch.multinomial(odds, 1, generator=self._random))
