"""The flow of conversations through an endpoint: rules behind HTTP, with sound and pictures in the prompts,
where a part of the attempts fails.

Counted are first answers that could be used, questions asked again, and questions given up, as the engine's
journal tells; what is finished is audited like any data set.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from recipes.common import Journal, command, parser, read_arguments, show_table
from recipes.converse.served_rules import nobody, served
from recipes.converse.world import build
from tastemaker.chat.journal import records
from tastemaker.errors import InputError
from tastemaker.flows.converse.audit import audit_run
from tastemaker.flows.converse.dataset import read_conversations
from tastemaker.flows.converse.generate import Session, generate
from tastemaker.flows.converse.settings import RunFolder, RunSettings
from tastemaker.store import Workspace, read_lines


def counted(place: RunFolder) -> dict[str, dict[str, int]]:
    """By role: questions asked, of these valid at the first answer, after asking again, and given up; and
    failures by kind.
    """
    sent: dict[str, tuple[str, str]] = {}
    tries: dict[str, list[str]] = {}
    for line in records(read_lines(place.journal)):
        if line["event"] == "sent":
            sent[line["call"]] = (line["unit"], line["kind"])
        elif line["event"] in ("answered", "failed"):
            tries.setdefault(line["call"], []).append(line["outcome"])
    counts: dict[str, dict[str, int]] = {}
    for call, outcomes in tries.items():
        row = counts.setdefault(sent[call][1], Counter())
        row["asked"] += 1
        row["first"] += outcomes[0] == "valid"
        row["again"] += "valid" in outcomes[1:]
        row["given up"] += "valid" not in outcomes
        for kind in outcomes:
            row[kind] += kind != "valid"
    return {role: dict(row) for role, row in counts.items()}


def audited(folder: Path, name: str, finished: int) -> str:
    """Faults of what was finished."""
    if not finished:
        return "nothing to audit"
    try:
        faults = audit_run(folder, name, nobody)["turns"]["faults"]
    except InputError as error:
        return str(error)
    return ", ".join(f"{kind} {times}" for kind, (_, times) in faults.items() if times) or "no fault"


def over_http(folder: Path, n: int, seed: int) -> dict[str, Any]:
    """Rules behind an endpoint, sound and pictures in the prompts as base64; the same rows as rules in this
    process.
    """
    settings = RunSettings(n=n, seed=seed)
    with served(folder, settings, {"503": 0.02, "wrong_schema": 0.02}, 0.02) as (_, asked):
        generate(folder, "over-http", asked, Session(at_once=8), nobody)
        bodies = [
            RunFolder.of(Workspace.open(folder), name).table.read_bytes()
            for name in ("over-http", "remembered")
        ]
    place = RunFolder.of(Workspace.open(folder), "over-http")
    finished = len(list(read_conversations(place)))
    return {
        "finished": finished,
        "roles": counted(place),
        "audit": audited(folder, "over-http", finished),
        "same": bodies[0] == bodies[1],
    }


def main() -> None:
    """Generate, count, audit."""
    options = parser(main, "eight conversations of a catalogue of 150 tunes")
    options.add_argument(
        "--workspace", type=Path, help="a workspace of tunes to use (default: one is made beside the results)"
    )
    given = read_arguments(options, "converse/backends")
    given.workspace, n = given.workspace or given.out / "workspace", 8 if given.quick else 12
    folder = build(given, until="vectors")
    journal = Journal(given.out, {"conversations": n, "seed": given.seed})
    result = journal.run(["http"], lambda _: over_http(folder, n, given.seed), "rules over HTTP")[0]
    show(given.out, result)
    shutil.rmtree(folder / "conversations" / "remembered", ignore_errors=True)


def show(out: Path, result: dict[str, Any]) -> None:
    """One row a role that the back end plays."""
    rows = []
    for role, row in result["roles"].items():
        counts = {kind: n for kind, n in row.items() if kind not in ("asked", "first", "again", "given up")}
        shares = {part: f"{row.get(part, 0) / row['asked']:.0%}" for part in ("first", "again", "given up")}
        rows.append(
            {
                "back end": "rules over HTTP",
                "role": role,
                "asked": row["asked"],
                "valid at once": shares["first"],
                "after asking again": shares["again"],
                "given up": shares["given up"],
                "why": ", ".join(f"{kind} {n}" for kind, n in counts.items() if n),
                "conversations": result["finished"],
            }
        )
    note = f"http: {result['finished']} conversations; audit: {result['audit']}."
    note += f"\n\nOver HTTP the same bytes as in this process: {result['same']}."
    show_table(out, rows, "Conversations through an endpoint", note)


if __name__ == "__main__":
    command(main)
