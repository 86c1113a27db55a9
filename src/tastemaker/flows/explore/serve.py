"""The certified policy that the ledger says is in force, served beside pi0 by a workspace's server."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.explore import Deployed, Pool, logger_name, serve_deployed
from tastemaker.explore.ledger import Entry
from tastemaker.flows.explore.ledger_store import deployment_name, ledger_in
from tastemaker.flows.explore.runs import kept_policy
from tastemaker.flows.explore.tables import contexts
from tastemaker.flows.recommend import Recommender, Wish
from tastemaker.retrieve.candidates import Candidates
from tastemaker.store import Database

EXPLORED = "exploration"  # how an item was found that the beam search did not bring


@dataclass(frozen=True, eq=False)
class Standing:
    """A deployment in force. vectors (A, k): what contexts are means of; loggers: names of the pi0 it was
    certified against.
    """

    entry: Entry
    deployed: Deployed
    vectors: npt.NDArray[np.float64]
    loggers: frozenset[str]


class Explorer:
    """Makes every slate of a workspace: pi0 alone, or with the deployed policy beside it.

    The ledger is asked anew for each slate, so that deploying and handing back need no restart. The policy is
    served for as many
    rounds as were planned, and only beside a pi0 that it was certified against: another model or temperature
    is another pi0.
    """

    def __init__(self, recommender: Recommender, database: Database) -> None:
        self.recommender, self.database = recommender, database
        self._standing: Standing | None = None
        self._served = 0
        self._guard = threading.Lock()

    def standing(self) -> Standing | None:
        """The deployment in force, or None. Raises ArtifactError when its policy is gone or damaged."""
        book = ledger_in(self.database)
        entry = None if book is None else book.serving
        if book is None or entry is None:
            return None
        with self._guard:
            if self._standing is None or self._standing.entry != entry:
                name = deployment_name(entry)
                policy, vectors, loggers = kept_policy(self.recommender.workspace, entry.policy)
                self._served = self.database.served(name)
                self._standing = Standing(
                    entry, Deployed(policy, name, book.holdout, book.cap), vectors, loggers
                )
            return self._standing

    def slate(
        self, request_id: str, user_id: str, wish: Wish, found: Candidates, at: datetime, ranker: str = ""
    ) -> tuple[pa.Table, Candidates]:
        """What is shown, as the row that is logged and as candidates in the order shown; arguments as
        `Recommender.slate`.
        """
        recommender, standing = self.recommender, self.standing()
        temperature = recommender.settings.exploration
        name = logger_name(temperature, recommender.version(ranker))
        if standing is None or not temperature or not len(found) or not self._turn(standing, name):
            return recommender.slate(request_id, user_id, found, wish.k, at, ranker)
        data = recommender.data
        slate = serve_deployed(
            standing.deployed,
            contexts([user_id], data, standing.vectors)[0],
            Pool(found.items, found.scores, temperature, name),
            recommender.allowed(wish).allows(np.arange(len(data.item_ids))),
            data.item_ids,
            request_id,
            user_id,
            wish.k,
            at,
            recommender.codes[:, 0].astype(np.int64),
        )
        return slate, _shown(recommender.index_of(slate["item_id"].to_pylist()), found)

    def _turn(self, standing: Standing, logger: str) -> bool:
        """Whether the deployment serves this round; it is counted then."""
        with self._guard:
            if logger not in standing.loggers or self._served >= standing.entry.rounds:
                return False
            self._served += 1
            return True


def _shown(items: list[int], found: Candidates) -> Candidates:
    """The items shown as candidates; those that the search did not bring have no score of the model."""
    place = {int(item): row for row, item in enumerate(found.items)}
    scores = [float(found.scores[place[item]]) if item in place else float("nan") for item in items]
    source = tuple(found.source[place[item]] if item in place else EXPLORED for item in items)
    return Candidates(np.array(items, np.int64), np.array(scores), source, found.reason)
