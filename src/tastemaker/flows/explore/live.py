"""After a deployment: bank what was served, show the ledger, watch for the alarm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import InputError
from tastemaker.explore import logger_name
from tastemaker.explore.ledger import Ledger, bank, live_gains, live_ratios, settle, watch_holdout, withdraw
from tastemaker.explore.ledger import watch as watch_rewards
from tastemaker.explore.table import Log, split
from tastemaker.flows.explore.promise import append_entries, deployment_name, ledger_file, read_ledger
from tastemaker.flows.explore.study import KIND, PARTS, read_about
from tastemaker.flows.explore.tables import BEGINNING, Source, load
from tastemaker.flows.pipeline import Pipeline
from tastemaker.store import Workspace


def show(workspace: Path | None, ledger: Path | None, hand_back: bool = False) -> dict[str, Any]:
    """The ledger; with `hand_back`, after entering that pi0 serves everything again."""
    path = ledger_file(workspace, ledger)
    book = read_ledger(path)
    if hand_back:
        book = _entered(path, book, withdraw(book, "handed back"))
    told = _told(book)
    if workspace is not None and book.serving is not None:
        warning = _other_pi0(Workspace.open(workspace), book.serving.policy)
        told |= {"served": not warning, "text": told["text"] + warning}
    return told


def _other_pi0(workspace: Workspace, policy: str) -> str:
    """Why a workspace does not serve the policy in force although the ledger says so; nothing where it
    does.
    """
    pi0 = logger_name(
        workspace.settings.exploration, Pipeline(workspace, lambda *_: None).fingerprint("sft")[:12]
    )
    known = read_about(workspace.artifacts.get(KIND, policy))["loggers"]
    if any(one.startswith(pi0) for one in known):
        return ""
    return (
        f"\nNOT SERVED: pi0 is now {pi0}; the policy was certified against {', '.join(known)}. Learn and"
        " certify anew"
    )


def bank_served(source: Source, workspace: Path | None, ledger: Path | None, key: str) -> dict[str, Any]:
    """Bank a served stretch, without the part that `key` keeps to certify on. Of a workspace: what is not
    banked yet.
    """
    path = ledger_file(workspace, ledger)
    book = read_ledger(path)
    if book.latest is None:
        raise InputError("nothing was deployed, so nothing served can be banked")
    log = _rows(source, book)
    if source.workspace is not None:
        done = book.latest.rounds - book.left
        if len(log) == done:
            raise InputError(f"all {done:,} rounds that were served are banked already; there is nothing new")
        log = log.take(np.arange(done, min(len(log), book.latest.rounds)))
    kept = [live_gains(part, book) for part in split(log, PARTS, key)[:2]]
    note = str(source.log or source.workspace)
    return _told(
        _entered(path, book, settle(book, book.latest.policy, np.concatenate(kept), len(log), note, log.hash))
    )


def _rows(source: Source, book: Ledger) -> Log:
    """Rows of a table; or all that a workspace's last deployment has served, in their order."""
    if source.workspace is None:
        return load(source).log
    if book.latest is None:
        raise InputError("nothing was deployed, so there are no live rows")
    return load(replace(source, deployment=deployment_name(book.latest), since=BEGINNING)).log


def _entered(path: Path, before: Ledger, after: Ledger) -> Ledger:
    append_entries(path, before, after)
    return after


def _told(book: Ledger) -> dict[str, Any]:
    earned = bank(book)
    entries = [
        {
            "kind": one.kind,
            "policy": one.policy[:12],
            "rounds": one.rounds,
            "margin": one.margin,
            "note": one.note,
        }
        for one in book.entries
    ]
    serving = None if book.serving is None else book.serving.policy[:12]
    return {
        "c": book.c,
        "floor": book.floor,
        "delta": book.delta,
        "gates": book.gates,
        "gates_allowed": book.K,
        "holdout": book.holdout,
        "cap": book.cap,
        "bank": earned.low,
        "serving": serving,
        "rounds_left": book.left,
        "entries": entries,
        "text": _text(book, earned.low, serving, entries),
    }


def _text(book: Ledger, earned: float, serving: str | None, entries: list[dict[str, Any]]) -> str:
    lines = [
        (
            f"promise: the sum over rounds of V(pi) - {book.c:g} V0 is never below 0, with probability"
            f" {1 - book.delta:g}"
        ),
        (
            f"gates {book.gates} of {book.K}; banked (lower bound, reward x rounds) {earned:.6g}; serving"
            f" {serving or 'pi0'}, {book.left:,} planned rounds not banked"
        ),
    ]
    lines += [
        f"{n:>3} {one['kind']:9} {one['policy']:12} rounds {one['rounds']:,} {one['note']}"
        for n, one in enumerate(entries, 1)
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
    """The kill-switch over live rows in their order: against pi0 on the same rows, or against a known V0
    where one is given.
    """
    known = reference is not None and source.workspace is None and not hand_back
    path = None if known else ledger_file(workspace, ledger)
    book = None if path is None else read_ledger(path)
    log = load(source).log if book is None else _rows(source, book)
    if reference is not None:
        alarm = watch_rewards(log.reward, floor * reference, delta, log.r_max)
        against = f"{floor:g} x {reference:g}, taken as known"
    else:
        assert book is not None
        alarm = watch_holdout(log.reward, *live_ratios(log), floor, book.largest_holdout, delta, log.r_max)
        against = f"{floor:g} x pi0 on the same rows"
    rows = len(log)
    text = f"no alarm in {rows:,} rows"
    if alarm is not None:
        text = f"ALARM at row {alarm:,} of {rows:,}: the mean reward is below {against}"
        if hand_back and path is not None and book is not None:
            _entered(path, book, withdraw(book, text))
            text += "; all traffic goes back to pi0"
    return {"alarm": alarm, "rows": rows, "against": against, "text": text}
