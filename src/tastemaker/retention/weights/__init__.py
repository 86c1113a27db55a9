"""Who answered against who was asked: exact balance weights, doubly robust means, tipping points."""

from tastemaker.retention.weights.aipw import (
    TippingPoint,
    aipw_mean,
    answered_mean,
    tipping_point,
    weighted_mean,
)
from tastemaker.retention.weights.claim import weights_claim
from tastemaker.retention.weights.weigh import LEAST, LIMIT, ResponseWeights, WeightSettings, response_weights

__all__ = [
    "LEAST",
    "LIMIT",
    "ResponseWeights",
    "TippingPoint",
    "WeightSettings",
    "aipw_mean",
    "answered_mean",
    "response_weights",
    "tipping_point",
    "weighted_mean",
    "weights_claim",
]
