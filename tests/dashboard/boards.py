"""Files to make dashboards of: real conversations with their audit logs, and ledgers with arms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from specprefill_agents import Originals
from specprefill_agents.accounting.ledger import Conversation
from specprefill_agents.accounting.ledger_file import LedgerFile
from specprefill_agents.accounting.recording import LedgerSettings
from specprefill_agents.config import CompressionConfig
from specprefill_agents.observe.dashboard.board import Board
from specprefill_agents.observe.dashboard.server import Answers, DashboardServer
from specprefill_agents.scoring.base import Scorer
from specprefill_agents.scoring.registry import make_scorer
from tests.audited import audited, conversation
from tests.ledgers import recorded
from tests.loopback import running


def make_any(config: CompressionConfig, draft: str) -> Scorer:
    """A scorer by its settings, without a cache on disk."""
    return make_scorer(config, draft, "auto", None)


def arms() -> list[Conversation]:
    """Two conversations in each arm; in one of them nothing was shortened."""
    sizes = ([9000, 6000], [8000, 7500])
    named = (("control", 1.0, 0.0), ("treated", 0.2, 30.0))
    return [
        recorded(size, share, name=f"{arm}-{number}", settings=LedgerSettings(arm=arm), scorer_ms=ms, first_minute=60.0 * number)
        for arm, share, ms in named
        for number, size in enumerate(sizes)
    ]


def write_ledger_lines(path: Path, conversations: list[Conversation]) -> Path:
    """Adds all steps to a ledger file."""
    for one in conversations:
        for step in one.steps:
            LedgerFile(path).append(one, step)
    return path


def write_audit(path: Path, *, include_text: bool = False) -> Path:
    """Adds the records of a conversation of three turns to an audit log."""
    conversation(audited(path, Originals.in_memory(), include_text=include_text))
    return path


@contextmanager
def serving(board: Board) -> Iterator[DashboardServer]:
    """A dashboard on a free port of this machine, whose page asks again five times a second."""
    server = DashboardServer(Answers(board, make_any, poll_ms=200))
    with running(server):
        yield server
