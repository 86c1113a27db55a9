"""The design of an experiment: arms, columns, metrics and plan, as written down before the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from tastemaker.errors import InputError
from tastemaker.experiment.assign import check_shares
from tastemaker.experiment.checks import ALARM, WARN
from tastemaker.experiment.decide import Plan
from tastemaker.experiment.effects import Kind
from tastemaker.experiment.moments import Metric

_TEXTS = ("id", "unit", "arm", "day", "cohort", "control", "kind", "horizon", "cluster", "triggered")
_NUMBERS = ("alpha", "alarm", "warn")
_LISTS, _TABLES = ("primary", "exploratory", "cohorts"), ("shares", "metrics", "guardrails")
_KNOWN = {*_TEXTS, *_NUMBERS, *_LISTS, *_TABLES, "treatment", "planned", "n_min"}
_OF_METRIC = ("numerator", "denominator", "covariate", "covariate_denominator", "better")

EXAMPLE = files(__package__).joinpath("example.toml").read_text("utf-8")


@dataclass(frozen=True)
class Design:
    """Salt, names of columns and arms, the metrics, and the plan they are judged by; planned: units of both
    arms, for looks; triggered: a 0 / 1 column of the people whose list the treatment would change; alarm,
    warn: p of the sample ratio and of covariate balance below which nothing is decided, or it is told.
    """

    id: str
    plan: Plan
    metrics: tuple[Metric, ...]
    shares: Mapping[str, float]
    control: str
    treatments: tuple[str, ...]
    kind: Kind = "relative"
    unit: str = "user_id"
    arm: str = "arm"
    day: str = "day"
    cohort: str = "cohort"
    cluster: str = ""
    triggered: str = ""
    planned: int = 0
    n_min: int = 500
    alarm: float = ALARM
    warn: float = WARN

    @property
    def treatment(self) -> str:
        """The treatments, as a text."""
        return ", ".join(self.treatments)

    @property
    def ids(self) -> tuple[str, ...]:
        """The columns that stay text."""
        return tuple(filter(None, (self.unit, self.arm, self.cohort, self.cluster)))


def design_of(given: Any) -> Design:
    """Check a mapping as of TOML or JSON (see `EXAMPLE`). Raises InputError naming the wrong key."""
    if not isinstance(given, dict):
        raise InputError("a plan is a mapping of keys; see `tastemaker experiment --help`")
    unknown = sorted(set(given) - _KNOWN)
    if unknown:
        raise InputError(f"key '{unknown[0]}' is unknown; the keys are {', '.join(sorted(_KNOWN))}")
    texts: dict[str, Any] = {name: _typed(given, name, str) for name in _TEXTS if name in given}
    texts |= {name: _typed(given, name, int) for name in ("planned", "n_min") if name in given}
    levels: dict[str, Any] = {name: _share(given[name], name) for name in _NUMBERS if name in given}
    lists = {name: _names(given, name) for name in _LISTS}
    guardrails = {
        name: _share(value, f"guardrails.{name}") for name, value in _table(given, "guardrails").items()
    }
    alpha, horizon = levels.pop("alpha", 0.05), texts.pop("horizon", "")
    levels.setdefault("warn", max(WARN, levels.get("alarm", ALARM)))
    plan = Plan(lists["primary"], guardrails, lists["exploratory"], lists["cohorts"], alpha, horizon)
    shares = {name: _share(value, f"shares.{name}") for name, value in _table(given, "shares").items()}
    shares = shares or {"control": 0.5, "treatment": 0.5}
    check_shares(shares)
    control, treatments = _arms(given, shares, texts.pop("control", "control"))
    metrics = _metrics(_table(given, "metrics"), (*plan.primary, *plan.guardrails, *plan.exploratory))
    if texts.get("kind", "relative") not in ("relative", "absolute"):
        raise InputError(f"kind is '{texts['kind']}'; say relative or absolute")
    wide = [name for name, margin in guardrails.items() if margin >= 1]
    if wide and texts.get("kind", "relative") == "relative":
        raise InputError(
            f"guardrail '{wide[0]}' tolerates {guardrails[wide[0]]:.0%} of the control: the harm is a share,"
            ' .05 is five percent; for a difference say kind = "absolute"'
        )
    name = texts.pop("id", "")
    return Design(name, plan, metrics, shares, control, treatments, **texts, **levels)


def _arms(given: Mapping[str, Any], shares: Mapping[str, float], control: str) -> tuple[str, tuple[str, ...]]:
    """The control, and the treatments: those named, else every other arm."""
    named = given.get("treatment", [arm for arm in shares if arm != control])
    if isinstance(named, str):
        named = [named]
    if not isinstance(named, list) or not named or not all(isinstance(arm, str) for arm in named):
        raise InputError(f"key 'treatment' is {named!r}; give the name of an arm, or a list of names")
    for role, arm in (("control", control), *(("treatment", arm) for arm in named)):
        if arm not in shares:
            raise InputError(
                f"{role} arm '{arm}' has no share; shares are {', '.join(shares)}: set {role} = \"...\""
            )
    if control in named or len(set(named)) < len(named):
        raise InputError(f"the treatments are {', '.join(named)} and the control is {control}; each arm once")
    return control, tuple(named)


def _metrics(tables: Mapping[str, Any], declared: tuple[str, ...]) -> tuple[Metric, ...]:
    """Every declared metric and every described one; what a metric is read from may be left out."""
    results = []
    for name in dict.fromkeys((*declared, *tables)):
        about = tables.get(name, {})
        numbers = {"quantile", "winsorise"}
        if not isinstance(about, dict) or set(about) - {*_OF_METRIC, *numbers}:
            raise InputError(f"metrics.{name}: give any of {', '.join((*_OF_METRIC, *sorted(numbers)))}")
        for key, value in about.items():
            if key in numbers:
                _share(value, f"metrics.{name}.{key}")
            elif not isinstance(value, str):
                raise InputError(f"metrics.{name}.{key} is {value!r}; give a text")
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
