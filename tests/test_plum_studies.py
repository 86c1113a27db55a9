"""What the studies of the recommender conclude from runs that are made up, so that the answer is known."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recipes.common import command
from recipes.plum import cpt_2x2, sample_efficiency, scaling, sid_ablation

from tests.conftest import TINY


def test_the_exponent_of_a_power_law_is_found_on_the_runs_that_nothing_beats() -> None:
    operations = np.array([1e9, 4e9, 4e9, 1.6e10])
    people = np.random.default_rng(0).uniform(0.9, 1.1, size=400)
    losses = np.array([8.0, 4.0, 9.0, 2.0])[:, None] * people  # the third is worse than the second
    runs = scaling.frontier(operations, losses.mean(axis=1))
    assert runs == [0, 1, 3]
    value, low, high = scaling.exponent(operations, losses, runs)
    assert low <= value <= high and abs(value + 0.5) < 1e-6


def test_words_say_with_how_many_people_the_others_are_reached_and_when_they_are_not() -> None:
    ours, other = sample_efficiency.OURS, sample_efficiency.SASREC
    reached = sample_efficiency.words({ours: [(0.1, 0.04), (0.5, 0.06), (1.0, 0.08)], other: [(1.0, 0.05)]})
    assert "reaches what" in reached and reached.endswith("with 50%.")
    assert "does not reach" in sample_efficiency.words({ours: [(1.0, 0.04)], other: [(1.0, 0.05)]})


def test_a_contrast_counts_only_beyond_its_interval_over_people() -> None:
    def run(shift: float) -> dict[str, Any]:
        rng = np.random.default_rng(1)
        ranks = np.where(rng.random(500) < 0.3 + shift, 1, 0)
        return {"ranks": ranks.tolist(), "seen": [0, 3, 9, 9, 9] * 100, "cpt tokens": 0, "curve": [[1, 2.0]]}

    level = {name: run(0.0) for name in cpt_2x2.ARMS}
    assert "nothing is shown" in cpt_2x2.tabled(level, "", Namespace(seed=0, quick=False))[2]
    first = next(name for name in level if name.startswith("CR2"))
    rows, _, words = cpt_2x2.tabled(level | {first: run(0.3)}, "", Namespace(seed=0, quick=True))
    assert "CPT, pretrained trunk" in words and "pretraining, no CPT" not in words
    above, below = words.split("N@10 is below 0")
    assert "CPT, pretrained" in above and "dense read-out" in below  # worse than what CR2 has now
    assert len(rows) == len(cpt_2x2.ARMS) + len(cpt_2x2.CONTRASTS) and "N@10, never seen (100)" in rows[0]


def test_seeds_of_a_model_are_judged_by_the_same_people(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sid_ablation, "DATA", tiny_files.parent)
    monkeypatch.setattr(sid_ablation, "SETS", {"tiny": (tiny_files.name, TINY | {"sft_epochs": 1})})
    monkeypatch.setattr(sid_ablation, "ARMS", {"two levels": {"levels": "8/8"}})
    monkeypatch.setattr("sys.argv", ["recipe", "--data", "tiny", "--seeds", "0,1", "--out", str(tmp_path)])
    sid_ablation.main()
    assert "seeds 0, 1" in (tmp_path / "tiny" / "table.md").read_text()


@pytest.mark.parametrize(
    ("main", "words", "message"),
    [
        (sample_efficiency.main, ("--shares", "abc"), "share 'abc': give"),
        (sample_efficiency.main, ("--shares", "0,2"), "share '0,2': give"),
        (cpt_2x2.main, ("--share", "0"), "share '0': give"),
        (cpt_2x2.main, ("--base", "/nonexistent"), "--base /nonexistent: no such folder"),
        (sid_ablation.main, ("--seeds", "one"), "'one': give whole numbers"),
    ],
)
def test_arguments_that_cannot_be_are_one_line_and_leave_no_journal(
    main: Callable[[], None],
    words: tuple[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["recipe", "--out", str(tmp_path), *words])
    with pytest.raises(SystemExit) as end:
        command(main)
    errors = capsys.readouterr().err
    assert end.value.code == 2 and errors.count("\n") == 1 and message in errors
    assert not list(tmp_path.rglob("runs.jsonl"))
