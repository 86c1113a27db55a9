"""Answers of people to a battery of items -> the moments that factor analysis takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.retention.surveys import codes, numbers
from tastemaker.retention.validity.factor.discriminant import htmt_bounds
from tastemaker.stats.estimate import Estimate

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Battery:
    """covariance (p, p) with divisor n; n people; blocks: factor -> rows of its items; names (p,); groups:
    name -> covariance, means, n; bounds: HTMT with intervals; left_out: people with a missing item.
    """

    covariance: Floats
    n: int
    blocks: dict[str, list[int]]
    names: list[str]
    groups: dict[str, tuple[Floats, Floats, int]] | None
    bounds: dict[tuple[str, str], Estimate]
    left_out: int


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
    x = np.column_stack([numbers(answers, item, name) for item in names]) if names else np.empty((0, 0))
    for item in reverse:
        if item not in names:
            raise InputError(f"{name}: '{item}' cannot be reversed, it is in no block: {', '.join(names)}")
        column = x[:, names.index(item)]
        x[:, names.index(item)] = np.nanmin(column) + np.nanmax(column) - column
    complete = ~np.isnan(x).any(axis=1)
    if complete.sum() <= len(names) or not names:
        raise InputError(
            f"{name}: {int(complete.sum())} people answered all of {', '.join(names) or 'no item'}: too few"
            " for a battery"
        )
    same = np.flatnonzero(np.ptp(x[complete], axis=0) == 0)
    if len(same):
        raise InputError(f"{name}: everyone gave the same answer to '{names[same[0]]}'; leave that item out")
    rows = x[complete]
    places = {item: place for place, item in enumerate(names)}
    numbered = {factor: [places[item] for item in items] for factor, items in blocks.items()}
    groups = None
    if by is not None:
        group, labels = codes(answers, by, name)
        parts = {f"{by}={label}": x[complete & (group == place)] for place, label in enumerate(labels)}
        groups = {
            label: (np.cov(part.T, bias=True), part.mean(axis=0), len(part))
            for label, part in parts.items()
            if len(part)
        }
    many = len(blocks) > 1 and all(len(items) > 1 for items in blocks.values())
    bounds = htmt_bounds(rows, numbered, key=key, resamples=resamples) if many else {}
    return Battery(
        np.cov(rows.T, bias=True), len(rows), numbered, names, groups, bounds, int((~complete).sum())
    )
