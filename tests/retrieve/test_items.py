"""The small model's scores: exact, of the whole catalogue, equal to what training minimises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.corpus.events import Histories
from tastemaker.errors import ModelError
from tastemaker.lm.items import (
    Catalogue,
    ItemModel,
    ItemShape,
    Layout,
    Reader,
    load_items,
    mixed,
    residual_rows,
    save_items,
)
from tastemaker.lm.items import start_model as started
from tastemaker.lm.training.item_lesson import ItemLesson
from tastemaker.retrieve.allow import allow, mask
from tastemaker.retrieve.candidates import best_of
from tastemaker.retrieve.items import ItemScorer
from tastemaker.retrieve.trie import build_trie

SIZES = (4, 3, 5)


def catalogue(n: int, seed: int = 0) -> np.ndarray:
    """Codes of n items, some of which share theirs."""
    return np.stack(
        [np.random.default_rng(seed + k).integers(size, size=n) for k, size in enumerate(SIZES)], 1
    )


def scorer(n: int = 30, known: int = 20, seed: int = 0) -> ItemScorer:
    """A model with random rows everywhere, of which `known` items have a residual."""
    model = started(
        ItemShape(SIZES, known, width=32, heads=2, max_items=6), [f"i{k}" for k in range(known)], [], seed
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return ItemScorer(model, [f"i{k}" for k in range(n)], catalogue(n, seed), SIZES)


def by_hand(item_scorer: ItemScorer, history: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) log-probabilities of both read-outs by loops over plain formulas."""
    model, codes = item_scorer.model, item_scorer.catalogue.codes.numpy()
    rows = [table.detach() for table in model.rows]

    def vector(item: int) -> torch.Tensor:
        total = sum(rows[level][codes[item, level]] for level in range(3))
        row = int(item_scorer.catalogue.rows[item])
        return total + model.residual.detach()[row] if row >= 0 else total

    with torch.no_grad():
        seen = (
            torch.stack([vector(item) for item in history[-6:]])[None] if history else torch.zeros(1, 0, 32)
        )
        state = model.states(seen)[0, -1]
        dense = torch.stack([model.dense(state) @ vector(item) for item in range(len(codes))]).log_softmax(0)
        values = []
        for item in range(len(codes)):
            total = 0.0
            for level in range(3):
                siblings = sorted(
                    {c[level] for c in codes.tolist() if c[:level] == codes[item, :level].tolist()}
                )
                query = model.query(state, level)
                if level:
                    prefix = sum(rows[above][codes[item, above]] for above in range(level))
                    query = query * model.gate(prefix, level)
                logits = torch.stack([query @ rows[level][code] for code in siblings])
                total += float(logits.log_softmax(0)[siblings.index(codes[item, level])])
            alone = sum(c == codes[item].tolist() for c in codes.tolist())
            values.append(total - np.log(alone))
    return np.array(values), dense.numpy()


@pytest.mark.parametrize("lengths", [[0], [6], [3, 3], [0, 5, 1, 6, 2]])
@pytest.mark.parametrize("layers", [1, 3])
@torch.no_grad()
def test_what_reads_alone_equals_the_model_that_learns(lengths: list[int], layers: int) -> None:
    torch.manual_seed(0)
    model = ItemModel(ItemShape(SIZES, 1, layers, width=32, heads=2, max_items=6, marks=4)).eval()
    for parameter in model.parameters():
        parameter.add_(0.2 * torch.randn(parameter.shape))
    vectors, marks = torch.randn(sum(lengths), 32), torch.randint(4, (sum(lengths),))
    states = Reader(model)(vectors, marks, Layout(np.array(lengths), model.device))
    parts = zip(vectors.split(lengths), marks.split(lengths), strict=True)
    torch.testing.assert_close(states, torch.cat([model.states(v[None], m[None])[:, -1] for v, m in parts]))


@pytest.mark.parametrize("history", [[], [3], [1, 25, 7, 7, 2, 9, 11, 4]])
def test_both_read_outs_equal_a_plain_forward_pass_and_sum_to_one(history: list[int]) -> None:
    item_scorer = scorer()
    own = [part[0].numpy() for part in item_scorer.read_outs(Histories.of_lists([history]))]
    for value, expected in zip(own, by_hand(item_scorer, history), strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-4)
        assert np.exp(value).sum() == pytest.approx(1, abs=1e-5)
    for share in (0.0, 0.3, 1.0):
        whole = mixed(*(torch.from_numpy(part)[None] for part in own), share)
        assert float(whole.exp().sum()) == pytest.approx(1, abs=1e-5)


def test_the_loss_of_training_is_minus_the_log_probabilities_that_serve() -> None:
    item_scorer, history = scorer(), [4, 9, 2, 27, 14]
    lesson = ItemLesson(
        np.array(history), np.ones(5, bool), np.array([0, 5]), item_scorer.catalogue, seed=0, dense=0.7
    )
    ((sums, events),) = lesson.sums(item_scorer.model, np.array([0]), 0, np.array([0]))
    before = [item_scorer.read_outs(Histories.of_lists([history[:k]])) for k in range(5)]
    codes, dense = (
        sum(float(parts[k][0, item]) for parts, item in zip(before, history, strict=True)) for k in (0, 1)
    )
    shared = sum(
        float(item_scorer.catalogue.alone[item]) for item in history
    )  # which item of an ID is no code
    assert events == 5 and sums.loss.item() == pytest.approx(-(codes + shared) - 0.7 * dense, rel=1e-4)
    assert float(sums.levels[-1]) == pytest.approx(-dense, rel=1e-4)


def test_a_residual_is_zero_for_what_training_never_saw_and_never_learns() -> None:
    item_scorer = scorer(n=30, known=20)
    model, cold = item_scorer.model, torch.tensor([20, 29])
    codes = sum(model.rows[k][item_scorer.catalogue.codes[cold, k]] for k in range(3))
    torch.testing.assert_close(model.vectors(item_scorer.catalogue, cold), codes)
    assert residual_rows(model, ["new", "i3"]).tolist() == [-1, 3]
    lesson = ItemLesson(np.array([1, 2, 25]), np.ones(3, bool), np.array([0, 3]), item_scorer.catalogue, 0)
    ((sums, _),) = lesson.sums(model, np.array([0]), 0, np.array([0]))
    sums.loss.backward()
    touched = model.residual.grad.abs().sum(1) > 0
    assert touched.all() and len(touched) == 20  # item 25 moved its code rows alone


@given(st.lists(st.lists(st.integers(0, 29), max_size=9), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_a_history_scores_the_same_alone_and_among_others(histories: list[list[int]]) -> None:
    item_scorer = scorer()
    together = item_scorer(Histories.of_lists(histories))
    for row, history in enumerate(histories):
        np.testing.assert_allclose(item_scorer(Histories.of_lists([history]))[0], together[row], atol=1e-4)


@given(
    st.integers(0, 40),
    st.sets(st.integers(0, 29), max_size=29),
    st.sets(st.integers(0, 29)),
    st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_a_filter_takes_away_and_reorders_nothing(seed: int, gone: set[int], stock: set[int], k: int) -> None:
    item_scorer = scorer()
    trie = build_trie(catalogue(30), SIZES)
    scores = np.round(item_scorer(Histories.of_lists([[seed % 30]]))[0], 1)  # with ties
    base = mask(trie, np.isin(np.arange(30), list(stock))) if seed % 2 else None
    allowed = allow(trie, base, gone)
    may = [item for item in range(30) if item not in gone and (base is None or item in stock)]
    expected = sorted(may, key=lambda item: (-scores[item], item))[:k]
    best = best_of(scores, allowed, k)
    assert best.items.tolist() == expected and best.scores.tolist() == scores[expected].astype(float).tolist()
    named = allow(trie, base, gone, include=range(0, 30, 2))
    assert (
        best_of(scores, named, k).items.tolist()
        == [item for item in sorted(may, key=lambda item: (-scores[item], item)) if item % 2 == 0][:k]
    )


def test_it_is_written_whole_and_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    item_scorer = scorer()
    item_scorer.model.share = 0.25
    save_items(item_scorer.model, tmp_path / "model")
    again = load_items(tmp_path / "model")
    assert again.share == 0.25 and again.items == item_scorer.model.items
    np.testing.assert_array_equal(
        ItemScorer(again, [f"i{k}" for k in range(30)], catalogue(30), SIZES)(Histories.of_lists([[1, 2]])),
        item_scorer(Histories.of_lists([[1, 2]])),
    )
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"item_model\.json: cannot be loaded"):
        load_items(tmp_path / "model")
    with pytest.raises(ModelError, match="other codebooks"):
        ItemScorer(item_scorer.model, ["a"], np.zeros((1, 2), int), (4, 3))
    with torch.no_grad():
        item_scorer.model.rows[0][:] = torch.nan
    with pytest.raises(ModelError, match="not numbers"):
        ItemScorer(item_scorer.model, [f"i{k}" for k in range(30)], catalogue(30), SIZES)


def test_negatives_that_are_drawn_are_corrected_for(monkeypatch: pytest.MonkeyPatch) -> None:
    item_scorer = scorer(n=400, known=400)
    lesson = ItemLesson(np.array([4, 9, 2]), np.ones(3, bool), np.array([0, 3]), item_scorer.catalogue, 0)
    exact = float(next(lesson.sums(item_scorer.model, np.array([0]), 0, np.array([0])))[0].levels[-1])
    monkeypatch.setattr("tastemaker.lm.training.item_lesson.NEGATIVES", 100)
    drawn = [
        float(next(lesson.sums(item_scorer.model, np.array([0]), step, np.array([0])))[0].levels[-1])
        for step in range(40)
    ]
    assert len(set(drawn)) == 40 and np.mean(drawn) == pytest.approx(exact, rel=0.05)


def test_the_catalogue_is_the_tree_of_its_codes() -> None:
    tree = Catalogue(catalogue(30), SIZES, np.arange(30), torch.device("cpu"))
    leaves = {tuple(codes) for codes in catalogue(30).tolist()}
    assert len(tree.nodes[-1]) == len(leaves) and int(tree.leaf.max()) == len(leaves) - 1
    assert isinstance(scorer().model, ItemModel)
