"""What is shown of the candidates: the best in order, drawn, or drawn beside the certified policy in
force.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tastemaker.explore import Deployed, Draw, Pool, draw_deployed, draw_pool, logger_name
from tastemaker.explore.ledger import Entry
from tastemaker.flows.explore.ledger_store import deployment_name, ledger_in
from tastemaker.flows.explore.runs import kept_policy, learnt_on
from tastemaker.flows.explore.tables import contexts
from tastemaker.flows.search import Searcher
from tastemaker.serving.query import Query, Row, Slate
from tastemaker.store import Database, Workspace

ARM = "@"  # in a policy id: before the running test and its arm, which are no other way of drawing
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
    """How many rounds of each certified policy were given out: no more than were planned. Shared by all that
    draw in this process.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._guard, self._given = database, threading.Lock(), dict[str, int]()

    def take(self, name: str, planned: int) -> bool:
        """Whether a round is left; it is counted then."""
        with self._guard:
            given = self._given.setdefault(name, self._database.served(name))
            self._given[name] = given + (given < planned)
            return given < planned


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
        """The slate with its rows, drawn by the workspace's secret and the slate's own id."""
        draw, items = self.draw(query, slate)
        place = {item: row for row, item in enumerate(slate.candidates.items.tolist())}
        rows = []
        for position, item in enumerate(items):
            source = slate.candidates.source[place[item]] if item in place else EXPLORED
            shown = self.drawer.searcher.data.item_ids[item], position, slate.scores.get(item)
            propensity = float(draw.propensity[position])
            rows.append(Row(*shown, propensity, source, retention=slate.moves.get(item)))
        return replace(slate, rows=tuple(rows), policy_id=draw.policy_id, drawn=draw)

    def draw(self, query: Query, slate: Slate) -> tuple[Draw, list[int]]:
        """What is drawn, and the item indices shown."""
        drawer, candidates = self.drawer, slate.candidates
        searcher, temperature = drawer.searcher, drawer.searcher.settings.exploration
        name, key = logger_name(temperature, searcher.versions["model"]), (drawer.key, slate.request_id)
        name += (f"+{slate.ranker}" if slate.ranker else "") + (f"{ARM}{slate.arm}" if slate.arm else "")
        pool = Pool(candidates.items, candidates.scores, temperature, name)
        policy = self.in_force
        if policy is not None and temperature and len(candidates) and self._turn(policy, name):
            context = contexts([query.caller], searcher.data, policy.vectors)[0]
            allowed = searcher.allowed(query).allows(np.arange(len(searcher.data.item_ids)))
            draw = draw_deployed(policy.deployed, context, pool, allowed, query.k, key, drawer.prefixes)
            return draw, draw.order.tolist()
        draw = draw_pool(pool, query.k, key, drawer.prefixes[candidates.items])
        draw = replace(draw, policy_id=name)
        return draw, candidates.items[draw.order].tolist()

    def _turn(self, policy: InForce, logger: str) -> bool:
        """Whether the policy serves this round."""
        known = {name.split(ARM)[0] for name in policy.loggers}
        return logger.split(ARM)[0] in known and self.drawer.rounds.take(
            policy.deployed.name, policy.entry.rounds
        )
