"""Off-policy estimates as per-round contributions."""

from tastemaker.explore.estimate.contributions import Contributions
from tastemaker.explore.estimate.direct import dm, dr, dros, expected_reward, refit_bootstrap, switch_dr
from tastemaker.explore.estimate.embedded import mips, offcem
from tastemaker.explore.estimate.reward import FittedRewards, GivenRewards, RewardModel, fit_reward_model
from tastemaker.explore.estimate.slate import slate_ips
from tastemaker.explore.estimate.weighting import balanced, clipped_ips, ips, paired, snips
from tastemaker.explore.estimate.weights import log_probs, prefix_weights, served_by, weights

__all__ = [
    "Contributions",
    "FittedRewards",
    "GivenRewards",
    "RewardModel",
    "balanced",
    "clipped_ips",
    "dm",
    "dr",
    "dros",
    "expected_reward",
    "fit_reward_model",
    "ips",
    "log_probs",
    "mips",
    "offcem",
    "paired",
    "prefix_weights",
    "refit_bootstrap",
    "served_by",
    "slate_ips",
    "snips",
    "switch_dr",
    "weights",
]
