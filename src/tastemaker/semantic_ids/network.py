"""The RQ-VAE of PLUM's Semantic IDs (arXiv 2510.07784, SID-v2), its losses; for training, by torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Quantised:
    """codes: (B, L); residuals: (B, L, D), level l quantises; chosen: (B, L, D) codewords, with gradient."""

    codes: Tensor
    residuals: Tensor
    chosen: Tensor


class Network(nn.Module):
    """One encoder, decoder and learned null a view; a joint projection; codewords; the contrastive head.

    widths: dimensions of each view; sizes: K_l of each level; hidden, latent: layer widths.
    """

    def __init__(self, widths: Sequence[int], sizes: Sequence[int], hidden: int, latent: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(_two_layers(width, hidden, latent) for width in widths)
        self.nulls = nn.ParameterList(nn.Parameter(torch.zeros(latent)) for _ in widths)
        self.project = nn.Linear(latent * len(widths), latent)
        self.codebooks = nn.ParameterList(nn.Parameter(torch.zeros(size, latent)) for size in sizes)
        self.decoders = nn.ModuleList(_two_layers(latent, hidden, width) for width in widths)
        self.head = _two_layers(latent, hidden, latent)

    def encode(self, views: Sequence[Tensor], present: Tensor) -> Tensor:
        """z (B, D) of standardised views [(B, d_m)]; present (B, M) bool: False puts the learned null."""
        parts = [
            torch.where(present[:, m, None], encoder(views[m]), self.nulls[m])
            for m, encoder in enumerate(self.encoders)
        ]
        out: Tensor = self.project(torch.cat(parts, dim=1))
        return out

    def quantise(self, z: Tensor) -> Quantised:
        """Nearest codeword of residuals, level by level; gradient reaches z, not earlier codewords."""
        residual = z
        codes, residuals, chosen = [], [], []
        for words in self.codebooks:
            nearest = (words.detach().square().sum(dim=1) - 2 * residual.detach() @ words.detach().T).argmin(
                dim=1
            )
            picked = words[nearest]
            codes.append(nearest)
            residuals.append(residual)
            chosen.append(picked)
            residual = residual - picked.detach()
        return Quantised(torch.stack(codes, 1), torch.stack(residuals, 1), torch.stack(chosen, 1))

    def contrast(self, z_hat: Tensor) -> Tensor:
        """p (B, D), unit length, from the (masked) quantised vector."""
        return functional.normalize(self.head(z_hat), dim=1)


def straight_through(z: Tensor, quantised: Quantised, mask: Tensor) -> Tensor:
    """z_hat: kept levels' codewords summed in value, z in gradient. mask: (B, L), 1 where one counts."""
    total = (quantised.chosen * mask[:, :, None]).sum(dim=1)
    return z + (total - z).detach()


def kept_levels(n: int, levels: int, draws: Tensor) -> Tensor:
    """(n, levels) progressive mask: r uniform on 1..levels, level l kept when l <= r, so with probability (L
    - l + 1) / L.

    draws: (n,) uniform in [0, 1).
    """
    r = (draws * levels).floor().long().clamp(max=levels - 1)
    return (torch.arange(levels)[None, :].expand(n, levels) <= r[:, None]).float()


def reconstruction(
    decoded: Sequence[Tensor], views: Sequence[Tensor], present: Tensor, weights: Sequence[float]
) -> Tensor:
    """sum over views of w_m / d_m ||x_m - D_m(z_hat)||^2, mean over items, missing views left out."""
    losses = [
        weight * ((x - y).square().mean(dim=1) * present[:, m]).sum()
        for m, (y, x, weight) in enumerate(zip(decoded, views, weights, strict=True))
    ]
    return torch.stack(losses).sum() / len(present)


def quantisation(quantised: Quantised) -> tuple[Tensor, Tensor]:
    """(commitment, codebook): sum over levels of ||r - sg[e]||^2 and of ||sg[r] - e||^2, mean over items."""
    commitment = (quantised.residuals - quantised.chosen.detach()).square().sum(dim=(1, 2)).mean()
    codebook = (quantised.residuals.detach() - quantised.chosen).square().sum(dim=(1, 2)).mean()
    return commitment, codebook


def info_nce(p: Tensor, temperature: float, blocked: Tensor | None = None) -> Tensor:
    """Mean over 2N items of -log(exp(p_i p_i+ / t) / sum_j exp(p_i p_j / t)); rows 2k and 2k + 1 of p (2N, D)
    are partners.

    An item is left out of its own denominator, and so is any j with blocked[i, j] True (known to occur with
    i, or i itself again); the partner always stays.
    """
    n = len(p)
    index = torch.arange(n)
    partner = index ^ 1
    scores = p @ p.T / temperature
    out = torch.zeros(n, n, dtype=torch.bool) if blocked is None else blocked.clone()
    out[index, index], out[index, partner] = True, False
    return (scores.masked_fill(out, -torch.inf).logsumexp(dim=1) - scores[index, partner]).mean()


def _two_layers(inside: int, hidden: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, hidden), nn.ReLU(), nn.Linear(hidden, outside))
