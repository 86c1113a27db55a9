"""One self-contained page of a data set of conversations: facts, checks, and examples with covers and sound
inside the page.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from tastemaker.errors import InputError
from tastemaker.reports.markup import Safe, join, table, tag
from tastemaker.reports.page import document
from tastemaker.reports.read import need, sequence

STYLE = """
.turn{display:grid;gap:.5rem;margin:0 0 1.3rem;max-width:46rem}
.said{border-radius:14px;padding:.6rem .9rem;background:var(--soft);max-width:38rem;overflow-wrap:anywhere}
.said.listener{justify-self:end;border-bottom-right-radius:4px}
.said.answer{justify-self:start;border:1px solid var(--line);background:none;border-bottom-left-radius:4px}
.item{display:grid;grid-template-columns:96px 1fr;gap:.8rem;align-items:center;margin:.1rem 0 .5rem}
.item img,.shown img{width:96px;height:96px;border-radius:8px;display:block}
.item audio,.shown audio{width:100%;max-width:18rem;height:2.2rem;margin-top:.3rem}
.checks th,.checks td{text-align:left;white-space:normal}
.checks th:first-child{min-width:0}.checks th:first-child,.checks td:nth-child(2){width:1%;white-space:nowrap}
.goal{border-left:3px solid var(--c1);padding-left:.8rem}
@media(max-width:560px){.item{grid-template-columns:72px 1fr}.item img{width:72px;height:72px}}
"""
KINDS = {"audio": ("audio/wav",), "image": ("image/png", "image/jpeg", "image/webp")}


def render(report: Mapping[str, Any]) -> str:
    """The page of a data set.

    report
        `title`; `notices` [text]; `facts` {name: value}; `checks` [(name, ok, what it says)];
        `conversations`, each {`heading`, `goal`, `about`, `profile`, `turns`}; a turn is {`number`,
        `message`, `media` [medium], `reply`, `note`, `item` {`title`, `facts`, `media` [medium]} or None}; a
        medium is (kind, media type, bytes, what it is).

    All text is escaped; sound and pictures are inside the page, nothing is fetched. Raises InputError for a
    missing part or a medium that is neither sound nor picture.
    """
    title = str(need(report, "title", "the report"))
    notices = [tag("p", notice, class_="notice", role="note") for notice in report.get("notices", ())]
    facts = [tag("div", tag("dt", name), tag("dd", value)) for name, value in report.get("facts", {}).items()]
    parts = [tag("header", tag("h1", title), *notices, Safe(f"<style>{STYLE}</style>"))]
    if facts:
        parts.append(
            tag("section", tag("h2", "What it holds"), tag("dl", *facts, class_="facts"), id="facts")
        )
    if report.get("checks"):
        parts.append(tag("section", tag("h2", "Checks"), _checks(report["checks"]), id="checks"))
    for number, conversation in enumerate(
        sequence(need(report, "conversations", "the report"), "conversations"), start=1
    ):
        parts.append(_conversation(conversation, f"conversation-{number}"))
    return document(title, parts)


def _checks(checks: Sequence[tuple[str, bool, str]]) -> Safe:
    rows: list[tuple[str | None, list[object]]] = []
    for name, fine, meaning in checks:
        mark = tag("span", "passed" if fine else "failed", class_="tag ok" if fine else "tag raised")
        rows.append((None, [name, join([mark]), meaning]))
    return table(["Check", "", "Found"], rows, "checks")


def _conversation(conversation: Mapping[str, Any], name: str) -> Safe:
    """Goal and profile above the turns: what the listener knows and the recommender does not."""
    profile = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in conversation.get("profile", ()))
    head: list[object] = [
        tag("h2", need(conversation, "heading", name)),
        tag("p", need(conversation, "goal", name), class_="goal"),
    ]
    for line in (conversation.get("about", ""), profile):
        if line:
            head.append(tag("p", line, class_="muted"))
    return tag(
        "section",
        *head,
        *(_turn(turn, f"{name}, turn {turn.get('number')}") for turn in conversation["turns"]),
        id=name,
    )


def _turn(turn: Mapping[str, Any], where: str) -> Safe:
    shown = [tag("div", _medium(medium, where), class_="shown") for medium in turn.get("media", ())]
    parts: list[object] = [tag("div", need(turn, "message", where), *shown, class_="said listener")]
    item = turn.get("item")
    card: list[object] = []
    if item is not None:
        media = list(item.get("media", ()))
        pictures = [_medium(medium, where) for medium in media if medium[0] == "image"]
        sounds = [_medium(medium, where) for medium in media if medium[0] == "audio"]
        words = tag("div", tag("b", item["title"]), tag("div", tag("small", item.get("facts", ""))), *sounds)
        card = [tag("div", tag("div", *pictures), words, class_="item")]
    parts.append(tag("div", *card, need(turn, "reply", where), class_="said answer"))
    return tag("div", *parts, tag("small", turn.get("note", "")), class_="turn")


def _medium(medium: Sequence[Any], where: str) -> Safe:
    """A picture or a player whose bytes are in the page."""
    kind, media_type, data, label = medium
    if media_type not in KINDS.get(kind, ()):
        raise InputError(
            f"{where}: medium {kind} of type '{media_type}' cannot be shown; use WAV sound or PNG, JPEG, WebP"
            " pictures"
        )
    source = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    if kind == "image":
        return tag("img", src=source, alt=str(label), loading="lazy")
    return tag("audio", controls="controls", preload="none", src=source, aria_label=str(label))
