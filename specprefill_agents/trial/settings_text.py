"""A recommendation as files: guardrails in TOML, and a `CompressionConfig` in Python. Pure."""

from __future__ import annotations

import json

from specprefill_agents.plaintext import without_surrogates
from specprefill_agents.trial.advice import Recommendation
from specprefill_agents.types import KeepRatio


def guardrails_toml(advice: Recommendation, name: str, scorer: str, scorers: tuple[str, ...]) -> str:
    """The recommendation as a file that `load_guardrails` reads, under the id `name`.

    Of `scorer`, only a name among `scorers` is written: guardrails know no address of a service.
    """
    lines = [
        f"# Recommended by specprefill bench: at most {100 * advice.risk:g} % of the values used may be lost.",
        "# An estimate from recorded behaviour; see `specprefill guardrails FILE` for what holds under it.",
        f"id = {_text(name)}",
        "version = 1",
        "",
        "[compression]",
        f"keep_ratio = {_ratio(advice.default)}",
        *([f"scorer = {_text(scorer)}"] if scorer in scorers else []),
    ]
    for one in advice.tools:
        if one.action != "default":
            setting = "exclude = true" if one.action == "exclude" else f"keep_ratio = {_ratio(one.keep)}"
            lines += ["", f"[tools.{_text(one.tool)}]", f"# {one.why}", setting]
    return "\n".join(lines) + "\n"


def config_snippet(advice: Recommendation, scorer: str) -> str:
    """The same as an expression in Python."""
    lines = [f"    keep_ratio={_ratio(advice.default)},", f"    scorer={scorer!r},"]
    if advice.ratios:
        pairs = ", ".join(f"{tool!r}: {_ratio(keep)}" for tool, keep in advice.ratios.items())
        lines.append(f"    tool_keep_ratio={{{pairs}}},")
    if advice.excluded:
        lines.append(f"    exclude_tools={advice.excluded!r},")
    return "\n".join(["CompressionConfig(", *lines, ")"]) + "\n"


def _ratio(keep: KeepRatio) -> str:
    return '"auto"' if keep == "auto" else f"{keep:g}" if keep != 1 else "1.0"


def _text(text: str) -> str:
    """A basic string of TOML; JSON's escapes are among its own, but for the one character that JSON leaves as it is."""
    return json.dumps(without_surrogates(text), ensure_ascii=False).replace("\x7f", "\\u007f")
