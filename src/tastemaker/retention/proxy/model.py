"""The proxy: features of an impression -> how likely a good and a bad answer would be; fitting and
scoring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit

from tastemaker.errors import InputError
from tastemaker.retention.calibrate import Calibrator
from tastemaker.retention.proxy.ordinal import fit_binary, fit_ordinal
from tastemaker.retention.surveys import check_answers, listed, numbers
from tastemaker.retention.threshold import Threshold

Floats = npt.NDArray[np.float64]
Kind = Literal["ordinal", "binary"]
SIDES = ("pos", "neg")


@dataclass(frozen=True)
class ProxySettings:
    """features: columns, in order. kind: ordinal (all answers) or binary (as published: neutrals dropped,
    beside a model of not answering 3). answer, weight: columns. l2: penalty on slopes of standardised
    features. value_lambda: price of a bad answer in value = p_pos − lambda p_neg. window: the days the
    answers come from, as the user writes them.
    """

    features: tuple[str, ...]
    kind: Kind = "ordinal"
    answer: str = "return"
    weight: str | None = None
    l2: float = 1e-3
    value_lambda: float = 1.0
    window: str = ""

    def __post_init__(self) -> None:
        if not self.features or len(set(self.features)) < len(self.features):
            raise InputError("a proxy needs at least one feature column, each named once")
        if self.kind not in ("ordinal", "binary"):
            raise InputError(f"proxy kind '{self.kind}' is unknown; choose ordinal or binary")
        if self.l2 < 0 or self.value_lambda < 0:
            raise InputError(f"l2 is {self.l2} and value_lambda {self.value_lambda}; both are at least 0")


@dataclass(frozen=True)
class Proxy:
    """slopes (d,) on raw features; cuts: ordinal thresholds (4,), or for binary (intercept,); neutral_slopes,
    neutral_cut: the model of an answer other than 3 (binary only). calibrators and thresholds by side ('pos',
    'neg'); n: answers it was fitted on;
    about: anything else worth keeping, such as the rank correlation with the base score.
    """

    settings: ProxySettings
    slopes: tuple[float, ...]
    cuts: tuple[float, ...]
    neutral_slopes: tuple[float, ...] = ()
    neutral_cut: float = 0.0
    n: int = 0
    calibrators: Mapping[str, Calibrator] = field(default_factory=dict)
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def value(self, p_pos: Floats, p_neg: Floats) -> Floats:
        """p_pos − lambda p_neg, what a ranking can add."""
        return p_pos - self.settings.value_lambda * p_neg

    def calibrated(self, calibrators: Mapping[str, Calibrator]) -> Proxy:
        """The same proxy with calibrators for 'pos' and 'neg'; thresholds of the old scale are dropped."""
        if set(calibrators) - set(SIDES):
            raise InputError(
                f"calibrators are for {' and '.join(SIDES)}; got {', '.join(sorted(calibrators))}"
            )
        return replace(self, calibrators=dict(calibrators), thresholds={})


def fit_proxy(rows: pa.Table, settings: ProxySettings, name: str = "rows") -> Proxy:
    """A proxy on the rows that have an answer.

    Raises
    ------
    InputError
        naming row and column: unknown column, feature missing, answer outside 1 to 5, negative weight, nobody
        answered, everybody the same, or a feature that tells the answer without error.
    """
    check_answers(rows, answer=settings.answer, name=name)
    answer = numbers(rows, settings.answer, name)
    weight = np.ones(len(answer)) if settings.weight is None else numbers(rows, settings.weight, name)
    if not (weight >= 0).all() or np.isinf(weight).any():
        row = int(np.argmax(~(weight >= 0) | np.isinf(weight)))
        raise InputError(
            f"{name}: row {row + 1}, column '{settings.weight}' is {weight[row]:g}; weights are finite and at"
            " least 0"
        )
    kept = ~np.isnan(answer) & (weight > 0)
    if not kept.any():
        raise InputError(f"{name}: nobody answered '{settings.answer}'; a proxy needs answers")
    if np.ptp(answer[kept]) == 0:
        raise InputError(f"{name}: everybody answered {answer[kept][0]:g}; there is nothing to learn")
    x = np.column_stack([feature(rows, one, name)[kept] for one in settings.features])
    y, w = answer[kept].astype(np.int64), weight[kept]
    mean = np.average(x, axis=0, weights=w)
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w))
    scale[scale < 1e-12] = 1.0
    z = (x - mean) / scale
    if settings.kind == "ordinal":
        b, theta = fit_ordinal(z, y, w, settings.l2)
        return Proxy(settings, _numbers(b / scale), _numbers(theta + float(b @ (mean / scale))), n=len(y))
    told = y != 3
    b, cut = fit_binary(z[told], (y[told] >= 4).astype(np.float64), w[told], settings.l2)
    other, other_cut = (
        (np.zeros(len(b)), 30.0) if told.all() else fit_binary(z, told.astype(np.float64), w, settings.l2)
    )
    return Proxy(
        settings,
        _numbers(b / scale),
        (cut - float(b @ (mean / scale)),),
        _numbers(other / scale),
        other_cut - float(other @ (mean / scale)),
        len(y),
    )


def predict(
    proxy: Proxy, rows: pa.Table, *, published: bool = False, name: str = "rows"
) -> tuple[Floats, Floats]:
    """p_pos = P(answer >= 4) and p_neg = P(answer <= 2), each (n,), calibrated where the proxy has
    calibrators.

    published: of a binary proxy, p = P(positive | not neutral) and 1 − p, as the study uses them. Columns are
    read one by one, so a table of any width costs one number a row. Raises InputError on a feature that is
    absent or missing in a row.
    """
    main, other = np.zeros(rows.num_rows), np.zeros(rows.num_rows)
    for place, column in enumerate(proxy.settings.features):
        values = feature(rows, column, name)
        main += proxy.slopes[place] * values
        if proxy.neutral_slopes:
            other += proxy.neutral_slopes[place] * values
    return _from_scores(proxy, main, other, published)


def predict_arrays(proxy: Proxy, x: Floats, *, published: bool = False) -> tuple[Floats, Floats]:
    """As `predict`, of features (n, d) in the proxy's order."""
    if x.ndim != 2 or x.shape[1] != len(proxy.slopes):
        raise InputError(
            f"the proxy takes {len(proxy.slopes)} features in the order of its settings; got an array of"
            f" shape {x.shape}"
        )
    other = x @ np.array(proxy.neutral_slopes) if proxy.neutral_slopes else np.zeros(len(x))
    return _from_scores(proxy, x @ np.array(proxy.slopes), other, published)


def _from_scores(proxy: Proxy, main: Floats, other: Floats, published: bool) -> tuple[Floats, Floats]:
    if proxy.settings.kind == "ordinal":
        p_pos, p_neg = expit(main - proxy.cuts[2]), expit(proxy.cuts[1] - main)
    else:
        p_pos = expit(main + proxy.cuts[0])
        p_neg = 1 - p_pos
        if published:
            return p_pos, p_neg
        told = expit(other + proxy.neutral_cut)
        p_pos, p_neg = told * p_pos, told * p_neg
    done = [
        proxy.calibrators[side](p) if side in proxy.calibrators else p
        for side, p in zip(SIDES, (p_pos, p_neg), strict=True)
    ]
    return np.asarray(done[0], dtype=np.float64), np.asarray(done[1], dtype=np.float64)


def feature(rows: pa.Table, column: str, name: str) -> Floats:
    """(n,) a feature as float64, booleans as 0 and 1; InputError where it is absent, or with the row where it
    is missing.
    """
    if column not in rows.column_names:
        raise InputError(f"{name}: feature '{column}' is missing; the table has {listed(rows)}")
    values = rows[column]
    if pa.types.is_boolean(values.type):
        rows = pa.table({column: values.cast(pa.int8())})
    found = numbers(rows, column, name)
    # One sum tells whether anything is NaN or infinite, at a fifth of the cost of looking at every number.
    if not np.isfinite(found.sum()) and not np.isfinite(found).all():
        row = int(np.argmax(~np.isfinite(found)))
        raise InputError(
            f"{name}: row {row + 1}, column '{column}' is empty or not finite; fill it in or leave the"
            " feature out"
        )
    return found


def _numbers(values: Floats) -> tuple[float, ...]:
    return tuple(float(one) for one in values)
