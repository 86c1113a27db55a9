"""Is it the item, the user, or the user's day? The one question that decides whether ranking by the answers
can help.
"""

from tastemaker.retention.mediation.rows import MediationSettings
from tastemaker.retention.mediation.verdict import MediationTests, claim, mediation_tests
from tastemaker.retention.mediation.within import (
    clustered_logit,
    clustered_slope,
    conditional_logit,
    dealt_effect,
    group_means,
    item_means,
)

__all__ = [
    "MediationSettings",
    "MediationTests",
    "claim",
    "clustered_logit",
    "clustered_slope",
    "conditional_logit",
    "dealt_effect",
    "group_means",
    "item_means",
    "mediation_tests",
]
