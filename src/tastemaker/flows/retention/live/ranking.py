"""The deployed proxy between retrieval and exploration: which proxy, which arm, what moved, and what is
logged.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tastemaker.errors import ArtifactError
from tastemaker.experiment.assign import arm_at, position
from tastemaker.explore import GREEDY_POLICY
from tastemaker.flows.retention.adjust import rule_of
from tastemaker.flows.retention.live.context import Context
from tastemaker.flows.retention.proxy import load_proxy
from tastemaker.retention.features import Floats, matrix
from tastemaker.retention.proxy import Proxy, predict_arrays
from tastemaker.retention.served import by_place, rerank, sentence
from tastemaker.retrieve.candidates import Candidates
from tastemaker.schema import ANONYMOUS
from tastemaker.store import Database, Surveys, Workspace

if TYPE_CHECKING:
    from tastemaker.flows.explore.serve import Explorer
    from tastemaker.flows.recommend import Wish

KIND, WITHDRAWN = "proxy", ""  # a deployment of no proxy takes back the one before
SHARES = {"control": 0.5, "treatment": 0.5}


@dataclass(frozen=True, eq=False)
class Served:
    """Candidates in the order they are to be drawn or shown in; `pool.scores` go by place (see
    `retention.served.by_place`).

    scores: the model's own score of each item. moves: what the proxy did, by item; empty where none ranks.
    features: what was known of each item of the pool, to be logged with the slate; empty where nothing is to
    be learnt. ranker: the version of the proxy that ordered the pool.
    """

    pool: Candidates
    scores: Mapping[int, float]
    moves: Mapping[int, dict[str, Any]] = field(default_factory=dict)
    features: Mapping[str, Floats] = field(default_factory=dict)
    known: Sequence[int] = ()
    ranker: str = ""

    def log(self, items: Sequence[int], item_ids: Sequence[str]) -> str | None:
        """The features of the items shown, as JSON for `Database.log_slate`; of items from outside the pool
        none are known.
        """
        if not self.features:
            return None
        shown = [
            (self.known.index(item), name)
            for item, name in zip(items, item_ids, strict=True)
            if item in self.known
        ]
        columns = {
            name: [round(float(values[row]), 6) for row, _ in shown] for name, values in self.features.items()
        }
        return json.dumps({"item_id": [name for _, name in shown]} | columns, separators=(",", ":"))


@dataclass(frozen=True)
class Shown:
    """A slate as it is told: the policy that drew it, its rows (item_id, position, score, propensity, source,
    retention), and why it is short or empty, if it is. A score is None where the model did not bring the
    item.
    """

    policy_id: str
    rows: list[dict[str, Any]]
    reason: str | None


class Ranking:
    """The newest deployed proxy of a workspace, looked up anew for each batch, so that a deployment needs no
    restart.
    """

    def __init__(self, workspace: Workspace, context: Context, database: Database) -> None:
        self.workspace, self.context, self.database = workspace, context, database
        self.surveys = Surveys(database)
        settings = workspace.settings
        self.rule = None if settings.adjust == "off" else rule_of(settings.adjust, {}, settings.adjust_places)
        self.asking, self.experiment = settings.ask_share > 0, settings.experiment
        self._proxy: tuple[str, Proxy] | None = None
        self._guard = threading.Lock()
        self._exposed: set[str] = set()

    def proxy(self) -> tuple[str, Proxy] | None:
        """Fingerprint and proxy in use, or None. Raises ArtifactError when the deployed one is gone or
        damaged.
        """
        if self.rule is None:
            return None
        with self._guard:
            mark = deployed(self.database)
            if mark is None:
                self._proxy = None
            elif self._proxy is None or self._proxy[0] != mark:
                self._proxy = mark, load_deployed(self.workspace, mark)
            return self._proxy

    @property
    def spare(self) -> int:
        """Candidates wanted beyond those shown, so that the proxy can bring one up from below."""
        return 0 if self.proxy() is None else int(self.workspace.settings.adjust_places)

    def arm(self, user_id: str | None) -> str | None:
        """The arm of a person in the running test; nobody knows who sends a bare history, so that stays
        outside.
        """
        if not self.experiment or user_id is None:
            return None
        return arm_at(position(user_id, self.experiment), SHARES)

    def serve(self, user_id: str | None, history: Sequence[int], found: Candidates, at: datetime) -> Served:
        """Candidates after the proxy (as they were where there is none), with what to say and what to log."""
        scores = dict(zip(found.items.tolist(), found.scores.tolist(), strict=True))
        current = self.proxy()
        if not len(found) or (current is None and not self.asking):
            return Served(found, scores)
        items = found.items.tolist()
        features = self.context.features(user_id, history, found.items, found.scores)
        plain = Served(found, scores, features=features, known=items)
        if current is None or self.rule is None or not self._treated(user_id, at):
            return plain
        mark, proxy = current
        p_pos, p_neg = predict_arrays(proxy, matrix(features, proxy.settings.features, len(items)))
        done = rerank(found.scores, p_pos, p_neg, self.rule)
        source = learnt_from(proxy)
        moves = {}
        for row, item in enumerate(items):
            places = row - int(done.after[row])
            said = sentence(places, p_pos[row], p_neg[row], done.term[row], done.flat, source)
            numbers = {"p_pos": float(p_pos[row]), "p_neg": float(p_neg[row]), "term": float(done.term[row])}
            moves[item] = numbers | {"moved": places, "text": said}
        sources = tuple(found.source[row] for row in done.order)
        pool = replace(found, items=found.items[done.order], scores=by_place(found.scores), source=sources)
        return replace(plain, pool=pool, moves=moves, ranker=f"proxy-{mark[:12]}")

    def show(
        self,
        explorer: Explorer,
        request_id: str,
        user_id: str | None,
        wish: Wish,
        found: Candidates,
        at: datetime,
        log: bool = True,
    ) -> Shown:
        """The slate of a wish from its candidates: after the proxy, drawn by the explorer, and logged where
        `log` says.

        What the server shows and what the command line shows are made here. Raises InputError on a request id
        used before.
        """
        served = self.serve(user_id, explorer.recommender.index_of(wish.history), found, at)
        slate, chosen = explorer.slate(request_id, user_id or ANONYMOUS, wish, served.pool, at, served.ranker)
        ids, items = slate["item_id"].to_pylist(), chosen.items.tolist()
        if ids and log:
            self.database.log_slate(slate, served.log(items, ids))
        rows = []
        for place, (item_id, item) in enumerate(zip(ids, items, strict=True)):
            row = {"item_id": item_id, "position": place, "score": served.scores.get(item)}
            row |= {"propensity": slate["propensity"][place].as_py(), "source": chosen.source[place]}
            rows.append(row | {"retention": served.moves.get(item)})
        policy = str(slate["policy_id"][0].as_py()) if ids else GREEDY_POLICY
        return Shown(policy, rows, chosen.reason)

    def _treated(self, user_id: str | None, at: datetime) -> bool:
        """Whether the proxy ranks for this person; in a test, the first meeting with either arm is logged."""
        arm = self.arm(user_id)
        if arm is None or user_id is None:
            return not self.experiment
        if user_id not in self._exposed:
            self.surveys.expose(self.experiment, user_id, arm, at)
            self._exposed.add(user_id)
        return arm == "treatment"


def deployed(database: Database) -> str | None:
    """The fingerprint of the newest deployed proxy; None before the first one, and after it was withdrawn."""
    return next((one.fingerprint for one in database.deployments() if one.kind == KIND), WITHDRAWN) or None


def learnt_from(proxy: Proxy) -> str:
    """What the proxy was fitted on, in words that keep simulated listeners apart from people."""
    simulated = int(proxy.about.get("simulated", 0))
    total = int(proxy.about.get("answers", proxy.n))
    if simulated == 0:
        return f"{total:,} survey answers"
    return (
        f"{total:,} survey answers, "
        + ("all" if simulated == total else f"{simulated:,}")
        + " of simulated listeners"
    )


def load_deployed(workspace: Workspace, mark: str) -> Proxy:
    """The proxy `mark` of a workspace. Raises ArtifactError naming the command that makes one."""
    try:
        return load_proxy(workspace.artifacts.get(KIND, mark))
    except ArtifactError as error:
        raise ArtifactError(f"{error}; make one with `tastemaker proxy live -w {workspace.root}`") from None
