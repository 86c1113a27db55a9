"""One real survey joined to behaviour: does an answer add to the prediction of what people then do?

The RAND Health Insurance Experiment as statsmodels carries it (20,190 person-years): people rated their
health when they enrolled, and their visits to a doctor were counted. Not a recommender and not "would you
return", but real
answers, real behaviour, and the same command: `retention increment`. Baseline: what the insurer knew
(co-insurance, deductible, payments) and a count of chronic diseases from a medical history. The file has no
ids; neighbouring rows with the same history and answer are taken for one person.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from statsmodels.datasets import randhie

from recipes.common import Journal, command, parser, read_arguments, show_table
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.increment.rows import IncrementSettings
from tastemaker.retention.increment.table import claim, increment_table

NAME = "real_survey"
KNOWN = ("lncoins", "idp", "lpi", "fmde", "disea", "physlm")
SETTINGS = IncrementSettings(KNOWN, ("health", "noise"), "visited")


def visits(seed: int) -> pa.Table:
    """One row a person and year: user_id, what was known, health (1 poor to 4 excellent), visited (0 or 1),
    and noise, the same answers dealt to other people.
    """
    data = pl.from_pandas(randhie.load_pandas().data)
    same = ["disea", "physlm", "hlthg", "hlthf", "hlthp", "idp", "fmde"]
    first = pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in same).fill_null(True)
    health = 4 - pl.col("hlthg") - 2 * pl.col("hlthf") - 3 * pl.col("hlthp")
    rows = data.with_columns(
        person=first.cum_sum(), health=health.cast(pl.Int64), visited=(pl.col("mdvis") > 0).cast(pl.Int64)
    )
    people = rows.group_by("person", maintain_order=True).agg(
        pl.first("health"), pl.len().alias("years"), (pl.col("disea").first() < 8).alias("low_signal")
    )
    dealt = people["health"].to_numpy()[np.random.default_rng(seed).permutation(len(people))]
    people = people.with_columns(noise=pl.Series(dealt)).drop("health")
    rows = rows.join(people, on="person").with_columns(user_id=pl.format("p{}", "person"))
    return rows.select("user_id", *KNOWN, "health", "noise", "visited", "low_signal").to_arrow()


def main() -> None:
    """Read, compare, show."""
    arguments = read_arguments(parser(main, "100 instead of 400 resamples"), NAME)
    journal = Journal(arguments.out, {"seed": arguments.seed, "quick": arguments.quick})

    def work(_: str) -> dict[str, Any]:
        table = visits(arguments.seed)
        increment = increment_table(table, SETTINGS, arguments.seed)
        write_claim(claim(increment, "health", "the year after"), arguments.out / "report")
        return {
            "people": len(set(table["user_id"].to_pylist())),
            "rows": table.num_rows,
            "scores": [[s.model, s.cohort, _interval(s.metrics["auc"]), _gain(s)] for s in increment.scores],
        }

    (done,) = journal.run(["increment"], work, "increment")
    rows = [
        {"rows": cohort, "model": model, "AUC": auc, "gain": gain}
        for model, cohort, auc, gain in done["scores"]
    ]
    note = f"{done['people']:,} people, {done['rows']:,} person-years; folds and bootstrap by person."
    show_table(arguments.out, rows, "What a rating of one's health adds to the prediction of a visit", note)


def _interval(item: Any) -> str:
    return f"{item.value:.3f} [{item.low:.3f}, {item.high:.3f}]"


def _gain(score: Any) -> str:
    return _interval(score.gain["auc"]) if score.gain else ""


if __name__ == "__main__":
    command(main)
