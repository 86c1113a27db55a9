"""The defects of published data, measured on ours: items from one session against the whole catalogue.

Pool leak: the share of conversations that lead back to their source, and how much better than popularity
co-occurrence finds the played items without any word. Requests: turns whose item violates a demand, positive
labels on such items, demands that cannot be read out of the messages. Determination: items that fit a
request, and the ceiling that leaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import Journal, command, save_figure, show_table
from recipes.converse.turns.scores import ceiling
from recipes.converse.world import arguments, build, conversations, interval
from tastemaker.cli.progress import progress
from tastemaker.flows.converse.audit import audit_run
from tastemaker.flows.converse.dataset import open_data_set, read_conversations

POOLS = ("catalogue", "session")


def measure(given: Any, pool: str) -> dict[str, Any]:
    """One data set, audited."""
    name = f"pool-{pool}"
    conversations(given.workspace, name, given.conversations, given.seed, pool=pool)
    with progress(False) as report:
        audit = audit_run(given.workspace, name, report)
        _, place = open_data_set(given.workspace, name, report)
    fits = [
        turn.n_fit for talk in read_conversations(place) for turn in talk.turns if turn.item_id is not None
    ]
    pool_audit = {key: audit["pool"][key] for key in ("identified", "recovered", "ok")}
    turns = audit["turns"]
    return {
        "pool": pool_audit,
        "faults": turns["faults"],
        "turns": turns["turns"],
        "labels": turns["labels"],
        "overruled": turns["overruled"],
        "fits": fits,
        "ceiling": float(np.mean([ceiling(max(1, n)) for n in fits])),
    }


def draw(results: dict[str, Any]) -> Figure:
    """What is recovered without words, and how many items fit."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, pool in enumerate(POOLS):
        recovery = results[pool]["pool"]["recovered"]
        left.plot([place, place], [recovery["low"], recovery["high"]], color="#0072b2", linewidth=2)
        left.plot([place], [recovery["value"]], "o", color="#0072b2")
        fits = np.sort(results[pool]["fits"])
        right.step(fits, np.arange(1, len(fits) + 1) / len(fits), where="post", label=pool)
    left.axhline(0.05, color="#d55e00", linestyle="--", label="gate: .05")
    left.axhline(0, color="black", linewidth=1)
    left.set_xticks(range(len(POOLS)), POOLS)
    left.set_xlim(-0.5, len(POOLS) - 0.5)
    left.set(ylabel="nDCG@20 above popularity, no words", title="What the choice of items gives away")
    left.legend(frameon=False)
    right.set(
        xlabel="items that fit", ylabel="share of turns", title="How determined the answer is", xscale="log"
    )
    right.legend(frameon=False)
    right.grid(alpha=0.3)
    return figure


def main() -> None:
    """Both pools, audited and compared."""
    given = arguments(main, "defects", 200, 30)
    build(given, until="vectors")
    journal = Journal(given.out, {"conversations": given.conversations, "seed": given.seed})
    results = dict(zip(POOLS, journal.run(POOLS, lambda pool: measure(given, pool), "pools"), strict=True))
    rows = []
    for pool in POOLS:
        row = results[pool]
        faults = ", ".join(f"{name} {times}" for name, (_, times) in row["faults"].items() if times) or "none"
        rows.append(
            {
                "pool": pool,
                "leads to its source": f"{row['pool']['identified']:.1%}",
                "recovered without words": interval(row["pool"]["recovered"], signed=True),
                "audit": "passed" if row["pool"]["ok"] else "flagged",
                "overruled labels": row["overruled"],
                "faults": faults,
                "median fits": int(np.median(row["fits"])),
                "mean ceiling": f"{row['ceiling']:.3f}",
            }
        )
    show_table(
        given.out,
        rows,
        f"Defects: {given.conversations} conversations of each pool, {results[POOLS[0]]['turns']:,} turns",
    )
    save_figure(given.out, draw(results))


if __name__ == "__main__":
    command(main)
