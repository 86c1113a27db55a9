"""Fit an RQ-VAE with every switch of SID-v2, and freeze it into a `Codebook`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
import torch
from torch import Tensor

import tastemaker.semantic_ids.network as network
from tastemaker.errors import InputError
from tastemaker.semantic_ids.codebook import Codebook
from tastemaker.semantic_ids.rkmeans import RkmeansSettings, kmeans
from tastemaker.semantic_ids.sizes import check_sizes
from tastemaker.semantic_ids.views import Float32, View, Views, fit_views
from tastemaker.stats.random import generator

# (epoch, epochs, {loss name: mean over the epoch})
Progress = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True)
class RqvaeSettings:
    """Every switch of SID-v2. Multi-resolution is the choice of `sizes`, multi-embedding that of `views`.

    masking: progressive masking; contrastive: weight lambda of the co-occurrence loss (0 or no pairs: off),
    to be chosen by validation recall from 0, .03, .1, .3, 1; drop: probability of hiding a view from the
    encoder, so that cold items encode from the others; warmup: epochs as a plain autoencoder before residual
    k-means places the codewords, so that they start where the encoder puts items and not where it first
    happened to; view_weights: w_m of reconstruction, default 1; reseed_every: epochs between re-seedings of
    unused codes (0: never), none in the last `final_share` of the epochs, so that training use is what
    inference sees.
    """

    epochs: int = 60
    warmup: int = 5
    batch: int = 512
    pair_batch: int = 256
    hidden: int = 128
    latent: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    beta: float = 0.25
    codebook_weight: float = 1.0
    masking: bool = True
    contrastive: float = 0.3
    temperature: float = 0.1
    drop: Mapping[str, float] = field(default_factory=lambda: {"behaviour": 0.5})
    view_weights: Mapping[str, float] = field(default_factory=dict)
    reseed_every: int = 10
    final_share: float = 0.3


@dataclass(frozen=True, eq=False)
class _Data:
    """Standardised views [(N, d_m)], present (N, M), and the pairs with their sampling law and adjacency."""

    views: list[Tensor]
    present: Tensor
    pairs: npt.NDArray[np.int64]
    cumulative: npt.NDArray[np.float64]
    together: sparse.csr_array | None

    def draw_pairs(self, n: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], Tensor]:
        """(2n,) items, partners adjacent, and (2n, 2n) which are known to occur together or are equal."""
        drawn = np.searchsorted(self.cumulative, rng.random(n) * self.cumulative[-1], side="right")
        items = self.pairs[np.minimum(drawn, len(self.pairs) - 1)].ravel()
        assert self.together is not None  # pairs exist, so their adjacency does
        return items, torch.from_numpy(self.together[items][:, items].toarray())


def fit_rqvae(
    views: Views,
    sizes: Sequence[int],
    pairs: npt.NDArray[np.int64] | None,
    settings: RqvaeSettings | None = None,
    seed: int = 0,
    pair_weights: npt.NDArray[Any] | None = None,
    progress: Progress | None = None,
) -> Codebook:
    """Train an RQ-VAE on (N, d_m) float32 views and freeze it; `encode` then needs no torch.

    pairs: (P, 2) item indices that occur together in *training* histories, drawn in proportion to
    pair_weights (P,), default equal; None switches the co-occurrence loss off. NaN rows are missing views: a
    learned null stands for them. Loss: sum_m w_m/d_m ||x_m - D_m(z_hat)||^2 + codebook_weight ||sg[r] - e||^2
    + beta ||r - sg[e]||^2 + lambda InfoNCE, the first and last on the masked z_hat. Codewords start from
    residual k-means after the warm-up. Deterministic for a seed and CPU thread count; which callers pin.

    Raises InputError for fewer items than codes at level 1, or bad views (named, with the row).
    """
    settings = settings or RqvaeSettings()
    sizes = check_sizes(sizes)
    known = fit_views(views, settings.view_weights or None)
    n = len(next(iter(views.values())))
    if n < sizes[0]:
        raise InputError(f"{n} items but {sizes[0]} codes at level 1; choose a first size of at most {n}")
    data = _data(views, known, pairs if settings.contrastive else None, pair_weights, n)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, "rqvae weights").integers(2**31)))
        net = network.Network([view.dimensions for view in known], sizes, settings.hidden, settings.latent)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    rng = generator(seed, "rqvae")
    last_reseed = settings.epochs * (1 - settings.final_share)
    for epoch in range(1, settings.epochs + 1):
        if epoch == min(settings.warmup, settings.epochs - 1) + 1:
            _start_codewords(net, data, seed)
        sums: dict[str, float] = {}
        for rows in _batches(n, settings.batch, rng):
            losses = batch_losses(net, data, known, rows, settings, rng, warm=epoch <= settings.warmup)
            total = torch.stack(list(losses.values())).sum()
            optimiser.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.item() * len(rows) / n
        if settings.reseed_every and epoch % settings.reseed_every == 0 and epoch <= last_reseed:
            _reseed(net, data, optimiser, rng)
        if progress:
            progress(epoch, settings.epochs, sums)
    return _freeze(net, known)


def batch_losses(
    net: network.Network,
    data: _Data,
    known: Sequence[View],
    rows: npt.NDArray[np.int64],
    settings: RqvaeSettings,
    rng: np.random.Generator,
    warm: bool = False,
) -> dict[str, Tensor]:
    """The weighted loss terms of one step: reconstruction, commitment, codebook and, with pairs, contrastive.

    `warm` leaves quantisation out: z itself is decoded and contrasted.
    """
    z = _encode(net, data, known, rows, settings, rng)
    quantised = net.quantise(z)
    z_hat = z if warm else network.straight_through(z, quantised, _mask(len(rows), net, settings, rng))
    decoded = [decoder(z_hat) for decoder in net.decoders]
    wanted, there = [view[rows] for view in data.views], data.present[rows]
    losses = {
        "reconstruction": network.reconstruction(decoded, wanted, there, [view.weight for view in known])
    }
    if not warm:
        commitment, codebook = network.quantisation(quantised)
        losses |= {"commitment": settings.beta * commitment, "codebook": settings.codebook_weight * codebook}
    if len(data.pairs) and settings.contrastive:
        items, blocked = data.draw_pairs(settings.pair_batch, rng)
        z = _encode(net, data, known, items, settings, rng)
        z_hat = (
            z if warm else network.straight_through(z, net.quantise(z), _mask(len(items), net, settings, rng))
        )
        losses["contrastive"] = settings.contrastive * network.info_nce(
            net.contrast(z_hat), settings.temperature, blocked
        )
    return losses


def _encode(
    net: network.Network,
    data: _Data,
    known: Sequence[View],
    rows: npt.NDArray[np.int64],
    settings: RqvaeSettings,
    rng: np.random.Generator,
) -> Tensor:
    """z (B, D) of items, some views hidden; the last view an item has is never hidden."""
    there = data.present[rows]
    hide = torch.tensor([settings.drop.get(view.name, 0.0) for view in known])
    hidden = torch.from_numpy(rng.random((len(rows), len(known)))) < hide
    remaining = there & ~hidden
    remaining = torch.where(remaining.any(dim=1, keepdim=True), remaining, there)
    return net.encode([view[rows] for view in data.views], remaining)


def _mask(n: int, net: network.Network, settings: RqvaeSettings, rng: np.random.Generator) -> Tensor:
    levels = len(net.codebooks)
    return (
        network.kept_levels(n, levels, torch.from_numpy(rng.random(n)))
        if settings.masking
        else torch.ones(n, levels)
    )


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    order = rng.permutation(n)
    for start in range(0, n, size):
        yield order[start : start + size]


def _data(
    views: Views,
    known: Sequence[View],
    pairs: npt.NDArray[np.int64] | None,
    weights: npt.NDArray[Any] | None,
    n: int,
) -> _Data:
    parts = [view.standardise(views[view.name], n) for view in known]
    tensors, present = (
        [torch.from_numpy(x) for x, _ in parts],
        torch.from_numpy(np.stack([here for _, here in parts], axis=1)),
    )
    if pairs is None or not len(pairs):
        return _Data(tensors, present, np.empty((0, 2), np.int64), np.empty(0), None)
    pairs = np.asarray(pairs, np.int64)
    mass = np.ones(len(pairs)) if weights is None else np.asarray(weights, np.float64)
    ends = np.r_[pairs, pairs[:, ::-1], np.column_stack([np.arange(n), np.arange(n)])]
    together = sparse.csr_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(n, n))
    return _Data(tensors, present, pairs, np.cumsum(mass), together)


@torch.no_grad()
def _start_codewords(net: network.Network, data: _Data, seed: int) -> None:
    """Residual k-means of the untrained encoder's outputs (at most 50,000 items)."""
    residual = net.encode(data.views, data.present).numpy()
    if len(residual) > 50_000:
        residual = residual[
            np.sort(generator(seed, "rqvae start").choice(len(residual), 50_000, replace=False))
        ]
    there, block = np.ones((len(residual), 1), np.float32), (slice(0, residual.shape[1]),)
    for level, words in enumerate(net.codebooks):
        start = kmeans(
            residual, there, block, len(words), (seed, "rqvae start", level), RkmeansSettings(iterations=10)
        )
        words.copy_(torch.from_numpy(start))
        residual = residual - start[(np.square(start).sum(axis=1) - 2 * residual @ start.T).argmin(axis=1)]


@torch.no_grad()
def _reseed(
    net: network.Network, data: _Data, optimiser: torch.optim.AdamW, rng: np.random.Generator
) -> None:
    """Move unused codewords onto residuals drawn by their quantisation error; forget their momentum."""
    quantised = net.quantise(net.encode(data.views, data.present))
    for level, words in enumerate(net.codebooks):
        dead = torch.bincount(quantised.codes[:, level], minlength=len(words)) == 0
        count = int(dead.sum())
        if not count:
            continue
        error = (quantised.residuals[:, level] - quantised.chosen[:, level]).square().sum(
            dim=1
        ).double().numpy() + 1e-12
        rows = rng.choice(len(error), count, replace=count > len(error), p=error / error.sum())
        words[dead] = quantised.residuals[rows, level]
        for name in ("exp_avg", "exp_avg_sq"):
            optimiser.state[words][name][dead] = 0


@torch.no_grad()
def _freeze(net: network.Network, known: Sequence[View]) -> Codebook:
    views = []
    for m, view in enumerate(known):
        layers = [module for module in net.encoders[m].modules() if isinstance(module, torch.nn.Linear)]
        arrays = tuple((_numpy(layer.weight), _numpy(layer.bias)) for layer in layers)
        views.append(View(view.name, view.mean, view.scale, view.weight, arrays, _numpy(net.nulls[m])))
    joint = (_numpy(net.project.weight), _numpy(net.project.bias))
    return Codebook("rqvae", tuple(views), tuple(_numpy(words) for words in net.codebooks), joint)


def _numpy(tensor: Tensor) -> Float32:
    return np.ascontiguousarray(tensor.detach().numpy(), np.float32).copy()
