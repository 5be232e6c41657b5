"""How right an answer is, by the measures that long-context benchmarks report. Pure.

Of several accepted answers the best counts, but for `string_match_all`, which wants them all. `rouge_l` is the F-measure of
LCS-based ROUGE (Lin 2004) without stemming; `valid_tool_call` judges the form of a call, not whether it was the right one.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WORDS = re.compile(r"\w+")


def normalised(text: str) -> str:
    """Lower case, without punctuation and articles, white space collapsed, as SQuAD compares answers."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(said: str, answers: Sequence[str]) -> float:
    """1 where what was said is one of `answers`, both normalised; else 0."""
    return float(normalised(said) in map(normalised, answers))


def f1(said: str, answers: Sequence[str]) -> float:
    """The best over `answers` of the harmonic mean of precision and recall of words, both normalised."""
    return max(_f1(normalised(said).split(), normalised(answer).split()) for answer in answers)


def best_subspan_em(said: str, answers: Sequence[str]) -> float:
    """1 where any of `answers` is a part of what was said, both normalised; else 0."""
    whole = normalised(said)
    return float(any(normalised(answer) in whole for answer in answers))


def string_match_all(said: str, answers: Sequence[str]) -> float:
    """The share of `answers` that are parts of what was said, whatever their case."""
    return sum(answer.lower() in said.lower() for answer in answers) / len(answers)


def rouge_l(said: str, answers: Sequence[str]) -> float:
    """The best over `answers` of the harmonic mean of LCS precision and recall over lower-case words."""
    words = _WORDS.findall(said.lower())
    return max(_rouge_l(words, _WORDS.findall(answer.lower())) for answer in answers)


def valid_tool_call(call: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a call in OpenAI form names one of `tools` and its arguments are JSON that the tool's schema allows.

    Of JSON Schema `type`, `enum`, `properties`, `required`, `additionalProperties` as a truth value, `items` and `anyOf` are checked.
    """
    function = call["function"]
    schema = next((tool["function"].get("parameters", {}) for tool in tools if tool["function"]["name"] == function["name"]), None)
    if schema is None:
        return False
    try:
        given = json.loads(function["arguments"])
    except json.JSONDecodeError:
        return False
    return isinstance(given, dict) and allows(schema, given)


def allows(schema: Mapping[str, Any], value: object) -> bool:
    """Whether `value` has the form that `schema` asks for, by the keywords that `valid_tool_call` names."""
    types = schema.get("type", [])
    wanted = [types] if isinstance(types, str) else types
    if wanted and not any(_is_a(value, one) for one in wanted):
        return False
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        return False
    if "anyOf" in schema and not any(allows(one, value) for one in schema["anyOf"]):
        return False
    if isinstance(value, list):
        return all(allows(schema.get("items", {}), one) for one in value)
    return not isinstance(value, dict) or _allows_members(schema, value)


def _allows_members(schema: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    known = schema.get("properties", {})
    if any(name not in value for name in schema.get("required", ())):
        return False
    if schema.get("additionalProperties") is False and any(name not in known for name in value):
        return False
    return all(allows(known.get(name, {}), one) for name, one in value.items())


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


def _is_a(value: object, name: str) -> bool:
    """JSON's types: true and false are no numbers, and 1.0 is an integer."""
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, _TYPES.get(name, ()))


def _same(one: object, other: object) -> bool:
    """Equality of JSON, in which 1 is not true."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _f1(said: Sequence[str], answer: Sequence[str]) -> float:
    common = sum((Counter(said) & Counter(answer)).values())
    return 2 * common / (len(said) + len(answer)) if common else 0.0


def _rouge_l(said: Sequence[str], answer: Sequence[str]) -> float:
    common = longest_common(said, answer)
    return 2 * common / (len(said) + len(answer)) if common else 0.0


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, in time of the product of both lengths and memory of the second."""
    lengths = [0] * (len(other) + 1)
    for item in one:
        before = 0
        for index, against in enumerate(other, start=1):
            above = lengths[index]
            lengths[index] = before + 1 if item == against else max(above, lengths[index - 1])
            before = above
    return lengths[-1]
