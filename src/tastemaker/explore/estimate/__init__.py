"""Off-policy estimates as per-round contributions."""

from tastemaker.explore.estimate.contributions import Contributions
from tastemaker.explore.estimate.direct import dm, dr, offcem
from tastemaker.explore.estimate.reward import FittedRewards, RewardModel, fit_reward_model
from tastemaker.explore.estimate.weighting import clipped_ips, ips, mips, paired, snips
from tastemaker.explore.estimate.weights import log_probs, prefix_weights, weights

__all__ = [
    "Contributions",
    "FittedRewards",
    "RewardModel",
    "clipped_ips",
    "dm",
    "dr",
    "fit_reward_model",
    "ips",
    "log_probs",
    "mips",
    "offcem",
    "paired",
    "prefix_weights",
    "snips",
    "weights",
]
