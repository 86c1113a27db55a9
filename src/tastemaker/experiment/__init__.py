"""Experiments: assignment, sample-ratio check, effects, sequential intervals, decisions, power,
surrogates.
"""

from tastemaker.experiment.assign import assign, first_exposures
from tastemaker.experiment.checks import aa_test, check_units, srm
from tastemaker.experiment.decide import (
    Decision,
    Plan,
    Soundness,
    bh,
    decide,
    detectable,
    non_inferior,
    sample_size,
)
from tastemaker.experiment.effects import Effect, effect, effects
from tastemaker.experiment.moments import Metric, Moments, cluster_totals, clustered, moments
from tastemaker.experiment.readout.days import confidence_sequence, watch
from tastemaker.experiment.readout.design import design_of
from tastemaker.experiment.readout.read import read_out
from tastemaker.experiment.surrogate import fit_index, index_effect
from tastemaker.stats.intervals import holm

__all__ = [
    "Decision",
    "Effect",
    "Metric",
    "Moments",
    "Plan",
    "Soundness",
    "aa_test",
    "assign",
    "bh",
    "check_units",
    "cluster_totals",
    "clustered",
    "confidence_sequence",
    "decide",
    "design_of",
    "detectable",
    "effect",
    "effects",
    "first_exposures",
    "fit_index",
    "holm",
    "index_effect",
    "moments",
    "non_inferior",
    "read_out",
    "sample_size",
    "srm",
    "watch",
]
