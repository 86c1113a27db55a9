"""The deployed survey proxy between search and draw: which proxy, which arm, what it moved."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import tastemaker.plugins as plugins
from tastemaker.experiment.assign import arm_at, position
from tastemaker.flows.retention.live.context import SHARES, Context, deployed, learnt_from, load_deployed
from tastemaker.flows.retention.proxy import rule_of
from tastemaker.retention.features import matrix, rerank, sentence
from tastemaker.retention.proxy.model import Proxy, predict_arrays
from tastemaker.serving.query import Move, Query, Slate
from tastemaker.store import Database, Surveys, Workspace

_log = logging.getLogger("tastemaker.serving")
_LATE: dict[str, threading.Thread] = {}  # plugins that somebody waited for in vain, at work on it
SHORTEST = 0.05  # seconds that a plugin has at least
LARGEST = 1e100  # of a plugin's scores: divided by any temperature they are numbers


class Reranker:
    """Ranks by a workspace's newest deployed proxy, looked up for each batch, so without a restart."""

    def __init__(self, workspace: Workspace, context: Context, database: Database) -> None:
        self.workspace, self.context, self.database = workspace, context, database
        self.surveys = Surveys(database)
        settings = workspace.settings
        self.rule = None if settings.adjust == "off" else rule_of(settings.adjust, {}, settings.adjust_places)
        self.asking, self.experiment = settings.ask_share > 0, settings.experiment
        self._proxy: tuple[str, Proxy] | None = None
        self._guard = threading.Lock()
        self._exposed: set[str] = set()

    def now(self) -> Rerank:
        """The step as of now. Raises ArtifactError when the deployed proxy is gone or damaged."""
        if self.rule is None:
            return Rerank(self, None)
        with self._guard:
            mark = deployed(self.database)
            if mark is None:
                self._proxy = None
            elif self._proxy is None or self._proxy[0] != mark:
                self._proxy = mark, load_deployed(self.workspace, mark)
            return Rerank(self, self._proxy)

    def arm(self, user_id: str | None) -> str | None:
        """The arm of a person in the running test; a bare history is nobody's, and outside."""
        if not self.experiment or user_id is None:
            return None
        return arm_at(position(user_id, self.experiment), SHARES)

    def unmet(self, query: Query) -> bool:
        """Whether this is the first meeting of a person with the running test; a look is none."""
        return bool(self.experiment and query.user_id and query.logged) and query.user_id not in self._exposed

    def meet(self, query: Query, slate: Slate, differs: bool) -> None:
        """Log the first meeting, and whether the proxy changes the list."""
        arm, user_id = self.arm(query.user_id), query.user_id
        if arm is not None and user_id is not None:
            self.surveys.expose(self.experiment, user_id, arm, slate.timestamp, differs)
            self._exposed.add(user_id)


@dataclass(frozen=True)
class Rerank:
    """One batch's step: candidates after the proxy, or as they were where there is none."""

    reranker: Reranker
    proxy: tuple[str, Proxy] | None

    @property
    def spare(self) -> int:
        """Candidates wanted beyond those shown, so that the proxy can bring one up from below."""
        return 0 if self.proxy is None else int(self.reranker.workspace.settings.adjust_places)

    def __call__(self, query: Query, slate: Slate) -> Slate:
        """The slate with its candidates in the proxy's order, and with what there is to say and to log."""
        reranker, candidates = self.reranker, slate.candidates
        if not len(candidates) or (self.proxy is None and not reranker.asking):
            return slate
        history = [reranker.context.data.index[item] for item in slate.profile.history]
        person = reranker.context.person(query.user_id, history, slate.profile.events)
        features = reranker.context.features(person, candidates.items, candidates.scores)
        slate = replace(slate, features=features, known=slate.pool)
        if self.proxy is None or reranker.rule is None:
            return slate
        arm, unmet = reranker.arm(query.user_id), reranker.unmet(query)
        slate = replace(slate, arm=f"{reranker.experiment}:{arm}" if arm else "")
        treated = arm == "treatment" if reranker.experiment else True
        if not treated and not unmet:
            return slate
        mark, proxy = self.proxy
        inputs = matrix(features, proxy.settings.features, len(candidates))
        p_pos, p_neg = predict_arrays(proxy, inputs)
        ranked = rerank(candidates.scores, p_pos, p_neg, reranker.rule)
        if unmet:
            top = ranked.order[: query.k]
            reranker.meet(query, slate, bool((top != np.arange(len(top))).any()))
        if not treated:
            return slate
        source, moves = learnt_from(proxy), {}
        for row, item in enumerate(candidates.items.tolist()):
            moved, term = row - int(ranked.after[row]), float(ranked.term[row])
            chances = float(p_pos[row]), float(p_neg[row])
            moves[item] = Move(*chances, term, moved, sentence(moved, *chances, term, ranked.flat, source))
        return replace(slate.reordered(ranked.order.tolist()), moves=moves, ranker=f"proxy-{mark[:12]}")


def plugged(query: Query, slate: Slate) -> Slate:
    """The slate after every installed re-ranking plugin, by name; one that fails, or brings in items that
    were not there, is a line in the log and changes nothing. One that leaves less than half of the time until
    the deadline is left out until it has come back.
    """
    for name, step in plugins.load("rerankers").items():
        if name in _LATE and _LATE[name].is_alive():
            continue
        try:
            slate = _checked(slate, _in_time(name, step, query, slate))
        except BaseException as error:  # whatever somebody else's function raises
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            _log.warning("re-ranking plugin '%s' was left out (%s); mend or uninstall it", name, reason)
            continue
        version = plugins.versions("rerankers", [name])[name].replace(" ", "-")
        slate = replace(slate, ranker="+".join(part for part in (slate.ranker, version) if part))
    return slate


def _in_time(name: str, step: Callable[[Query, Slate], Any], query: Query, slate: Slate) -> Any:
    """What a plugin gives back for a slate of its own; where somebody waits, within half of their time."""
    before = slate.candidates
    slate = replace(slate, candidates=replace(before, items=before.items.copy(), scores=before.scores.copy()))
    if query.deadline is None:
        with plugins.aside():
            return step(query, slate)
    answer: list[Any] = []

    def work() -> None:
        try:
            answer.append(step(query, slate))
        except BaseException as error:
            answer.append(error)

    seconds = max(SHORTEST, (query.deadline - time.monotonic()) / 2)
    thread = threading.Thread(target=work, daemon=True, name=f"reranker-{name}")
    thread.start()
    thread.join(seconds)
    if not answer:
        _LATE[name] = thread
        raise TimeoutError(f"no answer within {seconds:.1f} s, and nobody waits for it until it has one")
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return answer[0]


def _checked(slate: Slate, ranked: Any) -> Slate:
    """The slate with what a plugin may change: the order, fewer items, scores, and the words about them.

    Raises TypeError, ValueError on anything that later steps could not read.
    """
    places = {item: row for row, item in enumerate(slate.pool)}
    if not isinstance(ranked, Slate) or len(set(ranked.pool)) != len(ranked.candidates):
        raise TypeError(f"gave back {type(ranked).__name__} of {len(getattr(ranked, 'pool', ()))} items")
    if not set(ranked.pool) <= set(places):
        raise ValueError("brought in items that the search did not find")
    rows = [places[item] for item in ranked.pool]
    before, answer = slate.candidates, ranked.candidates
    if not np.array_equal(answer.items, before.items[rows]):
        raise ValueError("its candidates are not those of its pool; `Slate.reordered` changes both")
    scores = np.asarray(answer.scores)
    if scores.shape != (len(rows),) or scores.dtype.kind not in "iuf" or not (abs(scores) < LARGEST).all():
        raise ValueError("gave a score that is no number, or not one score an item")
    if not all(words is None or isinstance(words, str) for words in (answer.reason, ranked.notice)):
        raise TypeError("gave a reason or a notice that is no text")
    candidates = replace(
        before,
        items=before.items[rows],
        scores=scores.astype(np.float64),
        source=tuple(before.source[row] for row in rows),
        reason=answer.reason,
    )
    return replace(slate, candidates=candidates, pool=tuple(ranked.pool), notice=ranked.notice)
