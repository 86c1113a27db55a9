"""`tastemaker converse report`: a data set as one page, with example conversations to read, hear and see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tastemaker.converse.constraints import ceiling
from tastemaker.converse.goals.templates import templates
from tastemaker.converse.record import Conversation, Turn
from tastemaker.converse.views import profile_lines
from tastemaker.demo.synth import RATE, wav_bytes
from tastemaker.flows.converse.dataset import count_conversations, open_data_set, read_conversations
from tastemaker.flows.converse.env import ConversationEnv
from tastemaker.flows.converse.settings import RunFolder
from tastemaker.flows.pipeline import Report
from tastemaker.stats.random import generator
from tastemaker.store import write_text

CLIP_SECONDS = 5
HALF = 2  # every second sample: a clip for a page, half the bytes
ASKED = {
    "LL": "vaguely put, many items would do",
    "HL": "put in detail, many items would do",
    "LH": "vaguely put, one item is meant",
    "HH": "put in detail, one item is meant",
}
NOTICE = "Every listener here is simulated; the words were written by {model}. Nobody's listening is shown."


def report_page(
    folder: Path, name: str, examples: int, seed: int, report: Report, out: Path | None = None
) -> dict[str, Any]:
    """Write the page of a data set: facts, the last audit, and `examples` conversations drawn by key.

    One with an attachment and one where nothing fitted come first, if there are any.
    """
    setting, place = open_data_set(folder, name, report)
    total = count_conversations(place)
    order = generator(seed, "examples").permutation(total)
    chosen = _choose(list(read_conversations(place)), order.tolist(), examples)
    shown = []
    for done, one in enumerate(chosen, start=1):
        shown.append(_conversation(setting, place, one, done))
        report("examples", done, len(chosen), "")
    from tastemaker.reports.conversation import render

    model = "rules" if setting.settings.model == "rules" else setting.settings.model
    document = {
        "title": f"Conversations: {name}",
        "notices": [NOTICE.format(model=model)],
        "facts": _facts(place, setting, total),
        "checks": _checks(place),
        "conversations": shown,
    }
    path = out or place.page
    write_text(path, render(document))
    return {
        "file": str(path),
        "examples": len(shown),
        "text": f"{len(shown)} of {total:,} conversations to read, hear and see: {path}",
    }


def _choose(conversations: Sequence[Conversation], order: Sequence[int], examples: int) -> list[Conversation]:
    """An example with an attachment, one where nothing fitted, then by key."""
    first = []
    for wanted in (lambda turn: bool(turn.media), lambda turn: turn.nothing_fits):
        found = next((row for row in order if any(map(wanted, conversations[row].turns))), None)
        if found is not None and found not in first:
            first.append(found)
    rows = [*first, *(row for row in order if row not in first)]
    return [conversations[row] for row in rows[:examples]]


def _facts(place: RunFolder, setting: ConversationEnv, total: int) -> dict[str, str]:
    return {
        "conversations": f"{total:,}",
        "items": f"{len(setting.world.catalogue):,}",
        "listeners": f"{len(setting.listeners.user_ids):,}",
        "goal templates in use": f"{len(setting.sampler.feasible)} of 44",
        "turns": setting.settings.turns,
    }


def _checks(place: RunFolder) -> list[tuple[str, bool, str]]:
    """The last audit; none yet says how to make one."""
    if not place.audit.exists():
        return [("audit", False, "not done yet: tastemaker converse audit")]
    found = json.loads(place.audit.read_text())
    turns = found["turns"]
    rows = [
        (
            name.replace("_", " "),
            times == 0,
            f"{_often(times, conversations)}: {found['meaning'].get(name, '')}",
        )
        for name, (conversations, times) in turns["faults"].items()
    ]
    pool = found["pool"]
    recovered = pool["recovered"]
    says = (
        f"{recovered['value']:+.4f} [{recovered['low']:+.4f}, {recovered['high']:+.4f}] in nDCG@20 without"
        " words (at most .05)"
    )
    rows.append(("pool leak", bool(pool["ok"]), says))
    if shift := found.get("shift"):
        rows.append(("label shift", bool(shift["ok"]), shift["says"]))
    return rows


def _often(times: int, conversations: int) -> str:
    return f"{times:,} times in {conversations:,} conversations" if times else "never"


def _conversation(
    setting: ConversationEnv, place: RunFolder, one: Conversation, number: int
) -> dict[str, Any]:
    title = next(two.title for two in templates() if two.category == one.goal.category)
    letters = f"goal {one.goal.category}-{one.goal.specificity}: {ASKED[one.goal.specificity]}"
    return {
        "heading": f"Example {number}: {title}",
        "about": f"{letters}; {one.goal.expertise} listener",
        "goal": one.goal.text,
        "profile": profile_lines(one.profile),
        "turns": [_turn(setting, place, one, turn) for turn in one.turns],
    }


def _turn(setting: ConversationEnv, place: RunFolder, one: Conversation, turn: Turn) -> dict[str, Any]:
    label = one.label(turn.turn)
    notes = [f"{turn.n_fit:,} fitted"]
    if turn.item_id is not None:
        notes.append(f"ceiling of nDCG@20 {ceiling(max(1, turn.n_fit)):.2f}")
    if label is not None:
        notes.append("accepted" if label.startswith("MOVES") else "rejected")
    return {
        "number": turn.turn,
        "message": turn.message,
        "media": [
            medium
            for shown in turn.media
            if (medium := _attached(place, shown.kind, shown.sha256)) is not None
        ],
        "reply": turn.reply,
        "note": f"Turn {turn.turn}: " + ", ".join(notes),
        "item": None if turn.item_id is None else _item(setting, turn.item_id),
    }


def _attached(place: RunFolder, kind: str, sha256: str) -> tuple[str, str, bytes, str] | None:
    ending, media_type = {"audio": ("wav", "audio/wav"), "image": ("png", "image/png")}[kind]
    path = place.media / f"{sha256}.{ending}"
    return (kind, media_type, path.read_bytes(), f"attached {kind}") if path.exists() else None


def _item(setting: ConversationEnv, item_id: str) -> dict[str, Any]:
    """Title, facts, cover, and the opening of the sound."""
    catalogue, items = setting.world.catalogue, setting.artefacts.items
    row = catalogue.row[item_id]
    media = []
    cover = items.get(item_id, "cover")
    if cover is not None:
        media.append(("image", cover[1], cover[0], f"cover of {catalogue.titles[row]}"))
    if items.paths[item_id]["audio"] is not None:
        opening = items.wave(item_id)[: CLIP_SECONDS * RATE : HALF]
        media.append(
            ("audio", "audio/wav", wav_bytes(opening, RATE // HALF), f"opening of {catalogue.titles[row]}")
        )
    facts = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in catalogue.facts(row))
    return {"title": catalogue.titles[row], "facts": facts, "media": media}


def _shown(value: Any) -> str:
    return (
        " and ".join(value)
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
