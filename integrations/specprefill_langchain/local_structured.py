"""ChatLocal's answers as JSON by a schema, read into what LangChain's `with_structured_output` returns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from operator import itemgetter
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel


def structured(
    model: BaseChatModel, schema: dict[str, Any] | type | None, method: str, include_raw: bool
) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
    """`model` held to the schema by `response_format`, and what reads its answer. Raises ValueError for an unknown method.

    `method` is "json_schema" or "json_mode", the latter also without a schema.
    """
    allowed = ("json_mode",) if schema is None else ("json_schema", "function_calling", "json_mode")
    if method not in allowed:
        raise ValueError(f"method={method!r} is not valid; allowed{' without a schema' if schema is None else ''}: {', '.join(allowed)}")
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    parser: BaseOutputParser[Any] = PydanticOutputParser(pydantic_object=schema) if is_class else JsonOutputParser()
    bound: dict[str, Any] = {"response_format": {"type": "json_object"}}
    if schema is not None:
        declared = convert_to_json_schema(schema)
        named = {"name": declared.get("title", "answer"), "schema": declared}
        bound = {
            "response_format": {"type": "json_schema", "json_schema": named}
            if method == "json_schema"
            else {"type": "json_object", "schema": declared},
            "ls_structured_output_format": {"kwargs": {"method": method}, "schema": schema},
        }
    answers = model.bind(**bound)
    read = RunnableGenerator(_whole, _awhole) | parser
    if not include_raw:
        return answers | read
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | read, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=answers) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def _refuse_cut_off(message: BaseMessage) -> BaseMessage:
    """The message itself: parsers take the beginning of a cut-off answer for an answer."""
    if message.response_metadata.get("finish_reason") == "length":
        raise OutputParserException("the answer was cut off before its JSON was whole: raise max_tokens")
    return message


def _whole(messages: Iterator[BaseMessage]) -> Iterator[BaseMessage]:
    for message in messages:
        yield _refuse_cut_off(message)


async def _awhole(messages: AsyncIterator[BaseMessage]) -> AsyncIterator[BaseMessage]:
    async for message in messages:
        yield _refuse_cut_off(message)
