"""Is it the item, the user, or the user's day? The one question that decides whether ranking by the answers
can help.
"""

from tastemaker.retention.paths.claim import claim
from tastemaker.retention.paths.exposure import clustered_slope, dealt_effect, item_means
from tastemaker.retention.paths.rows import PathSettings
from tastemaker.retention.paths.verdict import PathTests, path_tests
from tastemaker.retention.paths.within import clustered_logit, conditional_logit, group_means

__all__ = [
    "PathSettings",
    "PathTests",
    "claim",
    "clustered_logit",
    "clustered_slope",
    "conditional_logit",
    "dealt_effect",
    "group_means",
    "item_means",
    "path_tests",
]
