"""Moments, intervals, ranking metrics and keyed random generators. numpy and scipy only, no I/O."""

from tastemaker.stats.intervals import Interval as Interval
from tastemaker.stats.intervals import bootstrap as bootstrap
from tastemaker.stats.intervals import paired_bootstrap as paired_bootstrap
from tastemaker.stats.random import generator as generator
from tastemaker.stats.random import hashed_order as hashed_order
from tastemaker.stats.ranking import best_places as best_places
from tastemaker.stats.ranking import coverage_curve as coverage_curve
from tastemaker.stats.ranking import effective_vocabulary as effective_vocabulary
from tastemaker.stats.ranking import ndcg_at as ndcg_at
from tastemaker.stats.ranking import recall_at as recall_at
