"""Where workers do their work: a folder with the stores that they share, and what they leave there.

In a module of its own, since forked workers look it up by name.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.crash.fleet import Fleet
from benchmarks.crash.worker import Job, work
from specprefill_agents.storage.verification import Verification, verify

DRAFT_MODULES = ("torch", "transformers", "transformers.models.llama.modeling_llama", "specprefill_agents.scoring.key_index")
"""What a draft-backed scorer imports when it is first asked."""


@dataclass(frozen=True, slots=True)
class Yard:
    """A folder with everything that workers share; calling it is what each of them does.

    `stores` names the folder of the stores, `job` what is to be done. Standard error of all goes into one file.
    """

    folder: Path
    name: str
    job: Job

    @property
    def stores(self) -> Path:
        """Where score cache and originals are."""
        return self.folder / self.name

    @property
    def _errors(self) -> Path:
        return self.folder / f"{self.name}.err"

    def __call__(self, index: int, announced: Connection) -> None:
        """Work, in a process of its own, until killed or done."""
        if self.job.needs_draft:
            from specprefill_agents.draft.loading import set_threads

            set_threads(1)
        os.environ |= {"SPECPREFILL_CACHE_DIR": str(self.stores), "SPECPREFILL_HOME": str(self.folder / "home")}
        state = self.folder / f"{self.name}-state"
        state.mkdir(exist_ok=True)
        with self._errors.open("ab", buffering=0) as errors:
            os.dup2(errors.fileno(), sys.stderr.fileno())
        work(replace(self.job, state=str(state), index=index), lambda event: announced.send_bytes(json.dumps(event).encode()))

    def fleet(self, processes: int) -> Fleet:
        """So many workers."""
        return Fleet(self, processes, [work.__module__, *(DRAFT_MODULES if self.job.needs_draft else ())])

    def errors(self) -> str:
        """The end of what workers wrote to standard error."""
        return self._errors.read_text(encoding="utf-8", errors="replace")[-4_000:] if self._errors.exists() else ""

    def verified(self) -> dict[str, Verification]:
        """Every row of both stores, read once more."""
        return {"scores": verify(self.stores), "originals": verify(self.stores / "originals")}
