"""From tables to training examples: histories, splits, behaviour, metadata, mixing. No file access."""

from tastemaker.corpus.behaviour import behaviour_examples, context_tokens
from tastemaker.corpus.events import Histories, histories
from tastemaker.corpus.metadata import metadata_examples
from tastemaker.corpus.mixing import mix, pack, token_counts
from tastemaker.corpus.pairs import cooccurring_pairs, near_pairs, pair_counts, pair_people
from tastemaker.corpus.rewards import targets_by_reward
from tastemaker.corpus.splits import Split, Targets, leave_one_out, shuffle_ties, time_split

__all__ = [
    "Histories",
    "Split",
    "Targets",
    "behaviour_examples",
    "context_tokens",
    "cooccurring_pairs",
    "histories",
    "leave_one_out",
    "metadata_examples",
    "mix",
    "near_pairs",
    "pack",
    "pair_counts",
    "pair_people",
    "shuffle_ties",
    "targets_by_reward",
    "time_split",
    "token_counts",
]
