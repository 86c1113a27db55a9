"""From a log to a policy that may go live: support, estimates, lower bounds, certificates, ledger, slates.

    log = check_log(table, Columns(context=("x0", "x1")), catalogue.ids)
    outcome = safe_opg(split(log), Features(catalogue.vectors), catalogue.existing(log))
    outcome.certificates

Names are looked up when they are first asked for: learning needs torch, which takes a second to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastemaker.plugins import on_demand

if TYPE_CHECKING:
    from tastemaker.explore.bounds import Contributions as Contributions
    from tastemaker.explore.bounds import lower_bound as lower_bound
    from tastemaker.explore.catalogue import Catalogue as Catalogue
    from tastemaker.explore.checked import certify as certify
    from tastemaker.explore.checked import estimate_policy as estimate_policy
    from tastemaker.explore.estimate.reward import fit_reward_model as fit_reward_model
    from tastemaker.explore.estimate.weighting import OwnPolicy as OwnPolicy
    from tastemaker.explore.estimate.weighting import clipped_ips as clipped_ips
    from tastemaker.explore.estimate.weighting import dm as dm
    from tastemaker.explore.estimate.weighting import dr as dr
    from tastemaker.explore.estimate.weighting import fitted_propensities as fitted_propensities
    from tastemaker.explore.estimate.weighting import ips as ips
    from tastemaker.explore.estimate.weighting import mips as mips
    from tastemaker.explore.estimate.weighting import offcem as offcem
    from tastemaker.explore.estimate.weighting import paired as paired
    from tastemaker.explore.estimate.weighting import snips as snips
    from tastemaker.explore.estimates import PolicyEstimate as PolicyEstimate
    from tastemaker.explore.gate.certificate import Certificate as Certificate
    from tastemaker.explore.gate.certify import GateSettings as GateSettings
    from tastemaker.explore.learn.path import Outcome as Outcome
    from tastemaker.explore.learn.path import PathSettings as PathSettings
    from tastemaker.explore.learn.path import safe_opg as safe_opg
    from tastemaker.explore.learn.softmax import Settings as Settings
    from tastemaker.explore.learn.space import Features as Features
    from tastemaker.explore.ledger.ledger import Ledger as Ledger
    from tastemaker.explore.policy.base import Policy as Policy
    from tastemaker.explore.policy.softmax import Mixture as Mixture
    from tastemaker.explore.policy.softmax import SoftmaxPolicy as SoftmaxPolicy
    from tastemaker.explore.policy.softmax import TablePolicy as TablePolicy
    from tastemaker.explore.policy.softmax import uniform_policy as uniform_policy
    from tastemaker.explore.support import SupportReport as SupportReport
    from tastemaker.explore.support import support_report as support_report
    from tastemaker.explore.table import Columns as Columns
    from tastemaker.explore.table import Log as Log
    from tastemaker.explore.table import Split as Split
    from tastemaker.explore.table import check_log as check_log
    from tastemaker.explore.table import split as split

__getattr__, __dir__, __all__ = on_demand(__name__, __file__)
