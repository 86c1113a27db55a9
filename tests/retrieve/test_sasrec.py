"""SASRec: its loss, its masking, its resume, and that it learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tastemaker.corpus.events import Histories
from tastemaker.errors import ArtifactError, InputError
from tastemaker.retrieve.evaluation import Lists, last_events, rank_of_target, take
from tastemaker.retrieve.sasrec import SASRec, SASRecSettings, fit_sasrec

SMALL = SASRecSettings(width=8, length=6, batch=16, epochs=3, patience=3, learning_rate=0.01)


@dataclass(frozen=True)
class Target:
    context: Lists
    target: np.ndarray


def cycles(users: int, seed: int = 0) -> tuple[Lists, Target]:
    """Everybody walks a ring of 20 items: the next item follows from the last."""
    rng = np.random.default_rng(seed)
    rows = [
        [int((start + step) % 20) for step in range(rng.integers(1, 9))]
        for start in rng.integers(20, size=users)
    ]
    train = Histories.of_lists(rows)
    return train, Target(train, np.array([(row[-1] + 1) % 20 for row in rows]))


def test_an_event_sees_its_own_row_and_nothing_after_it() -> None:
    train, _ = cycles(12)
    model = SASRec(20, SMALL).eval()
    recent = last_events(train, 6)
    together = model.hidden(recent)
    for row in range(12):
        alone = model.hidden(last_events(take(train, np.array([row])), 6))
        torch.testing.assert_close(together[recent.offsets[row] : recent.offsets[row + 1]], alone)
    first, other = Histories.of_lists([[1, 2, 3]]), Histories.of_lists([[1, 2, 9]])
    torch.testing.assert_close(model.hidden(first)[:2], model.hidden(other)[:2])
    assert not torch.allclose(model.hidden(first)[2], model.hidden(other)[2])
    # Order matters, and a position counts from the right end.
    assert not torch.allclose(
        model.hidden(Histories.of_lists([[1, 2, 3]]))[2], model.hidden(Histories.of_lists([[2, 1, 3]]))[2]
    )


def test_equals_the_padded_formula() -> None:
    """Two rows through torch's own attention, padded at the left, one layer at a time."""
    model = SASRec(20, SASRecSettings(width=8, heads=1, length=4)).eval()
    rows, width = [[3, 5, 7], [2]], 8
    table, position = model.item.weight, model.position.weight
    for number, row in enumerate(rows):
        x = table[row] * width**0.5 + position[torch.arange(len(row) - 1, -1, -1)]
        for block in model.blocks:
            normal = block.attention_norm(x)
            scores = block.query(normal) @ block.key(x).T / width**0.5
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
            x = block.forward_norm(normal + block.out(scores.softmax(-1) @ block.value(x)))
            x = x + block.outer(torch.relu(block.inner(x)))
        expected = model.norm(x)
        hidden = model.hidden(Histories.of_lists(rows))[[0, 1, 2] if number == 0 else [3]]
        torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=1e-5)


def test_learns_who_comes_next() -> None:
    train, validation = cycles(120)
    seen: list[dict[str, float]] = []
    settings = SASRecSettings(width=16, length=6, batch=32, epochs=20, patience=20, learning_rate=0.01)
    model = fit_sasrec(train, validation, 20, settings, on_epoch=seen.append)
    scores = model.score(Histories.of_lists([[4, 5, 6], [18, 19, 0]]))
    assert rank_of_target(scores, np.array([7, 1])).tolist() == [1, 1]
    assert seen[-1]["loss"] < seen[0]["loss"] and max(line["ndcg@10"] for line in seen) > 0.9


def test_no_history_scores_nothing_higher_and_batches_agree() -> None:
    model = SASRec(20, SMALL)
    scores = model.score(Histories.of_lists([[1], [], [2, 3]]))
    assert (scores[1] == 0).all() and scores.shape == (3, 20)
    np.testing.assert_allclose(scores[2], model.score(Histories.of_lists([[2, 3]]))[0], atol=1e-6)
    assert model.score(Histories.of_lists([])).shape == (0, 20)


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    train, validation = cycles(60)
    settings = SASRecSettings(width=8, length=6, batch=16, epochs=3, patience=3)
    whole = fit_sasrec(train, validation, 20, settings)

    class Killed(Exception):
        pass

    def kill(metrics: dict[str, float]) -> None:
        if metrics["epoch"] == 2:
            raise Killed

    with pytest.raises(Killed):
        fit_sasrec(train, validation, 20, settings, tmp_path, kill)
    torch.manual_seed(99)
    epochs: list[dict[str, float]] = []
    resumed = fit_sasrec(train, validation, 20, settings, tmp_path, epochs.append)
    assert [line["epoch"] for line in epochs] == [3]
    assert all(np.array_equal(a, whole.arrays()[name]) for name, a in resumed.arrays().items())
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000003"]


def test_foreign_or_damaged_states_are_refused(tmp_path: Path) -> None:
    train, validation = cycles(60)
    fit_sasrec(train, validation, 20, SASRecSettings(width=8, length=6, epochs=1), tmp_path)
    with pytest.raises(ArtifactError, match="other settings or data"):
        fit_sasrec(train, validation, 20, SASRecSettings(width=8, length=6, epochs=2), tmp_path)
    next(tmp_path.glob("*/weights.safetensors")).write_bytes(b"{}")
    with pytest.raises(ArtifactError, match="damaged"):
        fit_sasrec(train, validation, 20, SASRecSettings(width=8, length=6, epochs=1), tmp_path)


def test_weights_are_stored_and_belong_to_one_shape() -> None:
    model = SASRec(20, SMALL)
    again = SASRec(20, SASRecSettings(width=8, length=6, seed=5)).load(model.arrays())
    history = Histories.of_lists([[1, 2]])
    assert np.array_equal(model.score(history), again.score(history))
    with pytest.raises(ArtifactError, match="do not fit"):
        SASRec(21, SMALL).load(model.arrays())


def test_training_leaves_torchs_own_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    fit_sasrec(*cycles(20), 20, SASRecSettings(width=8, length=6, epochs=1))
    assert torch.equal(torch.rand(1), expected)


def test_one_event_a_person_is_nothing_to_learn_from() -> None:
    with pytest.raises(InputError, match="two training events"):
        fit_sasrec(
            Histories.of_lists([[1], []]), Target(Histories.of_lists([]), np.empty(0, np.int64)), 3, SMALL
        )
