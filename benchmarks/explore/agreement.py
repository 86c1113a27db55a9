"""Our estimators beside sb-obp's on one synthetic log; they should agree to 1e-9.

    python -m benchmarks.explore.agreement

The peer runs in an environment of its own, made on first use. Exit code 1 when an estimate differs by more
than 1e-9.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.explore.environment import VERSION, peer_python
from recipes.common import command, options
from recipes.explore.shrunk import dros, switch_dr

from tastemaker.explore.estimate.weighting import clipped_ips, dm, dr, ips, mips, snips
from tastemaker.explore.policy.softmax import SoftmaxPolicy
from tastemaker.explore.table import Log

ROWS, ACTIONS, PREFIXES, TOLERANCE = 2_000, 50, 8, 1e-9


class Given:
    """A reward model that is a table of predictions (n, A)."""

    def __init__(self, table: npt.NDArray[np.float64]) -> None:
        self.table = table

    def at(self, actions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(n, m) predictions of m actions a row."""
        return np.asarray(self.table[np.arange(len(actions))[:, None], actions])

    def block(self, rows: slice, actions: slice) -> npt.NDArray[np.float64]:
        """(r, a)."""
        return self.table[rows, actions]


def dense(policy: SoftmaxPolicy, context: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, A) probabilities, the plain way."""
    scores = np.exp(context @ policy.matrix @ policy.vectors.T)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def main() -> int:
    """Both sides' numbers, and whether they agree."""
    options(__doc__).parse_args()
    rng = np.random.default_rng(7)
    context, vectors, prefixes = (
        rng.normal(size=(ROWS, 6)),
        rng.normal(size=(ACTIONS, 5)),
        np.arange(ACTIONS) % PREFIXES,
    )
    logger, policy = (
        SoftmaxPolicy(vectors, spread * rng.normal(size=(6, 5)), prefixes=prefixes, precision="float64")
        for spread in (0.2, 0.4)
    )
    pi0, pi = dense(logger, context), dense(policy, context)
    q = 1 / (1 + np.exp(1.5 - context[:, :5] @ vectors.T))
    action = (np.cumsum(pi0, axis=1) < rng.random((ROWS, 1))).sum(axis=1)
    reward = (rng.random(ROWS) < q[np.arange(ROWS), action]).astype(float)
    qhat = np.clip(0.8 * q + 0.05 + 0.05 * rng.normal(size=q.shape), 0, 1)
    log = Log(
        context, action, reward, pi0[np.arange(ROWS), action], [str(action) for action in range(ACTIONS)]
    )
    model = Given(qhat)
    ours = [
        ips(log, policy),
        clipped_ips(log, policy, 2.0),
        snips(log, policy),
        dm(log, policy, model),
        dr(log, policy, model),
        switch_dr(log, policy, model, 1.5),
        dros(log, policy, model, 3.0),
        mips(log, policy, logger=logger),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.npz"
        arrays = {"context": context, "action": action, "reward": reward, "propensity": log.propensity}
        np.savez(path, pi0=pi0, pi=pi, qhat=qhat, prefixes=prefixes, **arrays)
        command = [str(peer_python()), str(Path(__file__).with_name("peer.py")), "agree", str(path)]
        theirs = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        )
    print(f"{ROWS:,} rows, {ACTIONS} actions, {PREFIXES} prefixes; sb-obp {VERSION}\n")
    print(f"{'estimator':<12} {'ours':>18} {'sb-obp':>18} {'difference':>11}")
    gaps = [abs(estimate.mean - theirs[estimate.estimator]) for estimate in ours]
    for estimate, gap in zip(ours, gaps, strict=True):
        print(
            f"{estimate.estimator:<12} {estimate.mean:>18.14f} {theirs[estimate.estimator]:>18.14f}"
            f" {gap:>11.1e}"
        )
    print(
        f"\nlargest difference {max(gaps):.1e}: {'agreed' if max(gaps) <= TOLERANCE else 'NOT agreed'} to"
        f" {TOLERANCE:g}"
    )
    return int(max(gaps) > TOLERANCE)


if __name__ == "__main__":
    command(main)
