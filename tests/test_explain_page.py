"""The heat-map page: self-contained, inert whatever the text spells, and in agreement with the library.

The page is read as a browser would parse it; what only a browser shows is tested in Chromium where there is one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.observe.explain import Explanation, explain, visible
from specprefill_agents.observe.explain_page import page_data, render_page, script_json
from specprefill_agents.scoring.controls import HeadTailScorer
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.selection.budget import Candidate, select
from tests.chromium import Browser
from tests.strategies import TEXTS

QUERY = "which port does the metrics server use?"
LINES = [f"worker {n} started with {n * 7} tasks and nothing <b>to</b> report about it\n" for n in range(90)]
LOG = "".join([*LINES[:30], "metrics server listens on port 9187\n", *LINES[30:]])
ATTACK = "</script><img src=x onerror=\"document.title='owned'\"><!-- \u2028 ]]> &lt; {{ 7*7 }} <svg/onload=alert(1)> \"'"


@cache
def compressor(keep_ratio: float = 0.3) -> Compressor:
    config = CompressionConfig(
        scorer="bm25",
        keep_ratio=keep_ratio,
        min_tokens=0,
        min_result_tokens=0,
        target_tokenizer="estimate",
        force_keep=("worker 77 ",),
        on_error="raise",
    )
    return Compressor(config=config, cache="memory")


def explained(text: str = LOG, keep_ratio: float = 0.3, query: str = QUERY, title: str = "app.log") -> Explanation:
    scorers = {"bm25": LexicalScorer(), "head_tail": HeadTailScorer()}
    return explain(compressor(keep_ratio), Segment(text), query, scorers, title)


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


# What needs no browser


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
    style = (files("specprefill_agents.observe") / "page" / "page.css").read_text(encoding="utf-8")
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


# Selection in the page and in the library


def random_cases(number: int) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """Texts as numbers, with budgets, and what the library keeps of them."""
    draw = random.Random(7)
    cases, expected = [], []
    for _ in range(number):
        units = draw.randint(1, 40)
        case = {
            "scores": [draw.choice([0.0, 0.5, draw.random(), 10 * draw.random()]) for _ in range(units)],
            "costs": [draw.randint(0, 30) for _ in range(units)],
            "forced": [int(draw.random() < 0.1) for _ in range(units)],
            "needs": [draw.sample(range(units), draw.randint(0, min(units, 3))) if draw.random() < 0.4 else [] for _ in range(units)],
            "emptyCost": draw.randint(0, 15),
            "gapCost": draw.randint(0, 15),
            "noteCost": draw.randint(0, 9),
            "budget": draw.randint(0, 20 * units),
        }
        cases.append(case)
        candidate = Candidate(
            np.array(case["scores"]),
            np.array(case["costs"]),
            np.array(case["forced"], dtype=np.bool_),
            case["emptyCost"],
            case["gapCost"],
            needs=case["needs"],
            note_cost=case["noteCost"],
        )
        expected.append(select([candidate], case["budget"])[0].astype(int).tolist())
    return cases, expected


_CHOOSE_ALL = "(cases) => cases.map((one) => [...select(one, ranking(one.scores, one.forced), one.budget).kept])"


def _select_script() -> str:
    return (files("specprefill_agents.observe") / "page" / "select.js").read_text(encoding="utf-8")


def test_the_page_selects_as_the_library_in_node() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    cases, expected = random_cases(500)
    program = f"{_select_script()}\nconst choose = {_CHOOSE_ALL};\nconst cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n"
    program += "console.log(JSON.stringify(choose(cases)));"
    done = subprocess.run([node, "-e", program], input=json.dumps(cases), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == expected


def test_the_page_counts_the_decision_and_the_whole_text_as_the_library_in_node() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    program = f"{_select_script()}\nconst data = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n"
    program += "console.log(JSON.stringify([data.decided, data.decided.map(() => 1), data.decided.map(() => 0)].map(gauge(data))));"
    data = page_data(explained())
    done = subprocess.run([node, "-e", program], input=json.dumps(data), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [data["keptTokens"], data["originalTokens"], data["emptyCost"] + data["noteCost"]]


# In Chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    opened = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., Path]:
    """Writes pages of explanations."""

    def write(explanation: Explanation) -> Path:
        out = tmp_path / "page.html"
        out.write_text(render_page(explanation), encoding="utf-8")
        return out

    return write


_KEPT = "[...document.querySelectorAll('#text .u')].map((unit) => Number(unit.classList.contains('kept')))"
_SUMMARY = "document.getElementById('summary').textContent"
_WHICH = "document.getElementById('which').textContent"
_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def _slide(percent: int) -> str:
    return (
        f"(async () => {{ const slider = document.getElementById('budget'); slider.value = {percent};"
        f" slider.dispatchEvent(new Event('input', {{ bubbles: true }})); await {_FRAMES}; }})()"
    )


def test_the_page_selects_as_the_library_in_a_browser(browser: Browser, page: Callable[..., Path]) -> None:
    browser.show(page(explained()))
    cases, expected = random_cases(200)
    program = f"(() => {{ {_select_script()}; return ({_CHOOSE_ALL})({json.dumps(cases)}); }})()"
    assert browser.evaluate(program) == expected


@pytest.mark.parametrize("keep_ratio", [0.05, 0.125, 0.3, 0.9])
def test_at_the_configured_ratio_the_page_shows_the_library_s_decision(
    browser: Browser, page: Callable[..., Path], keep_ratio: float
) -> None:
    explanation = explained(keep_ratio=keep_ratio)
    decided = [int(unit.kept) for unit in explanation.units]
    browser.show(page(explanation))
    assert browser.evaluate(_KEPT) == decided
    assert f"kept {explanation.kept_tokens:,} of {explanation.original_tokens:,} tokens" in browser.evaluate(_SUMMARY)
    browser.evaluate(_slide(50))
    assert browser.evaluate(_SUMMARY).startswith("Preview: kept about ")
    browser.evaluate("document.getElementById('reset').click()")
    browser.evaluate(_FRAMES)
    assert browser.evaluate(_KEPT) == decided
    assert browser.complaints() == []


def test_a_moved_budget_keeps_nearly_what_the_library_would_keep(browser: Browser, page: Callable[..., Path]) -> None:
    browser.show(page(explained()))
    for percent in (15, 45, 70):
        browser.evaluate(_slide(percent))
        decided = [int(unit.kept) for unit in explained(keep_ratio=percent / 100).units]
        shown = browser.evaluate(_KEPT)
        assert sum(a != b for a, b in zip(shown, decided, strict=True)) <= 0.05 * len(decided)
    browser.evaluate(_slide(100))
    assert 0 not in browser.evaluate(_KEPT)


def test_nothing_in_a_text_runs_or_is_fetched(browser: Browser, page: Callable[..., Path]) -> None:
    browser.show(page(explained(ATTACK + "\n" + LOG + ATTACK, query=ATTACK, title=ATTACK)), "#unit=1")
    assert browser.evaluate("document.title").startswith("</script>")
    assert browser.evaluate("document.querySelectorAll('img, svg, script:not(#data)').length") == 1
    assert browser.complaints() == []


def test_the_policy_stops_what_would_get_in(browser: Browser, page: Callable[..., Path]) -> None:
    browser.show(page(explained()))
    tried = "document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1/x\" onerror=\"document.title = 1\">')"
    browser.evaluate(f"(async () => {{ {tried}; await {_FRAMES}; }})()")
    assert browser.evaluate("document.title").startswith("app.log")
    assert any("Content Security Policy" in event["params"]["entry"]["text"] for event in browser.complaints())


def test_the_keyboard_reaches_everything(browser: Browser, page: Callable[..., Path]) -> None:
    explanation = explained()
    browser.show(page(explanation))
    reached = []
    for _ in range(6):
        browser.press("Tab")
        reached.append(browser.evaluate("document.activeElement.id || document.activeElement.name || document.activeElement.className"))
    assert reached[0] == "skip"
    assert reached[1:4] == ["budget", "scorer", "hide"], "the button is idle while the decision is shown"
    assert reached[4].startswith("u ")
    browser.evaluate("document.querySelector('#text .u').focus()")
    steps = {"ArrowRight": 2, "ArrowDown": 3, "ArrowLeft": 2, "End": len(explanation.units), "Home": 1}
    for key, number in steps.items():
        browser.press(key)
        assert browser.evaluate(_WHICH).startswith(f"Unit {number} of")
    browser.press("PageDown")
    first = next(index for index, unit in enumerate(explanation.units) if unit.block == 1)
    assert browser.evaluate(_WHICH).startswith(f"Unit {first + 1} of")
    browser.press("n")
    assert browser.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    assert browser.evaluate("document.getElementById('verdict').textContent").startswith("Kept: ")
    assert browser.evaluate("document.querySelectorAll('#text [tabindex=\"0\"]').length") == 1
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    box = browser.evaluate(f"(async () => {{ await {_FRAMES}; return document.activeElement.getBoundingClientRect().toJSON(); }})()")
    assert 0 < box["top"] < box["bottom"] < 900


def test_a_screen_reader_is_told_names_values_and_states(browser: Browser, page: Callable[..., Path]) -> None:
    explanation = explained()
    browser.show(page(explanation), "#unit=2")
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    found: dict[str, list[dict[str, Any]]] = {}
    for node in nodes:
        found.setdefault(node.get("role", {}).get("value", ""), []).append(node)
    (slider,) = found["slider"]
    assert slider["name"]["value"] == "Budget"
    assert slider["properties"] or slider["value"]
    assert [node["name"]["value"] for node in found["radio"]] == ["bm25", "head_tail"]
    assert {"banner", "main", "complementary", "contentinfo", "status"} <= set(found)
    assert found["listbox"][0]["name"]["value"].startswith("Text, unit by unit")
    assert len(found["option"]) >= len(explanation.units)
    (described,) = [node for node in found["option"] if node.get("description", {}).get("value")]
    assert "rank" in described["description"]["value"]


def test_switching_the_scorer_recolours_and_selects_by_it(browser: Browser, page: Callable[..., Path]) -> None:
    explanation = explained()
    browser.show(page(explanation), "#scorer=head_tail")
    assert browser.evaluate("document.querySelector('#text .u').className") == f"u h{explanation.heat(1)[0]} kept"
    assert browser.evaluate(_SUMMARY).startswith("Preview")
    assert browser.evaluate(_KEPT) != [int(unit.kept) for unit in explanation.units]


def test_the_address_holds_the_view(browser: Browser, page: Callable[..., Path]) -> None:
    browser.show(page(explained()), "#keep=20&scorer=head_tail&unit=3&only=kept")
    assert browser.evaluate("[...document.querySelectorAll('#ratio, #which')].map((e) => e.textContent)") == [
        "20%",
        f"Unit 3 of {len(explained().units)}",
    ]
    assert browser.evaluate("document.querySelectorAll('#text .dropped:not([data-gap])')[0].offsetParent") is None
    browser.show(page(explained()), "#keep=900&scorer=nobody&unit=x&only=<b>")
    assert browser.evaluate(_SUMMARY).startswith("Decision")
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_the_page_fits_and_nothing_shifts(browser: Browser, page: Callable[..., Path], width: int) -> None:
    browser.show(page(explained(LOG + "x" * 3000)), width=width, dark=width == 800)
    watch = "new PerformanceObserver((list) => { for (const e of list.getEntries()) shifted += e.value; })"
    browser.evaluate(f"void (globalThis.shifted = 0, {watch}.observe({{ type: 'layout-shift', buffered: true }}))")
    for percent in (5, 60, 100, 30):
        browser.evaluate(_slide(percent))
    browser.evaluate("document.querySelector('#text .u').click()")
    browser.evaluate(_FRAMES)
    assert browser.evaluate("shifted") == 0
    assert browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_megabyte_is_shown_and_moved_through(browser: Browser, page: Callable[..., Path]) -> None:
    text = "".join(LINES) * (1_000_000 // len("".join(LINES)) + 1)
    explanation = explained(text)
    browser.show(page(explanation))
    browser.evaluate("document.querySelector('#text .u').focus()")
    browser.press("End")
    assert browser.evaluate(_WHICH) == f"Unit {len(explanation.units):,} of {len(explanation.units):,}"
    browser.evaluate(_slide(60))
    assert browser.evaluate(_SUMMARY).startswith("Preview: kept about ")
    assert browser.complaints() == []


def test_an_empty_text_has_a_page(browser: Browser, page: Callable[..., Path]) -> None:
    browser.show(page(explained("")))
    browser.evaluate(_slide(70))
    assert browser.evaluate("document.getElementById('text').textContent") == "The text is empty."
    assert browser.complaints() == []
