"""The dashboard as one HTML document that asks nobody but its own server for anything."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from specprefill_agents.errors import missing_extra
from specprefill_agents.observe.explain_page import asset, content_policy, script_json

_SCRIPTS = ("figures.js", "charts.js", "verdicts.js", "detail.js", "board.js")


def render_dashboard(data: dict[str, Any], *, is_live: bool) -> str:
    """The page with its first view in it. Raises ImportError with the pip command where jinja2 is missing.

    `data` has `view`, `files` and `poll_ms`; of a page that is not live also `details`, by the decision's number.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ModuleNotFoundError as error:
        raise missing_extra("The dashboard", "cli") from error
    style, script = asset("base.css") + _own("dashboard.css"), _script()
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_own("dashboard.html.j2")).render(
        policy=policy(is_live),
        style=Markup(style),  # noqa: S704 - files of this package
        script=Markup(script),  # noqa: S704
        data=Markup(script_json({**data, "live": is_live})),  # noqa: S704 - escaped by script_json
        is_live=is_live,
    )


def policy(is_live: bool) -> str:
    """The page's Content-Security-Policy; a live one may ask its own server."""
    own = "; connect-src 'self'; frame-src 'self'" if is_live else ""
    return content_policy(asset("base.css") + _own("dashboard.css"), _script()) + own


def _script() -> str:
    parts = "\n".join(map(_own, _SCRIPTS))
    return f'"use strict";\n(() => {{\n{parts}\nstart();\n}})();\n'


def _own(name: str) -> str:
    return (files("specprefill_agents.observe.dashboard") / "page" / name).read_text(encoding="utf-8")
