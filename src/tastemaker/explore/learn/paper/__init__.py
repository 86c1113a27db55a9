"""Safe OPG and DEPSUE as published, each gap filled and named (`GAPS`)."""

from tastemaker.explore.learn.paper.depsue import Deployment, balanced, depsue_paper, halves, player
from tastemaker.explore.learn.paper.safe_opg import GAPS, PaperPolicy, PaperSettings, safe_opg_paper

__all__ = [
    "GAPS",
    "Deployment",
    "PaperPolicy",
    "PaperSettings",
    "balanced",
    "depsue_paper",
    "halves",
    "player",
    "safe_opg_paper",
]
