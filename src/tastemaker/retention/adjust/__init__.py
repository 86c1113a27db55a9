"""Re-ranking by the retention proxy: rules, `adjust`, and what it does to rankings."""

from tastemaker.retention.adjust.apply import REASONS, adjust, grid_ranks
from tastemaker.retention.adjust.effects import Exposure, RankEffects, gini, rank_effects
from tastemaker.retention.adjust.rules import Capped, Constrained, Hinge, Mmr, Rule, Step, Value, ablation
from tastemaker.retention.adjust.tune import Tuned, ablations, compare, tune_weight

__all__ = [
    "REASONS",
    "Capped",
    "Constrained",
    "Exposure",
    "Hinge",
    "Mmr",
    "RankEffects",
    "Rule",
    "Step",
    "Tuned",
    "Value",
    "ablation",
    "ablations",
    "adjust",
    "compare",
    "gini",
    "grid_ranks",
    "rank_effects",
    "tune_weight",
]
