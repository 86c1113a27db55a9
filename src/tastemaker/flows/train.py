"""Tables -> vectors -> Semantic IDs -> base model -> corpus -> continued pre-training -> fine-tuning ->
memory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tastemaker.flows.pipeline import Pipeline, Report
from tastemaker.flows.stages.memory import build_memory
from tastemaker.flows.stages.models import build_base, build_corpus, build_cpt, build_sft
from tastemaker.flows.stages.tokens import build_tokens
from tastemaker.flows.stages.vectors import build_vectors
from tastemaker.store import Workspace
from tastemaker.store.tombstones import outdated

BUILDERS: dict[str, Callable[[Pipeline, Path], None]] = {
    "vectors": build_vectors,
    "tokens": build_tokens,
    "base": build_base,
    "corpus": build_corpus,
    "cpt": build_cpt,
    "sft": build_sft,
    "memory": build_memory,
}
ORDER = tuple(BUILDERS)


def run_stages(workspace: Path, report: Report, until: str = "memory") -> dict[str, Any]:
    """Run every stage up to `until`, reusing what is finished; says what each stage gave and how long it
    took.
    """
    opened = Workspace.open(workspace)
    with opened.lock(f"training up to {until}"):
        pipeline = Pipeline(opened, report)
        stages = []
        for name in ORDER[: ORDER.index(until) + 1]:
            started = time.monotonic()
            folder, reused = pipeline.run(name, BUILDERS[name])
            summary = json.loads((folder / "summary.json").read_text())
            seconds = round(time.monotonic() - started, 1)
            stages.append(
                {"stage": name, "artifact": folder.name, "reused": reused, "seconds": seconds} | summary
            )
        removed = _let_go(opened) if until == ORDER[-1] else []
    lines = [
        f"{one['stage']:8} {'reused' if one['reused'] else str(one['seconds']) + ' s':>9}  {one['says']}"
        for one in stages
    ]
    lines += [f"warning: {text}" for one in stages for text in one.get("warnings", [])]
    if removed:
        lines.append(
            f"removed {len(removed)} artifacts that had learnt from people who asked to be forgotten"
        )
    result = {"workspace": str(workspace), "stages": stages, "removed": [str(one) for one in removed]}
    return result | {"text": "\n".join(lines)}


def _let_go(workspace: Workspace) -> list[Path]:
    """Once a model without them is finished, remove what had learnt from people forgotten since."""
    artifacts = workspace.artifacts
    stale = outdated(artifacts, workspace.tombstones.held)
    kept = [(one.kind, one.fingerprint) for one in artifacts.finished() if one not in stale]
    return artifacts.prune(kept) if stale else []
