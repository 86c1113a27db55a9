"""Do people return for what they say they would return for, and may it rank? Surveys, weights against
non-response, validity, a proxy of the answer, what re-ranking by it does.

    weights, claim = weights_claim(check_surveys(table), ["activity"])
    proxy = calibrate_proxy(fit_proxy(rows_of(rows, "fit", 0), ProxySettings(("score",))), rows_of(rows,
    "calibrate", 0)) claim.verdict, predict(proxy, rows)

Names are looked up when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastemaker.plugins import on_demand

if TYPE_CHECKING:
    from tastemaker.retention.adjust.effects import preview as preview
    from tastemaker.retention.adjust.effects import rank_effects as rank_effects
    from tastemaker.retention.adjust.rules import Capped as Capped
    from tastemaker.retention.adjust.rules import Constrained as Constrained
    from tastemaker.retention.adjust.rules import Hinge as Hinge
    from tastemaker.retention.adjust.rules import Step as Step
    from tastemaker.retention.adjust.rules import Value as Value
    from tastemaker.retention.increment.rows import IncrementSettings as IncrementSettings
    from tastemaker.retention.increment.table import increment_table as increment_table
    from tastemaker.retention.mediation.verdict import mediation_tests as mediation_tests
    from tastemaker.retention.mediation.within import MediationSettings as MediationSettings
    from tastemaker.retention.proxy.claim import calibration_claim as calibration_claim
    from tastemaker.retention.proxy.claim import drift_claim as drift_claim
    from tastemaker.retention.proxy.claim import threshold_claim as threshold_claim
    from tastemaker.retention.proxy.judge import calibrate_proxy as calibrate_proxy
    from tastemaker.retention.proxy.judge import calibration as calibration
    from tastemaker.retention.proxy.judge import choose_thresholds as choose_thresholds
    from tastemaker.retention.proxy.model import Proxy as Proxy
    from tastemaker.retention.proxy.model import ProxySettings as ProxySettings
    from tastemaker.retention.proxy.model import fit_proxy as fit_proxy
    from tastemaker.retention.proxy.model import predict as predict
    from tastemaker.retention.proxy.model import rows_of as rows_of
    from tastemaker.retention.report import ClaimReport as ClaimReport
    from tastemaker.retention.surveys import check_surveys as check_surveys
    from tastemaker.retention.surveys import of_question as of_question
    from tastemaker.retention.surveys import with_covariates as with_covariates
    from tastemaker.retention.validity.claim import validity_claim as validity_claim
    from tastemaker.retention.validity.factor.claim import battery as battery
    from tastemaker.retention.validity.factor.claim import battery_claim as battery_claim
    from tastemaker.retention.validity.table import ValiditySettings as ValiditySettings
    from tastemaker.retention.weights.aipw import aipw_mean as aipw_mean
    from tastemaker.retention.weights.claim import weights_claim as weights_claim
    from tastemaker.retention.weights.weigh import response_weights as response_weights

__getattr__, __dir__, __all__ = on_demand(__name__, __file__)
