"""Text as data: what a string may spell (control tokens, lone surrogates) and no tokenizer may obey or refuse."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SURROGATE = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """`text` with every surrogate code point read as U+FFFD; same length, so offsets stay valid."""
    return _SURROGATE.sub("\ufffd", text)


def plain_tokenizer(serialized: str) -> Tokenizer:
    """A `tokenizers.Tokenizer` from its JSON that reads every added token's spelling as ordinary text.

    Vocabularies declare only some of their control tokens special (`</think>` often is not), so all added tokens but
    runs of white space are. Padding and truncation are off.
    """
    from tokenizers import Tokenizer

    declared = json.loads(serialized)
    for token in declared.get("added_tokens", []):
        token["special"] = token["special"] or not token["content"].isspace()
    declared["truncation"] = declared["padding"] = None
    tokenizer = Tokenizer.from_str(json.dumps(declared))
    tokenizer.encode_special_tokens = True
    return tokenizer
