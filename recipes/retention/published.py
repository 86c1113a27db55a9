"""How the study of retentive relevance (arXiv 2510.07621) computed its numbers, to set beside ours: folds of
rows, a binary proxy without neutrals, point precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import stats
from sklearn.linear_model import LogisticRegression

from tastemaker.arrays import Bools
from tastemaker.retention.increment.rows import IncrementSettings, Rows, labels, read_rows
from tastemaker.retention.increment.table import BASELINE, METRICS, Predicted, predict_folds, prepare, scores
from tastemaker.retention.proxy.model import feature
from tastemaker.retention.threshold import GRID, N_MIN
from tastemaker.schema.columns import numbers
from tastemaker.stats.random import dealt, generator

Floats = npt.NDArray[np.float64]
FOLDS = 10
THRESHOLDS = {"pos": 0.76, "neg": 0.62}  # p > .76, and p < .38 read as 1 − p > .62


@dataclass(frozen=True)
class FoldScore:
    """A model in a cohort: mean and SD of accuracy and AUC over folds, p of a paired t-test and Cohen's d
    against the baseline, over folds that share training rows (NaN for the baseline).
    """

    cohort: str
    model: str
    accuracy: tuple[float, float]
    auc: tuple[float, float]
    p: float
    d: float


def fold_table(rows: pa.Table, settings: IncrementSettings, key: int) -> list[FoldScore]:
    """Every model in every cohort with folds of rows at random, users on both sides."""
    data = read_rows(rows, settings)
    rough = labels(data.outcome, np.ones(len(data.outcome), dtype=bool), settings.active_quantile)
    fold = dealt(rough.astype(np.int64), FOLDS, generator(key, "folds", "rows"))
    splits: list[tuple[Bools, Bools]] = [(fold != part, fold == part) for part in range(FOLDS)]
    predicted = predict_folds(data, settings, splits)
    out = []
    for cohort, member in data.cohorts().items():
        base = fold_scores(data, predicted, BASELINE, member)
        for model in predicted.p:
            each = fold_scores(data, predicted, model, member)
            auc, accuracy = each[:, 0], each[:, METRICS.index("accuracy")]
            p, d = float("nan"), float("nan")
            if model != BASELINE:
                p = float(stats.ttest_rel(auc, base[:, 0]).pvalue)
                pooled = sqrt((auc.var(ddof=1) + base[:, 0].var(ddof=1)) / 2)
                d = float((auc - base[:, 0]).mean() / pooled)
            means = [(float(values.mean()), float(values.std(ddof=1))) for values in (accuracy, auc)]
            out.append(FoldScore(cohort, model, means[0], means[1], p, d))
    return out


def fold_scores(data: Rows, at: Predicted, model: str, member: Bools) -> Floats:
    """(folds, 6) metrics of a model in each test fold, in a cohort."""
    parts = [test & member for test in at.tests]
    return np.array([scores(prepare(at.p[model][part], at.y[part]), data.weight[part]) for part in parts])


class BinaryProxy:
    """Logistic regression of a good answer (4, 5) against a bad one (1, 2) on standardised features."""

    def __init__(self, rows: pa.Table, features: tuple[str, ...], answer: str = "return") -> None:
        self.features = features
        answers = numbers(rows, answer, "rows", nulls=True)
        given = ~np.isnan(answers) & (answers != 3)
        x = self._columns(rows)[given]
        self.mean, self.scale = x.mean(axis=0), x.std(axis=0)
        self.model = LogisticRegression(max_iter=1000).fit((x - self.mean) / self.scale, answers[given] >= 4)

    def _columns(self, rows: pa.Table) -> Floats:
        return np.column_stack([feature(rows, name, "rows") for name in self.features])

    def predict(self, rows: pa.Table) -> dict[str, Floats]:
        """P(good | not neutral) and its complement, each (n,), taken for chances of a good and a bad
        answer.
        """
        z = (self._columns(rows) - self.mean) / self.scale
        p = np.asarray(self.model.predict_proba(z)[:, 1], dtype=np.float64)
        return {"pos": p, "neg": 1 - p}


def point_threshold(p: Floats, y: Floats, target: float = 0.8) -> float | None:
    """The loosest tau of the grid, with `N_MIN` rows above it, whose point precision reaches the target."""
    chosen = None
    for tau in GRID:
        above = p >= tau
        if above.sum() >= N_MIN and y[above].mean() >= target:
            chosen = float(tau)
    return chosen
