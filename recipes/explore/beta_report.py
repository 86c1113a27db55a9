"""Table and figure of the beta sweep, from the outcomes of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy import stats

from recipes.common import save_figure, show_table

C, FLOOR = 0.95, 0.90
PUBLISHED = ("OPG", "OPG+CQL", "Safe OPG", *(f"DEPSUE K={k}" for k in (2, 3, 4, 5)))
CERTIFIED = (
    "certified Safe OPG (logged)",
    "certified Safe OPG (prefix)",
    *(f"certified DEPSUE K={k}" for k in (2, 3, 4, 5)),
)
LINES = {
    "OPG": ("#999999", "x:"),
    "OPG+CQL": ("#555555", "+:"),
    "Safe OPG": ("#d55e00", "o--"),
    "DEPSUE K=5": ("#e69f00", "s--"),
    "certified Safe OPG (logged)": ("#0072b2", "o-"),
    "certified Safe OPG (prefix)": ("#56b4e9", "^-"),
    "certified DEPSUE K=2": ("#009e73", "s-"),
    "certified DEPSUE K=5": ("#004d40", "D-"),
}


def interval(hits: int, runs: int) -> str:
    """Percent with its 95 % Clopper-Pearson interval."""
    low = stats.beta.ppf(0.025, hits, runs - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, runs - hits) if hits < runs else 1.0
    return f"{100 * hits / runs:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def gather(
    keys: Sequence[Sequence[int]], outcomes: Sequence[dict[str, Any]]
) -> dict[str, dict[int, npt.NDArray[np.float64]]]:
    """Method -> beta -> (runs, deployments, 2): V/V0 and novelty of every deployment."""
    methods: dict[str, dict[int, list[Any]]] = {}
    for key, outcome in zip(keys, outcomes, strict=True):
        for name, rounds in outcome.items():
            methods.setdefault(name, {}).setdefault(key[0], []).append(rounds)
    return {name: {beta: np.array(runs) for beta, runs in by.items()} for name, by in methods.items()}


def row(
    method: str, beta: int, runs: npt.NDArray[np.float64], admitted: npt.NDArray[np.float64] | None
) -> dict[str, str]:
    """One line of the table."""
    values, novelty = runs[:, :, 0], runs[:, :, 1]
    short = 1e-9
    used = (
        np.mean(np.any(np.abs(runs - [1.0, 0.0]) > 1e-6, axis=2).sum(axis=1))
        if admitted is None
        else admitted[:, :, 0].sum(axis=1).mean()
    )
    return {
        "beta": str(beta),
        "method": method,
        "V/V0, last": f"{values[:, -1].mean():.3f}",
        "V/V0, mean": f"{values.mean():.3f}",
        "novelty, last": f"{novelty[:, -1].mean():.3f}",
        "novelty, mean": f"{novelty.mean():.3f}",
        "last below C, %": interval(int((values[:, -1] < C - short).sum()), len(runs)),
        "any below C, %": interval(int((values < C - short).any(axis=1).sum()), len(runs)),
        "any below .90 V0, %": interval(int((values < FLOOR - short).any(axis=1).sum()), len(runs)),
        "sum below K C, %": interval(int((values.mean(axis=1) < C - short).sum()), len(runs)),
        "new policies": f"{used:.2f}",
    }


def report(
    out: Path,
    betas: Sequence[int],
    keys: Sequence[Sequence[int]],
    outcomes: Sequence[dict[str, Any]],
    gaps: Sequence[str],
    quick: bool,
) -> None:
    """Print and save the table, draw the three panels."""
    methods = gather(keys, outcomes)
    rows = [
        row(
            method,
            beta,
            methods[method][beta],
            methods[f"admitted K={method[-1]}"][beta] if method.startswith("certified D") else None,
        )
        for beta in betas
        for method in (*PUBLISHED, *CERTIFIED)
    ]
    pairs = (
        np.concatenate([runs[:, 0] for runs in methods["ceiling"].values()])
        if "ceiling" in methods
        else np.empty((0, 2))
    )
    runs = len(keys) // len(betas)
    note = (
        f"{runs} runs a beta; percentages with 95 % Clopper-Pearson intervals; V and novelty are exact. C ="
        " .95 V0. Last, mean: of the method's deployments; where a gate refuses, what served before goes on"
        f" (at first the logger, novelty 0). Passing runs of Safe OPG: {len(pairs)} of {len(keys)}; novelty"
        f" above its ceiling 1 - (C + width)/V(pi_A) in {int((pairs[:, 0] > pairs[:, 1] + 2e-5).sum())} of"
        " them.\n\nGaps of the paper filled: "
        + "; ".join(gaps)
        + "."
        + ("\n\nA quick run: inconclusive." if quick else "")
    )
    show_table(out, rows, "Safe OPG and DEPSUE against the logger's quality", note)
    save_figure(out, draw(methods, betas))


def draw(methods: dict[str, dict[int, npt.NDArray[np.float64]]], betas: Sequence[int]) -> Figure:
    """V/V0, violations and novelty against beta."""
    figure = Figure(figsize=(14, 5), layout="constrained")
    panels = figure.subplots(1, 3)
    for method, (colour, style) in LINES.items():
        runs = [methods[method][beta] for beta in betas]
        size = np.sqrt(runs[0].shape[0])
        value = [deployments[:, -1, 0] for deployments in runs]
        novelty = [deployments[:, -1, 1] for deployments in runs]
        shared: dict[str, Any] = {
            "color": colour,
            "fmt": style,
            "markersize": 4,
            "linewidth": 1.2,
            "capsize": 2,
        }
        for axes, series in ((panels[0], value), (panels[2], novelty)):
            bars = [1.96 * run.std(ddof=1) / size for run in series]
            axes.errorbar(betas, [run.mean() for run in series], yerr=bars, label=method, **shared)
        broken = [100 * float((deployments[:, :, 0].mean(axis=1) < C - 1e-9).mean()) for deployments in runs]
        panels[1].plot(betas, broken, style, color=colour, markersize=4, linewidth=1.2)
    panels[0].axhline(C, color="0.5", linewidth=0.8)
    panels[0].annotate(
        "C = .95",
        (betas[-1], C),
        textcoords="offset points",
        xytext=(-4, -11),
        ha="right",
        fontsize=8,
        color="0.4",
    )
    panels[1].axhline(5, color="0.5", linewidth=0.8)
    panels[1].annotate(
        "delta = 5 %", (betas[0], 5), textcoords="offset points", xytext=(0, 3), fontsize=8, color="0.4"
    )
    panels[0].set(title="Value of the last deployment", ylabel="V / V0")
    panels[1].set(
        title="Runs that broke the promise",
        ylabel="runs with mean V of all deployments below C, %",
        ylim=(-3, 103),
    )
    panels[2].set(title="Novelty of the last deployment", ylabel="share of plays on new items")
    for axes in panels:
        axes.set(xlabel="beta: the logger plays in proportion to exp(beta q)", xticks=list(betas))
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9
    )
    return figure
