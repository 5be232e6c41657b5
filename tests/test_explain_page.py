"""The heat-map page as data: self-contained, inert whatever the text spells, and in agreement with the library.

The page is read as a browser would parse it; what only a browser shows is tested in `test_explain_browser`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specprefill_agents.observe.explain import visible
from specprefill_agents.observe.explain_page import page_data, render_page
from specprefill_agents.observe.html_page import script_json
from tests.explained_pages import ATTACK, CHOOSE_ALL, LOG, explained, random_cases, select_script
from tests.strategies import TEXTS


class Parsed(HTMLParser):
    """A page as a browser parses it: its elements with attributes, the raw text of scripts and styles, the units' texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.units: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "i":  # inside a unit
            return
        self._inside = "option" if dict(attrs).get("role") == "option" else tag
        if self._inside in self.raw:
            self.raw[tag].append("")
        elif self._inside == "option":
            self.units.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside if tag == "i" else ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.raw:
            self.raw[self._inside][-1] += data
        elif self._inside == "option":
            self.units[-1] += data


@given(text=TEXTS)
@settings(max_examples=50)
def test_the_page_shows_the_text_and_nothing_but_it(text: str) -> None:
    shown = Parsed(render_page(explained(text)))
    assert "".join(shown.units) == visible(text)


def test_what_a_text_spells_stays_text() -> None:
    plain = [tag for tag, _ in Parsed(render_page(explained(LOG))).elements]
    planted = Parsed(render_page(explained(LOG + ATTACK + "\n", query=ATTACK, title=ATTACK)))
    assert "img" not in {tag for tag, _ in planted.elements}
    assert "svg" not in {tag for tag, _ in planted.elements}
    assert sorted(set(plain)) == sorted({tag for tag, _ in planted.elements})
    assert not [name for _, attributes in planted.elements for name in attributes if name.startswith("on") or name == "style"]
    assert visible(ATTACK) in "".join(planted.units)


@given(st.recursive(st.text() | st.just(ATTACK), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_embedded_json_says_the_same_and_cannot_end_its_element(value: object) -> None:
    text = script_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_the_policy_allows_the_one_style_and_script_and_nothing_else() -> None:
    page = Parsed(render_page(explained(LOG + ATTACK)))
    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    data, script = page.raw["script"]
    (style,) = page.raw["style"]
    assert policy == (
        f"default-src 'none'; style-src '{_sha256(style)}'; script-src '{_sha256(script)}'; base-uri 'none'; form-action 'none'"
    )
    assert json.loads(data)["scorers"] == ["bm25", "head_tail"]


def _sha256(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def test_the_page_points_nowhere() -> None:
    page = Parsed(render_page(explained()))
    pointers = [(name, value) for _, a in page.elements for name, value in a.items() if name in {"src", "href", "action", "srcset", "data"}]
    assert pointers == [("href", "#text")]
    assert not re.search(r"url\(|@import|https?:", "".join(page.raw["style"] + page.raw["script"]))


def test_the_script_finds_every_element_that_it_asks_for() -> None:
    page = Parsed(render_page(explained()))
    identifiers = {a["id"] for _, a in page.elements if "id" in a}
    asked = set(re.findall(r'(?:byId|getElementById)\("(\w+)"\)', page.raw["script"][1]))
    assert asked <= identifiers
    assert len(asked) > 8


def test_without_a_script_the_page_shows_the_decision() -> None:
    explanation = explained()
    options = [a for _, a in Parsed(render_page(explanation)).elements if a.get("role") == "option"]
    assert [a["aria-selected"] == "true" for a in options] == [unit.kept for unit in explanation.units]
    assert [a["class"] for a in options if "forced" in str(a["class"])] == ["u h0 kept forced"]
    assert [a["tabindex"] for a in options] == ["0"] + ["-1"] * (len(options) - 1)


def test_columns_agree_in_length_and_lines_are_counted_from_one() -> None:
    data = page_data(explained("one\n\ntwo\nthree\n" * 40))
    per_unit = [data[name] for name in ("costs", "needs", "forced", "decided", "blocks", "first", "last")] + data["scores"] + data["levels"]
    assert len({len(column) for column in per_unit}) == 1
    assert data["first"][0] == 1
    assert data["last"][-1] == 160


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_heat_is_ordered_by_lightness_and_text_stays_readable_on_it(theme: str) -> None:
    style = (files("specprefill_agents.observe") / "page" / "base.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style.split("prefers-color-scheme: dark", 1)[theme == "dark"].split("* {")[0]))
    ramp = [_luminance(colours[f"h{level}"]) for level in range(8)]
    assert ramp == sorted(ramp, reverse=theme == "light")
    assert min(_contrast(_luminance(colours["ink"]), heat) for heat in ramp) >= 4.5
    paper = _luminance(colours["paper"])
    assert _contrast(_luminance(colours["gone"]), paper) >= 4.5
    assert _contrast(_luminance(colours["accent"]), paper) >= 4.5
    assert _contrast(_luminance(colours["quiet"]), _luminance(colours["panel"])) >= 4.5


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it, in [0, 1]."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def _contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


# Its script, where node is installed


def test_the_page_selects_as_the_library_in_node() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    cases, expected = random_cases(500)
    program = f"{select_script()}\nconst choose = {CHOOSE_ALL};\nconst cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n"
    program += "console.log(JSON.stringify(choose(cases)));"
    done = subprocess.run([node, "-e", program], input=json.dumps(cases), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == expected


def test_the_page_counts_the_decision_and_the_whole_text_as_the_library_in_node() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    program = f"{select_script()}\nconst data = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n"
    program += "console.log(JSON.stringify([data.decided, data.decided.map(() => 1), data.decided.map(() => 0)].map(gauge(data))));"
    data = page_data(explained())
    done = subprocess.run([node, "-e", program], input=json.dumps(data), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [data["keptTokens"], data["originalTokens"], data["emptyCost"] + data["noteCost"]]
