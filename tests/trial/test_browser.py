"""The page of a trial in headless Chromium: what it says, its filters, its keyboard, little room and the dark. Skipped without one."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from specprefill_agents.accounting.pricing import PriceTable
from specprefill_agents.trial.advice import recommend
from specprefill_agents.trial.log_file import read_log
from specprefill_agents.trial.page import render_trial
from specprefill_agents.trial.replay import Pricing
from specprefill_agents.trial.report import Report
from specprefill_agents.trial.settings_text import config_snippet, guardrails_toml
from specprefill_agents.trial.trial import Settings, run_trial
from tests.chromium import Browser
from tests.explained_pages import ATTACK
from tests.trial.logs import conversation, write_log


def report_on(path: Path, lines: list[object]) -> Report:
    """The report of a trial by BM25."""
    settings = Settings(scorer="bm25", keeps=(0.1, 0.3, 1.0))
    scorer, pricing = settings.make_scorer(), Pricing.of(PriceTable(), "deepseek-flash", datetime(2026, 11, 25, tzinfo=timezone.utc))
    log = read_log(write_log(path / "log.jsonl", lines))
    found = run_trial(log, settings, pricing, scorer)
    advice = recommend(found)
    again = run_trial(log, settings.under(advice), pricing, scorer).ratios[0]
    return Report(found, advice, again, guardrails_toml(advice, "bench", "bm25", ("bm25",)), config_snippet(advice, "bm25"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trial")
    lines = [
        {"id": f"run {tool}", "messages": conversation(tool, value=f"/srv/{tool}/quota_4711.toml")} for tool in ("read_log", "read_news")
    ]
    out = folder / "page.html"
    out.write_text(render_trial(report_on(folder, [*lines, "{"])), encoding="utf-8")
    return out


def text(browser: Browser, selector: str) -> str:
    return str(browser.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))


def choose(browser: Browser, name: str, option: str) -> None:
    browser.evaluate(
        f"(() => {{ const one = document.getElementById('{name}'); one.value = [...one.options].find((o) => o.text === '{option}').value;"
        " one.dispatchEvent(new Event('change')); })()"
    )


def test_the_answers_are_read_at_once(browser: Browser, page: Path) -> None:
    browser.show(page)
    cards = browser.evaluate("[...document.querySelectorAll('.card')].map((card) => card.innerText)")
    assert [card.split("\n")[0].split(" ")[0] for card in cards] == ["KEPT", "SAVED", "AT", "AS"]
    assert "2 of 2" in cards[2]
    assert browser.evaluate("document.querySelectorAll('#ratios tbody tr').length") == 4
    assert "as recommended" in text(browser, "#ratios .advised")
    label = browser.evaluate("document.querySelector('.chart svg').getAttribute('aria-label')")
    assert label.startswith("keep 0.1: ")
    assert label.endswith("0 % of the values at risk")
    assert "exclude = true" in text(browser, ".settings pre")
    assert text(browser, ".bad-lines li").startswith("Line 3 not JSON")
    assert browser.complaints() == []


def test_values_at_risk_are_filtered_and_show_where_they_stood(browser: Browser, page: Path) -> None:
    browser.show(page)
    assert text(browser, "#shown") == "2"
    choose(browser, "tool", "read_news")
    assert text(browser, "#shown") == "1 of 2"
    choose(browser, "ratio", "1.0")
    assert text(browser, "#shown") == "0 of 2"
    choose(browser, "ratio", "any")
    browser.evaluate("document.querySelector('#list details:not([hidden]) summary').focus()")
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.evaluate("document.activeElement.click()")
    assert text(browser, "#list details[open] mark") == "/srv/read_news/quota_4711.toml"
    assert "one call of expand brings it back" in text(browser, "#list details[open] p")
    assert browser.complaints() == []


def test_the_keyboard_reaches_all_that_can_be_used(browser: Browser, page: Path) -> None:
    browser.show(page)
    reached = []
    for _ in range(9):
        browser.press("Tab")
        reached.append(browser.evaluate("document.activeElement.id || document.activeElement.className || document.activeElement.tagName"))
    assert reached == ["skip", "scroll", "scroll", "PRE", "PRE", "ratio", "tool", "SUMMARY", "SUMMARY"]


def test_a_screen_reader_is_told_names_and_roles(browser: Browser, page: Path) -> None:
    browser.show(page)
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    roles = {node["role"]["value"] for node in nodes if "role" in node}
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node}
    assert {"banner", "main", "contentinfo", "table", "rowheader", "status", "note"} <= roles
    assert {("combobox", "At keep ratio"), ("combobox", "Tool"), ("heading", "BY KEEP RATIO")} <= named


@pytest.mark.parametrize(("width", "dark"), [(390, False), (800, True), (1280, True)])
def test_the_page_fits_in_light_and_dark(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.show(page, width=width, dark=dark)
    browser.evaluate("document.querySelector('#list details').open = true")
    assert browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    light = browser.evaluate("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/)[0] > 128")
    assert light is not dark


def test_nothing_that_a_log_spells_runs(browser: Browser, tmp_path: Path) -> None:
    value = ATTACK.replace("\n", " ")[:100]
    messages = conversation(f"tool{ATTACK}"[:60], value=value)
    out = tmp_path / "page.html"
    out.write_text(render_trial(report_on(tmp_path, [{"id": ATTACK, "messages": messages}])), encoding="utf-8")
    browser.show(out)
    assert browser.evaluate("document.querySelectorAll('img, iframe, script:not(#data)').length") == 1
    assert ATTACK[:20] in text(browser, "#list")
    assert browser.complaints() == []


def test_a_log_that_shows_nothing_makes_a_page_that_says_so(browser: Browser, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    hello = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello."}]
    out.write_text(render_trial(report_on(tmp_path, [hello])), encoding="utf-8")
    browser.show(out)
    assert "nothing tells what would have been missed" in text(browser, ".chart")
    assert "None: every value" in text(browser, "#risks")
    assert browser.complaints() == []


def test_no_label_of_the_picture_is_written_over_another(browser: Browser, page: Path) -> None:
    browser.show(page)
    boxes = browser.evaluate("[...document.querySelectorAll('.chart .name')].map((one) => one.getBoundingClientRect().toJSON())")
    assert len(boxes) == 4
    for index, one in enumerate(boxes):
        for other in boxes[:index]:
            apart = one["right"] <= other["left"] or other["right"] <= one["left"]
            assert apart or abs(one["top"] - other["top"]) > 0.7 * one["height"], (one, other)
