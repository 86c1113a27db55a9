"""After a deployment: bank what was served, show the ledger, watch for the alarm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.ledger import Ledger, bank, settle, watch_holdout, withdraw
from tastemaker.explore.ledger import watch as watch_rewards
from tastemaker.flows.exploration.promise import append_entries, ledger_file, read_ledger
from tastemaker.flows.exploration.tables import Loaded, Source, load

POLICY, REFERENCE = "policy_propensity", "reference_propensity"


def show(workspace: Path | None, ledger: Path | None, settled: Source | None, rounds: int | None = None) -> dict[str, Any]:
    """The ledger, after banking a served stretch where one is given."""
    path = ledger_file(workspace, ledger)
    book = read_ledger(path)
    if settled is not None:
        if book.serving is None:
            raise InputError("nothing is deployed, so nothing served can be banked")
        loaded = load(settled)
        own, logger = _ratios(loaded)
        gains = (own - book.c * logger) * loaded.log.reward
        after = settle(book, book.serving.policy, gains, rounds or len(gains), note=str(settled.log or settled.workspace))
        append_entries(path, book, after)
        book = after
    earned = bank(book)
    entries = [
        {"kind": one.kind, "policy": one.policy[:12], "rounds": one.rounds, "margin": one.margin, "note": one.note}
        for one in book.entries
    ]
    serving = None if book.serving is None else book.serving.policy[:12]
    return {
        "c": book.c, "floor": book.floor, "delta": book.delta, "gates": book.gates, "gates_allowed": book.K,
        "holdout": book.holdout, "cap": book.cap, "bank": earned.low, "serving": serving, "rounds_left": book.left,
        "entries": entries, "text": _text(book, earned.low, serving, entries),
    }  # fmt: skip


def _text(book: Ledger, earned: float, serving: str | None, entries: list[dict[str, Any]]) -> str:
    lines = [
        f"promise: the sum over rounds of V(pi) - {book.c:g} V0 is never below 0, with probability {1 - book.delta:g}",
        f"gates {book.gates} of {book.K}; banked (lower bound, reward x rounds) {earned:.6g}; serving {serving or 'pi0'}, "
        f"{book.left:,} planned rounds left",
    ]
    lines += [
        f"{n:>3} {one['kind']:9} {one['policy']:12} rounds {one['rounds']:,} {one['note']}" for n, one in enumerate(entries, 1)
    ]
    return "\n".join(lines)


def watch(
    source: Source,
    workspace: Path | None,
    ledger: Path | None,
    floor: float,
    reference: float | None,
    delta: float,
    hand_back: bool,
) -> dict[str, Any]:
    """The kill-switch over live rows in their order: against the holdout where its columns are there, else against a known V0."""
    loaded = load(source)
    if reference is not None:
        alarm = watch_rewards(loaded.log.reward, floor * reference, delta, loaded.log.r_max)
        against = f"{floor:g} x {reference:g}, taken as known"
    else:
        book = read_ledger(ledger_file(workspace, ledger))
        own, logger = _ratios(loaded)
        alarm = watch_holdout(loaded.log.reward, own, logger, floor, book.holdout, delta, loaded.log.r_max)
        against = f"{floor:g} x pi0 on the same rows"
    rows = len(loaded.log)
    text = (
        f"no alarm in {rows:,} rows"
        if alarm is None
        else f"ALARM at row {alarm:,} of {rows:,}: the mean reward is below {against}"
    )
    if alarm is not None and hand_back:
        path = ledger_file(workspace, ledger)
        book = read_ledger(path)
        append_entries(path, book, withdraw(book, text))
        text += "; all traffic goes back to pi0"
    return {"alarm": alarm, "rows": rows, "against": against, "text": text}


def _ratios(loaded: Loaded) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """pi/mixture and pi0/mixture of the served actions, from the columns the server logs beside the mixture's propensity."""
    found = []
    for name in (POLICY, REFERENCE):
        if name not in loaded.table.column_names:
            raise InputError(
                f"column '{name}' is missing: beside 'propensity' (what was served) live rows need {POLICY} and {REFERENCE}, the "
                "probabilities that the policy and pi0 gave the shown action"
            )
        column = np.asarray(loaded.table.column(name).to_pylist(), dtype=np.float64)
        wrong = ~((column >= 0) & (column <= 1))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"row {row + 1}, column '{name}' is {column[row]}; a probability from 0 to 1 is needed")
        found.append(column / loaded.log.propensity)
    return found[0], found[1]
