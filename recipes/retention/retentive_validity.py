"""Do the survey's weights and answers hold? Weights with a balance plot, validity with normalised
information, a real battery.

Listeners are simulated (their answers tuned to the published correlations); the Holzinger-Swineford battery
is real.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recipes.common import command, parser, read_arguments, save_figure, show_table
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.validity.claim import validity_claim
from tastemaker.retention.validity.factor.claim import battery_claim
from tastemaker.retention.validity.table import Associations, ValiditySettings
from tastemaker.retention.weights.aipw import aipw_mean, answered_mean, weighted_mean
from tastemaker.retention.weights.claim import weights_claim
from tastemaker.retention.weights.weigh import ResponseWeights
from tastemaker.simulate.retention import ListenerWorld, ask, draw_listeners, draw_pairs
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import generator

QUESTIONS = ("return", "worth", "interest")
PUBLISHED = {"return, worth": 0.63, "return, interest": 0.58}
PUBLISHED_NATS = {"like": 0.038, "save": 0.004, "reshare": 0.003}
COVARIATES = ("log_events", "history", "log_tenure", "like")
# Covariance (divisor n = 301) of nine tests of school children, lower triangle: visual, textual, speed.
HOLZINGER_SWINEFORD = """1.358370
0.407371 1.381784
0.579899 0.451064 1.274865
0.504835 0.208923 0.208170 1.350665
0.440616 0.211091 0.112296 1.097753 1.659786
0.454808 0.247545 0.244109 0.895516 1.014524 1.196358
0.084765 -0.096751 0.088342 0.219743 0.143000 0.144078 1.183139
0.263838 0.109659 0.212323 0.125593 0.180605 0.165431 0.535245 1.021983
0.458339 0.244009 0.373853 0.243363 0.295241 0.235997 0.373297 0.457317 1.015004"""
BLOCKS = {"visual": (0, 1, 2), "textual": (3, 4, 5), "speed": (6, 7, 8)}


def simulate(arguments: Namespace) -> tuple[pa.Table, float]:
    """Pairs with their answers, of which two in five never come, and the mean answer that full response would
    have given.

    People answer more when they are active, inclined to the product, and liked what they saw; the log knows
    all three.
    """
    here = ListenerWorld(
        share_item=float(arguments.world == "item"),
        share_user=float(arguments.world == "user"),
        share_state=float(arguments.world == "state"),
        listeners=4_000 if arguments.quick else 30_000,
    )
    everyone = ask(
        here, draw_pairs(here, draw_listeners(here, arguments.seed), arguments.seed), arguments.seed
    )
    for name, column in (("log_events", "events_28d"), ("log_tenure", "tenure_days")):
        everyone = everyone.append_column(name, pa.array(np.log1p(everyone[column].to_numpy())))
    events, history, like = (everyone[part].to_numpy() for part in ("log_events", "history", "like"))
    lean = 0.1 + 0.4 * (events - events.mean()) + 0.15 * (history - history.mean()) + 1.5 * like
    silent = generator(arguments.seed, "non-response").random(len(lean)) >= 1 / (1 + np.exp(-lean))
    truth = float(everyone["return"].to_numpy().mean())
    for question in QUESTIONS:
        column = pa.array(everyone[question].to_numpy().astype(np.int64), mask=silent)
        everyone = everyone.set_column(everyone.column_names.index(question), question, column)
    return everyone, truth


def weigh(
    answers: pa.Table, truth: float, arguments: Namespace
) -> tuple[ResponseWeights, list[dict[str, str]]]:
    """Weights of the return question; means by estimator beside the truth; what the weights cost."""
    shown = answers.append_column("answer", answers["return"])
    result, report = weights_claim(shown, COVARIATES, threshold=3.3, key=(arguments.seed,))
    write_claim(report, arguments.out / "weights")
    rows = [
        {"quantity": "mean answer, had everyone answered", "value": f"{truth:.3f}"},
        {"quantity": "mean answer, as they came", "value": text(answered_mean(shown))},
        {"quantity": "mean answer, weighted (paper)", "value": text(weighted_mean(shown, COVARIATES))},
        {
            "quantity": "mean answer, doubly robust (corrected)",
            "value": text(aipw_mean(shown, COVARIATES, key=(arguments.seed,))),
        },
        {"quantity": "response rate", "value": f"{result.response_rate:.3f}"},
        {"quantity": "Newton steps", "value": str(result.steps)},
        {"quantity": "worst |SMD| of a mean, before", "value": f"{result.worst(when='before'):.3f}"},
        {"quantity": "worst |SMD| of a mean, after", "value": f"{result.worst():.1e}"},
        {"quantity": "worst |SMD| of a square, after", "value": f"{result.worst('square'):.3f}"},
        {"quantity": "worst |SMD| of a product, after", "value": f"{result.worst('product'):.3f}"},
        {"quantity": "effective sample size", "value": f"{result.ess:,.0f} of {result.answered:,}"},
        {"quantity": "design effect", "value": f"{result.deff:.3f}"},
        {"quantity": "verdict", "value": report.verdict},
    ]
    return result, rows


def validate(
    answers: pa.Table, weights: ResponseWeights, arguments: Namespace
) -> tuple[Associations, list[dict[str, str]]]:
    """Correlations beside the published ones, and information of events."""
    weighted = answers.append_column("weight", pa.array(weights.weight))
    result, report = validity_claim(
        weighted,
        ValiditySettings(
            events=tuple(PUBLISHED_NATS),
            by="practical",
            weight="weight",
            key=(arguments.seed,),
            resamples=100 if arguments.quick else 300,
        ),
    )
    write_claim(report, arguments.out / "validity")
    rows = []
    for row in result.pairs:
        pair = f"{row['a']}, {row['b']}"
        published = f"{PUBLISHED[pair]:.2f}" if row["group"] == "all" and pair in PUBLISHED else ""
        cells = {
            "what": f"{pair} ({row['group']})",
            "published": published,
            "as published": interval(row["pearson"]),
        }
        rows.append(cells | {"here": interval(row["polychoric"])})
    for row in result.events:
        cells = {
            "what": f"information with {row['event']}",
            "published": f"{PUBLISHED_NATS[row['event']]:.3f}",
        }
        cells |= {
            "as published": f"{row['nats']:.4f} nats",
            "here": f"{interval(row['normalised'])} of {row['least_entropy']:.3f}",
        }
        rows.append(cells)
    rows.append({"what": "verdict", "published": "valid", "as published": "", "here": report.verdict})
    return result, rows


def battery(out: Path) -> list[dict[str, str]]:
    """The Holzinger-Swineford factor analysis, each measure beside its cut-off."""
    _, report = battery_claim(triangle(HOLZINGER_SWINEFORD), 301, BLOCKS)
    write_claim(report, out / "battery")
    checks = report.tables[0]
    rows = [dict(zip(checks.columns, (shown(cell) for cell in row), strict=True)) for row in checks.rows]
    return [*rows, {"check": "verdict", "value": report.verdict, "asked for": "", "passes": ""}]


def triangle(lower: str) -> npt.NDArray[np.float64]:
    """A symmetric matrix from its lower triangle."""
    rows = [[float(part) for part in line.split()] for line in lower.splitlines()]
    values = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        values[i, : i + 1] = values[: i + 1, i] = row
    return values


def shown(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:.4f}" if isinstance(cell, float) else cell if isinstance(cell, str) else text(cell)


def text(estimate: object) -> str:
    value, low, high = (getattr(estimate, end) for end in ("value", "low", "high"))
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def interval(estimate: Interval) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def draw(weights: ResponseWeights, associations: Associations) -> Figure:
    """Left: balance before and after. Middle: correlations, paper and corrected. Right: information as a
    share of its bound.
    """
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    balance, agreement, events = figure.subplots(1, 3)
    rows = sorted(weights.balance.to_pylist(), key=lambda row: abs(row["smd_before"]))
    for place, row in enumerate(rows):
        before, after = abs(row["smd_before"]), abs(row["smd_after"])
        balance.plot([before, after], [place, place], color="#5d6673", linewidth=1)
        balance.plot(before, place, "o", color="#d55e00", label="before" if not place else None)
        balance.plot(after, place, "s", color="#0072b2", label="after" if not place else None)
    balance.axvline(0.1, linestyle="--", color="black", linewidth=1)
    balance.set_yticks(range(len(rows)), [row["covariate"] for row in rows])
    balance.set(title="Balance of who answered", xlabel="|SMD| from everyone asked (dashed: .1)")
    balance.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=9)
    overall = [row for row in associations.pairs if row["a"] == "return"]
    for place, row in enumerate(overall):
        for shift, kind, colour in ((-0.14, "pearson", "#d55e00"), (0.14, "polychoric", "#0072b2")):
            label = (
                {"pearson": "paper: Pearson", "polychoric": "corrected: polychoric"}[kind]
                if not place
                else None
            )
            r = row[kind]
            spread = [[r.value - r.low], [r.high - r.value]]
            agreement.errorbar(
                r.value, place + shift, xerr=spread, fmt="o", color=colour, label=label, markersize=4
            )
    agreement.axvline(0.85, linestyle="--", color="black", linewidth=1)
    names = {
        "all": "all content",
        "practical=true": "practical content",
        "practical=false": "interest content",
    }
    agreement.set_yticks(range(len(overall)), [f"{row['b']}\n{names[row['group']]}" for row in overall])
    agreement.invert_yaxis()
    agreement.set(
        title="Agreement with 'return'", xlabel="correlation, 95 % interval (dashed: .85)", xlim=(0.45, 0.95)
    )
    agreement.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=9)
    for place, row in enumerate(associations.events):
        share = row["normalised"]
        spread = [[share.value - share.low], [share.high - share.value]]
        events.errorbar(
            share.value,
            place,
            xerr=spread,
            fmt="o",
            color="#0072b2",
            label="of the entropy bound" if not place else None,
        )
        events.plot(
            row["nats"], place, "x", color="#d55e00", label="as published: nats" if not place else None
        )
    events.axvline(0.15, linestyle="--", color="black", linewidth=1)
    events.set_yticks(range(len(associations.events)), [row["event"] for row in associations.events])
    events.set_ylim(len(associations.events) - 0.5, -0.5)
    events.set(title="What events tell about 'return'", xlabel="mutual information (dashed: .15)")
    events.xaxis.set_major_locator(MaxNLocator(4))
    events.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=9)
    return figure


def main() -> None:
    options = parser(main, "4,000 listeners instead of 30,000")
    options.add_argument(
        "--world", choices=("item", "user", "state"), default="item", help="what causes answers and returns"
    )
    arguments = read_arguments(options, "retentive_validity")
    answers, truth = simulate(arguments)
    weights, rows = weigh(answers, truth, arguments)
    note = "Simulated listeners; the active, the inclined and those who liked what they saw answer more."
    show_table(arguments.out, rows, "Non-response weights", note, "weights")
    associations, rows = validate(answers, weights, arguments)
    note = (
        "As published: Pearson, nats. Here: polychoric, share of the entropy bound. Weighted; intervals by"
        " user."
    )
    show_table(arguments.out, rows, f"Validity of 'return' ({arguments.world} world, simulated)", note)
    show_table(
        arguments.out,
        battery(arguments.out),
        "Holzinger-Swineford, 301 children, real",
        "A mixed verdict by design.",
        "battery",
    )
    save_figure(arguments.out, draw(weights, associations))


if __name__ == "__main__":
    command(main)
