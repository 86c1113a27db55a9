"""The surrogate index on tables: history with the long outcome, a test with the short ones only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.experiment.effects import Effect, effects
from tastemaker.experiment.moments import Metric, column_of, moments
from tastemaker.experiment.surrogate import SurrogateIndex, fit_index, index_effect


def index_on_tables(
    history: pa.Table,
    test: pa.Table,
    short: Sequence[str],
    long: str,
    arm: str = "arm",
    control: str = "control",
    treatment: str = "treatment",
    key: str | int = 0,
) -> tuple[SurrogateIndex, Effect, list[Effect]]:
    """Fit on `history` (one row a unit: short outcomes and `long`), read the effect in `test` (one row a
    unit: arm, short).

    Returns the index, the effect on it, and the effect on each short outcome alone. Raises InputError on a
    missing column or value, or an arm without units.
    """
    if not short:
        raise InputError("a surrogate index needs at least one short outcome")
    past = np.column_stack([_numbers(history, name) for name in short])
    index = fit_index(past, _numbers(history, long), short, key)
    now = np.column_stack([_numbers(test, name) for name in short])
    arms = np.array(column_of(test, arm).to_pylist(), dtype=object)
    for name in (control, treatment):
        if not (arms == name).any():
            raise InputError(
                f"arm '{name}' is empty: no row has it; arms found: {', '.join(sorted(set(map(str, arms))))}"
            )
    alone = effects(
        moments(test, [Metric(name) for name in short], arm),
        [Metric(name) for name in short],
        control,
        treatment,
    )
    return (
        index,
        index_effect(index, now[arms == treatment], now[arms == control], f"{long} (predicted)"),
        alone,
    )


def index_rows(index: SurrogateIndex) -> list[dict[str, str | int | float | bool | None]]:
    """One row a short outcome: its weight in the index with the interval of its refits."""
    low, high = np.quantile(index.refits, [0.025, 0.975], axis=0)
    return [
        {
            "short outcome": name,
            "weight": round(float(index.coefficients[i]), 6),
            "95 % interval": f"{low[i]:.4g} to {high[i]:.4g}",
        }
        for i, name in enumerate(index.names, start=1)
    ]


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    column = column_of(table, name)
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"column '{name}' holds no numbers: {error}") from None
