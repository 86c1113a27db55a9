"""The demo: a catalogue one can hear, simulated listeners, the whole pipeline, and its evaluation."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

from tastemaker.flows.evaluation.evaluate import evaluate_workspace
from tastemaker.flows.ingest import ingest_dataset
from tastemaker.flows.pipeline import Pipeline, Report
from tastemaker.flows.train import run_stages
from tastemaker.store import Workspace
from tastemaker.store.settings import SETTINGS_FILE

LOOK: dict[str, dict[str, Any]] = {
    # The question is off by default (asking people is the owner's decision) and on here, often enough to be
    # met in one sitting.
    "tunes": {
        "title": "Traditional tunes",
        "sft_epochs": 16,
        "ask_share": 0.5,
        "ask_hours": 0.0,
        "ask_lists": 4,
        "visitors": True,  # whoever comes may look on, also once a key was made
    },
    "movielens": {"title": "MovieLens films", "split": "time", "visitors": True},
}
NOTICE = "The tunes are real; every listener is simulated. Nobody's listening is shown or learnt from."


def build_demo(folder: Path, dataset: str, tunes: int, report: Report) -> dict[str, Any]:
    """Everything up to a served model; what is finished is reused, what a kill cut off resumes."""
    started = time.monotonic()
    if not (folder / SETTINGS_FILE).exists():
        Workspace.create(folder, LOOK.get(dataset, {}))
    workspace = Workspace.open(folder)
    lines = [NOTICE] if dataset == "tunes" else []
    if not workspace.has_tables():
        lines.append(ingest_dataset(folder, dataset, report, tunes)["text"])
    lines.append(run_stages(folder, report)["text"])
    evaluation = _evaluated(workspace)
    lines.append(evaluation or _evaluate(folder, report))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines.append(f"\ndone in {time.monotonic() - started:.0f} s, {peak:,.0f} MB of memory at the peak")
    return {"workspace": str(folder), "text": "\n".join(lines)}


def _evaluate(folder: Path, report: Report) -> str:
    return "\n" + str(
        evaluate_workspace(folder, ("popularity", "content", "cooccurrence", "sasrec"), "test", 0, report)[
            "text"
        ]
    )


def _evaluated(workspace: Workspace) -> str | None:
    """Where the report of this very model is, if it was evaluated before."""
    model = Pipeline(workspace, lambda *_: None).fingerprint("sft")
    for metrics in sorted(workspace.runs.glob("*-evaluate-test*/metrics.json"), reverse=True):
        if model in metrics.read_text():
            return f"\nevaluated before; report: {metrics.with_name('report.html')}"
    return None
