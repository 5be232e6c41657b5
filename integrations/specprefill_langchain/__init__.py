"""Speculative prefill for LangChain: tool outputs reach the model compressed, everything else untouched.

Every public name is imported on first use; without LangChain that raises an ImportError with the pip command.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from specprefill_agents.errors import missing_extra

if TYPE_CHECKING:
    from specprefill_langchain.chat_local import ChatLocal
    from specprefill_langchain.chat_model import ChatSpecPrefill
    from specprefill_langchain.documents import SpecPrefillDocumentCompressor
    from specprefill_langchain.expanding import expand_tool
    from specprefill_langchain.hooks import pre_model_hook
    from specprefill_langchain.metering import Meter
    from specprefill_langchain.middleware import SpecPrefillMiddleware
    from specprefill_langchain.runnable import PromptCompressor
    from specprefill_langchain.step import StepReport

_HOMES = {
    "ChatLocal": "chat_local",
    "ChatSpecPrefill": "chat_model",
    "Meter": "metering",
    "PromptCompressor": "runnable",
    "SpecPrefillDocumentCompressor": "documents",
    "SpecPrefillMiddleware": "middleware",
    "StepReport": "step",
    "expand_tool": "expanding",
    "pre_model_hook": "hooks",
}

_EXTRAS = {
    "langchain": "langchain",
    "langchain_core": "langchain",
    "langgraph": "langchain",
    "torch": "draft",
    "transformers": "draft",
}
"""Which extra brings a package that a module here imports."""

__all__ = [
    "ChatLocal",
    "ChatSpecPrefill",
    "Meter",
    "PromptCompressor",
    "SpecPrefillDocumentCompressor",
    "SpecPrefillMiddleware",
    "StepReport",
    "expand_tool",
    "pre_model_hook",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{home}")
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise missing_extra(f"specprefill_langchain.{name}", extra) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
