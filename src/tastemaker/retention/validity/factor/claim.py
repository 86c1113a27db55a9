"""The claim that blocks of items measure the things they are named after."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.arrays import Floats
from tastemaker.errors import InputError, ModelError, many
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Table, Verdict
from tastemaker.retention.surveys import no_answers, straight_lines
from tastemaker.retention.validity.claim import alpha
from tastemaker.retention.validity.factor.cfa import CUTOFFS, CfaFit, fit_cfa
from tastemaker.retention.validity.factor.invariance import Invariance, invariance
from tastemaker.retention.validity.factor.ordinal import fit_ordinal_cfa, is_ordinal
from tastemaker.schema.columns import codes, numbers
from tastemaker.schema.columns import groups as grouped
from tastemaker.stats.intervals import Interval
from tastemaker.stats.resample import resampled


def htmt(covariance: npt.ArrayLike, blocks: Mapping[str, Sequence[int]]) -> dict[tuple[str, str], float]:
    """Heterotrait-monotrait ratio of each pair of blocks: mean |r| between, over the geometric mean of mean
    |r| within.

    covariance or correlation (p, p); blocks: factor -> rows of its items. Below .85 two blocks are two
    things. Raises InputError when a block has one item. Source: Henseler, Ringle and Sarstedt, J. Acad.
    Marketing Science 2015.
    """
    values = _ratios(np.asarray(covariance, dtype=np.float64)[None], blocks)
    return {pair: float(value[0]) for pair, value in values.items()}


def htmt_bounds(
    answers: npt.ArrayLike,
    blocks: Mapping[str, Sequence[int]],
    *,
    key: Sequence[str | int] = (0,),
    resamples: int = 500,
) -> dict[tuple[str, str], Interval]:
    """`htmt` of answers (n, p) with 95 % percentile intervals from resampling people, one a row; an upper
    bound of 1 or more says "one thing".

    Raises InputError as `htmt`.
    """
    x = np.asarray(answers, dtype=np.float64)
    x = x - x.mean(axis=0)
    p = x.shape[1]
    rows, columns = np.triu_indices(p)
    sums = np.column_stack([np.ones(len(x)), x, x[:, rows] * x[:, columns]])

    def covariances(totals: Floats) -> Floats:
        mean = totals[:, 1 : p + 1] / totals[:, :1]
        out = np.empty((len(totals), p, p))
        out[:, rows, columns] = totals[:, p + 1 :] / totals[:, :1]
        out[:, columns, rows] = out[:, rows, columns]
        return out - mean[:, :, None] * mean[:, None, :]

    values = _ratios(covariances(sums.sum(axis=0)[None]), blocks)
    drawn = _ratios(covariances(resampled(sums, key, resamples)), blocks)
    results = {}
    for pair, value in values.items():
        low, high = np.quantile(drawn[pair], [0.025, 0.975]).tolist()
        results[pair] = Interval(float(value[0]), low, high, len(sums), "HTMT", ("users are independent",))
    return results


def _ratios(covariance: Floats, blocks: Mapping[str, Sequence[int]]) -> dict[tuple[str, str], Floats]:
    """Ratios (m,) of each pair of blocks from covariances (m, p, p)."""
    for name, items in blocks.items():
        if len(items) < 2:
            raise InputError(
                f"HTMT: block '{name}' has {len(items)} item; it needs at least two to compare within and"
                " between"
            )
    sd = np.sqrt(np.einsum("mii->mi", covariance))
    r = np.abs(covariance / (sd[:, :, None] * sd[:, None, :]))
    within = {
        name: r[:, items][:, :, items][:, *np.triu_indices(len(items), 1)].mean(axis=1)
        for name, items in _lists(blocks).items()
    }
    out = {}
    for (a, first), (b, second) in combinations(_lists(blocks).items(), 2):
        between = r[:, first][:, :, second].mean(axis=(1, 2))
        out[(a, b)] = np.asarray(between / np.sqrt(within[a] * within[b]), dtype=np.float64)
    return out


def _lists(blocks: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    return {name: list(items) for name, items in blocks.items()}


_INVARIANCE = "Of the answers as numbers, by maximum likelihood. Comparing means needs scalar invariance."
T = TypeVar("T")
METHODS = ("maximum likelihood", "polychoric correlations and WLSMV (ordered answers)")
Group = tuple[npt.ArrayLike, npt.ArrayLike, int]


def battery_claim(
    covariance: npt.ArrayLike,
    n: int,
    blocks: Mapping[str, Sequence[int]],
    *,
    names: Sequence[str] = (),
    groups: Mapping[str, Group] | None = None,
    bounds: Mapping[tuple[str, str], Interval] | None = None,
    ordinal: CfaFit | None = None,
) -> tuple[CfaFit, ClaimReport]:
    """CFA, reliability, convergent and discriminant validity of a battery, against cut-offs, in one report.

    covariance (p, p) with divisor n; blocks: factor -> items; names (p,) of the items; groups: as in
    `invariance`; bounds: of `htmt_bounds`; ordinal: of `fit_ordinal_cfa` where the answers are ordered, else
    maximum likelihood of the covariance. Supported when every check passes, not supported when one fails.
    Raises as `fit_cfa`.
    """
    s = np.asarray(covariance, dtype=np.float64)
    labels = list(names) or [f"item {i + 1}" for i in range(len(s))]
    fit = _fitted(labels, lambda: fit_cfa(s, n, blocks)) if ordinal is None else ordinal
    factors = _factors(fit, s, n)
    against = _against(fit, labels)
    checks = _checks(fit, factors, against, htmt(s, blocks), bounds or {})
    levels = _fitted(labels, lambda: invariance(groups, blocks)) if groups else []
    failed = [str(check["check"]) for check in checks if check["passes"] is False]
    failed += [f"{entry.level} invariance" for entry in levels if not entry.holds]
    undecided = [str(check["check"]) for check in checks if check["passes"] is None]
    passed = len(checks) + len(levels) - len(failed) - len(undecided)
    words = f"{passed} of {len(checks) + len(levels)} checks pass" + (
        f"; fails: {', '.join(failed)}." if failed else "."
    )
    words += f" Open, its interval holds the limit: {', '.join(undecided)}." if undecided else ""
    words += "".join(
        f" Item '{item}' runs against the others of '{factor}' (loading {loading:.2f}): where it is worded"
        f" the other way round, give --reverse {item}."
        for factor, items in against.items()
        for item, loading in items
    )
    note = f"chi2 = {fit.fit.chi2:.3f}, df = {fit.fit.df}, n = {n}, by {METHODS[ordinal is not None]};"
    note += " cut-offs are conventions."
    report = ClaimReport(
        claim=f"The battery measures {len(blocks)} separate things: {', '.join(blocks)}",
        verdict=_battery_verdict(fit, failed, undecided),
        because=f"{_improper(fit, labels)}{words}",
        tables=(
            Table.of("Checks", checks, note),
            Table.of("Factors", factors),
            Table.of("Standardised loadings", _loadings(fit, labels)),
            *([Table.of("Invariance across groups", _levels(levels), _INVARIANCE)] if levels else []),
        ),
        figures=(_figure(fit, labels),),
        assumptions=(
            "respondents are independent, and "
            + ("answers are close to normal" if ordinal is None else "answers are cut from normal variables"),
            "each item measures one thing",
        ),
        limits=(
            "A fitting model is not the only fitting model.",
            "Names of factors are given by people, not by the data.",
        ),
        settings={"blocks": {name: [labels[i] for i in items] for name, items in blocks.items()}, "n": n},
    )
    return fit, report


def _named(text: str, labels: Sequence[str]) -> str:
    """A text about items by their number, with their names."""
    numbered = r"(?<=\bitem )\d+|(?<=\bitems )\d+(?= and)|(?<=\d and )\d+(?= repeat)"
    named = {str(place): label for place, label in enumerate(labels)}
    return re.sub(numbered, lambda match: f"'{named.get(match[0], match[0])}'", text)


def _fitted(labels: Sequence[str], fit: Callable[[], T]) -> T:
    try:
        return fit()
    except (InputError, ModelError) as error:
        raise type(error)(_named(str(error), labels)) from None


def _improper(fit: CfaFit, labels: Sequence[str]) -> str:
    text = _named(fit.improper, labels)
    return f"{text[:1].upper()}{text[1:]}: the solution is improper. " if text else ""


def _battery_verdict(fit: CfaFit, failed: Sequence[str], undecided: Sequence[str]) -> Verdict:
    if fit.improper:
        return "cannot tell"
    return "not supported" if failed else "cannot tell" if undecided else "supported"


def _against(fit: CfaFit, labels: Sequence[str]) -> dict[str, list[tuple[str, float]]]:
    """Factor -> its items (with loadings) that run against most of the others."""
    return {
        name: [(labels[i], float(fit.loadings[i])) for i in items if fit.loadings[i] < 0]
        for name, items in fit.blocks.items()
    }


def _checks(
    fit: CfaFit,
    factors: Sequence[Mapping[str, Cell]],
    against: Mapping[str, Sequence[tuple[str, float]]],
    ratios: Mapping[tuple[str, str], float],
    bounds: Mapping[tuple[str, str], Interval],
) -> list[dict[str, Cell]]:
    f, apart = fit.fit, fit.fornell_larcker()
    close = Interval(f.rmsea, f.rmsea_low, f.rmsea_high, f.n, "RMSEA, 90 %")
    # Where the interval holds the limit the data do not say: None.
    fits = f.rmsea <= CUTOFFS["rmsea"] or (None if f.rmsea_low <= CUTOFFS["rmsea"] else False)
    rows: list[tuple[str, Cell, str, bool | None]] = [
        ("CFI", f.cfi, "≥ .95", f.cfi >= CUTOFFS["cfi"]),
        ("TLI", f.tli, "≥ .95", f.tli >= CUTOFFS["tli"]),
        ("RMSEA", close, "≤ .06", fits),
        ("SRMR", f.srmr, "≤ .08", f.srmr <= CUTOFFS["srmr"]),
    ]
    for place, name in enumerate(fit.blocks):
        ave, alphas = float(fit.ave[place]), factors[place]["alpha"]
        named = ", ".join(item for item, _ in against[name])
        lowest = float(fit.loadings[list(fit.blocks[name])].min())
        whole = isinstance(alphas, Interval) and alphas.value >= CUTOFFS["alpha"]
        turned = f"items of {name} run one way" + (f" (not {named})" if named else "")
        rows += [
            (turned, lowest, "loadings > 0", not named),
            (f"alpha of {name}", alphas, "≥ .7", whole),
            (f"AVE of {name}", ave, "≥ .5", ave >= CUTOFFS["ave"]),
            (f"Fornell-Larcker, {name}", ave, "> phi²", bool(apart[place])),
        ]
    for pair, value in ratios.items():
        fine = value < CUTOFFS["htmt"] and (pair not in bounds or bounds[pair].high < 1)
        label = f"HTMT of {' and '.join(pair)}"
        rows.append((label, bounds.get(pair, value), "< .85, bound < 1", fine))
    return [dict(zip(("check", "value", "asked for", "passes"), row, strict=True)) for row in rows]


def _factors(fit: CfaFit, s: Floats, n: int) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    for place, (name, items) in enumerate(fit.blocks.items()):
        row: dict[str, Cell] = {
            "factor": name,
            "CR": float(fit.reliability[place]),
            "AVE": float(fit.ave[place]),
        }
        row["alpha"] = alpha(s[np.ix_(items, items)], n)
        row |= {f"phi with {other}": float(fit.phi[place, i]) for i, other in enumerate(fit.blocks)}
        rows.append(row)
    return rows


def _loadings(fit: CfaFit, labels: Sequence[str]) -> list[dict[str, Cell]]:
    columns, named = ("item", "factor", "loading", "unexplained"), fit.blocks.items()
    rows = (
        (labels[i], name, float(fit.loadings[i]), float(fit.residual[i])) for name, at in named for i in at
    )
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _levels(levels: Sequence[Invariance]) -> list[dict[str, Cell]]:
    columns = ("level", "chi2", "df", "CFI", "CFI lost", "holds")
    rows = ((at.level, at.fit.chi2, at.fit.df, at.fit.cfi, at.cfi_drop, at.holds) for at in levels)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _figure(fit: CfaFit, labels: Sequence[str]) -> Intervals:
    """Loadings as bars from 0; the dashed line is where an item gives half its variance to its factor."""
    rows = [
        (f"{labels[i]} ({name})", float(fit.loadings[i])) for name, items in fit.blocks.items() for i in items
    ]
    spans = tuple((name, value, min(0.0, value), max(0.0, value)) for name, value in rows)
    return Intervals(
        "Standardised loadings",
        "loading; dashed: half the item's variance",
        spans,
        reference=float(np.sqrt(0.5)),
    )


@dataclass(frozen=True, eq=False)
class Battery:
    """covariance (p, p) with divisor n; n people; blocks: factor -> rows of its items; names (p,); groups:
    name -> covariance, means, n; bounds: HTMT with intervals; left_out: people with a missing item; ordinal:
    the factor analysis of ordered answers, None where they are numbers; doubts: what may be no answer; note:
    of people with one answer to every item.
    """

    covariance: Floats
    n: int
    blocks: dict[str, list[int]]
    names: list[str]
    groups: dict[str, tuple[Floats, Floats, int]] | None
    bounds: dict[tuple[str, str], Interval]
    left_out: int
    ordinal: CfaFit | None
    doubts: tuple[str, ...] = ()
    note: str = ""


def battery(
    answers: pa.Table,
    blocks: Mapping[str, Sequence[str]],
    *,
    by: str | None = None,
    reverse: Sequence[str] = (),
    key: Sequence[str | int] = (0,),
    resamples: int = 500,
    name: str = "answers",
) -> Battery:
    """Moments of the items named in `blocks` (factor -> columns), of everyone who answered all of them, and
    by group. `reverse`: items worded the other way round, whose answers are turned first.

    Raises InputError on a missing column, an item to reverse that is in no block, no complete person, or an
    item that everyone answered the same.
    """
    names = [item for items in blocks.values() for item in items]
    if "user_id" in answers.column_names:
        who, people = codes(answers, "user_id", name)
        if len(people) < len(who):
            twice = people[int(np.argmax(np.bincount(who) > 1))]
            raise InputError(f"{name}: user '{twice}' has several rows; a battery has one row a person")
    x = (
        np.column_stack([numbers(answers, item, name, nulls=True) for item in names])
        if names
        else np.empty((0, 0))
    )
    doubts = tuple(no_answers(x, names))
    note, most = straight_lines(x)
    for item in reverse:
        if item not in names:
            raise InputError(f"{name}: '{item}' cannot be reversed, it is in no block: {', '.join(names)}")
        column = x[:, names.index(item)]
        x[:, names.index(item)] = np.nanmin(column) + np.nanmax(column) - column
    complete = ~np.isnan(x).any(axis=1)
    if complete.sum() <= len(names) or not names:
        raise InputError(
            f"{name}: {many(int(complete.sum()), 'person', 'people')} answered all of"
            f" {', '.join(names) or 'no item'}: too few"
            " for a battery"
        )
    same = np.flatnonzero(np.ptp(x[complete], axis=0) == 0)
    if len(same):
        raise InputError(f"{name}: everyone gave the same answer to '{names[same[0]]}'; leave that item out")
    rows = x[complete]
    places = {item: place for place, item in enumerate(names)}
    numbered = {factor: [places[item] for item in items] for factor, items in blocks.items()}
    large = len(blocks) > 1 and all(len(items) > 1 for items in blocks.values())
    bounds = htmt_bounds(rows, numbered, key=key, resamples=resamples) if large else {}
    ordinal = _fitted(names, lambda: fit_ordinal_cfa(rows, numbered)) if is_ordinal(rows) else None
    return Battery(
        np.cov(rows.T, bias=True),
        len(rows),
        numbered,
        names,
        None if by is None else _by_group(x, answers, by, names, name),
        bounds,
        int((~complete).sum()),
        ordinal,
        (*doubts, note) if most else doubts,
        "" if most else note,
    )


def _by_group(
    x: Floats, answers: pa.Table, by: str, names: Sequence[str], name: str
) -> dict[str, tuple[Floats, Floats, int]]:
    """Covariance, means and size of each group of those without NaN in x (people, items)."""
    group, labels = grouped(answers, by, name)
    group = np.where(np.isnan(x).any(axis=1), -1, group)
    results = {}
    for place, label in enumerate(labels):
        part = x[group == place]
        if not len(part):
            continue
        whom = f"{many(len(part), 'person', 'people')} of {by}={label}"
        if len(part) <= len(names):
            raise InputError(
                f"{name}: {whom} answered all items: too few to compare; merge it with another group"
            )
        same = np.flatnonzero(np.ptp(part, axis=0) == 0)
        if len(same):
            raise InputError(
                f"{name}: all {whom} gave the same answer to '{names[same[0]]}'; leave that item out, or"
                " merge the group with another"
            )
        results[f"{by}={label}"] = (np.cov(part.T, bias=True), part.mean(axis=0), len(part))
    return results
