"""From a click log to a policy that may go live: support report, estimates, lower bounds, certificates,
ledger, slates.
"""

from tastemaker.explore.serving import BESIDE, Deployed, Pool, logger_name, serve_deployed, serve_slate
from tastemaker.explore.slate import GREEDY_POLICY, draw_slate, drawn_slate, greedy_slate

__all__ = [
    "BESIDE",
    "GREEDY_POLICY",
    "Deployed",
    "Pool",
    "draw_slate",
    "drawn_slate",
    "greedy_slate",
    "logger_name",
    "serve_deployed",
    "serve_slate",
]
