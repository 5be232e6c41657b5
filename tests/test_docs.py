"""What the pages say is so: their programs run and print what stands under them, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(#[^)]*)?\)|src(?:set)?=\"(?!https?:)([^\"]+)\"")


@pytest.mark.parametrize("page", ["adding-a-scorer", "agent-economics", "migrating-from-llmlingua"])
def test_the_programs_of_a_page_print_what_stands_under_them(
    repository: Path, embedded_draft: str, page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = BLOCK.findall((repository / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    assert programs
    for program, printed in programs:
        exec(compile(program, page, "exec"), {})
        assert capsys.readouterr().out == printed


def test_every_link_of_the_pages_leads_to_a_file(repository: Path) -> None:
    pages = [*repository.glob("*.md"), *(repository / "docs").glob("*.md")]
    links = [(page, "".join(link[::2])) for page in pages for link in LINK.findall(page.read_text(encoding="utf-8"))]
    assert len(links) > 20
    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []
