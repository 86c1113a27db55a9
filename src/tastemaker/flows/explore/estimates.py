"""What a log can support, and what it says about a policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import InputError, many
from tastemaker.explore.bounds import PLURALS, too_few
from tastemaker.explore.estimate.weighting import OwnPolicy, on_support
from tastemaker.explore.estimates import PAIRED, PolicyEstimate, estimate_policy
from tastemaker.explore.gate.certify import STATIONARY, GateSettings, collect
from tastemaker.explore.ledger.ledger import Ledger
from tastemaker.explore.policy.base import Policy, Pooled
from tastemaker.explore.policy.softmax import uniform_policy
from tastemaker.explore.power import Effect, persons_needed
from tastemaker.explore.support import support_report
from tastemaker.explore.table import Log, Split, split
from tastemaker.flows.explore.runs import PARTS, learnt_from, open_run, plain_source, save_run
from tastemaker.flows.explore.tables import Loaded, Source, load
from tastemaker.flows.pipeline import Report
from tastemaker.store.files import plain

ALL_PLACES = 1_000  # of a list


def learn(
    source: Source, out: Path, objective: str, shares: tuple[float, ...], key: str, steps: int, report: Report
) -> dict[str, Any]:
    """A path on S1, the points of it that S2 says a ladder should start from, and from each a sequence of
    candidates towards new items, as an off-policy run in `out`. Of a workspace every place of a list is
    learnt from and chosen on, each given what stands above it; what is certified are the source's places.
    objective: of `NAMES`; "" takes dr where the logger's logits are known, else clipped_ips.

    `passed` is false, with a reason, where a check failed or no row has a reward: there is no run then.
    """
    from tastemaker.explore.learn.path import PathSettings, bases, learn_path
    from tastemaker.explore.learn.softmax import Settings
    from tastemaker.explore.learn.space import Features, build_candidates

    if out.exists():
        raise InputError(f"{out}: exists already; choose another --out, a run is written once")
    report("learn", 0, 3, "reading")
    loaded = load(source)
    checks = loaded.preflight()
    if checks.refusal:
        return _refused(checks.refusal)
    anchored = loaded.log.pool is not None and loaded.log.pool.logits is not None
    objective = objective or ("dr" if anchored else "clipped_ips")
    settings = PathSettings(objective=objective, shares=shares, learner=Settings(steps=steps), parts=PARTS)  # type: ignore[arg-type]
    parts = split(loaded.log, PARTS, key)
    shortage = too_few(parts.certify.units(source.unit), "S3, the part kept to certify on,")
    if shortage and "units" not in source.accept:
        return _refused(f"refused: units: {shortage}. Or go on with --accept units")
    if not parts.learn.rewarded:
        return _refused(
            f"refused: none of the {len(parts.learn):,} rows to learn on has a reward; collect more rows"
            " first"
        )
    space = Features(loaded.vectors, loaded.prefixes, loaded.log.pool is not None)
    rows = all_places(loaded, parts.learn)
    report("learn", 1, 3, f"{many(len(rows), 'row')}, {many(len(loaded.existing), 'action')}")
    trained = learn_path(space.rows(rows), settings, key)
    report("learn", 2, 3, "choosing")
    gate = GateSettings(cap=Ledger.cap, unit=source.unit)
    reached = settings.lambdas * (len(trained) // len(settings.lambdas))
    starts = bases(trained, parts.choose, space, loaded.existing, gate)
    points = [trained[start] for start in starts]
    fewer, line = _fewer_rows(space.policy(points[0], loaded.existing), parts, gate)
    save_run(out, loaded, points, shares, key, plain(settings) | {"source": plain_source(source)})
    choose, rungs, lines = parts.choose, [], list[str]()
    for start, point in zip(starts, points, strict=True):
        lines.append(f"from lambda {reached[start]:g}, point {start + 1} of {len(trained)}:")
        for policy in build_candidates(space, point, loaded.existing, shares):
            rungs.append(float(1 - on_support(choose, policy, loaded.existing).mean()))
            lines.append(f"  candidate {len(rungs)}: novelty {rungs[-1]:.3f}")
    lines += [line] if line else []
    report("learn", 3, 3, "done")
    text = (
        f"run {out}: {many(len(rungs), 'candidate')} on a ladder of {len(points)} x"
        f" {len(rungs) // len(points)}, by"
        f" value and novelty, learnt by {objective}"
    )
    if source.workspace is not None and not anchored:
        text += "\nsome slates were logged before logits were kept beside pools: learnt without the logger's"
    return {
        "passed": True,
        "run": str(out),
        "lambda": reached[starts[0]],
        "lambdas": [reached[start] for start in starts],
        "candidates": len(rungs),
        "novelty": rungs,
        "most_rows": fewer,
        "checks": list(checks.lines),
        "text": "\n".join([text, *lines, *checks.lines]),
    }


FASTER = 1.25  # growth of the evidence that is worth another weighing of persons


def _fewer_rows(policy: Policy, parts: Split, gate: GateSettings) -> tuple[int | None, str]:
    """At how many rows of a person evidence grows fastest, where that is clearly faster than with all that
    anybody has, and what it means in words; judged without S3.
    """
    evidence = collect(policy, parts.choose, gate.support, cap=gate.cap, unit=gate.unit)
    units, largest = evidence.units, max(parts.learn.units(gate.unit).most, evidence.units.most)
    paces = evidence.paces(gate.c, gate.margin, largest)
    fewer = max(paces, key=lambda most: paces[most])
    if fewer == largest or paces[fewer] <= 0 or paces[fewer] < FASTER * paces[largest]:
        return None, ""
    counted = np.minimum(units.size, fewer).sum() / units.size.sum()
    times = f"{paces[fewer] / paces[largest]:.1f} times as fast" if paces[largest] > 0 else "at all"
    return (
        fewer,
        (
            f"evidence would grow {times} with `certify --most-rows {fewer}`: {PLURALS[units.kind]} have up"
            f" to {largest:,} rows, and each would count as {fewer} at most ({counted:.0%} of all rows);"
            " the claim is then about the policy's value so counted"
        ),
    )


def all_places(loaded: Loaded, part: Log) -> Log:
    """The rows to learn from: of a workspace all places of the lists of the same people."""
    if loaded.source.workspace is None or part.user is None:
        return part
    wide = load(replace(loaded.source, places=ALL_PLACES)).log
    return part if wide.user is None else wide.take(np.isin(wide.user, part.user))


def _refused(reason: str) -> dict[str, Any]:
    return {"passed": False, "reason": reason, "text": reason}


UNIFORM, TARGET = "uniform", "target"
S2 = (
    "judged on {} of the {} rows, S2: the policy was learnt from others (S1), and the last part (S3) is left"
    " for `certify`; S2 chose where its ladder starts, so an estimate may be a little high"
)


def policy_of(name: str, loaded: Loaded, candidate: int | None) -> tuple[Policy, Loaded, str]:
    """`uniform` over the actions the logger may play (or over each pool), `target`: what a column of the log
    gives the shown actions, or a candidate of a run (default: its most novel); the rows to judge it on, those
    of a run being S2, and which they are, in words.
    """
    if name == UNIFORM and loaded.log.pool is not None:
        return Pooled(uniform_policy(len(loaded.existing), prefixes=loaded.prefixes)), loaded, ""
    if name == UNIFORM:
        return uniform_policy(len(loaded.existing), loaded.existing, loaded.prefixes), loaded, ""
    if name == TARGET:
        return OwnPolicy(), loaded, ""
    run = open_run(Path(name), loaded)
    if candidate is not None and not 1 <= candidate <= len(run.candidates):
        raise InputError(f"candidate {candidate} does not exist; the run has 1 to {len(run.candidates)}")
    policy, choose = run.candidates[-1 if candidate is None else candidate - 1], run.parts.choose
    return policy, replace(loaded, log=choose), S2.format(f"{len(choose):,}", f"{len(loaded.log):,}")


def _of_run(policy: str | None, candidate: int | None) -> None:
    if candidate is not None and policy in (None, UNIFORM, TARGET):
        raise InputError(
            f"--candidate {candidate} is of a run; give its folder with --policy, or leave it out"
        )


def _load(source: Source, policy: str | None) -> Loaded:
    """The log; for the policy of a run, the rows that it was learnt from."""
    return load(source if policy in (None, UNIFORM, TARGET) else learnt_from(Path(str(policy)), source))


def support(
    source: Source, policy: str | None, candidate: int | None, c: float, delta: float
) -> dict[str, Any]:
    """The support report of a log, and of a policy on it."""
    _of_run(policy, candidate)
    loaded, chosen, which = _load(source, policy), None, ""
    if policy is not None:
        chosen, loaded, which = policy_of(policy, loaded, candidate)
    report = support_report(loaded.log, loaded.existing, chosen, c=c, delta=delta, unit=source.unit)
    checks = loaded.preflight([] if chosen is None else [chosen])
    values: dict[str, Any] = plain(report.to_json()) | {"checks": list(checks.lines), "judged_on": which}
    return values | {"text": "\n".join([*filter(None, [which]), report.to_text(), *checks.lines])}


def estimate(
    source: Source, policy: str, candidate: int | None, delta: float, names: Sequence[str] = ()
) -> dict[str, Any]:
    """The estimators called `names` (none: all the log allows), bounded below by Student's t and betting."""
    _of_run(policy, candidate)
    chosen, loaded, which = policy_of(policy, _load(source, policy), candidate)
    log = loaded.log
    checks = loaded.preflight([chosen])
    if checks.refusal:
        return {"passed": False, "reason": checks.refusal, "text": checks.refusal}
    rows = estimate_policy(log, chosen, loaded.vectors, names=names, delta=delta, unit=source.unit)
    logged, constant = float(log.reward.mean()), bool(np.ptp(log.reward) == 0)
    units, halves = log.units(source.unit), _halves(log, chosen, rows, loaded, source.unit)
    values: dict[str, Any] = plain(
        {
            "passed": True,
            "rows": len(log),
            "judged_on": which,
            "unit": units.kind,
            "units": units.count,
            "logged_mean": logged,
            "delta": delta,
            "estimates": [_values(row) for row in rows],
            "halves": halves,
            "checks": list(checks.lines),
            "accepted": list(checks.accepted),
        }
    )
    text = _text(rows, logged, delta, constant)
    drift = [
        f"{name}: {early:.6g} on the first half of the time, {late:.6g} on the second (apart by {z:+.1f}"
        " standard errors)"
        for name, (early, late, z) in halves.items()
    ]
    head = many(len(log), "row") + ("" if units.single else f" of {units.words}") + ", each counted once"
    return values | {
        "text": "\n".join([head, *filter(None, [which]), text, f"- {STATIONARY}", *drift, *checks.lines])
    }


def _halves(
    log: Log, policy: Policy, rows: Sequence[PolicyEstimate], loaded: Loaded, unit: str
) -> dict[str, tuple[float, float, float]]:
    """The first estimate on each half of the time, their distance in standard errors; else nothing."""
    if log.early is None or not rows:
        return {}
    name, halves = rows[0].estimator, (log.take(log.early), log.take(~log.early))
    estimates = [estimate_policy(half, policy, loaded.vectors, names=[name], unit=unit)[0] for half in halves]
    first, second = (half.interval.value for half in estimates)
    error = math.hypot(*(half.standard_error for half in estimates))
    return {name: (first, second, (second - first) / error if 0 < error < math.inf else 0.0)}


def power(effect: Effect, candidates: int, terms: Ledger, sure: float) -> dict[str, Any]:
    """Rows that a certificate takes where any of so many candidates may be the good one."""
    if candidates < 1:
        raise InputError(f"{many(candidates, 'candidate')} cannot be tested; give at least one")
    if terms.delta >= 0.5:
        raise InputError(f"delta is {terms.delta:g}; give an error probability below .5, such as .05")
    level = terms.gate_delta / candidates
    persons = persons_needed(effect, level, terms.c, sure)
    if persons is None:
        text = (
            f"no number of rows would do: a policy of lift {effect.lift:+.1%} does not keep {terms.c:g} of V0"
        )
        return {"persons": None, "rows": None, "rows_to_certify": None, "text": text}
    judged = persons * effect.rows_each
    rows = math.ceil(judged / PARTS[2])
    text = (
        f"{many(rows, 'row')}: {judged:,} of them to certify on ({many(persons, 'person')} of"
        f" {many(effect.rows_each, 'row')},"
        f" about {judged * effect.click_rate:,.0f} rewarded), {PARTS[2]:.0%} of the log. Then a policy of"
        f" lift {effect.lift:+.1%} passes with probability {sure:g}, at level {level:g} (delta"
        f" {terms.delta:g} over {terms.K} gates, {many(candidates, 'candidate')})"
    )
    return {"persons": persons, "rows": rows, "rows_to_certify": judged, "level": level, "text": text}


def _values(row: PolicyEstimate) -> dict[str, Any]:
    return {
        "estimator": row.estimator,
        "estimates": row.of,
        "value": row.interval.value,
        "standard_error": row.standard_error,
        "t": None if row.interval.reason else row.interval.low,
        "betting": row.certain,
        "effective_rows": row.effective_rows,
        "assumptions": [*row.interval.assumptions, *([PAIRED] if row.estimator == "paired" else [])],
        "no_bound": row.interval.reason,
    }


def _text(rows: Sequence[PolicyEstimate], logged: float, delta: float, constant: bool) -> str:
    lines = [
        f"mean logged reward {logged:.6g}; lower bounds at {1 - delta:.0%}",
        f"{'':14} {'of':11} {'value':>11} {'t bound':>11} {'betting':>11} {'rows worth':>11}",
    ]
    for row in rows:
        betting = "-" if row.certain is None else f"{row.certain:.6g}"
        student = "-" if row.interval.reason else f"{row.interval.low:.6g}"
        lines.append(
            f"{row.estimator:14} {row.of:11} {row.interval.value:11.6g} {student:>11} {betting:>11}"
            f" {row.effective_rows:11,.0f}"
        )
    if constant:
        lines.append(
            f"every reward is {logged:g}: a log whose rewards never differ says nothing of any policy"
        )
    lines += [f"no t bound for {row.estimator}: {row.interval.reason}" for row in rows if row.interval.reason]
    notes = dict.fromkeys(note for row in rows for note in _values(row)["assumptions"])
    return "\n".join([*lines, "assumed, each where it applies:", *(f"- {note}" for note in notes)])
