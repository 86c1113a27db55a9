"""From a click log to a policy that may go live: support report, estimates, lower bounds, certificates,
ledger, slates.

    log = check_log(table, Columns(context=("x0", "x1")), catalogue.ids)
    outcome = safe_opg(split(log), Features(catalogue.vectors), catalogue.existing(log))
    outcome.certificates

Names are looked up when they are first asked for: learning needs torch, which takes a second to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tastemaker.explore.bounds import lower_bound
    from tastemaker.explore.catalogue import Catalogue
    from tastemaker.explore.checked import certify, estimate_policy
    from tastemaker.explore.estimate import (
        Contributions,
        clipped_ips,
        dm,
        dr,
        fit_reward_model,
        ips,
        mips,
        offcem,
        paired,
        snips,
    )
    from tastemaker.explore.estimate.logger import fitted_propensities
    from tastemaker.explore.estimate.weights import OwnPolicy
    from tastemaker.explore.estimates import PolicyEstimate
    from tastemaker.explore.gate.certificate import Certificate
    from tastemaker.explore.gate.certify import GateSettings
    from tastemaker.explore.learn.path import Outcome, PathSettings, safe_opg
    from tastemaker.explore.learn.softmax import Settings
    from tastemaker.explore.learn.space import Features
    from tastemaker.explore.ledger import Ledger
    from tastemaker.explore.policy import Mixture, Policy, SoftmaxPolicy, TablePolicy, uniform_policy
    from tastemaker.explore.slate import (
        BESIDE,
        GREEDY_POLICY,
        IN_TALK,
        KEPT,
        Deployed,
        Draw,
        Pool,
        draw_deployed,
        draw_pool,
        draw_slate,
        kept_for_new,
        logger_name,
        with_tail,
    )
    from tastemaker.explore.support import SupportReport, support_report
    from tastemaker.explore.table import Columns, Log, Split, check_log, split

__all__ = [
    "BESIDE",
    "GREEDY_POLICY",
    "IN_TALK",
    "KEPT",
    "Catalogue",
    "Certificate",
    "Columns",
    "Contributions",
    "Deployed",
    "Draw",
    "Features",
    "GateSettings",
    "Ledger",
    "Log",
    "Mixture",
    "Outcome",
    "OwnPolicy",
    "PathSettings",
    "Policy",
    "PolicyEstimate",
    "Pool",
    "Settings",
    "SoftmaxPolicy",
    "Split",
    "SupportReport",
    "TablePolicy",
    "certify",
    "check_log",
    "clipped_ips",
    "dm",
    "dr",
    "draw_deployed",
    "draw_pool",
    "draw_slate",
    "estimate_policy",
    "fit_reward_model",
    "fitted_propensities",
    "ips",
    "kept_for_new",
    "logger_name",
    "lower_bound",
    "mips",
    "offcem",
    "paired",
    "safe_opg",
    "snips",
    "split",
    "support_report",
    "uniform_policy",
    "with_tail",
]

_HOME = {
    name: module
    for module, names in {
        "bounds": "lower_bound",
        "catalogue": "Catalogue",
        "estimate": "Contributions clipped_ips dm dr fit_reward_model ips mips offcem paired snips",
        "estimate.logger": "fitted_propensities",
        "checked": "certify estimate_policy",
        "estimate.weights": "OwnPolicy",
        "estimates": "PolicyEstimate",
        "gate": "Certificate GateSettings",
        "learn.path": "Outcome PathSettings safe_opg",
        "learn.space": "Features",
        "learn.softmax": "Settings",
        "ledger": "Ledger",
        "policy": "Mixture Policy SoftmaxPolicy TablePolicy uniform_policy",
        "slate": (
            "BESIDE GREEDY_POLICY IN_TALK KEPT Deployed Draw Pool draw_deployed draw_pool draw_slate"
            " kept_for_new logger_name with_tail"
        ),
        "support": "SupportReport support_report",
        "table": "Columns Log Split check_log split",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
