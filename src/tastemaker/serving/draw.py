"""What is shown of the candidates: the best in order, drawn, or drawn beside the policy in force."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tastemaker.explore.ledger.ledger import Entry
from tastemaker.explore.slate import (
    NEW_MARK,
    Deployed,
    Draw,
    Pool,
    draw_deployed,
    draw_pool,
    logger_name,
    with_tail,
)
from tastemaker.flows.explore.ledger_store import deployment_name, ledger_in
from tastemaker.flows.explore.runs import kept_policy, learnt_on
from tastemaker.flows.explore.tables import contexts
from tastemaker.flows.search import Searcher
from tastemaker.retrieve.candidates import NEW
from tastemaker.serving.query import Query, Row, Slate
from tastemaker.store import Database, Workspace

ARM = "@"  # in a policy id: before the running test and its arm, which are no other way of drawing
RECOUNT = 64  # rounds after which those of other machines are counted again
EXPLORED = "exploration"  # how an item was found that the search did not bring


@dataclass(frozen=True, eq=False)
class InForce:
    """A certified policy that the ledger says is in force. vectors (A, k): what contexts are means of;
    loggers: names of the pi0 it was certified against.
    """

    entry: Entry
    deployed: Deployed
    vectors: npt.NDArray[np.float64]
    loggers: frozenset[str]


class Rounds:
    """How many rounds of each certified policy this process gave out: no more than were planned."""

    def __init__(self, database: Database) -> None:
        self._database, self._guard, self._counts = database, threading.Lock(), dict[str, int]()

    def take(self, name: str, planned: int) -> bool:
        """Whether a round is left; it is counted then."""
        with self._guard:
            count = self._counts.get(name, 0)
            if count % RECOUNT == 0:  # other machines give out rounds, too
                count = max(count, self._database.served(name))
            self._counts[name] = count + (count < planned)
            return count < planned


class Drawer:
    """Draws every slate of a workspace: pi0 alone, or with the certified policy beside it.

    The ledger is asked anew for each batch, so that deploying and handing back need no restart. The policy is
    served for as many rounds as were planned, and only beside a pi0 that it was certified against: another
    model or temperature is another pi0.
    """

    def __init__(self, workspace: Workspace, searcher: Searcher, database: Database, rounds: Rounds) -> None:
        self.workspace, self.searcher, self.database, self.rounds = workspace, searcher, database, rounds
        self.prefixes = searcher.codes[:, 0].astype(np.int64)
        self.key = database.secret("draws")
        self._in_force: InForce | None = None
        self._guard = threading.Lock()

    def now(self) -> DrawStep:
        """The step as of now. Raises ArtifactError when the policy in force is gone or damaged."""
        return DrawStep(self, self.in_force())

    def in_force(self) -> InForce | None:
        """The policy that the ledger says serves, or None."""
        book = ledger_in(self.database)
        entry = None if book is None else book.serving
        if book is None or entry is None:
            return None
        with self._guard:
            if self._in_force is None or self._in_force.entry != entry:
                policy, vectors, loggers = kept_policy(self.workspace, entry.policy)
                item_ids = self.searcher.data.item_ids
                if len(vectors) != len(item_ids) or not learnt_on(self.workspace, entry.policy, item_ids):
                    loggers = frozenset()  # of another catalogue: pi0 serves alone until it is learnt anew
                deployed = Deployed(policy, deployment_name(entry), book.holdout, book.cap)
                self._in_force = InForce(entry, deployed, vectors, loggers)
            return self._in_force


@dataclass(frozen=True)
class DrawStep:
    """One batch's step: the rows shown, with their probabilities."""

    drawer: Drawer
    in_force: InForce | None

    def __call__(self, query: Query, slate: Slate) -> Slate:
        """The slate with rows, drawn by the workspace's secret and its own id; last places for new items."""
        sources = dict(zip(slate.candidates.items.tolist(), slate.candidates.source, strict=True))
        draw, count = self._with_new(slate, self.draw(query, slate), query.k)
        scores, new = slate.scores, slate.candidates.reserved
        if count and new is not None:
            scores = dict(zip(new.items.tolist(), new.scores.tolist(), strict=True)) | dict(scores)
        rows = []
        for position, item in enumerate(draw.order.tolist()):
            source = NEW if position >= len(draw.order) - count else sources.get(item, EXPLORED)
            shown = self.drawer.searcher.data.item_ids[item], position, scores.get(item)
            propensity = float(draw.propensity[position])
            rows.append(Row(*shown, propensity, source, retention=slate.moves.get(item)))
        return replace(slate, rows=tuple(rows), policy_id=draw.policy_id, drawn=draw)

    def draw(self, query: Query, slate: Slate) -> Draw:
        """What is drawn, as item indices, no place kept."""
        drawer, candidates = self.drawer, slate.candidates
        searcher, temperature = drawer.searcher, drawer.searcher.settings.exploration
        name, key = logger_name(temperature, searcher.versions["model"]), (drawer.key, slate.request_id)
        name += (f"+{slate.ranker}" if slate.ranker else "") + (f"{ARM}{slate.arm}" if slate.arm else "")
        pool = Pool(candidates.items, candidates.scores, temperature, name)
        policy = self.in_force
        if policy is not None and temperature and len(candidates) and self._turn(policy, name):
            context = contexts([query.caller], searcher.data, policy.vectors)[0]
            allowed = searcher.allowed(query).allows(np.arange(len(searcher.data.item_ids)))
            return draw_deployed(policy.deployed, context, pool, allowed, query.k, key, drawer.prefixes)
        draw = draw_pool(pool, query.k, key, drawer.prefixes[candidates.items])
        return replace(draw, order=candidates.items[draw.order], policy_id=name)

    def _with_new(self, slate: Slate, draw: Draw, k: int) -> tuple[Draw, int]:
        """The draw whose last places are drawn among the new items that do not stand above, and how many.

        Where the others end depends on what stands above alone, and so do the chances below: all are exact.
        """
        new, settings = slate.candidates.reserved, self.drawer.searcher.settings
        most = min(int(settings.new_share * k + 0.5), k - 1)
        if new is None or not len(new) or most < 1:
            return draw, 0
        order, items = draw.order.tolist(), new.items.tolist()
        ends = range(min(k - most, len(order)), len(order) + 1)
        end = next((e for e in ends if len(set(items).difference(order[:e])) >= k - e), len(order))
        above = set(order[:end])
        places = [place for place, item in enumerate(items) if item not in above]
        pool = Pool(new.items[places], new.scores[places], settings.exploration, "")
        key = (self.drawer.key, slate.request_id, NEW)
        tail = draw_pool(pool, k - end, key, self.drawer.prefixes[pool.candidates])
        tail = replace(tail, order=pool.candidates[tail.order])
        name = f"{draw.policy_id}{NEW_MARK}{len(tail.order)}" if len(tail.order) else draw.policy_id
        return replace(with_tail(draw, end, tail), policy_id=name), len(tail.order)

    def _turn(self, policy: InForce, logger: str) -> bool:
        """Whether the policy serves this round."""
        known = {name.split(ARM)[0] for name in policy.loggers}
        return logger.split(ARM)[0] in known and self.drawer.rounds.take(
            policy.deployed.name, policy.entry.rounds
        )
