"""Listeners who watch, like, answer surveys and come back, with the reason why they do as a switch: item,
user or state.
"""

from tastemaker.simulate.retention.draws import draw_listeners, draw_pairs, draw_slates
from tastemaker.simulate.retention.ranker import RANKER_FEATURES, ranker_features
from tastemaker.simulate.retention.returns import returns
from tastemaker.simulate.retention.surveys import ask, survey_table
from tastemaker.simulate.retention.world import ListenerWorld

__all__ = [
    "RANKER_FEATURES",
    "ListenerWorld",
    "ask",
    "draw_listeners",
    "draw_pairs",
    "draw_slates",
    "ranker_features",
    "returns",
    "survey_table",
]
