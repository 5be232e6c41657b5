"""What docs/observability.md names is what the library tells."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from specprefill_agents.observe.metrics import Metrics
from specprefill_agents.observe.reasons import WORDS
from specprefill_agents.observe.telemetry import _COUNTS


def test_the_page_names_each_metric_and_each_reason_and_none_that_is_not_there(repository: Path) -> None:
    page = (repository / "docs" / "observability.md").read_text(encoding="utf-8")
    registry = CollectorRegistry()
    Metrics(registry)
    exported = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    assert set(re.findall(r"`(specprefill_\w+_(?:total|seconds))`", page)) == exported
    assert f"`reason`: {', '.join(WORDS)} |" in page
    assert [name for name in _COUNTS if f"`{name}`" not in page] == []


def test_the_first_program_of_the_page_runs(repository: Path, tmp_path: Path) -> None:
    page = (repository / "docs" / "observability.md").read_text(encoding="utf-8")
    program = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    program = program.replace('"ledger.jsonl"', repr(str(tmp_path / "l"))).replace('"audit.jsonl"', repr(str(tmp_path / "a")))
    scope: dict[str, object] = {}
    exec(program.replace("Metrics()", "Metrics(CollectorRegistry())"), {"CollectorRegistry": CollectorRegistry}, scope)
    assert type(scope["middleware"]).__name__ == "SpecPrefillMiddleware"
