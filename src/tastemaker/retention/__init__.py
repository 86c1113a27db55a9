"""Do people return for what they say they would return for, and may it rank? Surveys, weights against
non-response, validity, a proxy of the answer, what re-ranking by it does.

    weights, claim = weights_claim(check_surveys(table), ["activity"])
    proxy = calibrate_proxy(fit_proxy(rows_of(rows, "fit", 0), ProxySettings(("score",))), rows_of(rows,
    "calibrate", 0)) claim.verdict, predict(proxy, rows)

Names are looked up when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tastemaker.retention.reasons import Reason, rarity_of, reasons

if TYPE_CHECKING:
    from tastemaker.retention.adjust import Capped, Constrained, Hinge, Mmr, Step, Value, rank_effects
    from tastemaker.retention.adjust.claim import preview
    from tastemaker.retention.increment import IncrementSettings, increment_table
    from tastemaker.retention.mediation import MediationSettings, mediation_tests
    from tastemaker.retention.proxy import Proxy, ProxySettings, fit_proxy, predict
    from tastemaker.retention.proxy.claim import calibration_claim, drift_claim, threshold_claim
    from tastemaker.retention.proxy.judge import calibrate_proxy, calibration, choose_thresholds
    from tastemaker.retention.proxy.parts import rows_of
    from tastemaker.retention.report import ClaimReport
    from tastemaker.retention.surveys import check_surveys, of_question, with_covariates
    from tastemaker.retention.validity import ValiditySettings
    from tastemaker.retention.validity.claim import validity_claim
    from tastemaker.retention.validity.factor.claim import battery, battery_claim
    from tastemaker.retention.weights import WeightSettings, aipw_mean, response_weights, weights_claim

__all__ = [
    "Capped",
    "ClaimReport",
    "Constrained",
    "Hinge",
    "IncrementSettings",
    "MediationSettings",
    "Mmr",
    "Proxy",
    "ProxySettings",
    "Reason",
    "Step",
    "ValiditySettings",
    "Value",
    "WeightSettings",
    "aipw_mean",
    "battery",
    "battery_claim",
    "calibrate_proxy",
    "calibration",
    "calibration_claim",
    "check_surveys",
    "choose_thresholds",
    "drift_claim",
    "fit_proxy",
    "increment_table",
    "mediation_tests",
    "of_question",
    "predict",
    "preview",
    "rank_effects",
    "rarity_of",
    "reasons",
    "response_weights",
    "rows_of",
    "threshold_claim",
    "validity_claim",
    "weights_claim",
    "with_covariates",
]

_HOME = {
    name: module
    for module, names in {
        "adjust": "Capped Constrained Hinge Mmr Step Value rank_effects",
        "adjust.claim": "preview",
        "increment": "IncrementSettings increment_table",
        "mediation": "MediationSettings mediation_tests",
        "proxy": "Proxy ProxySettings fit_proxy predict",
        "proxy.claim": "calibration_claim drift_claim threshold_claim",
        "proxy.judge": "calibrate_proxy calibration choose_thresholds",
        "proxy.parts": "rows_of",
        "report": "ClaimReport",
        "surveys": "check_surveys of_question with_covariates",
        "validity": "ValiditySettings",
        "validity.claim": "validity_claim",
        "validity.factor.claim": "battery battery_claim",
        "weights": "WeightSettings aipw_mean response_weights weights_claim",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
