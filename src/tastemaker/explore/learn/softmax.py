"""The linear softmax that every learner trains, log pi(a|x) = [x, 1] W v_a + scale b_a + anchor l_a -
log-normaliser, and its ascent. l_a: the logit that the logger gave the action in this request, where the log
has it; what is learnt then is a correction of the logger, and the first policy of a path is the logger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError
from tastemaker.explore.learn.space import Rows, Weights
from tastemaker.stats.random import generator


@dataclass(frozen=True)
class Settings:
    """How a policy is trained.

    steps of Adam at `learning_rate`; `bias`: scale of the free parameter of each action (0: none), small so
    that the vectors explain what they can; `spread`: standard deviation the contexts' columns are scaled to;
    `batch`: contexts a step, all of them when there are fewer; `clip`: largest weight in a clipped objective;
    `entropy`: weight of the policy's mean entropy, in units of the log's mean reward; `conservatism`: alpha
    of CQL.
    """

    steps: int = 100
    learning_rate: float = 0.05
    bias: float = 0.3
    spread: float = 0.5
    batch: int = 512
    clip: float = 100.0
    entropy: float = 0.0
    conservatism: float = 0.1

    def __post_init__(self) -> None:
        if (
            self.steps < 1
            or self.batch < 1
            or not 0 < self.learning_rate < 10
            or self.spread <= 0
            or self.clip <= 0
        ):
            raise InputError(
                "learner settings: steps and batch from 1, learning_rate, spread and clip above 0"
            )
        if min(self.bias, self.entropy, self.conservatism) < 0:
            raise InputError("learner settings: bias, entropy and conservatism are 0 or above")


@dataclass(frozen=True)
class Batch:
    """What an objective sees of some contexts: `number` (B,) their numbers, `share` (B,) the part of the
    batch's rows each has, `log_probs` (B, A); of their m rows: `row` (m,) numbers in the log, `place` (m,) of
    the context in the batch, `action`, `reward`, `propensity` (m,).
    """

    number: Ints
    share: torch.Tensor
    log_probs: torch.Tensor
    row: Ints
    place: torch.Tensor
    action: torch.Tensor
    reward: torch.Tensor
    propensity: torch.Tensor

    @property
    def log_prob(self) -> torch.Tensor:
        """(m,) of the rows' own actions."""
        return self.of(self.log_probs)

    @property
    def weight(self) -> torch.Tensor:
        """(m,) importance weights."""
        return self.log_prob.exp() / self.propensity

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over rows."""
        return values.sum() / max(len(values), 1)

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """(m,) the rows' own actions' entries of values (B, A)."""
        return values.view(-1)[self.place * values.shape[1] + self.action]

    def expected(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over rows of E_pi values(x, .), values (B, A)."""
        return ((self.log_probs.exp() * values).sum(1) * self.share).sum()


Objective = Callable[[Batch], torch.Tensor]


def standardise(rows: Rows, spread: float) -> tuple[Floats, Floats]:
    """Shift and scale (d,) that bring every context column to mean 0 and standard deviation `spread`."""
    deviation = rows.contexts.std(axis=0)
    return rows.contexts.mean(axis=0), np.where(deviation > 1e-12, spread / np.maximum(deviation, 1e-12), 0.0)


def ascend(
    rows: Rows,
    objective: Objective,
    settings: Settings,
    key: str | int,
    start: Weights | None = None,
    watch: Callable[[int, Callable[[], Weights]], None] | None = None,
    free: bool = True,
) -> Weights:
    """Gradient ascent on `objective`, from `start` (default: the logger where its logits are known, else the
    uniform policy).

    Where a context is a mean of action vectors, one more parameter is how much likeness to it counts: W's
    diagonal. free: whether W and b are learnt as well, or that and the anchor alone, for which few rows do.
    `watch(step, current)` is called after each step; `current()` gives the weights then.
    """
    shift, scale = (start.shift, start.scale) if start is not None else standardise(rows, settings.spread)
    unit = settings.bias if settings.bias > 0 else 1.0
    n_actions, width = rows.vectors.shape
    first = np.zeros((rows.contexts.shape[1] + 1, width)) if start is None else start.matrix
    matrix = torch.tensor(first, dtype=torch.float32, requires_grad=True)
    bias = torch.tensor(np.zeros(n_actions) if start is None else start.bias / unit, dtype=torch.float32)
    bias.requires_grad_(free and settings.bias > 0)
    matrix.requires_grad_(free)
    inputs = torch.tensor(
        np.c_[(rows.contexts - shift) * scale, np.ones(len(rows.contexts))], dtype=torch.float32
    )
    vectors = torch.tensor(rows.vectors, dtype=torch.float32)
    anchor = torch.tensor(1.0 if start is None else start.anchor, requires_grad=rows.anchored)
    diagonal = torch.tensor(_likeness(rows, scale), dtype=torch.float32)
    alike = torch.tensor(0.0, requires_grad=bool(diagonal.any()))
    adam = torch.optim.Adam(
        [parameter for parameter in (matrix, bias, anchor, alike) if parameter.requires_grad],
        lr=settings.learning_rate,
    )

    def current() -> Weights:
        whole = (matrix + alike * diagonal).detach().numpy().copy()
        learnt = whole, (unit * bias.detach()).numpy(), shift, scale
        return Weights(*learnt, float(anchor.detach()) if rows.anchored else 0.0)

    for step, part in enumerate(batches(rows, settings, key)):
        scores = (inputs[part.number] @ (matrix + alike * diagonal)) @ vectors.T + unit * bias
        log_probs = torch.log_softmax(_within(rows, part.number, scores, anchor), dim=1)
        loss = -objective(replace(part, log_probs=log_probs))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        if watch is not None:
            watch(step, current)
    return current()


def _likeness(rows: Rows, scale: Floats) -> Floats:
    """(d + 1, k) the W that scores each action's likeness to the context; zeros where nothing is alike."""
    diagonal = np.zeros((rows.contexts.shape[1] + 1, rows.vectors.shape[1]))
    width = len(scale)
    spread = float((rows.contexts.std(axis=0) * rows.vectors.std(axis=0)).mean()) if rows.means else 0.0
    if spread > 0:
        unscaled = np.where(scale > 0, 1 / np.maximum(scale, 1e-12), 0.0)
        diagonal[np.arange(width), np.arange(width)] = unscaled / (spread * np.sqrt(width))
    return diagonal


def _within(rows: Rows, contexts: Ints, scores: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
    """The scores (B, A) of some contexts with the logger's logits, far down for what they could not show."""
    if rows.pools is None:
        return scores
    pools = rows.pools[contexts]
    block = slice(0, len(contexts)), slice(0, scores.shape[1])
    inside = pools.mask(*block)
    if pools.logits is not None:
        scores = scores + anchor * torch.tensor(pools.dense(*block), dtype=torch.float32)
    return scores.masked_fill(torch.tensor(~inside), -1e4)


def batches(rows: Rows, settings: Settings, key: str | int) -> Iterator[Batch]:
    """One batch a step: every context with rows, or `settings.batch` of them in a keyed order."""
    order, starts = rows.order
    busy = np.flatnonzero(np.diff(starts))
    if len(busy) <= settings.batch:
        whole = _batch(rows, busy, order, starts)
        for _ in range(settings.steps):
            yield whole
        return
    rng = generator(key, "batches")
    queue = np.empty(0, np.int64)
    for _ in range(settings.steps):
        if len(queue) < settings.batch:
            queue = np.concatenate([queue, rng.permutation(busy)])
        yield _batch(rows, queue[: settings.batch], order, starts)
        queue = queue[settings.batch :]


def _batch(rows: Rows, contexts: Ints, order: Ints, starts: Ints) -> Batch:
    counts = starts[contexts + 1] - starts[contexts]
    place = np.repeat(np.arange(len(contexts)), counts)
    inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = order[np.repeat(starts[contexts], counts) + inside]
    share = torch.tensor(counts / counts.sum(), dtype=torch.float32)
    reward, propensity = (
        torch.tensor(column[chosen], dtype=torch.float32) for column in (rows.reward, rows.propensity)
    )
    empty = torch.empty(0)
    return Batch(
        contexts,
        share,
        empty,
        chosen,
        torch.tensor(place),
        torch.tensor(rows.action[chosen]),
        reward,
        propensity,
    )


Name = Literal["ips", "clipped_ips", "dr", "cql", "log_likelihood"]
NAMES: tuple[Name, ...] = ("ips", "clipped_ips", "dr", "cql", "log_likelihood")


def value(name: Name, rows: Rows, settings: Settings) -> Objective:
    """The objective called `name`.

    ips: mean w r, its gradient mean w r grad log pi (REINFORCE). clipped_ips: w no larger than
    `settings.clip`. dr: with a linear reward model, mean E_pi f + w (r - f). cql: the same with a model held
    down where the log shows nothing. log_likelihood: mean r log pi(a|x), Ustimenko et al., arXiv 2509.03456.
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


def reward_model(rows: Rows, settings: Settings, conservatism: float) -> Objective:
    """Fit f(x, a) = [x, 1] M v_a + b_a by squared loss plus conservatism (logsumexp_a f - f(a_i)), CQL's
    penalty (2006.04779): f, which predicts the rewards (B, A) of a batch.
    """
    shift, scale = standardise(rows, settings.spread)
    inputs = torch.tensor(
        np.c_[(rows.contexts - shift) * scale, np.ones(len(rows.contexts))], dtype=torch.float32
    )
    vectors = torch.tensor(rows.vectors, dtype=torch.float32)
    matrix = torch.zeros(inputs.shape[1], vectors.shape[1], requires_grad=True)
    bias = torch.full((1,), float(rows.reward.mean()), requires_grad=True)

    def predicted_rewards(batch: Batch) -> torch.Tensor:
        return (inputs[batch.number] @ matrix) @ vectors.T + bias

    adam = torch.optim.Adam([matrix, bias], lr=settings.learning_rate)
    for batch in batches(rows, settings, "reward"):
        predicted = predicted_rewards(batch)
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
    return predicted_rewards
