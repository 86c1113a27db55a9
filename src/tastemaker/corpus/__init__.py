"""From tables to training examples: histories, splits, behaviour, metadata, mixing and reward sampling. No
file access.
"""

from tastemaker.corpus.behaviour import (
    BehaviourSettings,
    behaviour_examples,
    context_tokens,
    hours_since_previous,
    sft_examples,
)
from tastemaker.corpus.buckets import Buckets, fit_buckets
from tastemaker.corpus.events import Histories, histories
from tastemaker.corpus.metadata import MetadataSettings, metadata_examples
from tastemaker.corpus.mixing import mix, pack, token_counts
from tastemaker.corpus.pairs import cooccurring_pairs, near_pairs, pair_counts
from tastemaker.corpus.rewards import sample_by_reward, targets_by_reward
from tastemaker.corpus.splits import Split, Targets, hold_out_items, leave_one_out, swap_last_two, time_split

__all__ = [
    "BehaviourSettings",
    "Buckets",
    "Histories",
    "MetadataSettings",
    "Split",
    "Targets",
    "behaviour_examples",
    "context_tokens",
    "cooccurring_pairs",
    "fit_buckets",
    "histories",
    "hold_out_items",
    "hours_since_previous",
    "leave_one_out",
    "metadata_examples",
    "mix",
    "near_pairs",
    "pack",
    "pair_counts",
    "sample_by_reward",
    "sft_examples",
    "swap_last_two",
    "targets_by_reward",
    "time_split",
    "token_counts",
]
