"""A dashboard of a ledger and of an audit log that holds texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from specprefill_agents.observe.dashboard.board import Board
from specprefill_agents.observe.dashboard.server import DashboardServer
from tests.dashboard.boards import arms, serving, write_audit, write_ledger_lines


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_ledger_lines(tmp_path / "ledger.jsonl", arms()), write_audit(tmp_path / "audit.jsonl", include_text=True)


@pytest.fixture
def server(files: tuple[Path, Path]) -> Iterator[DashboardServer]:
    with serving(Board([files[0]], [files[1]])) as started:
        yield started
