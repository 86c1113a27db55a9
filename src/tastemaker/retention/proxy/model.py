"""The proxy: features of an impression -> chances of a good and a bad answer; fitted, scored, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import scipy
from scipy.special import expit, logit, stdtrit

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import ArtifactError, InputError
from tastemaker.retention.calibrate import Calibrator
from tastemaker.retention.surveys import check_answers
from tastemaker.retention.threshold import Threshold
from tastemaker.schema.columns import numbers, somebody, texts
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import dealt, generator, hashed_place

Part = Literal["fit", "calibrate", "test"]
PARTS: tuple[Part, ...] = ("fit", "calibrate", "test")
SHARES = (0.5, 0.25, 0.25)


def user_parts(users: list[str], seed: int | str) -> Ints:
    """(n,) 0, 1 or 2: the part of PARTS of each user, by a keyed hash: the same in every run and table."""
    key = str(seed).encode()[:64]
    place = {user: hashed_place(user, key, "blake2b") for user in dict.fromkeys(users)}
    return np.searchsorted(np.cumsum(SHARES)[:-1], [place[user] for user in users], side="right")


def rows_of(
    table: pa.Table, part: Part, seed: int | str, user: str = "user_id", name: str = "rows"
) -> pa.Table:
    """The rows of the users of a part. Raises InputError without a user column, or when no row is left."""
    if user not in table.column_names:
        raise InputError(
            f"{name}: column '{user}' is missing; users must be known, so that those calibrated on are not"
            " trained on"
        )
    somebody(table[user].cast(pa.string()), user, name)
    own = user_parts([str(value) for value in table[user].to_pylist()], seed) == PARTS.index(part)
    result = table.filter(pa.array(own))
    if not result.num_rows:
        raise InputError(f"{name}: none of its users falls into the part to {part} on; give more users")
    return result


def check_rows(rows: pa.Table, settings: ProxySettings, name: str = "rows") -> None:
    """Raise InputError with the first row whose answer is outside 1 to 5, whose weight is negative, or that
    is answered and lacks a weight or a feature: before rows are dealt out, so that it is the table's row.
    """
    check_answers(rows, answer=settings.answer, name=name)
    answered = ~np.isnan(numbers(rows, settings.answer, name, nulls=True))
    for column in filter(None, (*settings.features, settings.weight)):
        low = 0.0 if column == settings.weight else -np.inf
        missing = answered & np.isnan(numbers(rows, column, name, nulls=True, low=low))
        if missing.any():
            raise InputError(
                f"{name}: row {int(np.argmax(missing)) + 1}, column '{column}' is empty; fill it in or leave"
                " it out"
            )


LEVELS = 5
FAR = 40.0  # log-odds that stand for certainty


def fit_ordinal(x: Floats, answer: Ints, weight: Floats, l2: float) -> tuple[Floats, Floats]:
    """Slopes b (d,) and rising thresholds theta (4,) of P(Y <= k | x) = expit(theta_k − x'b), answers 1 to 5.

    Minimises the weighted mean negative log-likelihood + l2/2 |b|²; thresholds are not penalised. They are
    fitted as a first one and logs of the gaps, so that they rise. Source: McCullagh 1980.

    An answer that nobody gave gets no chance: its threshold is that of the answer before it, or FAR out.
    Raises InputError when all gave one answer, or when the fit does not settle.
    """
    present = np.unique(answer[weight > 0])
    if len(present) < 2:
        raise InputError("everybody gave the same answer; there is nothing to learn")
    levels, answer = len(present), np.minimum(np.searchsorted(present, answer), len(present) - 1) + 1
    share = np.bincount(answer, weight, levels + 1)[1:] / weight.sum()
    d, total = x.shape[1], float(weight.sum())
    start = logit(np.clip(np.cumsum(share)[:-1], 1e-6, 1 - 1e-6))
    first = np.concatenate([np.zeros(d), start[:1], np.log(np.maximum(np.diff(start), 1e-4))])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        b, theta = parameters[:d], _thresholds(parameters[d:])
        z = x @ b
        padded = np.concatenate([[-np.inf], theta, [np.inf]])
        upper, lower = padded[answer] - z, padded[answer - 1] - z
        above, below = expit(upper), expit(lower)
        # expit(u) − expit(l) loses digits in the upper tail; there its mirror image is exact.
        chance = np.where(lower > 0, expit(-lower) - expit(-upper), above - below)
        chance = np.maximum(chance, 1e-300)
        at_upper, at_lower = above * (1 - above) / chance, below * (1 - below) / chance
        slopes = x.T @ (weight * (at_upper - at_lower)) / total + l2 * b
        raised = np.bincount(answer, weight * at_upper, levels + 1)[1:levels]
        on_theta = (np.bincount(answer, weight * at_lower, levels + 1)[2:] - raised) / total
        tail = np.cumsum(on_theta[::-1])[::-1]
        gaps = tail[1:] * np.exp(parameters[d + 1 :])
        value = -float(weight @ np.log(chance)) / total + l2 / 2 * float(b @ b)
        return value, np.concatenate([slopes, tail[:1], gaps])

    minimise = _minimise(loss, first)
    known = np.concatenate([[-FAR], _thresholds(minimise[d:]), [FAR]])
    return minimise[:d], known[np.searchsorted(present, np.arange(1, LEVELS), side="right")]


def _thresholds(parameters: Floats) -> Floats:
    return np.cumsum(np.concatenate([parameters[:1], np.exp(parameters[1:])]))


def _minimise(loss: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    options = {"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-8, "maxcor": 20}
    result = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    if not np.isfinite(result.x).all() or np.abs(result.x).max() > 50:
        raise InputError(
            "the proxy does not settle: a feature tells the answer without error; leave it out, or raise l2"
        )
    return np.asarray(result.x, dtype=np.float64)


SIDES = ("pos", "neg")
GROUPS = 10
VERSION = 1


@dataclass(frozen=True)
class ProxySettings:
    """features: columns, in order. answer, weight: columns. l2: penalty on slopes of standardised features.
    value_lambda: price of a bad answer in value = p_pos − lambda p_neg. window: the days the answers come
    from, as the user writes them. unit: the column of people, whose answers may hang together.
    """

    features: tuple[str, ...]
    answer: str = "return"
    weight: str | None = None
    l2: float = 1e-3
    value_lambda: float = 1.0
    window: str = ""
    unit: str = "user_id"

    def __post_init__(self) -> None:
        if not self.features or len(set(self.features)) < len(self.features):
            raise InputError("a proxy needs at least one feature column, each named once")
        if self.answer in self.features:
            raise InputError(f"feature '{self.answer}' is the answer itself; leave it out of the features")
        if self.l2 < 0 or self.value_lambda < 0:
            raise InputError(f"l2 is {self.l2} and value_lambda {self.value_lambda}; both are at least 0")


@dataclass(frozen=True)
class Proxy:
    """slopes (d,) on raw features; cuts (4,): thresholds of P(answer <= k); calibrators and thresholds by
    side ('pos', 'neg'); n: answers it was fitted on; about: anything else worth keeping, such as the rank
    correlation with the base score.
    """

    settings: ProxySettings
    slopes: tuple[float, ...]
    cuts: tuple[float, ...]
    n: int = 0
    calibrators: Mapping[str, Calibrator] = field(default_factory=dict)
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def value(self, p_pos: Floats, p_neg: Floats) -> Floats:
        """p_pos − lambda p_neg, what a ranking can add."""
        return p_pos - self.settings.value_lambda * p_neg

    def calibrated(self, calibrators: Mapping[str, Calibrator]) -> Proxy:
        """The same proxy with calibrators for 'pos' and 'neg'; thresholds of the old scale are dropped."""
        return replace(self, calibrators=dict(calibrators), thresholds={})


def fit_proxy(rows: pa.Table, settings: ProxySettings, name: str = "rows") -> Proxy:
    """A proxy on the rows that have an answer.

    Raises InputError naming row and column: unknown column, feature missing, answer outside 1 to 5, negative
    weight, nobody answered, everybody the same, or a feature that tells the answer without error.
    """
    check_rows(rows, settings, name)
    answer = numbers(rows, settings.answer, name, nulls=True)
    weight = np.ones(len(answer)) if settings.weight is None else numbers(rows, settings.weight, name, low=0)
    selected = ~np.isnan(answer) & (weight > 0)
    if not selected.any():
        raise InputError(f"{name}: nobody answered '{settings.answer}'; a proxy needs answers")
    if np.ptp(answer[selected]) == 0:
        raise InputError(f"{name}: everybody answered {answer[selected][0]:g}; there is nothing to learn")
    x = np.column_stack([feature(rows, item, name)[selected] for item in settings.features])
    y, w = answer[selected].astype(np.int64), weight[selected]
    mean = np.average(x, axis=0, weights=w)
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w))
    scale[scale < 1e-12] = 1.0
    z = (x - mean) / scale
    b, theta = fit_ordinal(z, y, w, settings.l2)
    about: dict[str, Any] = {"telling": _telling(x, y, z @ b, settings.features)}
    if settings.unit in rows.column_names:
        people = rows[settings.unit].filter(pa.array(selected)).unique()
        about["counts"] = {"fit": [len(y), len(people)]}
    cuts = _numbers(theta + float(b @ (mean / scale)))
    return Proxy(settings, _numbers(b / scale), cuts, n=len(y), about=about)


_LEAK_AUC, _ENOUGH = 0.98, 20


def _telling(x: Floats, answer: Ints, score: Floats, features: tuple[str, ...]) -> str:
    """The feature that tells most of the answer, where the fitted score all but tells it: its AUC of a good
    or a bad answer is above _LEAK_AUC, with _ENOUGH answers of both kinds. Nothing known before a question
    tells so much.
    """

    def separation(values: Floats) -> float:
        known = [0.0]
        for yes in (answer >= 4, answer <= 2):
            n = int(yes.sum())
            if min(n, len(yes) - n) >= _ENOUGH:
                below = scipy.stats.rankdata(values)[yes].sum() - n * (n + 1) / 2
                known.append(abs(below / (n * (len(yes) - n)) - 0.5) + 0.5)
        return float(max(known))

    return (
        max(features, key=lambda item: separation(x[:, features.index(item)]))
        if separation(score) > _LEAK_AUC
        else ""
    )


def slope_intervals(
    rows: pa.Table, settings: ProxySettings, key: int | str, name: str = "rows"
) -> dict[str, Interval]:
    """Each feature's slope on the log-odds of a better answer, a standard deviation of the feature, with an
    interval from leaving out a tenth of the people at a time (`GROUPS` of them, drawn by `key`).

    Raises InputError as `fit_proxy`. Source: the delete-a-group jackknife, Kott, J. Official Statistics 2001.
    """
    who = texts(rows, settings.unit, name).to_numpy(zero_copy_only=False).astype(str)
    labels, unit = np.unique(who, return_inverse=True)
    if len(labels) < 2 * GROUPS:
        return {}
    group = dealt(np.zeros(len(labels), np.int64), GROUPS, generator(key, "groups of people"))[unit]
    spread = np.array([feature(rows, item, name).std() for item in settings.features])
    whole = np.array(fit_proxy(rows, settings, name).slopes)
    parts = [fit_proxy(rows.filter(pa.array(group != left)), settings, name).slopes for left in range(GROUPS)]
    error = np.sqrt((GROUPS - 1) / GROUPS * np.square(np.array(parts) - whole).sum(axis=0))
    value, half = whole * spread, float(stdtrit(GROUPS - 1, 0.975)) * error * spread
    return {
        item: Interval.around(v, h, len(labels), "delete-a-group jackknife")
        for item, v, h in zip(settings.features, value, half, strict=True)
    }


def predict(proxy: Proxy, rows: pa.Table, *, name: str = "rows") -> tuple[Floats, Floats]:
    """p_pos = P(answer >= 4) and p_neg = P(answer <= 2), each (n,), calibrated where it can be.

    Columns are read one by one, so a table of any width costs one number a row. Raises InputError on a
    feature that is absent or missing in a row.
    """
    score = np.zeros(rows.num_rows)
    for slope, column in zip(proxy.slopes, proxy.settings.features, strict=True):
        score += slope * feature(rows, column, name)
    return _from_scores(proxy, score)


def predict_arrays(proxy: Proxy, x: Floats) -> tuple[Floats, Floats]:
    """As `predict`, of features (n, d) in the proxy's order."""
    return _from_scores(proxy, x @ np.array(proxy.slopes))


def _from_scores(proxy: Proxy, score: Floats) -> tuple[Floats, Floats]:
    sides = {"pos": expit(score - proxy.cuts[2]), "neg": expit(proxy.cuts[1] - score)}
    p_pos, p_neg = (
        np.asarray(proxy.calibrators[side](p) if side in proxy.calibrators else p, dtype=np.float64)
        for side, p in sides.items()
    )
    return p_pos, p_neg


def feature(rows: pa.Table, column: str, name: str) -> Floats:
    """(n,) a feature as float64, booleans as 0 and 1; InputError where absent, or missing in a row."""
    return numbers(rows, column, name, remedy="fill it in or leave the feature out")


def _numbers(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def to_parts(proxy: Proxy) -> tuple[dict[str, Any], pa.Table]:
    """What JSON holds (settings, cuts, calibrators, thresholds, about), and the table feature, slope."""
    about = {
        "version": VERSION,
        "settings": asdict(proxy.settings) | {"features": list(proxy.settings.features)},
        "cuts": list(proxy.cuts),
        "n": proxy.n,
        "calibrators": {side: calibrator.as_mapping() for side, calibrator in proxy.calibrators.items()},
        "thresholds": {side: asdict(threshold) for side, threshold in proxy.thresholds.items()},
        "about": dict(proxy.about),
    }
    return about, pa.table({"feature": list(proxy.settings.features), "slope": list(proxy.slopes)})


def from_parts(about: Mapping[str, Any], table: pa.Table) -> Proxy:
    """The proxy back. Raises ArtifactError where parts do not belong together or the version is another."""
    try:
        values = dict(about["settings"])
        kind = values.pop("kind", "ordinal")  # 0.1 could fit binary proxies too
        values.setdefault("unit", dict(about["about"]).get("user", "user_id"))
        settings = ProxySettings(**(values | {"features": tuple(values["features"])}))
        in_table = tuple(table["feature"].to_pylist())
        if kind != "ordinal" or about["version"] != VERSION or in_table != settings.features:
            raise ArtifactError(
                "the proxy's parts are of another version or do not list the same features; fit it again"
            )
        known = {part.name for part in fields(Threshold)}
        return Proxy(
            settings,
            tuple(table["slope"].to_pylist()),
            tuple(float(cut) for cut in about["cuts"]),
            int(about["n"]),
            {side: Calibrator.of(parts) for side, parts in about["calibrators"].items() if side in SIDES},
            {
                side: Threshold(**{name: value for name, value in parts.items() if name in known})
                for side, parts in about["thresholds"].items()
                if side in SIDES
            },
            dict(about["about"]),
        )
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise ArtifactError(
            f"the proxy cannot be read ({type(error).__name__}: {error}); fit it again"
        ) from None
