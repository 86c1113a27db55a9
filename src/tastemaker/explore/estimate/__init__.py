"""Off-policy estimates as per-round contributions."""

from tastemaker.explore.estimate.contributions import Contributions

__all__ = ["Contributions"]
