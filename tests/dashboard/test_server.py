"""The dashboard's server: this machine, its secret address, no more than it must say; details, heat maps, and the command."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents.cli import dashboard
from specprefill_agents.observe.dashboard.board import Board
from specprefill_agents.observe.dashboard.detail import NoHeatMap, detail_of, heat_map
from specprefill_agents.observe.dashboard.server import HOST, DashboardServer
from tests.audited import BASINS, RECORDS, WORDS
from tests.conftest import Outcome
from tests.dashboard.boards import make_any, write_audit
from tests.explained_pages import ATTACK
from tests.test_explain_page import Parsed

Command = Callable[..., Outcome]


def get(server: DashboardServer, name: str, *, word: str | None = None, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
    connection.request(method, f"/{server.word if word is None else word}/{name}", headers=headers)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def body(answer: http.client.HTTPResponse) -> bytes:
    return answer.body  # type: ignore[attr-defined, no-any-return]


def test_the_page_says_which_headers_keep_others_out(server: DashboardServer) -> None:
    answer = get(server, "")
    assert answer.status == 200
    assert (answer.getheader("Cache-Control"), answer.getheader("Referrer-Policy")) == ("no-store", "no-referrer")
    policy = answer.getheader("Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("connect-src 'self'; frame-src 'self'; frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert not re.search(rb"(?:src|href)=[\"']?(?:https?:)?//", body(answer))


def test_it_listens_on_this_machine_alone(server: DashboardServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_without_the_secret_word_there_is_nothing(server: DashboardServer) -> None:
    for word in ("", "x", server.word[:-1], server.word + "x", "%00"):
        answer = get(server, "view.json", word=word)
        assert (answer.status, body(answer)) == (404, b"no such page")


def test_a_page_from_elsewhere_cannot_ask_under_a_name_of_its_own(server: DashboardServer) -> None:
    assert get(server, "", Host=f"evil.example:{server.server_port}").status == 403
    assert get(server, "", Host=f"localhost:{server.server_port}").status == 200


def test_nothing_can_be_written(server: DashboardServer) -> None:
    assert {get(server, "", method=method).status for method in ("POST", "PUT", "DELETE")} == {501}


def test_what_is_known_is_not_sent_again_until_a_file_has_grown(server: DashboardServer, files: tuple[Path, Path]) -> None:
    first = get(server, "view.json")
    tag = first.getheader("ETag") or ""
    before = json.loads(body(first))
    again = get(server, "view.json", **{"If-None-Match": tag})
    assert (again.status, body(again)) == (304, b"")
    write_audit(files[1])
    after = get(server, "view.json", **{"If-None-Match": tag})
    assert after.status == 200
    assert json.loads(body(after))["decisions_total"] == before["decisions_total"] + 4


def test_filters_come_with_the_address(server: DashboardServer) -> None:
    view = json.loads(body(get(server, "view.json?conversation=treated-1&tool=&seconds=0")))
    assert view["money"]["calls"] == 3
    assert view["decisions_total"] == 0
    assert json.loads(body(get(server, "view.json?tool=depths&seconds=x")))["decisions_total"] == 1


def test_a_decision_is_told_in_full_but_not_its_text(server: DashboardServer) -> None:
    rows = json.loads(body(get(server, "view.json")))["decisions"]
    number = next(row["id"] for row in rows if row["tool"] == "depths")
    answer = get(server, f"decision.json?id={number}")
    told = json.loads(body(answer))
    assert told["chars"] == len(BASINS)
    assert told["spans"]
    assert told["why_no_map"] == ""
    assert b"Basin" not in body(answer)
    assert {get(server, f"decision.json?id={odd}").status for odd in ("-1", "999", "x", "1e99", "nan", "")} <= {404}


def test_the_heat_map_shows_the_recorded_decision(server: DashboardServer, files: tuple[Path, Path]) -> None:
    answer = get(server, "heatmap?id=0")
    assert answer.status == 200
    parsed = Parsed(body(answer).decode())
    assert "".join(parsed.units) == RECORDS
    record = next(row for row in map(json.loads, files[1].read_text().splitlines()) if row["event"] == "decision")
    data = json.loads(next(text for text in parsed.raw["script"] if text.startswith("{")))
    units, starts = list(filter(None, parsed.units)), [0]
    for text in units:
        starts.append(starts[-1] + len(text))
    kept = [any(start <= at and end <= stop for start, stop in record["spans"]) for at, end in pairwise(starts)]
    assert data["decided"] == [int(one) for one in kept]
    assert 0 < sum(kept) < len(kept)


def test_where_no_heat_map_can_be_made_it_is_said_why(server: DashboardServer, tmp_path: Path) -> None:
    rows = json.loads(body(get(server, "view.json")))["decisions"]
    again = next(row["id"] for row in rows if row["why"] == "repeats an earlier text")
    answer = get(server, f"heatmap?id={again}")
    assert answer.status == 404
    assert body(answer).startswith(b"No heat map: The text repeats an earlier one")
    quiet = Board([], [write_audit(tmp_path / "quiet.jsonl")])
    _, record = quiet.record_of(0) or (None, {})
    assert detail_of(record)["why_no_map"].startswith("The log holds no texts.")
    with pytest.raises(NoHeatMap, match="include_text=True"):
        heat_map(record, quiet.settings, make_any)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"scorer": "mine"}, "a scorer that is not known here: mine"),
        ({"text": "another"}, "another text than was decided on"),
        ({"config": "0" * 16}, "not in this log"),
        ({"spans": [[5, 2]]}, "damaged"),
        ({"marks": None}, "damaged"),
    ],
)
def test_a_record_that_does_not_hold_together_has_no_heat_map(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    board = Board([], [write_audit(tmp_path / "audit.jsonl", include_text=True)])
    _, record = board.record_of(0) or (None, {})
    with pytest.raises(NoHeatMap, match=why):
        heat_map({**record, **changes}, board.settings, make_any)


def test_the_command_serves_the_page_under_the_address_it_prints(files: tuple[Path, Path]) -> None:
    program = [sys.executable, "-m", "specprefill_agents.cli", "dashboard", str(files[0]), "--audit", str(files[1])]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            found = re.fullmatch(r"dashboard: http://127\.0\.0\.1:(\d+)(/\S+/) \(end with Ctrl\+C\)\n", process.stdout.readline())
            assert found
            connection = http.client.HTTPConnection(HOST, int(found[1]), timeout=30)
            connection.request("GET", f"{found[2]}view.json")
            assert json.loads(connection.getresponse().read())["money"]["calls"] == 12
            connection.close()
        finally:
            process.terminate()


def test_a_static_page_holds_a_view_and_its_details_and_no_text(command: Command, files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    quiet = write_audit(tmp_path / "quiet.jsonl")
    done = command("dashboard", str(files[0]), "--audit", str(quiet), "--html", str(out), "--tool", "depths")
    assert (done.status, done.text) == (0, f"dashboard: {out}\n")
    page = out.read_text(encoding="utf-8")
    data = json.loads(next(text for text in Parsed(page).raw["script"] if text.startswith("{")))
    assert [row["tool"] for row in data["view"]["decisions"]] == ["depths"]
    assert list(data["details"]) == [str(row["id"]) for row in data["view"]["decisions"]]
    assert "connect-src" not in page.partition("<style>")[0]
    assert [word for word in WORDS if word in page] == []


def test_names_that_spell_html_are_inert_on_the_page(command: Command, tmp_path: Path) -> None:
    audit, out = tmp_path / "audit.jsonl", tmp_path / "page.html"
    row = {"event": "decision", "conversation": ATTACK, "name": ATTACK, "outcome": ATTACK, "reason": ATTACK, "original_tokens": 9}
    audit.write_text(json.dumps(row) + "\n" + json.dumps({"event": "compress", "fallback_reason": ATTACK}) + "\n", encoding="utf-8")
    assert command("dashboard", "--audit", str(audit), "--html", str(out)).status == 0
    parsed = Parsed(out.read_text(encoding="utf-8"))
    assert not {"img", "iframe", "svg"} & {name for name, _ in parsed.elements}
    assert len(parsed.raw["script"]) == 2


def test_a_mistake_in_the_arguments_is_one_line(command: Command, tmp_path: Path) -> None:
    done = command("dashboard")
    assert (done.status, done.err) == (2, "specprefill: files=[] is not valid; allowed: a ledger, or --audit FILE, or both\n")
    done = command("dashboard", str(tmp_path / "absent.jsonl"))
    assert (done.status, done.err) == (2, f"specprefill: {tmp_path / 'absent.jsonl'}: No such file or directory\n")
    assert command("dashboard", "--port", "70000", "--audit", "x").status == 2


def test_the_command_makes_the_scorer_that_decided() -> None:
    from specprefill_agents.config import CompressionConfig

    assert type(dashboard._make_scorer(CompressionConfig(scorer="bm25"), "")).__name__ == "LexicalScorer"
