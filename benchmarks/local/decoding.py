"""Tokens per second of an answer: token by token, with copies of what was read, with an assistant, with both.

Three tasks copy much of what they read, three nothing. All greedy, and `same` tells whether an answer equals that without
guesses: rounding may tip a choice between two tokens that are about as likely, in bfloat16 above all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.local.measured import Row, Subject, answer, rows_of
from benchmarks.local.prompts import Texts
from specprefill_agents.targets.assisting import has_same_tokens
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.local import LocalTarget

TASKS: Mapping[str, tuple[str, ...]] = {
    "copying": (
        "Repeat the text above word for word, from its beginning.",
        "Rewrite the text above with all of its lines, and mend spelling mistakes only.",
        "Copy the first paragraph of the text above, then the second.",
    ),
    "free": (
        "Write a short story about a lighthouse keeper.",
        "Explain to a child why the sky is blue.",
        "What would you cook for six guests, and why?",
    ),
}


def decoding(subject: Subject) -> list[Row]:
    """Rows by target, kind of task and variant. Random weights have nothing to say, and are left out."""
    sizes = subject.sizes
    taken: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for name in (name for name in sizes.targets if not name.startswith("random:")):
        variants = _variants(subject, subject.target(name))
        texts = Texts(variants["plain"].tokenizer)
        for repetition in range(sizes.answer_repeats):
            text = texts.take(sizes.answer_after_tokens)
            for kind, tasks in TASKS.items():
                subject.say(f"decoding: {name}, {kind}, {repetition + 1} of {sizes.answer_repeats}")
                task = tasks[repetition % len(tasks)]
                turns = [ChatTurn("user", f"{text}\n\n{task}" if kind == "copying" else task)]
                plain: tuple[int, ...] = ()
                for variant, target in variants.items():
                    found = answer(target, turns, sizes.answer_tokens)
                    plain = found.token_ids if variant == "plain" else plain
                    taken[name, kind, variant].append(
                        {
                            "tokens": found.completion_tokens,
                            "after_first_ms": round(found.elapsed_ms - found.time_to_first_token_ms, 1),
                            "guessed": found.guessed_tokens,
                            "accepted": found.accepted_tokens,
                            "same": found.token_ids == plain,
                        }
                    )
    return rows_of(taken, ("target", "task", "variant"), "decoding")


def _variants(subject: Subject, target: LocalTarget) -> dict[str, LocalTarget]:
    found = {"plain": target, "copies": replace(target, copies=True)}
    for name in subject.sizes.assistants:
        assistant = subject.assistant(name)
        kind = "same tokens" if has_same_tokens(assistant.tokenizer, target.tokenizer) else "other tokens"
        label = f"assistant ({name.rstrip('/').rpartition('/')[2]}, {kind})"
        found[label] = replace(target, assistant=assistant)
        found[f"copies, {label}"] = replace(target, assistant=assistant, copies=True)
    for one in found.values():
        answer(one, [ChatTurn("user", "Begin.")], 2)
    return found
