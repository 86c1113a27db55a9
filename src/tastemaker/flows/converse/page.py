"""`tastemaker converse report`: a data set as one page, with example conversations to read, hear and see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tastemaker.converse.constraints import ceiling
from tastemaker.converse.goals.templates import templates
from tastemaker.converse.record import Conversation, Turn
from tastemaker.converse.views import profile_lines
from tastemaker.demo.synth import RATE, wav_bytes
from tastemaker.flows.converse.audit import quality, quality_text
from tastemaker.flows.converse.dataset import count_conversations, open_data_set, read_conversations
from tastemaker.flows.converse.env import ConversationEnv
from tastemaker.flows.converse.settings import ATTACHED, RunFolder
from tastemaker.flows.pipeline import Report
from tastemaker.reports.conversation import render
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
    workspace: Path, name: str, examples: int, seed: int, report: Report, out: Path | None = None
) -> dict[str, Any]:
    """Write the page of a data set: facts, the last audit, and `examples` conversations drawn by key.

    One with an attachment and one where nothing fitted come first, if there are any.
    """
    env, folder = open_data_set(workspace, name, report)
    total = count_conversations(folder)
    order = generator(seed, "examples").permutation(total)
    chosen = _choose(list(read_conversations(folder)), order.tolist(), examples)
    shown = []
    for done, conversation in enumerate(chosen, start=1):
        shown.append(_conversation(env, folder, conversation, done))
        report("examples", done, len(chosen), "")
    document = {
        "title": f"Conversations: {name}",
        "notices": [NOTICE.format(model=env.settings.model)],
        "facts": {
            "conversations": f"{total:,}",
            "items": f"{len(env.world.catalogue):,}",
            "listeners": f"{len(env.listeners.user_ids):,}",
            "goal templates in use": f"{len(env.sampler.feasible)} of 44",
            "turns": env.settings.turns,
        },
        "checks": _checks(folder),
        "conversations": shown,
    }
    path = out or folder.page
    write_text(path, render(document))
    figures = quality(env, folder)
    text = f"{len(shown)} of {total:,} conversations to read, hear and see: {path}\n{quality_text(figures)}"
    return {
        "file": str(path),
        "examples": len(shown),
        "quality": {name: None if figure is None else asdict(figure) for name, figure in figures.items()},
        "text": text,
    }


def _choose(conversations: Sequence[Conversation], order: Sequence[int], examples: int) -> list[Conversation]:
    """An example with an attachment, one where nothing fitted, then by key."""
    first = []
    for wanted in (lambda turn: bool(turn.media), lambda turn: turn.nothing_fits):
        example = next((row for row in order if any(map(wanted, conversations[row].turns))), None)
        if example is not None and example not in first:
            first.append(example)
    rows = [*first, *(row for row in order if row not in first)]
    return [conversations[row] for row in rows[:examples]]


def _checks(folder: RunFolder) -> list[tuple[str, bool, str]]:
    """The last audit; none yet says how to make one."""
    if not folder.audit.exists():
        return [("audit", False, "not done yet: tastemaker converse audit")]
    result = json.loads(folder.audit.read_text())
    turns = result["turns"]
    rows = [
        (
            name.replace("_", " "),
            times == 0,
            f"{_often(times, conversations)}: {result['meaning'].get(name, '')}",
        )
        for name, (conversations, times) in turns["faults"].items()
    ]
    pool = result["pool"]
    recovered = pool["recovered"]
    says = (
        f"{recovered['value']:+.4f} [{recovered['low']:+.4f}, {recovered['high']:+.4f}] in nDCG@20 without"
        " words (at most .05)"
    )
    rows.append(("pool leak", bool(pool["ok"]), says))
    if shift := result.get("shift"):
        rows.append(("label shift", bool(shift["ok"]), shift["says"]))
    return rows


def _often(times: int, conversations: int) -> str:
    return f"{times:,} times in {conversations:,} conversations" if times else "never"


def _conversation(
    env: ConversationEnv, folder: RunFolder, conversation: Conversation, number: int
) -> dict[str, Any]:
    title = next(
        template.title for template in templates() if template.category == conversation.goal.category
    )
    letters = (
        f"goal {conversation.goal.category}-{conversation.goal.specificity}:"
        f" {ASKED[conversation.goal.specificity]}"
    )
    return {
        "heading": f"Example {number}: {title}",
        "about": f"{letters}; {conversation.goal.expertise} listener",
        "goal": conversation.goal.text,
        "profile": profile_lines(conversation.profile),
        "turns": [_turn(env, folder, conversation, turn) for turn in conversation.turns],
    }


def _turn(env: ConversationEnv, folder: RunFolder, conversation: Conversation, turn: Turn) -> dict[str, Any]:
    label = conversation.label(turn.turn)
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
            if (medium := _attached(folder, shown.kind, shown.sha256)) is not None
        ],
        "reply": turn.reply,
        "note": f"Turn {turn.turn}: " + ", ".join(notes),
        "item": None if turn.item_id is None else _item(env, turn.item_id),
    }


def _attached(folder: RunFolder, kind: str, sha256: str) -> tuple[str, str, bytes, str] | None:
    path = folder.attachment(kind, sha256)
    return (kind, ATTACHED[kind][1], path.read_bytes(), f"attached {kind}") if path.exists() else None


def _item(env: ConversationEnv, item_id: str) -> dict[str, Any]:
    """Title, facts, cover, and the opening of the sound."""
    catalogue, items = env.world.catalogue, env.artefacts.items
    row = catalogue.row[item_id]
    media = []
    cover = items.get(item_id, "cover")
    if cover is not None:
        media.append(("image", cover[1], cover[0], f"cover of {catalogue.titles[row]}"))
    if items.paths.get(item_id, {}).get("audio"):
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
