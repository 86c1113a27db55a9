"""Whole conversations: no fault of any kind, same bytes anywhere, nothing seen that a role may not see, every
mutant caught.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from tests.converse.conftest import Small, make_catalogue

from tastemaker.converse.audits.pool import Played, pool_audit
from tastemaker.converse.audits.summary import audit
from tastemaker.converse.catalogue import FAMILY, Catalogue
from tastemaker.converse.constraints import Clause, adhere
from tastemaker.converse.record import MOVES, STAYS, Attachment, Conversation, from_row, to_row
from tastemaker.schema import CONVERSATIONS, check

if TYPE_CHECKING:
    from collections.abc import Callable


def test_conversations_have_no_fault(small: Small, played: list[Conversation]) -> None:
    report = audit(played, small.known)
    assert report.ok, {name: count for name, count in report.faults.items() if count[1]}
    assert report.wording == 1.0
    assert report.precision == report.recall == 1.0
    assert report.nothing[2] > 1
    assert min(report.labels[MOVES], report.labels[STAYS]) > 10
    assert report.varied and report.openings > 0.9
    assert report.turns == 8 * len(played)


def test_lengths_vary_and_conversations_end_early() -> None:
    world = Small(turns=(3, 12))
    talks = [world.play(index) for index in range(10)]
    assert all(3 <= len(talk.turns) <= 12 for talk in talks)
    assert len({len(talk.turns) for talk in talks}) > 4
    assert audit(talks, world.known).ok


def test_the_table_holds_all_of_it(played: list[Conversation]) -> None:
    table = pa.Table.from_pylist([to_row(conversation) for conversation in played], CONVERSATIONS)
    assert [from_row(row) for row in check(table, CONVERSATIONS, "conversations").to_pylist()] == played


def test_two_processes_make_the_same_bytes() -> None:
    code = (
        "import json; from tests.converse.conftest import Small; from tastemaker.converse.record import"
        " to_row; w = Small();print(json.dumps([to_row(w.play(i)) for i in range(2)], default=list))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = Small()
    assert other.strip() == json.dumps([to_row(here.play(index)) for index in range(2)], default=list)


def test_handles_mean_one_item_and_are_never_reused(played: list[Conversation]) -> None:
    for talk in played:
        pairs = {(shown.handle, shown.item_id) for turn in talk.turns for shown in turn.candidates}
        assert len({handle for handle, _ in pairs}) == len({item for _, item in pairs}) == len(pairs)


def test_near_misses_violate_exactly_one_demand(small: Small, played: list[Conversation]) -> None:
    from tastemaker.converse.audits.turns import replay

    seen = 0
    for facts in replay(played[0], small.known):
        adherence = adhere(facts.constraints, small.match, len(small.catalogue))
        for shown in facts.turn.candidates:
            if shown.violates is not None:
                row = small.catalogue.row[shown.item_id]
                assert adherence.failures[row] == 1
                assert not adherence.unknown[row]
                seen += 1
    assert seen > 5


# --- what a role may see
# -------------------------------------------------------------------------------------------------


def _canaries() -> Catalogue:
    """Every field of every item marked with its table, field and row."""
    plain = make_catalogue(120)
    n = len(plain)
    columns = {name: column for name, column in plain.columns.items() if name != FAMILY}
    return Catalogue(
        tuple(f"CANARYid{row}x" for row in range(n)),
        tuple(f"CANARYtitle{row}x tune" for row in range(n)),
        tuple((f"CANARYalias{row}x tune",) for row in range(n)),
        tuple(f"CANARYcreator{row % 5}x" for row in range(n)),
        tuple(f"CANARYfamily{row}x" for row in range(n)),
        {**columns, FAMILY: tuple(f"CANARYfamily{row}x" for row in range(n))},
        plain.played,
    )


ALLOWED = {
    "profile": {"title", "creator", "country"},
    "goal": set(),
    "listener": {"title", "creator", "country", "goal"},
    "recommender": {"title", "creator", "country"},
}
"""Canaries that may show up in a role's prompt; titles and creators of played items and tracks only, see
below."""


class _Marking:
    """The rules, with a canary in every thought and goal."""

    model = "marked@1"

    def __init__(self, chat: Any) -> None:
        self.chat = chat

    def complete(self, request: Any) -> Any:
        reply = self.chat.complete(request)
        text = reply.text.replace('"thought": "', f'"thought": "CANARYthought_{request.kind}x ')
        return replace(reply, text=text.replace('{"goal": "', '{"goal": "CANARYgoal1x '))


def test_no_prompt_holds_what_its_role_may_not_see() -> None:
    import re

    world = Small(catalogue=_canaries())
    world.listeners = replace(
        world.listeners,
        user_ids=tuple(f"CANARYuser{u}x" for u in range(40)),
        profiles=tuple(
            replace(profile, country_name=f"CANARYcountry{u}x")
            for u, profile in enumerate(world.listeners.profiles)
        ),
    )
    talks = [world.play(index, _Marking(world.chat)) for index in range(4)]
    assert {role for role, _, _ in world.asked} == set(ALLOWED)
    for role, view, messages in world.asked:
        text = "\n".join(message.text for message in messages)
        for kind in re.findall(r"CANARY([a-z_]+?)\d*x", text):
            assert kind in ALLOWED[role], (role, kind, type(view).__name__)
        if role == "listener":  # of items not played before, a listener knows its own tracks alone
            titles = set(re.findall(r"CANARYtitle\d+x tune", text))
            known = {track.title for track in view.tracks} | {
                exchange.played.title for exchange in view.dialogue if exchange.played
            }
            assert titles <= known
    assert all(talk.turns for talk in talks)


def test_goals_profiles_and_tracks_stay_apart() -> None:
    world = Small()
    world.play(0)
    for role, view, messages in world.asked:
        text = "\n".join(message.text for message in messages)
        if role == "recommender":
            goal = next(v.goal for r, v, _ in world.asked if r == "listener")
            assert goal not in text
            assert not hasattr(view, "goal")
            assert not hasattr(view, "active")
        if role == "goal":
            assert "Land" not in text  # no profile


# --- mutants
# --------------------------------------------------------------------------------------------------------


def _turn(talk: Conversation, number: int, **changed: Any) -> Conversation:
    turns = list(talk.turns)
    turns[number - 1] = replace(turns[number - 1], **changed)
    return replace(talk, turns=tuple(turns))


def _title(talk: Conversation, small: Small) -> Conversation:
    title = small.catalogue.titles[small.catalogue.row[str(talk.turns[1].item_id)]]
    return _turn(talk, 2, message=f"{talk.turns[1].message} Something like “{title}”.")


def _forbidden(talk: Conversation, small: Small) -> Conversation:
    from tastemaker.converse.audits.turns import replay

    constraints = next(replay(talk, small.known)).constraints
    wrong = int(np.flatnonzero(~adhere(constraints, small.match, len(small.catalogue)).holds)[0])
    return _turn(talk, 1, item_id=small.catalogue.item_ids[wrong])


def _bracket(talk: Conversation, small: Small) -> Conversation:
    first = talk.turns[0]
    change = replace(first.delta[0], clause=Clause(FAMILY, "same_group", str(first.item_id)), medium="image")
    return _turn(talk, 1, message="[image uploaded] Which one is this?", delta=(change,), media=())


def _shifted(talk: Conversation, small: Small) -> Conversation:
    return replace(
        talk, progress=tuple(replace(line, item_turn=line.item_turn + 1) for line in talk.progress)
    )


def _copied(talk: Conversation, small: Small) -> Conversation:
    goal = replace(
        talk.goal, text="You want to wander step by step through tunes that nobody knows by heart."
    )
    return _turn(replace(talk, goal=goal), 1, message=f"{talk.turns[0].message} {goal.text}")


def _agreeable(talk: Conversation, small: Small) -> Conversation:
    mutant = _forbidden(talk, small)
    progress = tuple(replace(line, label=MOVES) if line.item_turn == 1 else line for line in mutant.progress)
    return replace(mutant, progress=progress)


MUTANTS: list[tuple[Callable[[Conversation, Small], Conversation], str]] = [
    (_title, "title"),
    (_forbidden, "violation"),
    (_agreeable, "contradiction"),
    (_bracket, "upload"),
    (_bracket, "media"),
    (_shifted, "label"),
    (_copied, "goal"),
    (lambda talk, small: _turn(talk, 2, message=talk.turns[1].message + " Not T4."), "handle"),
    (lambda talk, small: _turn(talk, 2, message=f"{talk.turns[1].message} ({talk.turns[1].item_id})"), "id"),
    (lambda talk, small: _turn(talk, 2, message=talk.turns[1].message + " See clip.wav."), "file"),
    (lambda talk, small: _turn(talk, 1, message="Play me anything."), "wording"),
    (lambda talk, small: _turn(talk, 1, n_fit=talk.turns[0].n_fit + 1), "count"),
    (lambda talk, small: _turn(talk, 2, nothing_fits=True, item_id=None, handle=None), "false_nothing"),
    (
        lambda talk, small: _turn(talk, 2, item_id=talk.turns[0].item_id, handle=talk.turns[0].handle),
        "repeat",
    ),
    (lambda talk, small: replace(talk, turns=(*talk.turns, talk.turns[-1])), "echo"),
    (lambda talk, small: _turn(talk, 2, candidates_hash="0" * 32), "candidates"),
]


@pytest.mark.parametrize(
    ("mutate", "name"), MUTANTS, ids=[f"{name}-{place}" for place, (_, name) in enumerate(MUTANTS)]
)
def test_every_mutant_is_caught_by_its_check(
    small: Small, played: list[Conversation], mutate: Callable[[Conversation, Small], Conversation], name: str
) -> None:
    talk = next(
        talk
        for talk in played
        if all(turn.item_id is not None for turn in talk.turns[:3]) and not talk.turns[0].media
    )
    assert small.faults(talk) == set()
    assert name in small.faults(mutate(talk, small))


def test_a_picture_is_attached_late_and_counts_as_said(small: Small) -> None:
    plans = [small.sampler.draw(index) for index in range(200)]
    by_picture = [at for at, draft in enumerate(plans) if draft.template.name == "C-HH"][:6]
    attached = 0
    for index in by_picture:
        talk = small.play(index)
        assert small.faults(talk) == set()
        for turn in talk.turns:
            if turn.media:
                attached += 1
                assert turn.media == (Attachment("image", small.pictures[plans[index].item].sha256),)
                assert turn.item_id == small.catalogue.item_ids[plans[index].item]
                assert talk.label(turn.turn) == MOVES
    assert attached > 1


# --- what the choice of items gives away
# ---------------------------------------------------------------------------------


def _pool(world: Small, count: int) -> Any:
    users = {user: row for row, user in enumerate(world.listeners.user_ids)}
    talks = [world.play(index) for index in range(count)]
    rows = [
        tuple(world.catalogue.row[t.item_id] for t in talk.turns if t.item_id is not None) for talk in talks
    ]
    plays = [Played(row, users[conversation.user_id]) for row, conversation in zip(rows, talks, strict=True)]
    had = np.zeros((40, len(world.catalogue)))
    for user, history in enumerate(world.listeners.histories):
        had[user, history] = 1
    together = lambda before: had.T @ had[:, list(before)].sum(axis=1)  # noqa: E731
    return pool_audit(plays, world.listeners.histories, len(world.catalogue), together, had.sum(axis=0))


def test_the_pool_audit_passes_the_catalogue_and_flags_sessions(small: Small) -> None:
    open_, leaky = _pool(small, 16), _pool(Small(pool="session"), 10)
    assert open_.identified == 0.0
    assert open_.ok
    assert leaky.identified > 0.9
    assert not leaky.ok
