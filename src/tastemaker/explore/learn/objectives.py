"""What a policy is trained for: OPG by IPS, clipped IPS and doubly robust, weighted log-likelihood, CQL,
imitation, entropy.

Each is divided by the log's mean reward, so that 1 means "as good as the logger" and one weight serves every
log.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from tastemaker.explore.learn.rows import Rows
from tastemaker.explore.learn.softmax import Batch, Objective, Settings, batches, standardise

Name = Literal["ips", "clipped_ips", "dr", "cql", "log_likelihood"]
NAMES: tuple[Name, ...] = ("ips", "clipped_ips", "dr", "cql", "log_likelihood")


def value(name: Name, rows: Rows, settings: Settings) -> Objective:
    """The objective called `name`.

    ips: mean w r, its gradient mean w r grad log pi (REINFORCE). clipped_ips: w no larger than
    `settings.clip`. dr: with a linear reward model, mean E_pi f + w (r - f). cql: the same with a model held
    down where the log shows nothing.
    log_likelihood: mean r log pi(a|x), Ustimenko et al., arXiv 2509.03456.
    """
    unit = 1.0 / max(float(rows.reward.mean()), 1e-12)
    if name == "ips":
        return lambda batch: unit * batch.mean(batch.weight * batch.reward)
    if name == "clipped_ips":
        return lambda batch: unit * batch.mean(batch.weight.clamp(max=settings.clip) * batch.reward)
    if name == "log_likelihood":
        return lambda batch: unit * batch.mean(batch.log_prob * batch.reward)
    model = reward_model(rows, settings, settings.conservatism if name == "cql" else 0.0)

    def doubly_robust(batch: Batch) -> torch.Tensor:
        predicted = model(batch)
        own = batch.of(predicted)
        weight = batch.weight.clamp(max=settings.clip)
        return unit * (batch.expected(predicted) + batch.mean(weight * (batch.reward - own)))

    return doubly_robust


def regularised(main: Objective, imitation: float, entropy: float) -> Objective:
    """`main` - imitation R(pi, pi0) + entropy H(pi), with R = -mean log pi(a_i|x_i) over the log's rows."""

    def total(batch: Batch) -> torch.Tensor:
        out = main(batch)
        if imitation:
            out = out + imitation * batch.mean(batch.log_prob)
        if entropy:
            out = out - entropy * batch.expected(batch.log_probs)
        return out

    return total


def reward_model(rows: Rows, settings: Settings, conservatism: float) -> RewardModel:
    """Fit f(x, a) = [x, 1] M v_a + b_a by squared loss plus conservatism (logsumexp_a f - f(a_i)), CQL's
    penalty (2006.04779).
    """
    shift, scale = standardise(rows, settings.spread)
    inputs = torch.tensor(
        np.c_[(rows.contexts - shift) * scale, np.ones(len(rows.contexts))], dtype=torch.float32
    )
    vectors = torch.tensor(rows.vectors, dtype=torch.float32)
    matrix = torch.zeros(inputs.shape[1], vectors.shape[1], requires_grad=True)
    bias = torch.full((1,), float(rows.reward.mean()), requires_grad=True)
    model = RewardModel(inputs, vectors, matrix, bias)
    adam = torch.optim.Adam([matrix, bias], lr=settings.learning_rate)
    for batch in batches(rows, settings, "reward"):
        predicted = model(batch)
        own = batch.of(predicted)
        loss = batch.mean((batch.reward - own) ** 2)
        if conservatism:
            spread = torch.logsumexp(predicted, dim=1) - float(np.log(predicted.shape[1]))
            loss = loss + conservatism * ((spread * batch.share).sum() - batch.mean(own))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    matrix.requires_grad_(False)
    bias.requires_grad_(False)
    return model


class RewardModel:
    """f(x, a) for the contexts of a log: (B, A)."""

    def __init__(
        self, inputs: torch.Tensor, vectors: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor
    ) -> None:
        self.inputs, self.vectors, self.matrix, self.bias = inputs, vectors, matrix, bias

    def __call__(self, batch: Batch) -> torch.Tensor:
        """(B, A) predicted rewards of a batch."""
        return (self.inputs[batch.number] @ self.matrix) @ self.vectors.T + self.bias
