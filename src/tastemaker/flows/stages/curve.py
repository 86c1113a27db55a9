"""The loss curve of a training run: told while it runs, kept as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.flows.pipeline import Report
from tastemaker.store import append_line, read_lines, write_text

if TYPE_CHECKING:
    from tastemaker.lm.train import Metrics

CLOCK = ("tokens_per_second", "seconds_left")


def follow(run: Iterable[Metrics], path: Path, report: Report, name: str) -> Metrics | None:
    """Run to the end; the last metrics, None when there are none.

    A run that goes on from a checkpoint keeps the lines before its first new step, so the curve is that of an
    unbroken run. Speed is told and not kept: equal trainings leave equal files.
    """
    last = None
    for metrics in run:
        if last is None:
            before = [
                line for line in (read_lines(path) if path.exists() else []) if line["step"] < metrics.step
            ]
            write_text(path, "".join(json.dumps(line) + "\n" for line in before))
        last = metrics
        note = (
            f"loss {last.loss:.3f}, first code {last.level_losses[0]:.3f}, {last.tokens_per_second:,.0f}"
            " tokens/s"
        )
        report(name, last.step, last.total, note)
        append_line(path, {name: value for name, value in asdict(last).items() if name not in CLOCK})
    return last
