"""The flow of conversations through every back end: rules, rules behind a real endpoint with sound and
pictures, a small model.

The small model (a Hugging Face folder in this process) plays all roles, and each role alone with rules in the
others: with 135 million parameters it is a proof of loading, not a listener. Counted are first answers that
could be used, questions asked again, and questions given up, as the engine's journal tells; what is finished
is audited like any data set.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.converse.served_rules import nobody, served
from recipes.converse.world import build
from tastemaker.chat import Reply, Request, StoppedEarly
from tastemaker.chat.journal import records
from tastemaker.chat.local import Local
from tastemaker.converse.rules import RuleChat
from tastemaker.errors import InputError
from tastemaker.flows.converse.audit import audit_run
from tastemaker.flows.converse.dataset import read_conversations
from tastemaker.flows.converse.env import open_env
from tastemaker.flows.converse.generate import Session, generate
from tastemaker.flows.converse.settings import RunFolder, RunSettings
from tastemaker.store import Workspace, read_lines

ROLES = ("profile", "goal", "listener", "recommender")
CASTS = ("profile", "goal", "recommender", "listener", "all")


class Cast:
    """The small model in some roles, rules in the others."""

    def __init__(self, model: Local, rules: RuleChat, roles: tuple[str, ...]) -> None:
        self.chat, self.rules, self.roles, self.model = model, rules, roles, model.model

    def complete(self, request: Request[Any]) -> Reply:
        return (self.chat if request.kind in self.roles else self.rules).complete(request)


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
    found: dict[str, dict[str, int]] = {role: Counter() for role in ROLES}
    for call, outcomes in tries.items():
        row = found[sent[call][1]]
        row["asked"] += 1
        row["first"] += outcomes[0] == "valid"
        row["again"] += "valid" in outcomes[1:]
        row["given up"] += "valid" not in outcomes
        for kind in outcomes:
            row[kind] += kind != "valid"
    return {role: dict(row) for role, row in found.items() if row}


def audited(folder: Path, name: str, finished: int) -> str:
    """Faults of what was finished."""
    if not finished:
        return "nothing to audit"
    try:
        faults = audit_run(folder, name, nobody)["turns"]["faults"]
    except InputError as error:
        return str(error)
    return ", ".join(f"{kind} {times}" for kind, (_, times) in faults.items() if times) or "no fault"


def small(folder: Path, chat: Local, role: str, n: int, turns: str, seed: int) -> dict[str, Any]:
    """One data set with the model in `role` ("all", "none"), rules in the others."""
    settings = RunSettings(
        n=n, seed=seed, turns=turns, media="none", model=f"small-{role}", max_tokens=128, temperature=0.3
    )
    name = f"small-{role}"
    rules = RuleChat(open_env(folder, settings, nobody).world.lexicon, seed)
    cast = Cast(chat, rules, ROLES if role == "all" else (role,))
    stopped = ""
    try:
        generate(folder, name, settings, Session(at_once=1, resume="same", chat=cast), nobody)
    except StoppedEarly as reason:
        stopped = str(reason)
    return _told(folder, name, stopped)


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
    return _told(folder, "over-http", "") | {"same": bodies[0] == bodies[1]}


def _told(folder: Path, name: str, stopped: str) -> dict[str, Any]:
    place = RunFolder.of(Workspace.open(folder), name)
    made = list(read_conversations(place))
    example = [[turn.message, turn.reply] for turn in made[0].turns] if made else []
    return {
        "finished": len(made),
        "roles": counted(place),
        "stopped": stopped,
        "example": example,
        "audit": audited(folder, name, len(made)),
    }


def draw(found: dict[str, dict[str, Any]]) -> Figure:
    """Shares of first answers, answers after asking again, and questions given up, by role, where the model
    plays it.
    """
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = figure.subplots()
    bars = [
        (f"{role}\n({name})", row)
        for name, one in found.items()
        for role, row in one["roles"].items()
        if _plays(name, role)
    ]
    bottom = [0.0] * len(bars)
    for part, label, colour in (
        ("first", "valid at once", "#0072b2"),
        ("again", "valid after asking again", "#56b4e9"),
        ("given up", "given up", "#d55e00"),
    ):
        shares = [row.get(part, 0) / row["asked"] for _, row in bars]
        axes.bar([name for name, _ in bars], shares, bottom=bottom, label=label, color=colour)
        bottom = [low + share for low, share in zip(bottom, shares, strict=True)]
    for place, (_, row) in enumerate(bars):
        axes.text(place, 1.01, f"n {row['asked']}", ha="center", va="bottom", fontsize=8)
    axes.set(ylabel="share of questions", xlabel="role (roles that the model plays)", ylim=(0, 1.1))
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def _plays(name: str, role: str) -> bool:
    return name == "all" or name == role


def main() -> None:
    """Generate with each, count, audit."""
    found = parser(main, "two conversations of a catalogue of 150 tunes")
    found.add_argument(
        "--folder", type=Path, required=True, help="a model folder, such as the one `make smollm2` writes"
    )
    found.add_argument(
        "--workspace", type=Path, help="a workspace of tunes to use (default: one is made beside the results)"
    )
    given = read_arguments(found, "converse/backends")
    given.workspace, given.conversations = given.workspace or given.out / "workspace", 2 if given.quick else 3
    folder = build(given, until="vectors")
    journal = Journal(
        given.out, {"conversations": given.conversations, "seed": given.seed, "model": str(given.folder)}
    )
    keys = ["http", *CASTS]
    chat: list[Local] = []

    def measure(key: str) -> dict[str, Any]:
        if key == "http":
            return over_http(folder, 4 * given.conversations, given.seed)
        chat[:] = chat or [Local(given.folder, name="SmolLM2-135M-Instruct", device="cpu", deadline=600.0)]
        return small(folder, chat[0], key, given.conversations, "3", given.seed)

    told = dict(zip(keys, journal.run(keys, measure, "back ends"), strict=True))
    show(given.out, told)
    shutil.rmtree(folder / "conversations" / "remembered", ignore_errors=True)


def show(out: Path, told: dict[str, dict[str, Any]]) -> None:
    """One row a role that the back end plays."""
    rows = []
    for name, one in told.items():
        for role, row in one["roles"].items():
            if name != "http" and not _plays(name, role):
                continue
            kinds = {
                kind: count
                for kind, count in row.items()
                if kind not in ("asked", "first", "again", "given up") and count
            }
            shares = {
                part: f"{row.get(part, 0) / row['asked']:.0%}" for part in ("first", "again", "given up")
            }
            rows.append(
                {
                    "back end": "rules over HTTP" if name == "http" else f"small model: {name}",
                    "role": role,
                    "asked": row["asked"],
                    "valid at once": shares["first"],
                    "after asking again": shares["again"],
                    "given up": shares["given up"],
                    "why": ", ".join(f"{kind} {count}" for kind, count in kinds.items()),
                    "conversations": one["finished"],
                }
            )
    notes = [
        f"{name}: {one['finished']} conversations; audit: {one['audit']}. {one['stopped']}".strip()
        for name, one in told.items()
    ]
    notes.append(f"Over HTTP the same bytes as in this process: {told['http']['same']}.")
    show_table(out, rows, "Conversations through every back end", "\n\n".join(notes))
    save_figure(out, draw({name: one for name, one in told.items() if name != "http"}))


if __name__ == "__main__":
    command(main)
