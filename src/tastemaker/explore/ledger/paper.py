"""The accounting of DEPSUE as published (2510.07635): live sample means are banked as if they were known."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import stats

from tastemaker.errors import InputError


def depsue_paper(target: float, live_means: Sequence[float]) -> list[float]:
    """Thresholds C_1 .. C_K, C_k = k C - sum of the live means of the deployments before k.

    target: C; live_means: Von(pi_1) .. Von(pi_{K-1}), the newest last. Equal traffic is assumed, as in the
    paper.
    """
    if target < 0:
        raise InputError(f"the target C is {target}; give a value of at least 0, for instance .95 V0")
    thresholds = [target]
    for mean in live_means:
        thresholds.append(thresholds[-1] + target - mean)
    return thresholds


def paper_violation(deployments: int, delta: float = 0.05) -> float:
    """1 - Phi(z/sqrt(K)): how often the last cumulative constraint fails when every inequality is tight.

    Under equal, independent Gaussian errors of the gate and of each banked mean (the specification, 3.4).
    """
    if deployments < 1 or not 0 < delta < 1:
        raise InputError(
            f"{deployments} deployments at delta {delta}: give at least one and a probability in (0, 1)"
        )
    return float(stats.norm.sf(stats.norm.ppf(1 - delta) / deployments**0.5))
