"""The switch back to pi0: how often it is wrong, and after how many rows it acts.

    python -m recipes.explore.kill_switch
    python -m recipes.explore.kill_switch --quick

Streams of Bernoulli rewards against the floor .0063, at the floor, at three quarters and at half of it. Rows
to an alarm are skewed, so that their mean lies above their median; both are given, and the mean of the
streams that alarm within 50,000 rows.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.explore.draws import rate
from tastemaker.explore.ledger.watch import watch
from tastemaker.stats.random import generator

FLOOR, WITHIN, BATCH = 0.0063, 50_000, 20
LEVELS = {
    1.0: 50_000,
    0.75: 300_000,
    0.5: 50_000,
}  # reward / floor, and rows a stream: enough for all but the first to alarm


def alarms(seed: int, level: float, batch: int) -> list[int | None]:
    """The row of the alarm in each of BATCH streams."""
    draws, rows = generator(seed, "switch", str(level), batch), LEVELS[level]
    return [watch((draws.random(rows) < FLOOR * level) * 1.0, FLOOR) for _ in range(BATCH)]


def table_row(level: float, alarmed: np.ndarray) -> dict[str, str]:
    """A row of the table; alarmed (streams,) rows of alarms, inf where there was none."""
    early, n = alarmed[alarmed <= WITHIN], len(alarmed)
    row = {"reward / floor": f"{level:g}", "alarm within 50,000 rows, %": rate(len(early), n)}
    if np.isinf(alarmed).mean() > 0.4:
        return row | {
            "median row": "none",
            "mean row": "",
            "mean row of those within 50,000": f"{early.mean():,.0f}",
        }
    ends = np.sort(alarmed)[stats.binom.ppf([0.025, 0.975], n, 0.5).astype(int)]
    median = f"{np.median(alarmed):,.0f} ({ends[0]:,.0f}–{ends[1]:,.0f})"
    whole = (
        f"{alarmed.mean():,.0f}"
        if np.isfinite(alarmed).all()
        else f"none in {np.isinf(alarmed).sum()} of {n}"
    )
    return row | {
        "median row": median,
        "mean row": whole,
        "mean row of those within 50,000": f"{early.mean():,.0f}",
    }


def draw(alarmed: dict[float, np.ndarray]) -> Figure:
    """Share of streams with an alarm by each row."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for level, rows in alarmed.items():
        name = "at the floor" if level == 1 else f"at {level:g} of the floor"
        axes.step(np.sort(rows), 100 * np.arange(1, len(rows) + 1) / len(rows), where="post", label=name)
    axes.axhline(5, color="0.4", linewidth=0.8, linestyle="--", label="delta")
    axes.set(xlabel="row", ylabel="streams with an alarm, %", xlim=(0, WITHIN), ylim=(0, 101))
    axes.legend(frameon=False, fontsize=8, loc="center right")
    return figure


def main() -> None:
    """Run, print the table, draw the alarms."""
    arguments = read_arguments(parser(main, "100 streams a level: inconclusive"), "explore/kill_switch")
    runs = 100 if arguments.quick else 2_000
    journal = Journal(
        arguments.out, {"recipe": "kill_switch", "seed": arguments.seed, "batch": BATCH, "floor": FLOOR}
    )
    alarmed = {}
    for level in LEVELS:
        keys = [[level, batch] for batch in range(runs // BATCH)]
        batches = journal.run(
            keys, lambda key: alarms(arguments.seed, key[0], key[1]), f"at {level:g} of the floor"
        )
        alarmed[level] = np.array([np.inf if row is None else row for batch in batches for row in batch])
    note = "A quick run: inconclusive." if arguments.quick else ""
    title = f"Kill-switch, floor {FLOOR}, delta .05, {runs:,} streams a level (95 % intervals)"
    show_table(arguments.out, [table_row(level, rows) for level, rows in alarmed.items()], title, note)
    save_figure(arguments.out, draw(alarmed))


if __name__ == "__main__":
    command(main)
