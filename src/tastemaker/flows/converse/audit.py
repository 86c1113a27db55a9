"""`tastemaker converse audit`: every conversation checked anew, and what the choice of items gives away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.converse.audits.pool import (
    LEAST_P,
    Played,
    PoolAudit,
    Shift,
    label_shift,
    pool_audit,
    turn_queries,
)
from tastemaker.converse.audits.summary import Summary, audit
from tastemaker.converse.audits.turns import FAULTS
from tastemaker.converse.quality import Pursuit, Speech, pursuit, speech
from tastemaker.converse.record import MOVES
from tastemaker.errors import InputError
from tastemaker.flows.converse.dataset import count_conversations, open_data_set, read_conversations
from tastemaker.flows.converse.env import ConversationEnv
from tastemaker.flows.converse.settings import PEOPLE, RunFolder
from tastemaker.flows.pipeline import Report
from tastemaker.retrieve.baselines import cooccurrence
from tastemaker.retrieve.evaluation import Lists
from tastemaker.stats.random import generator
from tastemaker.store import write_json
from tastemaker.store.files import plain

LABELS = ("accepted", "rejected")
TEST_SHARE = 0.2  # of the users; what the others said would be learnt from


def audit_run(workspace: Path, name: str, report: Report) -> dict[str, Any]:
    """Audit a data set; the result is kept beside it. `ok` says whether it passed."""
    env, folder = open_data_set(workspace, name, report)
    if env.settings.model == PEOPLE:
        raise InputError(f"data set '{name}' holds what people said; an audit checks what was generated")
    total = count_conversations(folder)
    turns = audit(read_conversations(folder), env.known, lambda count: report("audit", count, total, ""))
    pool, shift = audit_pool(env, folder), audit_shift(env, folder)
    figures = quality(env, folder)
    shares = {
        "varied": turns.varied,
        "precision": turns.precision,
        "recall": turns.recall,
        "wording": turns.wording,
    }
    result = {
        "ok": turns.ok and pool.ok and (shift is None or shift.ok),
        "turns": asdict(turns) | shares,
        "pool": asdict(pool) | {"ok": pool.ok},
        "shift": None if shift is None else asdict(shift) | {"ok": shift.ok, "says": shift_text(shift)},
        "meaning": FAULTS,
        "quality": {name: None if figure is None else asdict(figure) for name, figure in figures.items()},
    }
    write_json(folder.audit, result)
    return dict(plain(result)) | {"text": "\n".join([audit_text(turns, pool, shift), quality_text(figures)])}


def quality(env: ConversationEnv, folder: RunFolder) -> dict[str, Pursuit | Speech | None]:
    """How the goals are pursued, and how the two sides speak."""
    talks, catalogue = list(read_conversations(folder)), env.world.catalogue
    messages = [turn.message for talk in talks for turn in talk.turns]
    replies = [turn.reply for talk in talks for turn in talk.turns]
    return {
        "pursuit": pursuit(talks, catalogue, env.world.tools.match),
        "listener": speech(messages, catalogue),
        "recommender": speech(replies, catalogue),
    }


def quality_text(figures: Mapping[str, Pursuit | Speech | None]) -> str:
    """The figures for people."""
    goal = figures["pursuit"]
    lines = ["goal: version 0.1 kept no demands, so it cannot be told" if goal is None else goal.text]
    return "\n".join([*lines, *(f"{side}: {figures[side].text}" for side in ("listener", "recommender"))])  # type: ignore[union-attr]


def audit_pool(env: ConversationEnv, folder: RunFolder) -> PoolAudit:
    """Re-identification against the workspace's users, and recoverability from its co-occurrences."""
    catalogue, data = env.world.catalogue, env.pipeline.data
    users = {user: row for row, user in enumerate(env.listeners.user_ids)}
    played = []
    for conversation in read_conversations(folder):
        turns = turn_queries(0, conversation, catalogue, env.world.tools.match)
        choices = [(query.target, query.fits) for query in turns if query.target is not None]
        rows = tuple(target for target, _ in choices)
        played.append(Played(rows, users[conversation.user_id], tuple(fits for _, fits in choices)))
    score = cooccurrence(data.histories, len(catalogue))

    def together(before: Sequence[int]) -> npt.NDArray[np.floating]:
        return np.asarray(score(Lists(np.array([0, len(before)]), np.array(before, np.int64)))[0])

    popular = data.histories.counts(len(catalogue)).astype(np.float64)
    return pool_audit(played, env.listeners.histories, len(catalogue), together, popular, env.settings.seed)


def audit_shift(env: ConversationEnv, folder: RunFolder) -> Shift | None:
    """The labels of what would be learnt and asked, users drawn by key; None with too few to split."""
    counts: dict[str, list[int]] = {}
    for conversation in read_conversations(folder):
        label_counts = counts.setdefault(conversation.user_id, [0] * len(LABELS))
        for turn in conversation.turns:
            if turn.item_id is not None:
                label_counts[int(conversation.label(turn.turn) != MOVES)] += 1
    users = sorted(counts)
    test = generator(0, "test users").random(len(users)) < TEST_SHARE
    try:
        return label_shift([counts[user] for user in users], test, LABELS, env.settings.seed)
    except InputError:
        return None


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"


def shift_text(shift: Shift | None) -> str:
    """The label test as a sentence."""
    if shift is None:
        return "too few conversations to split into learnt and asked"
    shares = ", ".join(
        f"{label} {first:.1%} / {second:.1%}"
        for label, first, second in zip(shift.labels, shift.train, shift.test, strict=True)
    )
    return (
        f"{shares}; chi-square {shift.statistic:.2f}, p {shift.p:.3f} over redrawn users (above {LEAST_P:g})"
    )


def audit_text(turns: Summary, pool: PoolAudit, shift: Shift | None) -> str:
    """The audit for people."""
    right, claims, due = turns.nothing
    gained = pool.recovered
    verdict = "" if shift is None else ": passed" if shift.ok else ": NOT passed"
    faults = [
        f"  {name:<15} {times:>6,} in {conversations:,} conversations: {FAULTS[name]}"
        for name, (conversations, times) in turns.faults.items()
    ]
    labels = ", ".join(f"{label} {count:,}" for label, count in turns.labels.items())
    return "\n".join(
        [
            (
                f"{turns.conversations:,} conversations, {turns.turns:,} turns:"
                f" {'no fault' if turns.ok else 'FAULTS'}"
            ),
            *faults,
            (
                f"wording: {_share(turns.wording)} of {turns.demands:,} active constraints read out of the"
                " messages"
            ),
            (
                f"nothing fits: said {claims}, due {due}, rightly {right}; precision"
                f" {_share(turns.precision)}, recall {_share(turns.recall)}"
            ),
            f"labels: {labels}; overruled {turns.overruled}",
            (
                f"variety: {turns.copies} conversations are copies, {turns.repeats:.1%} of messages another's"
                f" copy, {turns.openings:.1%} of first messages differ:"
                f" {'passed' if turns.varied else 'NOT passed'}"
            ),
            (
                f"pool: {pool.identified:.1%} of conversations lead to their source (at most 1 %); without"
                f" words co-occurrence finds items {gained.value:+.4f} [{gained.low:+.4f},"
                f" {gained.high:+.4f}] better in nDCG@20 than if each were a uniform choice of what"
                " fitted (at most .05):"
                f" {'passed' if pool.ok else 'NOT passed'}"
            ),
            f"labels of what is learnt / asked: {shift_text(shift)}{verdict}",
        ]
    )
