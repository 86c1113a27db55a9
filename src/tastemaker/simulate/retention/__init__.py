"""Listeners who watch, like, answer surveys and come back, with the reason why they do as a switch: item,
user or state.
"""

from tastemaker.simulate.retention.draws import draw_listeners, draw_pairs, draw_slates
from tastemaker.simulate.retention.meetings import expected_return, meetings
from tastemaker.simulate.retention.ranker import RANKER_FEATURES, ranker_features
from tastemaker.simulate.retention.returns import returns
from tastemaker.simulate.retention.surveys import ask, survey_table
from tastemaker.simulate.retention.trial import TrialPlan, run_trial
from tastemaker.simulate.retention.tune import TARGETS, Tuned, measure, missed, tune
from tastemaker.simulate.retention.world import ListenerWorld

__all__ = [
    "RANKER_FEATURES",
    "TARGETS",
    "ListenerWorld",
    "TrialPlan",
    "Tuned",
    "ask",
    "draw_listeners",
    "draw_pairs",
    "draw_slates",
    "expected_return",
    "measure",
    "meetings",
    "missed",
    "ranker_features",
    "returns",
    "run_trial",
    "survey_table",
    "tune",
]
