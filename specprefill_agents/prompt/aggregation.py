"""Questions about all of a text: counts, totals, extremes, complete listings.

No selection of parts can answer these for certain (arXiv 2502.02789 reports the same loss), and a budget is a promise, so
nothing more is kept for them: the result says that the question is of this kind, and the caller decides.
"""

from __future__ import annotations

import re

_ASKS_FOR_ALL = re.compile(
    r"""\bhow\s+(?:many|often|much\s+in\s+total)\b
      | \b(?:number|count|total|sum|average|mean|median|distribution|frequency)\s+of\b
      | \b(?:count|tally|sum\s+up|add\s+up)\s+(?:all|the|how|each|every|up)\b
      | \b(?:most|least)\s+(?:frequent|common|often|recent|expensive)(?:ly)?\b
      | \b(?:list|enumerate|name|show|extract|find|give\s+me|return)\s+(?:me\s+)?(?:all|every|each)\b
      | \ball\s+of\s+the\b | \bin\s+total\b | \baltogether\b | \bsummari[sz]e\b | \boverview\s+of\b
      | \bwieviele?\b | \bwie\s+viele\b | \bcombien\s+de\b | \bcu[aá]nt[oa]s\b | \bquant[io]\b
      | 多少 | 几个 | 幾個 | 总共 | 總共 | 列出 | いくつ | 何個 | 合計""",
    re.IGNORECASE | re.VERBOSE,
)

AGGREGATION_NOTE = "the question asks about all of the text (a count, a total, a listing); a part of it may not answer that"


def asks_about_everything(query: str) -> bool:
    """Whether `query` reads like a question that needs every part of the text. A hint by wording, not a proof."""
    return _ASKS_FOR_ALL.search(query) is not None
