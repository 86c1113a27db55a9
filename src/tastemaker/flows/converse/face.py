"""What `tastemaker.converse` offers in Python: data sets generated, read, audited, judged, exported."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tastemaker.flows.converse.dataset as dataset
import tastemaker.flows.converse.generate as generating
import tastemaker.flows.converse.people as people
from tastemaker.converse.record import Conversation
from tastemaker.flows.converse.audit import audit_run
from tastemaker.flows.converse.export import export_run
from tastemaker.flows.converse.generate import Session
from tastemaker.flows.converse.judge import judge_run
from tastemaker.flows.converse.settings import RunFolder, RunSettings
from tastemaker.flows.pipeline import Report
from tastemaker.store import Workspace


def silent(task: str, count: float, total: float, note: str) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Result:
    """What a check found: whether it passed, the text that the command prints, and the values of --json."""

    ok: bool
    text: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class DataSet:
    """One data set of conversations in a workspace; iterating reads them, a few in memory at a time."""

    workspace: Path
    name: str

    @property
    def folder(self) -> RunFolder:
        """Where its files lie."""
        return RunFolder.of(Workspace.open(self.workspace), self.name)

    def __iter__(self) -> Iterator[Conversation]:
        return dataset.read_conversations(self.folder)

    def __len__(self) -> int:
        return dataset.count_conversations(self.folder)

    def audit(self, report: Report = silent) -> Result:
        """Every conversation checked anew, and what the choice of items gives away."""
        values = audit_run(self.workspace, self.name, report)
        return Result(values["ok"], values.pop("text"), values)

    def judge(
        self,
        judges: Sequence[str] = ("facts", "overlap"),
        size: tuple[int, int] = (50, 1),
        session: Session = Session(),
        report: Report = silent,
    ) -> Result:
        """One turn of each of some conversations graded by at least two judges; ok when no turn has a fault.

        size: how many conversations, and how often each judge is asked the same.
        """
        values = judge_run(self.workspace, self.name, judges, session, report, size)
        return Result(values["faults_by_check"] == 0, values.pop("text"), values)

    def export(self, kind: str = "chat", out: str | Path | None = None, extended: bool = True) -> Path:
        """Write chat, preference, retrieval, tools, talkplay or crs rows; returns the file or URL's path."""
        return Path(export_run(self.workspace, self.name, kind, extended, out)["file"])


def generate(
    workspace: str | os.PathLike[str],
    settings: RunSettings = RunSettings(),
    name: str = "first",
    session: Session = Session(),
    report: Report = silent,
) -> DataSet:
    """Generate a data set, or go on with the one of that name: what is finished stays.

    Raises InputError when settings differ from those it was begun with; StoppedEarly or BudgetReached when it
    ended before its end, with what is finished kept.
    """
    root = Path(workspace)
    session = replace(session, resume="same") if session.resume == "never" else session
    generating.generate(root, name, settings, session, report)
    return DataSet(root, name)


def collect(workspace: str | os.PathLike[str], name: str = "people", report: Report = silent) -> DataSet:
    """What people with a name said to the assistant, and what they liked of its answers, as a data set.

    Raises InputError where nobody did.
    """
    people.collect(Path(workspace), name, report)
    return DataSet(Path(workspace), name)


def open_dataset(workspace: str | os.PathLike[str], name: str = "first") -> DataSet:
    """A data set that is there. Raises ArtifactError when it is not."""
    data = DataSet(Path(workspace), name)
    dataset.saved_settings(data.folder)
    return data
