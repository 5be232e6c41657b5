"""The dashboard in headless Chromium: what it says at once, on click, by keyboard, live, in the dark, and in little room.

Skipped where no Chromium is installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.observe.audit import JsonlAudit
from specprefill_agents.observe.dashboard.board import Board
from specprefill_agents.observe.dashboard.server import DashboardServer
from tests.audited import RECORDS, SETTINGS, Broken
from tests.chromium import Browser
from tests.conftest import Outcome
from tests.dashboard.boards import serving, write_audit, write_ledger_lines
from tests.explained_pages import ATTACK
from tests.ledgers import recorded


def text(browser: Browser, selector: str) -> str:
    return str(browser.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))


def until(browser: Browser, condition: str) -> None:
    """Ask until a condition holds; a test that waits in vain fails by the browser's own time limit."""
    look = f"() => ({condition}) ? done() : left-- ? setTimeout(look, 50) : fail(new Error('in vain'))"
    wait = f"new Promise((done, fail) => {{ let left = 600; const look = {look}; look(); }})"
    browser.evaluate(wait)


def test_the_four_answers_are_read_at_once(browser: Browser, server: DashboardServer) -> None:
    browser.show(server.url)
    assert text(browser, "#pays .big").startswith("Saves ")
    assert text(browser, "#drops .big").endswith("% of tokens")
    assert text(browser, "#health .big") == "Nothing"
    assert text(browser, "#takes .big").endswith(" a call")
    assert "clear of zero" in text(browser, "#differences") or "not sure yet" in text(browser, "#differences")
    assert browser.evaluate("[...document.querySelectorAll('.card')].every((card) => card.getBoundingClientRect().bottom < 900)")
    label = browser.evaluate("document.querySelector('#curve svg').getAttribute('aria-label')")
    assert label.endswith("after 12 model calls")
    assert browser.complaints(server.url) == []


def test_a_click_shows_the_spans_and_the_heat_map_of_a_decision(browser: Browser, server: DashboardServer) -> None:
    browser.show(server.url)
    browser.evaluate("[...document.querySelectorAll('#decisions tbody tr')].find((row) => row.textContent.includes('depths')).click()")
    until(browser, "document.getElementById('detail').open")
    assert text(browser, "#detail-title").startswith("depths, ")
    assert text(browser, "#detail-said").startswith("Kept ")
    assert browser.evaluate("document.querySelectorAll('#spans rect').length") > 0
    assert browser.evaluate("document.getElementById('why').hidden")
    until(browser, "performance.getEntriesByType('resource').some((one) => one.name.includes('heatmap?id=') && one.responseStatus === 200)")
    assert browser.complaints(server.url) == []


def test_of_two_quick_clicks_the_later_one_is_shown(browser: Browser, server: DashboardServer) -> None:
    browser.show(server.url)
    browser.evaluate(
        """{
          const real = window.fetch;
          let clicks = 0;
          window.fetch = async (address, ...more) => {
            const isFirst = String(address).startsWith("decision.json") && ++clicks === 1;
            if (isFirst) await new Promise((go) => (window.letFirstCome = go));
            const answer = await real(address, ...more);
            if (isFirst) setTimeout(() => (window.firstCame = true), 200);
            return answer;
          };
        }"""
    )
    first, last = (
        browser.evaluate(f"document.querySelector('#decisions tbody tr:{which}-child').textContent") for which in ("first", "last")
    )
    assert first != last
    for which in ("first", "last"):
        browser.evaluate(f"document.querySelector('#decisions tbody tr:{which}-child').click()")
    until(browser, "document.getElementById('detail').open")
    shown = text(browser, "#detail")
    browser.evaluate("window.letFirstCome()")
    until(browser, "window.firstCame")
    assert text(browser, "#detail") == shown


def test_a_decision_without_text_says_why_it_has_no_heat_map(browser: Browser, tmp_path: Path) -> None:
    with serving(Board([], [write_audit(tmp_path / "audit.jsonl")])) as server:
        browser.show(server.url)
        browser.evaluate("document.querySelector('#decisions tbody tr:last-child').click()")
        until(browser, "document.getElementById('detail').open")
        assert text(browser, "#why").startswith("No heat map. The log holds no texts.")
        assert browser.evaluate("document.querySelectorAll('#spans rect').length") > 0
        assert browser.evaluate("document.querySelector('#map iframe')") is None
        assert text(browser, "#pays .big") == "No model calls"
        assert browser.complaints(server.url) == []


def test_the_keyboard_reaches_opens_and_closes(browser: Browser, server: DashboardServer) -> None:
    browser.show(server.url)
    reached = []
    for _ in range(10):
        browser.press("Tab")
        reached.append(
            browser.evaluate("document.activeElement.id || document.activeElement.className || document.activeElement.textContent")
        )
    assert reached[:4] == ["skip", "conversation", "tool", "seconds"], "nothing to reset"
    assert {"read_file", "depths"} <= set(reached)
    browser.evaluate("document.querySelector('#decisions tbody button').focus()")
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.evaluate("document.activeElement.click()")
    until(browser, "document.getElementById('detail').open")
    assert browser.evaluate("document.getElementById('detail').contains(document.activeElement)")
    browser.press("Escape")
    until(browser, "!document.getElementById('detail').open")
    assert browser.evaluate("document.activeElement.closest('tr') === document.querySelector('#decisions tbody tr')")


def test_a_screen_reader_is_told_names_and_roles(browser: Browser, server: DashboardServer) -> None:
    browser.show(server.url)
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node}
    assert {("combobox", "Conversation"), ("combobox", "Tool"), ("combobox", "Time"), ("heading", "DOES IT PAY?")} <= named
    assert {"banner", "main", "contentinfo", "table", "status"} <= {role for role, _ in named}
    assert any(role == "image" and name.startswith("$") for role, name in named)
    assert not any(role == "button" and not name for role, name in named)


def test_what_is_appended_shows_without_being_asked_for(browser: Browser, server: DashboardServer, files: tuple[Path, Path]) -> None:
    browser.show(server.url)
    browser.evaluate("document.querySelector('#decisions tbody tr:last-child button').focus()")
    failing = Compressor(config=CompressionConfig.from_dict(SETTINGS), scorer=Broken(), audit=JsonlAudit(files[1]), cache="memory")
    failing.session("late").step([Segment(RECORDS, name="late_tool")], "zebra")
    until(browser, "document.querySelector('#decisions tbody tr').textContent.includes('late_tool')")
    assert text(browser, "#health .big") == "1 fallback"
    assert "RuntimeError" in text(browser, "#troubles")
    assert browser.evaluate("document.activeElement.closest('tr') === document.querySelector('#decisions tbody tr:last-child')")
    write_ledger_lines(files[0], [recorded([500], name="later")])
    until(browser, "document.querySelector('#curve svg').getAttribute('aria-label').endsWith('after 14 model calls')")
    assert browser.complaints(server.url) == []


def test_filters_change_what_is_in_view_and_stand_in_the_address(browser: Browser, server: DashboardServer) -> None:
    browser.show(server.url)
    browser.evaluate("[...document.querySelectorAll('#tools button')].find((one) => one.textContent === 'depths').click()")
    until(browser, "document.querySelectorAll('#decisions tbody tr').length === 1")
    assert browser.evaluate("location.hash") == "#tool=depths"
    assert browser.evaluate("document.activeElement.textContent") == "depths"
    browser.evaluate("document.getElementById('reset').click()")
    until(browser, "document.querySelectorAll('#decisions tbody tr').length === 4")
    browser.show(server.url, "#conversation=treated-0&seconds=5&nobody=1")
    until(browser, "document.querySelector('#curve svg').getAttribute('aria-label').endsWith('after 3 model calls')")
    assert browser.evaluate("document.getElementById('conversation').value") == "treated-0"
    assert browser.evaluate("document.getElementById('arms').hidden")
    assert browser.complaints(server.url) == []


def test_a_server_that_has_gone_is_said_so(browser: Browser, files: tuple[Path, Path]) -> None:
    with serving(Board([files[0]], [])) as server:
        browser.show(server.url)
    until(browser, "document.getElementById('state').classList.contains('lost')")
    assert text(browser, "#state") == "the server does not answer: was it ended?"


@pytest.mark.parametrize(("width", "dark"), [(390, False), (800, True), (1280, True)])
def test_the_page_fits_in_light_and_dark(browser: Browser, server: DashboardServer, width: int, dark: bool) -> None:
    browser.show(server.url, width=width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    light = browser.evaluate("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/)[0] > 128")
    assert light is not dark
    browser.evaluate("document.querySelector('#decisions tbody tr').click()")
    until(browser, "document.getElementById('detail').open")
    box = browser.evaluate("document.getElementById('detail').getBoundingClientRect().toJSON()")
    assert 0 <= box["left"] < box["right"] <= width


def test_a_page_without_a_server_shows_a_view_and_opens_its_decisions(
    browser: Browser, command: Callable[..., Outcome], files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    assert command("dashboard", str(files[0]), "--audit", str(files[1]), "--html", str(out)).status == 0
    browser.show(out)
    assert text(browser, "#pays .big").startswith("Saves ")
    browser.evaluate("document.querySelector('#decisions tbody tr').click()")
    until(browser, "document.getElementById('detail').open")
    assert text(browser, "#why").startswith("No heat map.")
    assert browser.complaints() == []


def test_nothing_that_a_name_spells_runs(browser: Browser, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    made = Compressor(config=CompressionConfig.from_dict(SETTINGS), audit=JsonlAudit(audit, include_text=True), cache="memory")
    made.session(ATTACK).step([Segment(RECORDS + ATTACK, name=ATTACK, id=ATTACK)], ATTACK)
    with serving(Board([], [audit])) as server:
        browser.show(server.url)
        browser.evaluate("document.querySelector('#decisions tbody tr').click()")
        until(browser, "document.getElementById('detail').open")
        assert browser.evaluate("document.title") == "What compression saves and drops"
        assert browser.evaluate("document.querySelectorAll('img, script:not(#data)').length") == 1
        assert text(browser, "#detail-title").startswith("</script>")
        assert browser.complaints(server.url) == []
