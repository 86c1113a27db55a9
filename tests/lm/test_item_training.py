"""The small model's training: resumed to the bit, its windows learnt once, reward and device kept in mind."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import ArtifactError
from tastemaker.lm import base
from tastemaker.lm.items import Catalogue, ItemShape, start_model
from tastemaker.lm.train import Settings, train_task
from tastemaker.lm.training import item_lesson
from tastemaker.lm.training.batches import PIECE, pieces
from tastemaker.lm.training.item_lesson import ItemLesson

SIZES = (8, 4)
CODES = np.stack(np.divmod(np.arange(32), 4), 1)
QUICK = Settings(
    stage="sft", batch_rows=8, warmup=2, learning_rate=3e-3, dropout=0.3, average=0.9, log_every=1, seed=5,
    passes=3, checkpoint_every=0.0,
)  # fmt: skip


def lesson(seed: int = 0, length: int = 5) -> ItemLesson:
    """Walks around a ring of 32 items."""
    start = np.random.default_rng(0).integers(32, size=60)
    walks = (start[:, None] + np.arange(length)) % 32
    catalogue = Catalogue(CODES, SIZES, np.arange(32), torch.device("cpu"))
    target = np.ones(walks.size, bool)
    return ItemLesson(walks.ravel(), target, np.arange(0, walks.size + 1, length), catalogue, seed)


def trained(settings: Settings = QUICK, state: Path | None = None, stop: int = 0) -> torch.Tensor:
    shape = ItemShape(SIZES, 32, layers=1, width=32, heads=1)
    model = start_model(shape, [str(k) for k in range(32)], [], 1)
    for metrics in train_task(model, lesson(), settings, state):
        if metrics.step == stop:
            break
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("stop", [2, 13])
def test_a_stopped_run_goes_on_bit_for_bit(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_lesson, "NEGATIVES", 8)  # drawn ones too
    straight = trained()
    trained(state=tmp_path, stop=stop)
    assert torch.equal(trained(state=tmp_path), straight)
    with pytest.raises(ArtifactError, match="other settings"):
        trained(replace(QUICK, dropout=0.1), state=tmp_path)


def test_it_learns_the_ring_and_reports_each_level_and_the_dense_loss() -> None:
    shape = ItemShape(SIZES, 32, layers=1, width=32, heads=1)
    model = start_model(shape, [str(k) for k in range(32)], [], 1)
    settings = replace(QUICK, dropout=0.0, steps=120, log_every=60, passes=1)
    first, last = train_task(model, lesson(), settings)
    assert len(first.level_losses) == 2 and last.loss < 0.6 * first.loss
    with torch.no_grad():
        state = model.states(model.vectors(lesson().catalogue, torch.tensor([[3, 4, 5]])))[:, -1]
        catalogue = lesson().catalogue
        for scores in (
            model.log_codes(state, catalogue, model.node_vectors(catalogue)),
            model.log_dense(state, model.item_vectors(catalogue)),
        ):
            assert int(scores.argmax()) == 6


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=9))
def test_windows_are_padded_as_little_as_the_passes_are_worth(lengths: list[int]) -> None:
    """The pieces of a step are the cheapest of all ways to cut its windows, which are sorted by length."""
    lengths = sorted(lengths)
    n = len(lengths)

    def cost(cuts: tuple[int, ...]) -> int:
        return sum((j - i) * lengths[j - 1] + PIECE for i, j in zip((0, *cuts), (*cuts, n), strict=True))

    cuts = pieces(np.array(lengths))
    assert all(len(piece) for piece in np.split(np.arange(n), cuts))
    ways = [cuts for size in range(n) for cuts in combinations(range(1, n), size)]
    assert cost(tuple(cuts.tolist())) == min(map(cost, ways))


def test_portions_of_a_large_step_sum_to_the_same_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    model = start_model(ItemShape(SIZES, 32, layers=1, width=32, heads=1), [], [], 1)
    rows = np.arange(20)
    whole = sum(sums.loss.item() for sums, _ in lesson().sums(model, rows, 0, rows))
    monkeypatch.setattr(item_lesson, "EVENTS", 30)
    parts = list(lesson().sums(model, rows, 0, rows))
    assert len(parts) == 4 and sum(sums.loss.item() for sums, _ in parts) == pytest.approx(whole, rel=1e-5)
    assert sum(events for _, events in parts) == 100


def test_the_faster_type_is_measured_once_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seconds = {torch.float32: 2.0, torch.bfloat16: 1.0}
    measured = []
    monkeypatch.setattr(base, "_seconds", lambda dtype: measured.append(dtype) or seconds[dtype])
    ask = base.fast_bfloat16.__wrapped__
    assert ask(torch.device("cpu")) and len(measured) == 2
    seconds[torch.bfloat16] = 9.0
    assert ask(torch.device("cpu")) and len(measured) == 2  # another process reads what the first one found
    next((tmp_path / "tastemaker").iterdir()).write_text("{")
    assert not ask(torch.device("cpu"))
