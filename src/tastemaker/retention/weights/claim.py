"""The claim that weighted answers stand for everyone who was asked, with the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tastemaker.arrays import Floats
from tastemaker.errors import InputError, many
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Table, Verdict
from tastemaker.retention.surveys import SCALE
from tastemaker.retention.weights.aipw import (
    NOTHING,
    aipw_mean,
    answered_mean,
    one_answer,
    tipping_point,
    weighted_mean,
)
from tastemaker.retention.weights.design import far_values, pooled
from tastemaker.retention.weights.weigh import LEAST, LIMIT, ResponseWeights, response_weights
from tastemaker.schema.columns import codes, groups, numbers, one_spelling, texts
from tastemaker.stats.intervals import Interval, effective_size

_STEPS, _CLOSE = 500, 1e-10


@dataclass(frozen=True, eq=False)
class Raked:
    """weight (n,): 0 where not answered, with the sum it had; rows: covariate, value, population, before and
    after shares of the weight; indicators (n, m) of the margins; steps of proportional fitting.
    """

    weight: Floats
    rows: tuple[tuple[str, str, float, float, float], ...]
    indicators: Floats
    steps: int


def rake(shown: pa.Table, weight: Floats, margins: pa.Table, name: str = "surveys") -> Raked:
    """Weights (n,) of `shown`, above 0 for those who answered, fitted to the population's `margins` (a table
    of covariate, value, share; the shares of a covariate sum to 1 or to 100).

    Raises InputError naming a covariate or value that only one of the two tables has, shares that do not
    sum, a value nobody answered in, or when the margins contradict each other.
    Source: Deming and Stephan, Annals of Mathematical Statistics 1940.
    """
    of = texts(margins, "covariate", "margins").to_pylist()
    values = texts(margins, "value", "margins").to_pylist()
    shares = numbers(margins, "share", "margins", low=0)
    answered = weight > 0
    columns, targets, labels = [], [], []
    for covariate in dict.fromkeys(of):
        place, known = groups(shown, covariate, name)
        one_spelling(
            [value for other, value in zip(of, values, strict=True) if other == covariate], "value", "margins"
        )
        wanted = {v: float(s) for c, v, s in zip(of, values, shares, strict=True) if c == covariate}
        if len(wanted) < of.count(covariate):
            twice = next(v for v in wanted if [*zip(of, values, strict=True)].count((covariate, v)) > 1)
            raise InputError(f"margins: '{covariate}={twice}' has several shares; give one")
        total = sum(wanted.values())
        if not (abs(total - 1) < 0.01 or abs(total - 100) < 1):
            raise InputError(f"margins: the shares of '{covariate}' sum to {total:g}; give all of them, to 1")
        unknown = [v for v in known if v not in wanted]
        if unknown:
            raise InputError(f"margins: '{covariate}={unknown[0]}' of {name} has no share; add it")
        for value, share in wanted.items():
            member = place == known.index(value) if value in known else np.zeros(len(place), bool)
            if (share > 0) != bool((member & answered).any()):
                what = "nobody answered" if share > 0 else "there are answers where its share is 0"
                raise InputError(f"margins: '{covariate}={value}': {what}; merge it with another value")
            columns.append(member & answered)
            targets.append(share / total)
            labels.append((covariate, value))
    if not columns:
        raise InputError("margins: the table has no row; give covariate, value, share")
    indicators = np.column_stack(columns).astype(np.float64)
    goal, whole, raked = np.array(targets), weight.sum(), weight.copy()
    before = weight @ indicators / whole
    for step in range(1, _STEPS + 1):
        for column, share in zip(indicators.T, goal, strict=True):
            held = raked @ column
            if held > 0:
                raked = np.where(column > 0, raked * share * whole / held, raked)
        after = raked @ indicators / whole
        if np.abs(after - goal).max() < _CLOSE:
            parts = zip(labels, goal.tolist(), before.tolist(), after.tolist(), strict=True)
            return Raked(raked, tuple((*label, *rest) for label, *rest in parts), indicators, step)
    worst = labels[int(np.abs(after - goal).argmax())]
    raise InputError(
        f"margins: no weights meet all of them ('{worst[0]}={worst[1]}' is furthest off); they contradict"
        " each other among those who answered"
    )


def raked_mean(shown: pa.Table, raked: Raked, name: str = "surveys") -> Interval:
    """Mean of answers under raked weights, variance by user of residuals (Deville and Särndal 1992)."""
    from scipy.stats import t

    values = numbers(shown, "answer", name, nulls=True)
    if reason := one_answer(values):
        return Interval.unknown(shown.num_rows, "raked mean", reason)
    values, w, z = np.nan_to_num(values, nan=0.0), raked.weight, raked.indicators
    mean = float(w @ values / w.sum())
    slope = np.linalg.lstsq((z.T * w) @ z, (z.T * w) @ values, rcond=None)[0]
    owner = codes(shown, "user_id", name)[0]
    sums = np.bincount(owner, w * (values - z @ slope) / w.sum())
    used = int((np.bincount(owner, w) > 0).sum())
    half = t.ppf(0.975, max(used - 1, 1)) * np.sqrt((sums**2).sum() * used / max(used - 1, 1))
    return Interval.around(mean, half, used, "raked mean", ("the margins are the population's",))


def _thin_margins(shown: pa.Table, raked: Raked, name: str) -> list[str]:
    """That few people stand for a part of the population, which no interval of the raked mean can hold."""
    owner, doubts = codes(shown, "user_id", name)[0], []
    for row, column in zip(raked.rows, raked.indicators.T, strict=True):
        people = len(np.unique(owner[column > 0]))
        if people < LEAST and row[2] >= TINY:
            doubts.append(f"{people} answered for {row[0]}={row[1]}, {row[2]:.0%} of the population")
    return [f"{text}; at least {LEAST} people" for text in doubts]


TINY = 0.01  # of everyone: a smaller category cannot move a mean far
FEWEST, SMALLEST = 30, 0.1  # effective answers, and their share of the answers, below which weights decide
_LIMIT = (
    "Whether those who did not answer feel differently for reasons the covariates do not hold: see the"
    " tipping point."
)
_MOST = 15  # rows of a figure or a table of worst moments


def weights_claim(
    surveys: pa.Table,
    covariates: Sequence[str],
    *,
    trim: float | None = None,
    threshold: float | None = None,
    margins: pa.Table | None = None,
    key: Sequence[str | int] = (0,),
    name: str = "surveys",
) -> tuple[ResponseWeights, ClaimReport]:
    """Weights of `response_weights`, and the report on whether they do what they are for.

    surveys: rows of `schema.SURVEYS` of one question, with the columns `covariates`. threshold: a mean answer
    that would change a decision, for the tipping point. margins: of the population, for `rake`, after which
    `raked` of the weights is set. Values of a text covariate that too few people answered for are pooled.
    Exact balance makes every |SMD| of a mean 0 by construction, so squares and pairwise products are judged:
    below .1 is asked for. Raises InputError as `response_weights`.
    """
    questions = sorted(set(surveys["question"].to_pylist())) if "question" in surveys.column_names else []
    if len(questions) > 1:
        raise InputError(
            f"{name}: weights are of one question at a time; the table holds {', '.join(questions)}:"
            " choose one"
        )
    if threshold is not None and not SCALE[0] <= threshold <= SCALE[1]:
        raise InputError(f"the threshold is {threshold:g}; answers lie between {SCALE[0]} and {SCALE[1]}")
    surveys, pools = pooled(surveys, covariates, LEAST, name)
    far = [*far_values(surveys, covariates, name), *_rarely_asked(surveys, name)]
    weights = response_weights(surveys, covariates, trim=trim, name=name)
    means = {
        "as they came": answered_mean(surveys, name=name),
        "weighted": weighted_mean(surveys, covariates, scale=SCALE, name=name),
        "doubly robust": aipw_mean(surveys, covariates, key=key, scale=SCALE, name=name),
    }
    raked = None if margins is None else rake(surveys, weights.weight, margins, name)
    if raked is not None:
        weights = replace(weights, raked=raked.weight)
        far += _thin_margins(surveys, raked, name)
        means["raked to the margins"] = raked_mean(surveys, raked, name=name)
    verdict, because = _verdict(weights, far, means)
    report = ClaimReport(
        claim="Weighted, those who answered look like everyone who was asked",
        verdict=verdict,
        because=because,
        tables=(
            _means_balance(weights),
            _worst(weights),
            Table.of("Mean answer", _means(means)),
            _health(weights),
            *([_margins(raked)] if raked is not None else []),
            *_tipping(means, weights, surveys, threshold),
        ),
        figures=_figures(weights, means),
        assumptions=(
            "given the covariates, who answers does not depend on the answer",
            "everyone asked could have answered",
            *pools,
        ),
        limits=(_LIMIT,),
        settings={
            "covariates": list(covariates),
            "trim": trim,
            "limit of |SMD|": LIMIT,
            "threshold": threshold,
            "people": means["as they came"].n,
        },
    )
    return weights, report


def _rarely_asked(surveys: pa.Table, name: str) -> list[str]:
    """That a few questions of tiny asking probability stand for nearly everyone, where they do."""
    design = 1 / numbers(surveys, "asked_probability", name, low=np.nextafter(0, 1))
    size = effective_size(design)
    if size >= max(FEWEST, len(design) * SMALLEST) or len(design) < FEWEST:
        return []
    return [
        f"the {len(design):,} questions asked count as {size:.1f}: a few asking probabilities decide (the"
        f" smallest is {1 / design.max():.2g})"
    ]


def _margins(raked: Raked) -> Table:
    names = ("covariate", "value", "population", "weighted", "raked")
    rows: list[dict[str, Cell]] = [dict(zip(names, row, strict=True)) for row in raked.rows]
    share = effective_size(raked.weight)
    note = f"{raked.steps} rounds; effective sample size {share:.1f}. `raked` in weights.parquet."
    return Table.of("Margins of the population", rows, note)


def _verdict(
    weights: ResponseWeights, far: Sequence[str], means: Mapping[str, Interval]
) -> tuple[Verdict, str]:
    worst = {kind: weights.worst(kind) for kind in ("mean", "square", "product")}
    before = weights.worst(when="before")
    if weights.answered == weights.shown:
        words = f"All {weights.shown:,} rows are answered, as in a table that lacks the questions nobody"
        return "cannot tell", f"{words} answered; give one row a question shown, answered or not."
    doubts = [
        f"too few answers to stand for {c.text}; at least {LEAST} people"
        for c in weights.thin
        if c.share >= TINY
    ]
    sizes = {"": (weights.ess, weights.largest)}
    if weights.raked is not None:
        most = weights.raked.max() * weights.answered / weights.raked.sum()
        sizes[" after raking"] = (effective_size(weights.raked), float(most))
    if weights.answered < FEWEST:
        doubts.append(f"only {many(weights.answered, 'answer')}, fewer than {FEWEST}")
        sizes = {}
    doubts += [
        f"the effective sample size{when} is {size:.1f} of {weights.answered:,} answers: a few weights decide"
        f" (the largest is {most:.0f} times the mean)"
        for when, (size, most) in sizes.items()
        if size < max(FEWEST, weights.answered * SMALLEST)
    ]
    doubts += far
    doubts += [
        f"the {what} mean cannot be told: {mean.reason}"
        for what, mean in means.items()
        if mean.reason.startswith(NOTHING)
    ]
    doubts += [
        f"the {what} mean {mean.value:.2f} lies outside the scale, {SCALE[0]} to {SCALE[1]}"
        for what, mean in means.items()
        if not mean.reason and not SCALE[0] <= mean.value <= SCALE[1]
    ]
    words = (
        f"After weighting the largest |SMD| is {worst['mean']:.1g} of a mean, {worst['square']:.3f} of a"
        f" square and {worst['product']:.3f} of a product; {LIMIT} is the limit. Before, the worst mean was"
        f" {before:.2f}."
    )
    if doubts:
        text = "; ".join(doubts)
        words = f"{text[0].upper()}{text[1:]}. {words}"
    if max(worst.values()) >= LIMIT:
        return "not supported", words
    return ("cannot tell" if doubts else "supported"), words


def _means_balance(weights: ResponseWeights) -> Table:
    rows = [row for row in weights.balance.to_pylist() if row["kind"] == "mean"]
    note = (
        f"SMD: difference from everyone asked, in their standard deviations; accepted when below {LIMIT}"
        " everywhere."
    )
    return Table.of("Balance of means", [_moment(row) for row in rows], note)


def _worst(weights: ResponseWeights) -> Table:
    rows = [row for row in weights.balance.to_pylist() if row["kind"] != "mean"]
    rows.sort(key=lambda row: -abs(row["smd_after"]))
    cells: list[dict[str, Cell]] = [{"moment": row["covariate"]} | _smd(row) for row in rows[:_MOST]]
    if not cells:
        none = "none: a single two-valued covariate has only its mean"
        cells = [{"moment": none, "SMD before": None, "SMD after": None}]
    note = (
        f"Of {len(rows)} moments that the weights were not fitted to; below {LIMIT} everywhere is asked for."
    )
    return Table.of("Balance of squares and pairwise products, worst first", cells, note)


def _moment(row: dict[str, Cell]) -> dict[str, Cell]:
    named = {"covariate": row["covariate"], "everyone asked": row["target"], "answered": row["answered"]}
    return named | {"weighted": row["weighted"]} | _smd(row)


def _smd(row: dict[str, Cell]) -> dict[str, Cell]:
    after = row["smd_after"]
    exact = isinstance(after, float) and abs(after) < 1e-8
    return {"SMD before": row["smd_before"], "SMD after": "0, exact" if exact else after}


def _means(means: dict[str, Interval]) -> list[dict[str, Cell]]:
    return [{"estimate": name, "mean answer": mean, "users": mean.n} for name, mean in means.items()]


def _health(weights: ResponseWeights) -> Table:
    rows: list[dict[str, Cell]] = [
        {"quantity": "questions shown", "value": weights.shown},
        {"quantity": "answered", "value": weights.answered},
        {"quantity": "response rate, by design weight", "value": weights.response_rate},
        {"quantity": "effective sample size", "value": weights.ess},
        {"quantity": "design effect of weighting", "value": weights.deff},
        {"quantity": "largest weight over the mean one", "value": weights.largest},
        {"quantity": "weights trimmed", "value": weights.trimmed},
    ]
    left = f"Left out as constant or a combination of others: {', '.join(weights.dropped)}."
    return Table.of("What the weights cost", rows, left if weights.dropped else "")


def _tipping(
    means: dict[str, Interval], weights: ResponseWeights, surveys: pa.Table, threshold: float | None
) -> tuple[Table, ...]:
    robust = means["doubly robust"]
    if threshold is None or not np.isfinite(robust.value):
        return ()
    answers = surveys["answer"].drop_null().to_numpy().astype(np.float64)
    point = tipping_point(robust, threshold, weights.response_rate, float(answers.std()))
    rows: list[dict[str, Cell]] = [
        {"quantity": "mean answer that would overturn the result", "value": threshold},
        {"quantity": "shift of those who did not answer that moves the mean there", "value": point.shift},
        {"quantity": "shift that moves the nearer end of the interval there", "value": point.shift_interval},
        {"quantity": "the same in standard deviations of the answers", "value": point.in_sd},
    ]
    note = "Shifts are against what the covariates predict for those who did not answer."
    return (Table.of("Tipping point", rows, note),)


def _figures(weights: ResponseWeights, means: dict[str, Interval]) -> tuple[Intervals, ...]:
    """Balance, and the mean answers unless everyone answered the same."""
    answers = Intervals.of("Mean answer", "mean answer, 95 % interval", means, marked=(list(means)[-1],))
    return (_balance_figure(weights), answers) if answers.rows else (_balance_figure(weights),)


def _balance_figure(weights: ResponseWeights) -> Intervals:
    rows = weights.balance.to_pylist()
    rows.sort(key=lambda row: -max(abs(row["smd_before"]), abs(row["smd_after"])))
    lines = [
        (str(r["covariate"]), abs(float(r["smd_after"])), abs(float(r["smd_before"]))) for r in rows[:_MOST]
    ]
    return Intervals(
        title="Balance, worst moments first",
        label="|SMD|: dot after weighting, line from before",
        rows=tuple((name, after, min(after, before), max(after, before)) for name, after, before in lines),
        reference=LIMIT,
        caption=(
            f"Dashed: the limit {LIMIT}. The {len(lines)} moments of {len(rows)} that differ most, before or"
            " after."
        ),
    )
