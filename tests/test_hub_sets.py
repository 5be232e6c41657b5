"""Public sets are read from a hub by name; the hub is a server on this machine with files of the shapes that the real one has."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchmarks import data, needles
from benchmarks.local.asking import answers_by_id
from benchmarks.results import load
from benchmarks.tasks.rows import answer_needles
from tests.loopback import running

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOISE = "".join(f"In {1800 + year} it rained on the harbour, and nobody wrote down why.\n" for year in range(60))
CONTEXT = f"{NOISE}The lighthouse was built by Ada Marsh.\nThe keeper of the light was Tom Reed.\n{NOISE}"


def json_lines(*rows: Mapping[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def archive(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as whole:
        for name, content in files.items():
            whole.writestr(f"data/{name}.jsonl", content)
    return stream.getvalue()


LONGBENCH = {
    "_id": "a1",
    "input": "Who built the lighthouse?",
    "context": CONTEXT,
    "answers": ["ada  marsh", "Miss Marsh"],
    "length": 700,
    "dataset": "hotpotqa",
    "language": "en",
    "all_classes": None,
}
CHOICES = {"choice_A": "Tom Reed", "choice_B": "Ada Marsh", "choice_C": "nobody", "choice_D": "the town"}
LONGBENCH_2 = {"_id": "b1", "domain": "Single-Document QA", "question": "Who built it?", **CHOICES, "answer": "B", "context": CONTEXT}
FILES = {
    "zai-org/LongBench/resolve/main/data.zip": archive(
        hotpotqa=json_lines(LONGBENCH), gov_report=json_lines({**LONGBENCH, "input": "", "answers": ["It tells of rain."]})
    ),
    "zai-org/LongBench-v2/resolve/v2/data.json": json.dumps([LONGBENCH_2, {**LONGBENCH_2, "_id": "b2", "domain": "Code"}]).encode(),
    "xinrongzhang2022/InfiniteBench/resolve/main/passkey.jsonl": json_lines(
        {"id": 0, "context": CONTEXT, "input": "Who kept the light?", "answer": ["Tom Reed"], "options": []},
        {"id": 1, "context": CONTEXT, "input": "How many?", "answer": 60, "options": ["59", "60"]},
    ),
    "simonjegou/ruler/resolve/main/4096/test-00000-of-00001.parquet": b"columns",
}
RULER = [
    {"context": CONTEXT, "question": "Who built it, and who kept it?", "answer": ["Ada Marsh", "Tom Reed"], "task": "niah_multivalue"},
    {"context": CONTEXT, "question": "Who kept it?", "answer": ["Tom Reed", "Mr Reed"], "task": "qa_1"},
]


class Hub(BaseHTTPRequestHandler):
    """Serves `FILES` under the addresses of data sets, as a hub resolves them."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        body = FILES.get(self.path.removeprefix("/datasets/"))
        self.send_response(404 if body is None else 200)
        if body is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{sha256(body or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if with_body:
            self.wfile.write(body or b"")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base names it
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hub that sets are read from, with an empty cache."""
    with running(ThreadingHTTPServer(("127.0.0.1", 0), Hub)) as address:
        _use(monkeypatch, address, tmp_path)
        yield


def _use(monkeypatch: pytest.MonkeyPatch, address: str, folder: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


def test_a_task_of_longbench_is_read_out_of_its_archive(hub: None, tmp_path: Path) -> None:
    (question,) = data.load(tmp_path, "hub:longbench/hotpotqa")
    assert isinstance(question, data.Question)
    assert (question.id, question.query, question.segments[0].text) == ("a1", "Who built the lighthouse?", CONTEXT)
    assert question.needles == (data.Needle("answer", ("ada  marsh",)),), "of the accepted answers, what the text holds"
    (summary,) = data.load_questions(tmp_path, "hub:longbench/gov_report")
    assert summary.query
    assert summary.needles == ()
    with pytest.raises(ValueError, match=r"no task 'nothing'.*gov_report, hotpotqa"):
        data.load(tmp_path, "hub:longbench/nothing")


def test_a_choice_of_longbench_2_is_asked_with_its_choices_at_a_pinned_revision(hub: None, tmp_path: Path) -> None:
    first, second = data.load_questions(tmp_path, "hub:longbench-v2@v2")
    assert (first.id, second.id) == ("b1", "b2")
    assert "(B) Ada Marsh" in first.query
    assert first.needles == (data.Needle("answer", ("Ada Marsh",)),)
    assert [one.id for one in data.load_questions(tmp_path, "hub:longbench-v2/Code@v2")] == ["b2"]
    with pytest.raises(OSError, match=r"no data\.json in zai-org/LongBench-v2"):
        data.load(tmp_path, "hub:longbench-v2")


def test_an_answer_of_infinitebench_may_be_a_number_or_a_list(hub: None, tmp_path: Path) -> None:
    first, second = data.load_questions(tmp_path, "hub:infinitebench/passkey")
    assert first.needles == (data.Needle("answer", ("Tom Reed",)),)
    assert (second.query, second.needles) == ("How many?\n59\n60", ())
    assert answers_by_id(data.rows_of(tmp_path, "hub:infinitebench/passkey")) == {"passkey-0": ("Tom Reed",), "passkey-1": ("60",)}


def test_a_length_of_ruler_becomes_one_set_for_each_task(hub: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[str]] = []

    def read_table(path: Path, columns: list[str]) -> Any:
        assert Path(path).read_bytes() == b"columns"
        read.append(columns)
        return SimpleNamespace(to_pylist=lambda: RULER)

    package = ModuleType("pyarrow")
    package.parquet = SimpleNamespace(read_table=read_table)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyarrow", package)
    names = ["hub:ruler/4096:niah_multivalue", "hub:ruler/4096:qa_1"]
    assert data.expand(tmp_path, ["hub:ruler/4096"]) == names
    (every,), (either,) = (data.load_questions(tmp_path, name) for name in names)
    assert [needle.alternatives for needle in every.needles] == [("Ada Marsh",), ("Tom Reed",)], "all values are wanted"
    assert [needle.alternatives for needle in either.needles] == [("Tom Reed",)]
    assert read[0] == ["context", "question", "answer", "task"]


def test_without_a_reader_of_parquet_the_pip_command_is_named(hub: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match="pip install pyarrow"):
        data.load(tmp_path, "hub:ruler/4096:qa_1")


def test_needles_of_a_set_of_the_hub_are_measured(hub: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "needles.json"
    status = needles.main(["--sets=hub:longbench/hotpotqa", "--scorers=bm25,random", "--keep=0.2", f"--out={out}"])
    assert status == 0, capsys.readouterr().err
    cell = load(out).get("hub:longbench/hotpotqa/bm25")
    assert cell is not None
    assert cell.rows["0.2"]["answer"] == [1.0]
    assert cell.min_tokens == 0


def test_what_is_cached_needs_no_hub(hub: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = data.checksum(tmp_path, "hub:longbench/hotpotqa")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert (
        data.checksum(tmp_path, "hub:longbench/hotpotqa")
        == before
        == sha256(FILES["zai-org/LongBench/resolve/main/data.zip"]).hexdigest()[:16]
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hub:nothing/x", "unknown set 'hub:nothing/x'; sets of the hub are: hub:longbench,"),
        ("hub:ruler", "name a part, such as hub:ruler/PART"),
        ("hub:infinitebench/nothing", "hub has no nothing.jsonl in xinrongzhang2022/InfiniteBench"),
    ],
)
def test_a_wrong_name_ends_the_benchmark_with_what_there_is(
    hub: None, tmp_path: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert needles.main([f"--sets={name}", "--scorers=bm25", f"--data={tmp_path}"]) == 2
    assert said in capsys.readouterr().err


def test_a_hub_that_cannot_be_reached_ends_the_benchmark(
    hub: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert needles.main(["--sets=hub:infinitebench/passkey", "--scorers=bm25", f"--data={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert said.strip().startswith(
        "error: hub:infinitebench/passkey: passkey.jsonl of xinrongzhang2022/InfiniteBench is not cached, and the hub"
    )


def test_short_answers_and_answers_that_stand_nowhere_are_no_needles() -> None:
    assert list(answer_needles("Yes, it was 60 YEARS\nago.", ["yes", "60", "60 years ago", "70 years"], wants_all=False)) == [
        ["60 years ago"]
    ]
    assert list(answer_needles("one two three four", ["three", "four", "five"], wants_all=True)) == [["three"], ["four"]]
    assert list(answer_needles("one", ["nothing"], wants_all=False)) == []
