"""Do the proxy's promises hold when one person answers many times? Rates over simulated samples of known
truth.

Part 1, thresholds: how often the true precision above the chosen threshold lies below the promised 80 %, of
{2,000 x 1, 400 x 5, 200 x 10, 100 x 20} people x answers and people who differ by {0, 1, 1.5} in log-odds,
with a person and with a row as the unit; and what share of all rows lies above it, which is what counting by
person costs. Predictions are calibrated over people.
Part 2, the watch (`tastemaker retention proxy drift`): how often it rings when nothing changed, when answers
got worse by .3 or .7 in log-odds, and when the proxy orders half as well; beside it the upper bound of the
threshold's precision alone.
Part 3, deploying: how often a proxy of pure noise is let rank, and one that knows something.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit
from scipy.stats import binom

from recipes.common import Journal, command, parser, read_arguments, show_table
from recipes.explore.draws import rate
from tastemaker.errors import InputError
from tastemaker.flows.retention.live.fit import learn_proxy
from tastemaker.retention.proxy.judge import changes, choose_thresholds, judge
from tastemaker.retention.proxy.model import Proxy, ProxySettings
from tastemaker.retention.threshold import drift, threshold_at_precision
from tastemaker.stats.random import generator

NAME = "thresholds"
Floats = npt.NDArray[np.float64]
TARGET, ALPHA, BATCH = 0.8, 0.05, 50
SHAPES = ((2_000, 1), (400, 5), (200, 10), (100, 20))
SPREADS = (0.0, 1.0, 1.5)
CUTS = (-2.0, -1.0, 0.0, 1.5)  # of answers 1 to 5, in log-odds
SHIFTS = {"nothing": (0.0, 1.0), "-.3": (-0.3, 1.0), "-.7": (-0.7, 1.0), "half the slope": (0.0, 0.5)}
FRESH = ((500, 1), (500, 10), (2_000, 1), (2_000, 10))  # answers, answers a person
LEARNT = ((400, 1), (400, 5), (1_600, 5))
SIGNALS = (0.0, 0.4)
FEATURES = 8


def main() -> None:
    """Draw, choose, watch, deploy, count."""
    options = parser(main, "100 samples of each kind instead of 2,000")
    options.add_argument("--runs", type=int, help="samples of each kind, a multiple of 50")
    options.add_argument("--only", choices=TITLES, help="one part")
    arguments = read_arguments(options, NAME)
    runs = arguments.runs or (100 if arguments.quick else 2_000)
    journal = Journal(arguments.out, {"runs": runs, "seed": arguments.seed})
    parts = range(runs // BATCH)
    kinds: dict[str, list[tuple[tuple[int, int], Any]]] = {
        "promise": [(shape, spread) for spread in SPREADS for shape in SHAPES],
        "watch": [(fresh, shift) for fresh in FRESH for shift in SHIFTS],
        "deploy": [(shape, signal) for signal in SIGNALS for shape in LEARNT],
    }
    work: dict[str, Any] = {"promise": promise, "watch": watch, "deploy": deploy}
    for kind, cases in kinds.items():
        if arguments.only not in (None, kind):
            continue
        # One batch of every case, then the next: a run that is stopped knows as much of each.
        keys = [[kind, list(shape), value, part] for part in parts for shape, value in cases]
        done = journal.run(keys, lambda key: work[key[0]](arguments.seed, *key[1:]), kind)
        rows = []
        for place, (shape, value) in enumerate(cases):
            batches = done[place :: len(cases)]
            counts = {name: sum(batch[name] for batch in batches) for name in batches[0]}
            rows.append(describe(kind, shape, value, counts, runs))
        limit = binom.ppf(0.975, runs, ALPHA) / runs
        note = f"{runs:,} samples a row; 5 % plus two binomial errors is {100 * limit:.1f} %."
        show_table(arguments.out, rows, TITLES[kind], note, kind)


TITLES = {
    "promise": "The promise of 80 % broken",
    "watch": "The watch rings",
    "deploy": "A proxy is let rank",
}


def describe(kind: str, shape: Any, value: Any, counts: dict[str, float], runs: int) -> dict[str, Any]:
    """One row of a table."""

    def share(name: str, of: float = runs) -> str:
        return f"{rate(int(counts[name]), max(int(of), 1))} %"

    if kind == "promise":
        return {
            "people x answers": f"{shape[0]:,} x {shape[1]}",
            "spread of people": value,
            "broken, by person": share("person broken"),
            "by row": share("row broken"),
            "no threshold, by person": share("person none"),
            "none, by row": share("row none"),
            "rows above it, by person": f"{100 * counts['person reach'] / runs:.1f} %",
            "above, by row": f"{100 * counts['row reach'] / runs:.1f} %",
        }
    about = {"answers": f"{shape[0]:,}", "a person": shape[1]}
    if kind == "watch":
        return about | {
            "what changed": value,
            "alarm": share("alarm"),
            "precision bound alone": share("bound", counts["chosen"]),
            "true precision below the target": share("below", counts["chosen"]),
        }
    return about | {"signal": value, "let rank": share("ranks"), "by the point alone": share("point")}


def promise(seed: int, shape: list[int], spread: float, part: int) -> dict[str, float]:
    """Broken promises, abstentions and reach of one batch, with a person and with a row as the unit."""
    people, answers = shape
    rng = generator(seed, "promise", people, answers, spread, part)
    nodes, mass = np.polynomial.hermite_e.hermegauss(60)
    grid = np.linspace(-8, 10, 4_001)
    chance = expit(grid[:, None] + spread * nodes) @ mass / mass.sum()
    crowd = generator(seed, "everyone").normal(1, 1.2, 400_000)
    everyone = np.sort(np.interp(crowd, grid, chance))[::-1]
    precision = np.cumsum(everyone) / np.arange(1, len(everyone) + 1)
    unit = np.repeat(np.arange(people), answers)
    counts = {f"{name} {what}": 0.0 for name in ("person", "row") for what in ("broken", "none", "reach")}
    for _ in range(BATCH):
        eta = rng.normal(1, 1.2, people * answers)
        own = np.repeat(rng.normal(0, spread, people), answers)
        y, p = (rng.random(len(eta)) < expit(eta + own)).astype(float), np.interp(eta, grid, chance)
        for name, units in (("person", unit), ("row", None)):
            tau = threshold_at_precision(p, y, unit=units, target=TARGET, alpha=ALPHA).tau
            if tau is None:
                counts[f"{name} none"] += 1
                continue
            place = int(np.searchsorted(-everyone, -tau, side="right"))
            counts[f"{name} broken"] += precision[max(place - 1, 0)] < TARGET
            counts[f"{name} reach"] += place / len(everyone)
    return counts


def answered(rng: np.random.Generator, n: int, each: int, off: float = 0.0, slope: float = 1.0) -> pa.Table:
    """n answers of n / each people who differ by 1 in log-odds, and what the proxy knows of them."""
    people = n // each
    eta = rng.normal(1.0, 1.2, n)
    own = np.repeat(rng.normal(0, 1.0 if each > 1 else 0.0, people), each)
    answer = 1 + np.searchsorted(CUTS, 1.0 + slope * (eta - 1.0) + own + off + rng.logistic(size=n))
    users = np.char.add("u", np.repeat(np.arange(people), each).astype(str))
    return pa.table({"eta": eta, "return": answer, "user_id": users})


def watch(seed: int, fresh: list[int], shift: str, part: int) -> dict[str, float]:
    """Alarms of one batch: of the watch, and of the bound of the threshold's precision alone."""
    n, each = fresh
    rng = generator(seed, "watch", n, each, shift, part)
    bare = Proxy(ProxySettings(("eta",)), (1.0,), CUTS)
    off, slope = SHIFTS[shift]
    crowd = answered(generator(seed, "crowd", each, shift), 200_000, each, off, slope)
    p_all, good = expit(crowd["eta"].to_numpy() - CUTS[2]), crowd["return"].to_numpy() >= 4
    counts = dict.fromkeys(("alarm", "bound", "chosen", "below"), 0.0)
    for _ in range(BATCH):
        proxy = choose_thresholds(bare, answered(rng, n, each))
        judged = judge(proxy, answered(rng, n, each, off, slope))
        counts["alarm"] += any(change.alarm for change in changes(proxy, judged))
        chosen = proxy.thresholds["pos"]
        if chosen.tau is not None:
            counts["chosen"] += 1
            counts["below"] += good[p_all >= chosen.tau].mean() < TARGET
            counts["bound"] += drift(
                chosen, judged.predicted["pos"], judged.truth["pos"], unit=judged.unit
            ).alarm
    return counts


def deploy(seed: int, shape: list[int], signal: float, part: int) -> dict[str, float]:
    """Proxies of one batch that are let rank, and those whose point of skill alone lies above 0."""
    n, each = shape
    rng = generator(seed, "deploy", n, each, signal, part)
    counts = dict.fromkeys(("ranks", "point"), 0.0)
    users = np.char.add("u", np.repeat(np.arange(n // each), each).astype(str))
    for place in range(BATCH):
        x = rng.normal(size=(n, FEATURES))
        own = np.repeat(rng.normal(0, 1, n // each), each)
        answer = 1 + np.searchsorted(CUTS, signal * x[:, 0] + own + rng.logistic(size=n))
        columns: dict[str, Any] = {f"f{j}": x[:, j] for j in range(FEATURES)}
        now = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * n)
        columns |= {"answer": answer, "user_id": users, "weight": np.ones(n), "timestamp": now}
        try:
            learnt = learn_proxy(pa.table(columns), f"{part}/{place}")
        except InputError:
            continue
        counts["ranks"] += not learnt.objection
        counts["point"] += learnt.skill.value > 0
    return counts


if __name__ == "__main__":
    command(main)
