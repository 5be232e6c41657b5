"""HTML pages that ask the network for nothing, from a template, styles and scripts that ship with the package.

What a page shows is untrusted: text enters it HTML-escaped, numbers and names enter as JSON that cannot end its element, and
a content policy lets run only the one script and style whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from specprefill_agents.errors import missing_extra


def rendered(what: str, template: str, style: str, script: str, data: object, **values: Any) -> str:
    """The page that `template` makes of `values`, with its style, its script, and `data` for that.

    Raises ImportError with the pip command where jinja2 is missing; `what` is the page's name there.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ModuleNotFoundError as error:
        raise missing_extra(what, "cli") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(
        style=Markup(style),  # noqa: S704 - files of this package
        script=Markup(script),  # noqa: S704
        data=Markup(script_json(data)),  # noqa: S704 - escaped by script_json
        **values,
    )


def content_policy(style: str, script: str) -> str:
    """The Content-Security-Policy under which nothing but this style and this script has any effect."""
    return f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"


def script_json(value: object) -> str:
    """`value` as JSON that is inert inside a script element: ASCII, and without any of < > &."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def script_of(package: str, names: Sequence[str]) -> str:
    """A page's files of JavaScript as one script with a scope of its own, which calls their function `start`."""
    parts = "\n".join(asset(package, name) for name in names)
    return f'"use strict";\n(() => {{\n{parts}\nstart();\n}})();\n'


def asset(package: str, name: str) -> str:
    """A file in a package's folder `page`."""
    return (files(package) / "page" / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
