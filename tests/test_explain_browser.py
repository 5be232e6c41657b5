"""The heat-map page in headless Chromium: it decides as the library does, runs nothing else, and is open to everyone.

Skipped where no Chromium is installed; what needs no browser is tested in `test_explain_page`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents.observe.explain import Explanation
from specprefill_agents.observe.explain_page import render_page
from tests.chromium import Browser
from tests.explained_pages import ATTACK, CHOOSE_ALL, LINES, LOG, explained, random_cases, select_script


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
    program = f"(() => {{ {select_script()}; return ({CHOOSE_ALL})({json.dumps(cases)}); }})()"
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
    browser.evaluate(_FRAMES)  # what moves while a page is still being read is the machine's load
    browser.evaluate(f"void (globalThis.shifted = 0, {watch}.observe({{ type: 'layout-shift' }}))")
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
