import numpy as np
import pytest
import torch
import torch.nn.functional as F
from recipes.small import build_small

from tastemaker.errors import InputError
from tastemaker.lm.training import losses
from tastemaker.lm.training.losses import entropy
from tastemaker.lm.training.siblings import Siblings

CODES = np.array([[0, 1, 0], [0, 1, 1], [0, 1, 1], [0, 2, 0], [1, 0, 1]])
SIZES = (2, 3, 2)


def test_parents_and_existing_codes_match_the_catalogue_item_by_item() -> None:
    vocabulary = build_small(SIZES)
    tree = Siblings.of(CODES, SIZES)
    stream = np.concatenate([[vocabulary.special("bos")], vocabulary.sid_tokens(CODES).ravel(), [7]])
    parents, leaves = tree.parents(stream, vocabulary).T
    assert parents[0] == -1
    assert parents[-1] == -1
    assert (leaves[1:-1:3] == [0, 1, 1, 2, 3]).all() and (leaves[2::3] == -1).all()
    assert (tree.leaf_codes[leaves[1:-1:3]] == CODES).all()
    for item, codes in enumerate(CODES):
        for level in range(3):
            node = torch.tensor([parents[1 + 3 * item + level]])
            expected = {int(other[level]) for other in CODES if (other[:level] == codes[:level]).all()}
            children, used = tree.children(level, node)
            assert set(children[used].tolist()) == expected


def test_a_semantic_id_that_no_item_has_is_refused() -> None:
    vocabulary = build_small(SIZES)
    tree = Siblings.of(CODES, SIZES)
    for broken in ([[1, 1, 0]], [[0, 0, 0]]):
        with pytest.raises(InputError, match="continues no Semantic ID"):
            tree.parents(vocabulary.sid_tokens(np.array(broken)).ravel(), vocabulary)
    with pytest.raises(InputError, match="token 1 "):
        tree.parents(vocabulary.sid_tokens(CODES[0])[1:], vocabulary)


def test_the_fingerprint_follows_the_catalogue() -> None:
    assert Siblings.of(CODES, SIZES).fingerprint() == Siblings.of(CODES[::-1], SIZES).fingerprint()
    assert Siblings.of(CODES, SIZES).fingerprint() != Siblings.of(CODES[1:], SIZES).fingerprint()


@pytest.mark.parametrize("size", [3, 64])
def test_the_loss_is_the_softmax_over_existing_codes(size: int) -> None:
    sizes = (2, size, 2)
    tree = Siblings.of(CODES, sizes)
    parents = tree.parents(build_small(sizes).sid_tokens(CODES).ravel(), build_small(sizes))[:, 0].reshape(
        5, 3
    )
    torch.manual_seed(0)
    hidden, head = torch.randn(5, 4, requires_grad=True), torch.randn(size, 4, requires_grad=True)
    tree_losses = tree.losses(hidden, head, 1, torch.from_numpy(CODES[:, 1]), torch.from_numpy(parents[:, 1]))
    logits = hidden @ head.T
    for item, codes in enumerate(CODES):
        alive = sorted({int(other[1]) for other in CODES if other[0] == codes[0]})
        expected = torch.logsumexp(logits[item, alive], 0) - logits[item, codes[1]]
        assert tree_losses[item].item() == pytest.approx(expected.item(), abs=1e-5)
    tree_losses.sum().backward()
    assert hidden.grad is not None and hidden.grad.isfinite().all()


def test_products_in_bfloat16_have_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor's library compiles and keeps a product for each shape."""
    shapes, into = set[tuple[int, ...]](), losses._into

    def noted(out: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        shapes.add((*left.shape, *right.shape))
        return into(out, left, right)

    monkeypatch.setattr(losses, "_into", noted)
    for n in range(1, 600, 7):
        rows = torch.randn(100 + n % 20, 6)
        entropy(torch.randn(n, 6), rows, torch.randint(100, (n,)), half=True)
    assert len(shapes) == 8  # a chunk of 64, 128, 192 or 256 queries, there and back


@pytest.mark.parametrize("half", [False, True])
def test_the_softmax_in_chunks_has_the_loss_and_gradients_of_the_whole(
    half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.lm.training.losses.CACHED", 3)
    torch.manual_seed(0)
    query, rows = torch.randn(8, 6, requires_grad=True), torch.randn(5, 6, requires_grad=True)
    shift, targets = 3 * torch.rand(5), torch.tensor([0, 4, 1, 1, 2, 3, 0, 2])
    loss = 0.7 * entropy(query, rows, targets, shift, half)
    whole = 0.7 * F.cross_entropy(query @ rows.T + shift, targets, reduction="sum")
    close = {"rtol": 0.03, "atol": 0.03} if half else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(loss, whole, **close)
    expected = torch.autograd.grad(whole, (query, rows))
    for own, other in zip(torch.autograd.grad(loss, (query, rows)), expected, strict=True):
        torch.testing.assert_close(own, other, **close)
