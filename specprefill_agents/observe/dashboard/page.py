"""The dashboard as one HTML document that asks nobody but its own server for anything."""

from __future__ import annotations

from typing import Any

from specprefill_agents.observe.html_page import asset, content_policy, rendered, script_of

_HERE = "specprefill_agents.observe.dashboard"
_SCRIPTS = ("figures.js", "charts.js", "verdicts.js", "detail.js", "board.js")


def render_dashboard(data: dict[str, Any], *, is_live: bool) -> str:
    """The page with its first view in it. Raises ImportError with the pip command where jinja2 is missing.

    `data` has `view`, `files` and `poll_ms`; of a page that is not live also `details`, by the decision's number.
    """
    template, shown = asset(_HERE, "dashboard.html.j2"), {**data, "live": is_live}
    return rendered("The dashboard", template, _style(), _script(), shown, policy=policy(is_live), is_live=is_live)


def policy(is_live: bool) -> str:
    """The page's Content-Security-Policy; a live one may ask its own server."""
    own = "; connect-src 'self'; frame-src 'self'" if is_live else ""
    return content_policy(_style(), _script()) + own


def _style() -> str:
    return asset("specprefill_agents.observe", "base.css") + asset(_HERE, "dashboard.css")


def _script() -> str:
    return script_of(_HERE, _SCRIPTS)
