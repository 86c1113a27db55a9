"""From everything that was shown to what was answered: who plays and so can be asked is selected too, and the
weights take it back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tastemaker.retention.report import Cell, Table
from tastemaker.retention.weights.design import design
from tastemaker.retention.weights.weigh import WeightSettings, response_weights
from tastemaker.schema.columns import codes, numbers

STAGES = ("shown", "played", "asked", "answered")


def asked_of_shown(
    shown: pa.Table, covariates: Sequence[str], settings: WeightSettings = WeightSettings(), name: str = "log"
) -> pa.Table:
    """The rows of `shown` that were asked, with `asked_probability`: how likely a shown row with these
    covariates was to be played, to be free of the limits of asking, and to be drawn, fitted so that those
    asked match everything shown in the mean of each covariate.

    shown: one row an item of a list that somebody saw, with user_id, asked (0 or 1) and the covariates.
    Weighing the result by `response_weights` makes its answers stand for everything shown. Raises InputError
    as `response_weights`.
    """
    asked = numbers(shown, "asked", name) > 0
    stage = pa.table({name: shown[name] for name in ("user_id", *covariates)})
    stage = stage.append_column("answer", pa.array(np.where(asked, 1.0, np.nan), from_pandas=True))
    stage = stage.append_column("asked_probability", pa.array(np.ones(len(asked))))
    chance = 1 / response_weights(stage, covariates, settings, name=name).weight[asked]
    rows = shown.filter(pa.array(asked))
    if "asked_probability" in rows.column_names:
        rows = rows.drop_columns(["asked_probability"])
    return rows.append_column("asked_probability", pa.array(np.minimum(chance, 1.0)))


def stages_table(shown: pa.Table, covariates: Sequence[str], name: str = "log") -> Table:
    """Rows and people left at each of STAGES, and how far the mean of the worst covariate has moved from
    everything shown, in its standard deviations. shown: as for `asked_of_shown`, with played (0 or 1) and
    answer.
    """
    x = design(shown, covariates, np.ones(shown.num_rows), 50, name, allow_constant=True)
    owner = codes(shown, "user_id", name)[0]
    within = {
        "shown": np.ones(shown.num_rows, bool),
        "played": numbers(shown, "played", name) > 0,
        "asked": numbers(shown, "asked", name) > 0,
        "answered": ~np.isnan(numbers(shown, "answer", name, nulls=True)),
    }
    rows: list[dict[str, Cell]] = []
    for stage in STAGES:
        on = within[stage]
        moved = np.abs(x.x[on].mean(axis=0)) if on.any() and x.names else np.zeros(1)
        worst = x.names[int(moved.argmax())] if x.names and stage != "shown" else ""
        row: dict[str, Cell] = {"stage": stage, "rows": int(on.sum()), "people": len(np.unique(owner[on]))}
        rows.append(row | {"worst |SMD| from shown": float(moved.max()), "of": worst})
    note = "Before weighting; who is never asked by the draw of people (ask_holdout) is left out."
    return Table.of("From shown to answered", rows, note)
