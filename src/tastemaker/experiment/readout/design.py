"""The design of an experiment: arms, columns, metrics and plan, as written down before the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tastemaker.errors import InputError
from tastemaker.experiment.assign import check_shares
from tastemaker.experiment.decide import Plan
from tastemaker.experiment.effects import Kind
from tastemaker.experiment.moments import Metric, clustered

_TEXTS = ("id", "unit", "arm", "day", "cohort", "control", "treatment", "kind", "horizon", "cluster")
_KNOWN = {
    *_TEXTS,
    "alpha",
    "planned",
    "n_min",
    "primary",
    "exploratory",
    "cohorts",
    "shares",
    "metrics",
    "guardrails",
}

EXAMPLE = """\
id = "rr-1"                       # salt of the assignment
primary = ["returned"]            # decision metrics (Holm)
exploratory = ["likes"]           # looked at, never deciding (Benjamini-Hochberg)
cohorts = ["low-signal"]          # declared in advance; values of the column named by `cohort`
horizon = "days 1 to 14"
planned = 20000                   # units of both arms, for looks while it runs
shares = { control = 0.5, treatment = 0.5 }
guardrails = { skips = 0.02 }     # harm tolerated: 2 % of the control's value

[metrics.returned]
covariate = "returned_before"     # the same from before the test (CUPED)
[metrics.likes]
denominator = "plays"             # a ratio of totals
[metrics.skips]
better = "down"
"""


@dataclass(frozen=True)
class Design:
    """Salt, names of columns and arms, the metrics, and the plan they are judged by; planned: units of both
    arms, for looks.
    """

    id: str
    plan: Plan
    metrics: tuple[Metric, ...]
    shares: Mapping[str, float]
    control: str
    treatment: str
    kind: Kind = "relative"
    unit: str = "user_id"
    arm: str = "arm"
    day: str = "day"
    cohort: str = "cohort"
    cluster: str = ""
    planned: int = 0
    n_min: int = 500

    @property
    def read_as(self) -> tuple[Metric, ...]:
        """The metrics as the table is read: of clusters where whole clusters were assigned."""
        return tuple(clustered(metric) for metric in self.metrics) if self.cluster else self.metrics

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column a read-out needs."""
        extra = (self.cohort if self.plan.cohorts else "", self.cluster)
        return tuple(
            dict.fromkeys(
                [self.arm, *(c for metric in self.metrics for c in metric.columns), *filter(None, extra)]
            )
        )


def design_of(given: Any) -> Design:
    """Check a mapping as TOML or JSON gives it (see `EXAMPLE`). Raises InputError naming the key that is
    wrong.
    """
    if not isinstance(given, dict):
        raise InputError("a plan is a mapping of keys; see `tastemaker experiment --help`")
    unknown = sorted(set(given) - _KNOWN)
    if unknown:
        raise InputError(f"key '{unknown[0]}' is unknown; the keys are {', '.join(sorted(_KNOWN))}")
    texts = {name: _typed(given, name, str) for name in _TEXTS if name in given}
    numbers = {name: _typed(given, name, int) for name in ("planned", "n_min") if name in given}
    lists = {name: _names(given, name) for name in ("primary", "exploratory", "cohorts")}
    guardrails = {
        name: _share(value, f"guardrails.{name}") for name, value in _table(given, "guardrails").items()
    }
    alpha = _share(given.get("alpha", 0.05), "alpha")
    plan = Plan(
        lists["primary"], guardrails, lists["exploratory"], lists["cohorts"], alpha, texts.pop("horizon", "")
    )
    shares = {name: _share(value, f"shares.{name}") for name, value in _table(given, "shares").items()}
    shares = shares or {"control": 0.5, "treatment": 0.5}
    check_shares(shares)
    arms = {"control": texts.pop("control", "control"), "treatment": texts.pop("treatment", "treatment")}
    for role, arm in arms.items():
        if arm not in shares:
            raise InputError(
                f"{role} arm '{arm}' has no share; shares are {', '.join(shares)}: set {role} = \"...\""
            )
    metrics = _metrics(_table(given, "metrics"), (*plan.primary, *plan.guardrails, *plan.exploratory))
    kind: Any = texts.pop("kind", "relative")
    if kind not in ("relative", "absolute"):
        raise InputError(f"kind is '{kind}'; say relative or absolute")
    rest: dict[str, Any] = {**texts, **numbers}
    return Design(
        str(rest.pop("id", "")), plan, metrics, shares, arms["control"], arms["treatment"], kind, **rest
    )


def _metrics(tables: Mapping[str, Any], declared: tuple[str, ...]) -> tuple[Metric, ...]:
    """Every declared metric and every described one; what a metric is read from may be left out."""
    results = []
    for name in dict.fromkeys((*declared, *tables)):
        about = tables.get(name, {})
        legal = {"numerator", "denominator", "covariate", "covariate_denominator", "better"}
        if (
            not isinstance(about, dict)
            or set(about) - legal
            or not all(isinstance(item, str) for item in about.values())
        ):
            raise InputError(f"metrics.{name}: give text for any of {', '.join(sorted(legal))}")
        results.append(Metric(name, **about))
    return tuple(results)


def _typed(given: Mapping[str, Any], name: str, kind: type) -> Any:
    value = given[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"key '{name}' is {value!r}; give {'a text' if kind is str else 'a whole number'}")
    return value


def _names(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = given.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise InputError(f"key '{name}' is {values!r}; give a list of names, for example [\"returned\"]")
    return tuple(values)


def _table(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name, {})
    if not isinstance(value, dict):
        raise InputError(f"key '{name}' is {value!r}; give a table of names and values")
    return value


def _share(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"key '{name}' is {value!r}; give a number")
    return float(value)
