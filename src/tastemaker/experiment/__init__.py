"""Experiments: assignment, sample-ratio check, effects, sequential intervals, decisions, power,
surrogates.
"""

from tastemaker.experiment.assign import assign as assign
from tastemaker.experiment.assign import first_exposures as first_exposures
from tastemaker.experiment.checks import aa_test as aa_test
from tastemaker.experiment.checks import check_units as check_units
from tastemaker.experiment.checks import srm as srm
from tastemaker.experiment.decide import Decision as Decision
from tastemaker.experiment.decide import Plan as Plan
from tastemaker.experiment.decide import Soundness as Soundness
from tastemaker.experiment.decide import bh as bh
from tastemaker.experiment.decide import decide as decide
from tastemaker.experiment.decide import detectable as detectable
from tastemaker.experiment.decide import non_inferior as non_inferior
from tastemaker.experiment.decide import sample_size as sample_size
from tastemaker.experiment.effects import Effect as Effect
from tastemaker.experiment.effects import effect as effect
from tastemaker.experiment.effects import effects as effects
from tastemaker.experiment.moments import Metric as Metric
from tastemaker.experiment.moments import Moments as Moments
from tastemaker.experiment.moments import cluster_totals as cluster_totals
from tastemaker.experiment.moments import clustered as clustered
from tastemaker.experiment.moments import moments as moments
from tastemaker.experiment.readout.days import confidence_sequence as confidence_sequence
from tastemaker.experiment.readout.days import watch as watch
from tastemaker.experiment.readout.design import design_of as design_of
from tastemaker.experiment.readout.read import read_out as read_out
from tastemaker.experiment.surrogate import fit_index as fit_index
from tastemaker.experiment.surrogate import index_effect as index_effect
from tastemaker.stats.intervals import holm as holm
