"""From a click log to a policy that may go live: support report, estimates, lower bounds, certificates, ledger, slates."""

from tastemaker.explore.serving import serve_slate
from tastemaker.explore.slate import GREEDY_POLICY, draw_slate, drawn_slate, greedy_slate

__all__ = ["GREEDY_POLICY", "draw_slate", "drawn_slate", "greedy_slate", "serve_slate"]
