"""Runs in the peer's environment: sb-obp's estimates of a dense log, or the cost of its dense data. Prints
one JSON line.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np


def agree(path: str) -> dict[str, float]:
    """Estimates of the arrays in an .npz file."""
    from obp import ope  # type: ignore[import-not-found]

    data = np.load(path)
    n, actions = data["pi"].shape
    common = {
        "reward": data["reward"],
        "action": data["action"],
        "pscore": data["propensity"],
        "action_dist": data["pi"][:, :, None],
        "position": np.zeros(n, int),
    }
    model = {"estimated_rewards_by_reg_model": data["qhat"][:, :, None]}
    prefixes = data["prefixes"]
    given = np.zeros((actions, prefixes.max() + 1, 1))
    given[np.arange(actions), prefixes, 0] = 1.0
    estimates = {
        "ips": ope.InverseProbabilityWeighting().estimate_policy_value(**common),
        "clipped_ips": ope.InverseProbabilityWeighting(lambda_=2.0).estimate_policy_value(**common),
        "snips": ope.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**common),
        "dm": (
            ope.DirectMethod().estimate_policy_value(
                action_dist=common["action_dist"], position=common["position"], **model
            )
        ),
        "dr": ope.DoublyRobust().estimate_policy_value(**common, **model),
        "switch_dr": ope.SwitchDoublyRobust(lambda_=1.5).estimate_policy_value(**common, **model),
        "dros": ope.DoublyRobustWithShrinkage(lambda_=3.0).estimate_policy_value(**common, **model),
        "mips": (
            ope.MarginalizedInverseProbabilityWeighting(n_actions=actions).estimate_policy_value(
                reward=data["reward"],
                action=data["action"],
                context=data["context"],
                action_embed=prefixes[data["action"]][:, None],
                pi_b=data["pi0"][:, :, None],
                action_dist=common["action_dist"],
                position=common["position"],
                p_e_a=given,
            )
        ),
    }
    return {name: float(value) for name, value in estimates.items()}


def scale(rows: int, actions: int) -> dict[str, float]:
    """Processor and wall seconds of a dense log of rows x actions and one IPS estimate on it, and the peak of
    extra memory.
    """
    from obp import dataset, ope

    before, start, wall = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        time.process_time(),
        time.perf_counter(),
    )
    data = dataset.SyntheticBanditDataset(
        n_actions=actions,
        dim_context=32,
        reward_function=dataset.logistic_reward_function,
        behavior_policy_function=dataset.linear_behavior_policy,
        random_state=1,
    ).obtain_batch_bandit_feedback(n_rounds=rows)
    ope.InverseProbabilityWeighting().estimate_policy_value(
        reward=data["reward"],
        action=data["action"],
        pscore=data["pscore"],
        action_dist=data["pi_b"],
        position=np.zeros(rows, int),
    )
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"seconds": time.process_time() - start, "wall": time.perf_counter() - wall, "extra_mb": peak}


if __name__ == "__main__":
    answer = agree(sys.argv[2]) if sys.argv[1] == "agree" else scale(int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(answer))
