"""Open Bandit, men's campaign (Saito et al., 2008.07146): what 10,000 real impressions support, and a refusal
to certify.

    python -m recipes.explore.open_bandit

Two logs of one shop: a uniform logger and Thompson sampling (bts). Each is asked about the other's policy,
whose mean click rate on its own log is the truth to compare with. Uniform is known exactly; bts changed over
time, so it stands in by how often it showed each item in each slot. Clicks are rare: 46 and 69. Nothing is
drawn but the split of the gate; --quick changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from recipes.common import DATA, benchmark, command, parser, read_arguments, save_figure, show_table
from recipes.explore.shrunk import dros, switch_dr
from tastemaker.explore.bounds import Contributions, lower_bound
from tastemaker.explore.estimate.reward import fit_reward_model
from tastemaker.explore.estimate.weighting import clipped_ips, dm, dr, ips, snips
from tastemaker.explore.gate.certify import GateSettings, certify
from tastemaker.explore.policy.base import Policy
from tastemaker.explore.policy.softmax import TablePolicy, uniform_policy
from tastemaker.explore.support import support_report
from tastemaker.explore.table import Columns, Log, check_log, split
from tastemaker.store import read_any, write_text

ITEMS, SLOTS, DELTA = 34, 3, 0.05


def read_log(folder: Path) -> Log:
    """One campaign; the context is the slot, from 0. item_id means the same in both folders, hashed features
    do not.
    """
    table = read_any(benchmark(folder, "men.csv.gz"))
    slot = pa.compute.subtract(table["position"].cast(pa.int64()), 1)
    table = table.append_column("slot", slot.cast(pa.float64()))
    for name in ("click", "propensity_score"):
        table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.float64()))
    columns = Columns(
        ("slot",), action="item_id", reward="click", propensity="propensity_score", timestamp="none"
    )
    return check_log(table, columns, [str(item) for item in range(ITEMS)])


def shown(log: Log) -> TablePolicy:
    """How often the log shows each item in each slot."""
    counts = np.stack(
        [np.bincount(log.action[log.context[:, 0] == slot], minlength=ITEMS) for slot in range(SLOTS)]
    )
    return TablePolicy(counts / counts.sum(axis=1, keepdims=True))


def estimates(log: Log, policy: Policy) -> list[Contributions]:
    """Every estimator that needs no prefixes; the model is cross-fitted on slot and item."""
    slots = Log(
        np.eye(SLOTS)[log.context[:, 0].astype(int)], log.action, log.reward, log.propensity, log.actions
    )
    fitted = fit_reward_model(slots)
    return [
        ips(log, policy),
        clipped_ips(log, policy, 10.0),
        snips(log, policy),
        dm(log, policy, fitted),
        dr(log, policy, fitted),
        switch_dr(log, policy, fitted, 10.0),
        dros(log, policy, fitted, 10.0),
    ]


def gate(log: Log, policy: Policy) -> str:
    """What the gate says, in its own words."""
    return certify([policy], split(log, key="open bandit"), GateSettings())[0].reason


def main() -> None:
    """Print support, estimates and the gate's answer; draw the estimates beside the truth."""
    options = parser(main, "nothing to shorten: the same run")
    options.add_argument(
        "--data", type=Path, default=DATA / "open-bandit", help="folder with random/ and bts/"
    )
    arguments = read_arguments(options, "explore/open_bandit")
    logs = {name: read_log(arguments.data / name) for name in ("random", "bts")}
    asked = {
        "bts log, asked about uniform": (
            logs["bts"],
            uniform_policy(ITEMS),
            float(logs["random"].reward.mean()),
        ),
        "random log, asked about bts": (logs["random"], shown(logs["bts"]), float(logs["bts"].reward.mean())),
    }
    rows: list[dict[str, Any]] = []
    drawn: dict[str, tuple[list[Contributions], float]] = {}
    reports = []
    for title, (log, policy, truth) in asked.items():
        report = support_report(log, policy=policy)
        reports.append(f"## {title}\n\n```\n{report.to_text()}\n```\n\nThe gate: {gate(log, policy)}.\n")
        drawn[title] = (estimates(log, policy), truth)
        for estimate in drawn[title][0]:
            bound = lower_bound(estimate, DELTA, "t").low
            rows.append(
                {
                    "question": title,
                    "estimator": estimate.estimator,
                    "value": f"{estimate.mean:.6f}",
                    "se": f"{estimate.standard_error:.6f}",
                    "t lower bound": f"{bound:.6f}",
                    "truth (other log)": f"{truth:.4f}",
                    "rows worth": f"{estimate.effective_size:,.0f}",
                }
            )
    text = "\n".join(reports)
    print(text)
    write_text(arguments.out / "support.md", text)
    note = (
        f"Lower bounds at {1 - DELTA:.0%}. The intervals of dm, switch_dr and dros leave the model's own"
        " error out. bts: propensities of its own rows; towards bts: its mean share of each item in each"
        " slot."
    )
    show_table(arguments.out, rows, "Open Bandit, men: 10,000 rows a log", note)
    save_figure(arguments.out, draw(drawn))


def draw(drawn: dict[str, tuple[list[Contributions], float]]) -> Figure:
    """Estimates with 95 % intervals, the truth as a line with its own."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    for axes, (title, (contributions, truth)) in zip(
        figure.subplots(1, 2, sharey=True), drawn.items(), strict=True
    ):
        names = [estimate.estimator for estimate in contributions]
        values = [1000 * estimate.mean for estimate in contributions]
        axes.errorbar(
            range(len(names)),
            values,
            yerr=[1960 * estimate.standard_error for estimate in contributions],
            fmt="o",
            capsize=3,
            color="#0072b2",
        )
        error = 1960 * np.sqrt(truth * (1 - truth) / 10_000)
        axes.axhspan(1000 * truth - error, 1000 * truth + error, color="0.9", zorder=0)
        axes.axhline(
            1000 * truth, color="0.4", linewidth=1, label="clicks of the other log, with its 95 % interval"
        )
        axes.set(title=title, xticks=range(len(names)))
        axes.set_xticklabels(names, rotation=35, ha="right")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    figure.axes[0].set(ylabel="clicks in 1,000 impressions", ylim=(0, 14))
    return figure


if __name__ == "__main__":
    command(main)
