"""What calls cost when a model fails: throughput, waste and money against the error rate; kills; cached
calls.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.converse.engine_kills import kill_and_resume
from recipes.converse.engine_speed import fixed_latency
from recipes.converse.engine_worker import engine_of, say, talk
from recipes.converse.rehearsal import Rehearsal, Script
from tastemaker.chat import PaceSettings, Price, StoppedEarly, Unit, Usage, map_units
from tastemaker.chat.endpoint import Endpoint, EndpointSettings
from tastemaker.chat.journal import records
from tastemaker.store import read_lines

KINDS = ("429_seconds", "429_date", "503", "hang", "truncated", "wrong_schema", "drop")
RATES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.7)
RUNS = ((0.05, 512), (0.1, 512), (0.2, 512), (0.5, 512), (0.1, 2048))
"""Latencies of the endpoint, and how many calls."""
MOST = 16
PRICE = Price(input=0.15, output=0.60, as_of=date(2026, 11, 23))
"""An invented price, to turn tokens into one number."""


def run_session(rate: float, latency: float, units: int, seed: int) -> dict[str, Any]:
    """One run of `units` units against an endpoint that fails at `rate`, the kinds of failures in equal
    parts.
    """
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    script = Script(say, latency, dict.fromkeys(KINDS, rate / len(KINDS)), retry_after=0.5, seed=seed)
    pace = PaceSettings(most=MOST, cool_down=2.0, back_off=0.25, longest=5.0)
    stopped, done = "", 0
    try:
        with (
            Rehearsal(script) as server,
            Endpoint(EndpointSettings(server.base_url, "m", deadline=1.0)) as chat,
        ):
            engine = engine_of(folder, chat, pace)
            todo = [Unit(f"c{i:04d}", f"subject {i}", i) for i in range(units)]
            began = time.monotonic()
            try:
                for outcome in map_units(engine, partial(talk, engine), todo):
                    done += outcome.failure is None
            except StoppedEarly as reason:
                stopped = str(reason)
            seconds = time.monotonic() - began
        return {
            **_spent(list(records(read_lines(folder / "journal.jsonl")))),
            "seconds": seconds,
            "done": done,
            "stopped": stopped,
        }
    finally:
        shutil.rmtree(folder)


def _spent(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Answers used, attempts, and money in all and on answers that were used."""
    ended = [line for line in lines if line["event"] in ("answered", "failed")]
    used = [line for line in ended if line["outcome"] == "valid"]
    money = [sum(PRICE.of(Usage(*line["usage"])) for line in group) for group in (used, ended)]
    return {"answers": len(used), "attempts": len(ended), "useful": money[0], "money": money[1]}


def cached_call(calls: int = 2000) -> dict[str, float]:
    """Milliseconds of a call that was answered before: median and 99th percentile."""
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    try:
        with Rehearsal(Script(say)) as server, Endpoint(EndpointSettings(server.base_url, "m")) as chat:
            engine = engine_of(folder, chat, PaceSettings())
            unit = Unit("c", "s", 0)
            talk(engine, unit, calls // 10)
            took = []
            for _ in range(10):
                for turns in (calls // 10,):
                    began = time.perf_counter()
                    talk(engine, unit, turns)
                    took.append((time.perf_counter() - began) / turns * 1e3)
        return {"median": float(np.median(took)), "worst": max(took)}
    finally:
        shutil.rmtree(folder)


def draw(rows: Sequence[dict[str, Any]], shares: Sequence[dict[str, Any]]) -> Figure:
    """Left: throughput and waste by error rate; right: share of the ideal by latency."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    speed, waste, ideal = figure.subplots(1, 3)
    whole = [row for row in rows if not row["stopped"]]
    for axis, name, label in (
        (speed, "per_second", "valid answers per second"),
        (waste, "wasted", "share of money on answers not used"),
    ):
        axis.scatter([row["rate"] for row in whole], [row[name] for row in whole], s=18, alpha=0.7)
        rates = sorted({row["rate"] for row in whole})
        axis.plot(rates, [np.mean([row[name] for row in whole if row["rate"] == rate]) for rate in rates])
        axis.set(xlabel="share of attempts that fail", ylabel=label, ylim=(0, None))
    shares = [row for row in shares if row["calls"] == min(share["calls"] for share in shares)]
    latencies = sorted({row["latency"] for row in shares})
    for name, label in (("share", "engine"), ("bare", f"{MOST} bare threads")):
        each = [[row[name] for row in shares if row["latency"] == latency] for latency in latencies]
        ideal.plot(latencies, [np.median(group) for group in each], "o-", label=label)
        ideal.vlines(latencies, [min(group) for group in each], [max(group) for group in each], alpha=0.4)
    ideal.axhline(0.9, color="grey", linestyle=":", label="goal")
    ideal.set(xlabel="latency of the endpoint (s)", ylabel="throughput / ideal", ylim=(0, 1.02))
    ideal.legend(loc="lower right")
    return figure


def main() -> None:
    """Sweep, kill, time; then table and figure."""
    arguments = read_arguments(parser(main, "one seed, few units, five kills"), "engine")
    run(arguments)


def run(arguments: argparse.Namespace) -> None:
    quick = arguments.quick
    units, kills, seeds = (24, 5, 1) if quick else (64, 50, 3)
    runs = [(0.1, 128)] if quick else RUNS
    journal = Journal(
        arguments.out, {"units": units, "runs": runs, "kills": kills, "seed": arguments.seed, "most": MOST}
    )

    def sweep(key: tuple[float, int]) -> dict[str, Any]:
        rate, seed = key
        session = run_session(rate, 0.1, units, arguments.seed + seed)
        spent = {
            "per_second": session["answers"] / session["seconds"],
            "wasted": 1 - session["useful"] / max(session["money"], 1e-12),
        }
        return {"rate": rate, "seed": seed, **session, **spent}

    def fixed(key: tuple[float, int, int]) -> dict[str, Any]:
        latency, calls, _ = key
        return {"latency": latency, "calls": calls, **fixed_latency(latency, calls, MOST)}

    def killed(count: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            return asdict(kill_and_resume(Path(folder), count, max(20, 4 * count), arguments.seed))

    shares = journal.run([(*pair, again) for again in range(seeds) for pair in runs], fixed, "fixed latency")
    rows = journal.run([(rate, seed) for rate in RATES for seed in range(seeds)], sweep, "error rates")
    cached = journal.run(["cached"], lambda _: cached_call(), "cached calls")[0]
    kill = journal.run([kills], killed, "kills")[0]
    _show(arguments.out, rows, shares, cached, kill)


def _speed(out: Path, shares: list[dict[str, Any]]) -> None:
    """Throughput by latency: the engine, and bare threads beside it."""
    table = []
    for latency, calls in dict.fromkeys((row["latency"], row["calls"]) for row in shares):
        group = [row for row in shares if (row["latency"], row["calls"]) == (latency, calls)]
        median = {name: float(np.median([row[name] for row in group])) for name in ("share", "bare")}
        low, high = (f"{edge(row['share'] for row in group):.1%}" for edge in (min, max))
        table.append(
            {
                "latency": f"{latency:g} s",
                "calls": calls,
                "runs": len(group),
                "engine": f"{median['share']:.1%} ({low} to {high})",
                f"{MOST} bare threads": f"{median['bare']:.1%}",
            }
        )
    note = (
        f"Medians (and range) of throughput as a share of {MOST}/latency; the endpoint is a process of its"
        " own. Bare threads: the same client and endpoint without engine, in the same minute."
    )
    show_table(out, table, "Throughput at a fixed latency", note, name="speed")


def _show(
    out: Path, rows: list[dict[str, Any]], shares: list[dict[str, Any]], cached: dict[str, float], kill: Any
) -> None:
    _speed(out, shares)
    table = []
    for rate in sorted({row["rate"] for row in rows}):
        group = [row for row in rows if row["rate"] == rate]

        def span(name: str, form: str, group: list[dict[str, Any]] = group) -> str:
            values = [row[name] for row in group]
            low, high = format(min(values), form), format(max(values), form)
            return low if low == high else f"{low} to {high}"

        each = [
            {
                "per": row["money"] / max(row["answers"], 1) * 1e3,
                "tries": row["attempts"] / max(row["answers"], 1),
            }
            for row in group
        ]
        table.append(
            {
                "failing": f"{rate:.0%}",
                "runs": len(group),
                "stopped early": sum(bool(row["stopped"]) for row in group),
                "units done": span("done", "d"),
                "answers/s": span("per_second", ".1f"),
                "attempts/answer": span("tries", ".2f", each),
                "money wasted": span("wasted", ".1%"),
                "money/1,000 answers": span("per", ".4f", each),
            }
        )
    note = (
        f"Ranges over seeds. Latency .1 s, at most {MOST} at once; failures: {', '.join(KINDS)} in equal"
        " parts; answers without a reply are booked at their maximum.\n\nCached call: median"
        f" {cached['median']:.2f} ms, worst {cached['worst']:.2f} ms.\n\nKills: {kill}"
    )
    show_table(out, table, "The call engine against an endpoint that fails", note)
    save_figure(out, draw(rows, shares))


if __name__ == "__main__":
    command(main)
