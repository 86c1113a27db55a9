"""`tastemaker converse collect`: what people said to the assistant, as a data set like generated ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tastemaker.converse.constraints import Change, Clause, Constraint, adhere, count_fits
from tastemaker.converse.reading.together import fields_of
from tastemaker.converse.record import (
    MOVES,
    STAYS,
    Conversation,
    Goal,
    Profile,
    Progress,
    Shown,
    ToolCall,
    Turn,
    set_hash,
    to_row,
)
from tastemaker.errors import InputError
from tastemaker.flows.converse.dataset import saved_settings, table_writer
from tastemaker.flows.converse.env import ConversationEnv, open_env
from tastemaker.flows.converse.settings import PEOPLE, RunFolder, RunSettings
from tastemaker.flows.pipeline import Report
from tastemaker.store import Workspace, write_json
from tastemaker.store.database import Database, Talks
from tastemaker.store.database.talks import KeptTurn

TURNED_DOWN = "turned down"  # what an item violates that the person skipped


def collect(workspace: Path, name: str, report: Report) -> dict[str, Any]:
    """Write the conversations of people with a name, as the database has them now, as the data set `name`.

    A turn is a message that was answered with a list, or with "nothing fits"; messages before it that were
    answered in words alone belong to it. Its item is the first that was liked or played in that list, else
    the first shown; liked or played: it moves toward the goal; skipped: it does not.

    Raises InputError where nobody with a name has talked, or `name` is a data set that was generated.
    """
    store = Workspace.open(workspace)
    folder = RunFolder.of(store, name)
    if folder.settings.exists() and not is_collected(folder):
        raise InputError(f"data set '{name}' was generated; collect under another --name")
    with Database(store.database) as database:
        turns = Talks(database).everything()
        rules = store.event_rules()
        opinions = {
            (user, str(event.request_id), event.item_id): rules.sign(event.kind, event.value)
            for user in {turn.user_id for turn in turns}
            for event in database.history(user)
            if event.request_id is not None
        }
    env = open_env(workspace, RunSettings(n=max(len(turns), 1), model=PEOPLE, media="none"), report)
    reader = _Reader(env, opinions)
    talks = [
        conversation
        for _, group in groupby(turns, key=lambda turn: turn.conversation_id)
        if (conversation := reader.conversation(list(group))) is not None
    ]
    if not talks:
        raise InputError(
            f"{store.root}: no person with a name was shown anything by the assistant yet; `tastemaker"
            " serve`, or `tastemaker chat --user`, keeps what they say"
        )
    folder.root.mkdir(parents=True, exist_ok=True)
    with table_writer(folder.table) as write:
        for conversation in talks:
            write(to_row(conversation))
    settings = replace(env.settings, n=len(talks))
    write_json(folder.settings, asdict(settings))
    labels = [line.label for conversation in talks for line in conversation.progress]
    counts = {
        "conversations": len(talks),
        "people": len({conversation.user_id for conversation in talks}),
        "turns": len(labels),
        "liked": labels.count(MOVES),
        "turned_down": labels.count(STAYS),
    }
    words = ", ".join(f"{count:,} {label.replace('_', ' ')}" for label, count in counts.items())
    return {"name": name, "folder": str(folder.root), **counts, "text": f"{words}\n{folder.root}"}


def is_collected(folder: RunFolder) -> bool:
    """Whether the data set is what people said, which is collected and never generated."""
    return folder.settings.exists() and saved_settings(folder).model == PEOPLE


def collected_status(store: Workspace, name: str) -> dict[str, Any]:
    """What a collected data set holds, when it was collected and from what."""
    folder = RunFolder.of(store, name)
    turns = pq.read_table(folder.table, columns=["turns"])["turns"]
    counts = {"finished": len(turns), "turns": int(pc.sum(pc.list_value_length(turns)).as_py() or 0)}
    collected = datetime.fromtimestamp(folder.table.stat().st_mtime, UTC).isoformat(timespec="seconds")
    source = f"what people with a name said to the assistant of {store.root}"
    text = (
        f"conversations: {counts['finished']:,}, turns: {counts['turns']:,}; collected {collected} from"
        f" {source}\n`tastemaker converse collect` with the same --workspace and --name adds what came since"
    )
    return {"name": name, **counts, "collected": collected, "source": source, "text": text}


@dataclass(frozen=True, eq=False)
class _Reader:
    """Kept turns as conversations. opinions: (person, list, item) -> 1 liked or played, -1 skipped."""

    env: ConversationEnv
    opinions: dict[tuple[str, str, str | None], int]

    def conversation(self, lines: Sequence[KeptTurn]) -> Conversation | None:
        """One conversation, None where nothing was shown in it."""
        turns, labels = list[Turn](), list[Progress]()
        before: tuple[Constraint, ...] = ()
        messages: list[str] = []
        for line in lines:
            messages += [line.message] if line.message else []
            state = json.loads(line.state)
            shown = [item for item in line.shown if item in self.env.world.catalogue.row]
            if not shown or not messages:
                continue
            active = tuple(self._constraints(state["active"]))
            label, turn = self._turn(len(turns) + 1, "\n".join(messages), line, shown, active)
            turns.append(replace(turn, delta=tuple(_changes(before, active))))
            labels.append(Progress(turn.turn, label))
            before, messages = active, []
        if not turns:
            return None
        name = lines[0].conversation_id
        goal = Goal("", "", "", "", int(hashlib.sha256(name.encode()).hexdigest()[:12], 16))
        who = lines[0].user_id
        return Conversation(
            name, who, Profile(), goal, tuple(turns), tuple(labels), (), self.env.settings_hash
        )

    def _constraints(self, rows: Sequence[Any]) -> Iterator[Constraint]:
        for kind, name, cmp, value in rows:
            clause = Clause(name, cmp, tuple(value) if isinstance(value, list) else value)
            if fields_of(clause) <= self.env.world.catalogue.columns.keys():
                yield Constraint(kind, clause)

    def _turn(
        self, number: int, message: str, line: KeptTurn, shown: Sequence[str], active: tuple[Constraint, ...]
    ) -> tuple[str | None, Turn]:
        """The label of the turn's item, and the turn without its changes."""
        catalogue, match = self.env.world.catalogue, self.env.world.tools.match
        state = json.loads(line.state)
        lists = state["slates"]
        signs = {item: self.opinions.get((line.user_id, lists.get(item, ""), item), 0) for item in shown}
        fits = bool(adhere(active, match, len(catalogue)).holds[catalogue.row[shown[0]]])
        liked = [item for item in shown if signs[item] > 0]
        item = (liked or shown)[0] if fits or liked else None
        label = None if item is None else {1: MOVES, -1: STAYS}.get(signs[item])
        candidates = tuple(
            Shown(str(place), each, ("assistant",), TURNED_DOWN if signs[each] < 0 else None)
            for place, each in enumerate(shown, start=1)
        )
        count = count_fits(active, match, catalogue.family_codes, ())
        handles = tuple(candidate.handle for candidate in candidates)
        titles = [catalogue.titles[catalogue.row[each]] for each in shown]
        listed = "\n".join(f"{place}. {title}" for place, title in enumerate(titles, start=1))
        return label, Turn(
            number,
            message,
            (),
            (),
            None if item is None else handles[shown.index(item)],
            item,
            item is None,
            (),
            candidates,
            set_hash(shown),
            count,
            state.get("reply") or listed,
            "",
            "",
            ToolCall(message, active, handles, count, by="assistant"),
        )


def _changes(before: Collection[Constraint], after: Collection[Constraint]) -> Iterator[Change]:
    """What turns the constraints that stood into those that stand."""
    dropped = {constraint.clause.field: constraint for constraint in before if constraint not in after}
    yield from (Change("drop", constraint.kind, constraint.clause) for constraint in dropped.values())
    yield from (
        constraint.added
        for constraint in after
        if constraint not in before or constraint.clause.field in dropped
    )
