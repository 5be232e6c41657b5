"""Sets by name from the hub: `hub:longbench/hotpotqa`, `hub:longbench-v2`, `hub:ruler/8192:niah_single_1`, `hub:infinitebench/passkey`.

`@REVISION` behind a name pins a commit, a tag or a branch (`hub:longbench/qasper@2d25c1a`); without it the newest is taken, and what was
read is told by the file's checksum. Files go to huggingface_hub's cache, so that a second run needs no network; `HF_ENDPOINT`
names another host. A task after the colon takes the rows of that task alone, where a file mixes several.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tasks import infinitebench, longbench, longbench_v2, ruler
from benchmarks.tasks.rows import Asked

PREFIX = "hub:"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a public set lies, the name of its file, with `{part}` where there is one for each part, and how that is read.

    `needs_part` tells that the set is no single file, `mixes_tasks` that one file holds rows of several tasks.
    """

    repository: str
    file: str
    read: Callable[[Path, str], Iterator[Asked]]
    needs_part: bool = True
    mixes_tasks: bool = False


SOURCES: Mapping[str, Source] = {
    "longbench": Source(longbench.REPOSITORY, longbench.FILE, longbench.read),
    "longbench-v2": Source(longbench_v2.REPOSITORY, longbench_v2.FILE, longbench_v2.read, needs_part=False),
    "ruler": Source(ruler.REPOSITORY, ruler.FILE, ruler.read, mixes_tasks=True),
    "infinitebench": Source(infinitebench.REPOSITORY, infinitebench.FILE, infinitebench.read),
}


@dataclass(frozen=True, slots=True)
class HubSet:
    """A set's name, taken apart."""

    name: str
    source: Source
    part: str
    task: str
    revision: str | None

    def path(self) -> Path:
        """Its file on this machine, fetched where it is not there. Raises OSError when that fails."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

        file, repository = self.source.file.format(part=self.part), self.source.repository
        try:
            return Path(hf_hub_download(repository, file, repo_type="dataset", revision=self.revision))
        except LocalEntryNotFoundError as error:
            where = os.environ.get("HF_ENDPOINT", "huggingface.co")
            raise OSError(f"{self.name}: {file} of {repository} is not cached, and the hub ({where}) cannot be reached") from error
        except (EntryNotFoundError, HfHubHTTPError) as error:
            at = f" at {self.revision}" if self.revision else ""
            raise OSError(f"{self.name}: the hub has no {file} in {repository}{at} for you ({type(error).__name__})") from error

    def by_task(self) -> list[str]:
        """The names of the sets that this one consists of: one for each task where its file mixes several and it names none."""
        if self.task or not self.source.mixes_tasks:
            return [self.name]
        tasks = dict.fromkeys(row["meta"]["task"] for row in self.rows())
        name, at, revision = self.name.partition("@")
        return [f"{name}:{task}{at}{revision}" for task in tasks]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Its rows as the evaluation data has them."""
        for asked in self.source.read(self.path(), self.part):
            if self.task in ("", asked.about.get("task")):
                yield asked.row(self.name)


def is_hub(name: str) -> bool:
    """Whether a set's name is one of these."""
    return name.startswith(PREFIX)


def parsed(name: str) -> HubSet:
    """The set called `name`. Raises ValueError for an unknown source, and for a source of several files without a part."""
    whole, _, revision = name.removeprefix(PREFIX).partition("@")
    where, _, task = whole.partition(":")
    source, _, part = where.partition("/")
    if source not in SOURCES:
        raise ValueError(f"unknown set {name!r}; sets of the hub are: {', '.join(PREFIX + one for one in SOURCES)}")
    if SOURCES[source].needs_part and not part:
        raise ValueError(f"{name}: name a part, such as {PREFIX}{source}/PART")
    return HubSet(name, SOURCES[source], part, task, revision or None)
