"""After a deployment: bank what was served, show the ledger, watch for the alarm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tastemaker.errors import InputError, many
from tastemaker.explore.ledger.ledger import Ledger, bank, live_gains, settle, withdraw
from tastemaker.explore.ledger.watch import FIRST, live_ratios, looks, watch_holdout
from tastemaker.explore.ledger.watch import watch as watch_rewards
from tastemaker.explore.slate import logger_name
from tastemaker.explore.table import Log, Split, split
from tastemaker.flows.deploy import in_service
from tastemaker.flows.explore.ledger_store import LedgerStore, deployment_name
from tastemaker.flows.explore.runs import KIND, PARTS, read_about
from tastemaker.flows.explore.tables import BEGINNING, Source, load
from tastemaker.store import Workspace
from tastemaker.store.files import sha256_bytes


def show(store: LedgerStore, hand_back: bool = False) -> dict[str, Any]:
    """The ledger; with `hand_back`, after entering that pi0 serves everything again."""
    book = store.read()
    if hand_back:
        book = store.append(book, withdraw(book, "handed back"))
    result = _result(book)
    if store.workspace is not None and book.serving is not None:
        warning = _other_pi0(Workspace.open(store.workspace), book.serving.policy)
        result |= {"served": not warning, "text": result["text"] + warning}
    return result


def _other_pi0(workspace: Workspace, policy: str) -> str:
    """Why a workspace does not serve the policy in force although the ledger says so; else nothing."""
    pi0 = logger_name(workspace.settings.exploration, in_service(workspace).scorer)
    known = read_about(workspace.artifacts.get(KIND, policy))["loggers"]
    if any(name.startswith(pi0) for name in known):
        return ""
    return (
        f"\nNOT SERVED: pi0 is now {pi0}; the policy was certified against {', '.join(known)}. Learn and"
        " certify anew"
    )


def bank_served(source: Source, store: LedgerStore, key: str) -> dict[str, Any]:
    """Bank a served stretch (of a workspace: what is new) but the part that `key` keeps to certify on."""
    book = store.read()
    if book.latest is None:
        raise InputError("nothing was deployed, so nothing served can be banked")
    log = _rows(source, book)
    if source.workspace is not None:
        seen = book.latest.rounds - book.left
        if len(log) == seen:
            raise InputError(f"all {seen:,} rounds that were served are banked already; there is nothing new")
        log = log.take(np.arange(seen, min(len(log), book.latest.rounds)))
    parts = split(log, PARTS, key)
    gains = np.concatenate([live_gains(parts.learn, book), live_gains(parts.choose, book)])
    note, people = str(source.log or source.workspace), _people(store, parts)
    after = settle(book, book.latest.policy, gains, len(log), note, log.hash, people)
    return _result(store.append(book, after))


def _people(store: LedgerStore, parts: Split) -> list[str]:
    """Who the rows are of, by marks that only this ledger makes; nothing where no persons are known."""
    names = [part.user if part.user is not None else part.request for part in (parts.learn, parts.choose)]
    if names[0] is None or names[1] is None:
        return []
    secret = bytes.fromhex(store.secret())
    known = {
        name: sha256_bytes(secret + name.encode())[:16] for name in {*names[0].tolist(), *names[1].tolist()}
    }
    return [known[name] for name in (*names[0].tolist(), *names[1].tolist())]


def _rows(source: Source, book: Ledger) -> Log:
    """Rows of a table; or all that a workspace's last deployment has served, in their order."""
    if source.workspace is None:
        return load(source).log
    if book.latest is None:
        raise InputError("nothing was deployed, so there are no live rows")
    return load(replace(source, deployment=deployment_name(book.latest), since=BEGINNING)).log


def _result(book: Ledger) -> dict[str, Any]:
    earned = bank(book)
    keys = ("kind", "policy", "rounds", "margin", "note")
    entries = [
        {key: getattr(entry, key) for key in keys} | {"policy": entry.policy[:12]} for entry in book.entries
    ]
    serving = None if book.serving is None else book.serving.policy[:12]
    lines = [
        f"promise: the sum over rounds of V(pi) - {book.c:g} V0 is never below 0, with probability"
        f" {1 - book.delta:g}",
        f"gates {book.gates} of {book.K}; banked (lower bound, reward x rounds) {earned.low:.6g}; serving"
        f" {serving or 'pi0'}, {many(book.left, 'planned round')} not banked",
    ]
    lines += [
        f"{number:>3} {entry['kind']:9} {entry['policy']:12} rounds {entry['rounds']:,} {entry['note']}"
        for number, entry in enumerate(entries, 1)
    ]
    terms = {"c": book.c, "floor": book.floor, "delta": book.delta, "gates": book.gates}
    terms |= {"gates_allowed": book.K, "holdout": book.holdout, "cap": book.cap, "bank": earned.low}
    state = {"serving": serving, "rounds_left": book.left, "entries": entries}
    return terms | state | {"text": "\n".join(lines)}


@dataclass(frozen=True)
class AlarmSettings:
    """floor: share of the logger's value below which to raise the alarm; reference: V0 where it is known,
    None to compare with pi0 on the same rows; delta: probability of a false alarm, ever; unit: user, request
    or row, what is independent.
    """

    floor: float = 0.90
    reference: float | None = None
    delta: float = 0.05
    unit: str = ""


def watch(
    source: Source, store: LedgerStore | None, settings: AlarmSettings, hand_back: bool = False
) -> dict[str, Any]:
    """The kill-switch over live rows in their order: against pi0 on the same rows, or against a known V0
    where one is given; then a table needs no ledger, store None.
    """
    book = None if store is None else store.read()
    log = load(source).log if book is None else _rows(source, book)
    floor, reference, delta = settings.floor, settings.reference, settings.delta
    units = log.units(settings.unit)
    if reference is not None:
        alarm = watch_rewards(log.reward, floor * reference, delta, log.r_max, units=units)
        against = f"{floor:g} x {reference:g}, taken as known"
    elif book is not None:
        ratios, share = live_ratios(log), book.largest_holdout
        alarm = watch_holdout(log.reward, ratios, floor, share, delta, log.r_max, units=units)
        against = f"{floor:g} x pi0 on the same rows"
    else:
        raise InputError("give --ledger, whose holdout the rows are compared with, or --reference")
    rows = len(log)
    handed_back = ""
    text = f"no alarm in {many(rows, 'row')} of {units.words}"
    if not units.single:
        positions = ", ".join(f"{row:,}" for row in looks(rows))
        text += f"; looked at after {positions or f'{FIRST} rows at first'}"
    if alarm is not None:
        text = f"ALARM at row {alarm:,} of {rows:,} ({units.words}): the mean reward is below {against}"
        if hand_back and store is not None and book is not None:
            handed_back = store.append(book, withdraw(book, text)).entries[-1].policy
            text += "; all traffic goes back to pi0"
    return {
        "alarm": alarm,
        "handed_back": handed_back,
        "rows": rows,
        "units": units.count,
        "unit": units.kind,
        "against": against,
        "text": text,
    }
