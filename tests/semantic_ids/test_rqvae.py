"""RQ-VAE: golden values, every switch moves the gradient, cold items, determinism, and serving without
torch.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.semantic_ids.residuals import reconstruction_errors

from tastemaker.errors import InputError
from tastemaker.semantic_ids import network, rqvae
from tastemaker.semantic_ids.codebook import Codebook, encode
from tastemaker.semantic_ids.report import sid_report
from tastemaker.semantic_ids.rqvae import RqvaeSettings, fit_rqvae
from tastemaker.semantic_ids.views import fit_views
from tastemaker.stats.random import generator

QUICK = RqvaeSettings(
    epochs=12, warmup=2, batch=64, pair_batch=32, hidden=24, latent=8, reseed_every=3, learning_rate=5e-3
)
SIZES = (16, 8, 4)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def _views(n: int = 320) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Text clusters; behaviour that follows four groups of them and is missing for every ninth item; pairs
    inside a group.
    """
    rng = np.random.default_rng(0)
    label = rng.integers(0, 16, n)
    text = (rng.normal(0, 2, (16, 10))[label] + rng.normal(0, 0.5, (n, 10))).astype(np.float32)
    behaviour = (rng.normal(0, 2, (4, 6))[label % 4] + rng.normal(0, 0.5, (n, 6))).astype(np.float32)
    behaviour[::9] = np.nan
    pairs = rng.integers(0, n, (8000, 2))
    return {"text": text, "behaviour": behaviour}, pairs[(label[pairs] % 4).std(axis=1) == 0]


def _network(seed: int = 0) -> tuple[network.Network, rqvae._Data, tuple]:
    views, pairs = _views()
    known = fit_views(views, None)
    data = rqvae._data(views, known, pairs, None, 320)
    torch.manual_seed(seed)
    net = network.Network([view.dimensions for view in known], SIZES, 24, 8)
    rqvae._start_codewords(net, data, seed)
    return net, data, known


def _gradient(config: RqvaeSettings, seed: int = 3) -> dict[str, torch.Tensor]:
    net, data, known = _network()
    losses = rqvae.batch_losses(net, data, known, np.arange(100), config, generator(seed))
    torch.stack(list(losses.values())).sum().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def test_golden_info_nce() -> None:
    p = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert network.info_nce(p, 1.0).item() == pytest.approx(0.5514, abs=5e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10_000))
def test_info_nce_equals_its_definition(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.normal(size=(2 * n, 3))
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    blocked = rng.random((2 * n, 2 * n)) < 0.3
    total = 0.0
    for i in range(2 * n):
        partner = i + 1 if i % 2 == 0 else i - 1
        others = [j for j in range(2 * n) if j != i and (j == partner or not blocked[i, j])]
        total -= np.log(np.exp(p[i] @ p[partner] / 0.1) / sum(np.exp(p[i] @ p[j] / 0.1) for j in others))
    got = network.info_nce(torch.tensor(p), 0.1, torch.tensor(blocked)).item()
    assert got == pytest.approx(total / (2 * n), abs=1e-9)


@pytest.mark.parametrize("levels", [1, 4, 8])
def test_masking_keeps_level_l_with_probability(levels: int) -> None:
    n = 20_000
    mask = network.kept_levels(n, levels, torch.from_numpy(generator(0, "mask").random(n))).numpy()
    expected = (levels - np.arange(levels)) / levels
    assert (np.abs(mask.mean(axis=0) - expected) < 4 * 0.5 / np.sqrt(n)).all()
    assert (np.diff(mask, axis=1) <= 0).all() and (mask[:, 0] == 1).all()


def test_straight_through_has_the_codewords_value_and_zs_gradient() -> None:
    net, data, _ = _network()
    z = net.encode(data.views, data.present).detach().requires_grad_()
    q = net.quantise(z)
    mask = torch.tensor([1.0, 1, 0]).expand(len(z), 3)
    z_hat = network.straight_through(z, q, mask)
    torch.testing.assert_close(z_hat, net.codebooks[0][q.codes[:, 0]] + net.codebooks[1][q.codes[:, 1]])
    z_hat.sum().backward()
    torch.testing.assert_close(z.grad, torch.ones_like(z))


def test_quantisation_terms_pull_the_right_side() -> None:
    net, data, _ = _network()
    commitment, codebook = network.quantisation(net.quantise(net.encode(data.views, data.present)))
    assert commitment.item() == pytest.approx(codebook.item())
    commitment.backward()
    assert net.codebooks[0].grad is None and net.project.weight.grad.abs().sum() > 0
    net.zero_grad()
    codebook.backward()
    assert net.codebooks[0].grad.abs().sum() > 0 and net.project.weight.grad is None


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"beta": 0.5}, "project.weight"),
        ({"codebook_weight": 2.0}, "codebooks.0"),
        ({"contrastive": 0.5}, "head.0.weight"),
        ({"contrastive": 0.5}, "project.weight"),
        ({"temperature": 0.3}, "project.weight"),
        ({"masking": False}, "decoders.0.0.weight"),
        ({"drop": {}}, "nulls.0"),
        ({"drop": {"text": 0.5}}, "nulls.1"),
    ],
)
def test_each_switch_changes_the_gradient(change: dict, parameter: str) -> None:
    before, after = _gradient(QUICK), _gradient(replace(QUICK, **change))
    unchanged = _gradient(QUICK)
    assert torch.equal(before[parameter], unchanged[parameter])
    assert not torch.equal(before[parameter], after[parameter])


def test_view_weights_change_the_gradient() -> None:
    net, data, known = _network()
    grads = []
    for weight in (1.0, 3.0):
        net.zero_grad()
        decoded = [decoder(net.encode(data.views, data.present)) for decoder in net.decoders]
        network.reconstruction(decoded, data.views, data.present, [weight, 1.0]).backward()
        grads.append(net.encoders[0][0].weight.grad.clone())
    assert not torch.equal(*grads)
    assert [view.name for view in known] == ["behaviour", "text"]


def test_reconstruction_by_hand_and_missing_views_ask_for_nothing() -> None:
    x = [torch.tensor([[1.0, 2], [9, 9]]), torch.tensor([[3.0], [5]])]
    y = [torch.tensor([[0.0, 0], [0, 0]]), torch.tensor([[0.0], [4]])]
    present = torch.tensor([[True, True], [False, True]])
    got = network.reconstruction(y, x, present, [2.0, 1.0]).item()
    assert got == pytest.approx((2 * (1 + 4) / 2 + 9 + 1) / 2)


def test_known_pairs_and_repeats_are_blocked_as_negatives() -> None:
    _, data, _ = _network()
    items, blocked = data.draw_pairs(40, generator(1))
    together = {tuple(pair) for pair in data.pairs} | {tuple(pair[::-1]) for pair in data.pairs}
    oracle = np.array([[(a, b) in together or a == b for b in items] for a in items])
    np.testing.assert_array_equal(blocked.numpy(), oracle)
    assert (items.reshape(-1, 2)[:, None] == data.pairs[None]).all(axis=2).any(axis=1).all()


def test_pairs_are_drawn_in_proportion_to_their_weights() -> None:
    views, _ = _views()
    known = fit_views(views, None)
    data = rqvae._data(views, known, np.array([[0, 1], [2, 3], [4, 5]]), np.array([1.0, 0, 3]), 320)
    items, _ = data.draw_pairs(500, generator(0))
    counts = np.bincount(items, minlength=6)[::2]
    assert counts[1] == 0 and abs(counts[2] - 375) < 4 * np.sqrt(500 * 0.75 * 0.25)


def test_training_learns_repeats_and_serves_without_torch() -> None:
    views, pairs = _views()
    seen: list[dict] = []
    book = fit_rqvae(
        views, SIZES, pairs, QUICK, 0, progress=lambda epoch, epochs, losses: seen.append(dict(losses))
    )
    again = fit_rqvae(views, SIZES, pairs, QUICK, 0)
    assert book.version == again.version != fit_rqvae(views, SIZES, pairs, QUICK, 1).version
    codes = encode(book, views)
    np.testing.assert_array_equal(codes, encode(again, views))
    np.testing.assert_array_equal(codes, encode(Codebook.load(book.arrays(), book.settings()), views))
    assert len(seen) == 12 and set(seen[0]) == {"reconstruction", "contrastive"}
    assert set(seen[2]) == {"reconstruction", "commitment", "codebook", "contrastive"}
    assert seen[-1]["reconstruction"] < 0.8 * seen[2]["reconstruction"]
    assert seen[-1]["contrastive"] < seen[2]["contrastive"]
    assert (np.diff(reconstruction_errors(book, views)) < 0).all()
    assert sid_report(codes, SIZES).use[0] >= 0.8  # sixteen clusters of random centres, some close


def test_frozen_codebook_equals_the_network() -> None:
    net, data, known = _network()
    views, _ = _views()
    z, _ = rqvae._freeze(net, known).latent(views)
    np.testing.assert_allclose(z, net.encode(data.views, data.present).detach().numpy(), atol=1e-5)


def test_dropping_behaviour_in_training_helps_cold_items() -> None:
    views, _pairs = _views()
    agree = []
    for drop in ({}, {"behaviour": 0.5}):
        book = fit_rqvae(views, SIZES, None, replace(QUICK, drop=drop, epochs=20), 0)
        cold = encode(book, {"text": views["text"]})
        agree.append(sid_report(encode(book, views), SIZES, without_view=cold).first_agreement)
    assert agree[1] > agree[0]


def test_cooccurrence_loss_brings_partners_together() -> None:
    views, pairs = _views()
    share = []
    for weight in (0.0, 1.0):
        book = fit_rqvae(
            {"text": views["text"]}, (4, 8), pairs, replace(QUICK, contrastive=weight, epochs=25), 0
        )
        first = encode(book, {"text": views["text"]})[:, 0]
        share.append(float((first[pairs[:, 0]] == first[pairs[:, 1]]).mean()))
    assert share[1] > share[0] + 0.1


def test_dead_codes_are_reseeded_early_and_left_alone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    net, data, _ = _network()
    optimiser = torch.optim.AdamW(net.parameters())
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    optimiser.step()
    with torch.no_grad():
        net.codebooks[0][3:] = 1e4
    rqvae._reseed(net, data, optimiser, generator(0))
    assert net.codebooks[0].abs().max() < 1e3
    assert optimiser.state[net.codebooks[0]]["exp_avg"][3:].abs().sum() == 0
    assert optimiser.state[net.codebooks[0]]["exp_avg"][:3].abs().sum() > 0
    epochs: list[int] = []
    views, _ = _views()
    now = [0]
    monkeypatch.setattr(rqvae, "_reseed", lambda *a: epochs.append(now[0] + 1))
    fit_rqvae(
        views,
        SIZES,
        None,
        replace(QUICK, final_share=0.4),
        0,
        progress=lambda epoch, *a: now.__setitem__(0, epoch),
    )
    assert epochs == [3, 6]


def test_fitting_leaves_the_global_generator_alone() -> None:
    views, _ = _views(64)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    fit_rqvae(views, (8, 4), None, replace(QUICK, epochs=1), 0)
    assert torch.equal(torch.rand(1), expected)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="320 items but 512 codes"):
        fit_rqvae(_views()[0], (512, 8), None)
