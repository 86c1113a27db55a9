"""The loss curve of a run that was cut off is that of an unbroken one."""

from __future__ import annotations

from pathlib import Path

from tastemaker.flows.stages.curve import follow
from tastemaker.lm.train import Metrics
from tastemaker.store import read_lines


def at(step: int, loss: float | None = None) -> Metrics:
    return Metrics(step, 100, step / 100, loss or 100.0 - step, (1.0, 2.0), 1e3, 1e-3, 1.0, 5.0)


def test_a_resumed_run_keeps_its_earlier_lines_once(tmp_path: Path) -> None:
    whole, cut, reports = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl", list[tuple[str, int, int]]()
    follow([at(step) for step in range(20, 101, 20)], whole, lambda *_: None, "training")
    follow([at(step) for step in (20, 40, 60)], cut, lambda *_: None, "training")  # the checkpoint was at 30
    last = follow(
        [at(step) for step in (40, 60, 80, 100)],
        cut,
        lambda *progress: reports.append(progress[:3]),
        "training",
    )
    assert read_lines(cut) == read_lines(whole) and [line["step"] for line in read_lines(cut)] == [
        20,
        40,
        60,
        80,
        100,
    ]
    assert last == at(100) and reports[-1] == ("training", 100, 100)
    follow([at(100)], cut, lambda *_: None, "training")  # a finished run repeats its last report only
    assert read_lines(cut) == read_lines(whole)


def test_nothing_to_train_leaves_no_line(tmp_path: Path) -> None:
    assert follow([], tmp_path / "none.jsonl", lambda *_: None, "training") is None
    assert not (tmp_path / "none.jsonl").exists()
