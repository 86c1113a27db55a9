"""What is asked and what is answered: `Query` and `Slate`, frozen, and nothing else on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.slate import GREEDY_POLICY, Draw
from tastemaker.schema import ANONYMOUS
from tastemaker.serving.history import NOBODY, Profile

if TYPE_CHECKING:
    from tastemaker.retrieve.candidates import Candidates

Floats = npt.NDArray[np.float64]


class Unknown(InputError):
    """Something the caller names is not there; over HTTP a 404."""


class Conflict(InputError):
    """An id stands for something else already; over HTTP a 409."""


@dataclass(frozen=True)
class Measures:
    """What a service says of itself: deployment, since when, how many kept, events stored by kind."""

    deployment: str
    created: datetime
    deployments: int = 1
    events: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Query:
    """One wish for a slate.

    user_id: who asks; None for a bare `history` (item ids, oldest first). k: rows wanted. filters: per field
    the values that pass. exclude: item ids never to show. request_id: the caller's own id for the request,
    under which a retry gets the same slate. deadline: a reading of the monotonic clock, seconds. logged:
    whether the slate is kept; a look at what would be shown is not. asker: who is proven to ask, though by a
    bare history; the slate is kept under their name. marks: of the events of the history, if known.
    """

    user_id: str | None = None
    history: tuple[str, ...] = ()
    k: int = 10
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()
    request_id: str | None = None
    deadline: float | None = None
    logged: bool = True
    asker: str | None = None
    marks: tuple[int, ...] = ()

    @property
    def caller(self) -> str:
        """Under whose name the slate is kept."""
        return self.user_id or self.asker or ANONYMOUS

    def digest(self) -> str:
        """What is wanted, whatever the request is called: retries have the same."""
        filters = sorted((name, sorted(values)) for name, values in self.filters.items())
        wanted = [self.user_id, self.history, self.k, filters, sorted(self.exclude)]
        return hashlib.blake2b(json.dumps(wanted).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Evidence:
    """One reason for a row; `item_id` is the item of the history it rests on."""

    text: str
    item_id: str


@dataclass(frozen=True)
class Move:
    """What the survey proxy did to a row.

    p_pos, p_neg: shares of people asked about such a match who are expected to answer well, and badly.
    moved: places up (down below 0). term: what was added to the score, in median absolute deviations of the
    list's scores. text: the same in words.
    """

    p_pos: float
    p_neg: float
    term: float
    moved: int
    text: str


@dataclass(frozen=True)
class Row:
    """One recommended item. item: what there is to show of it, in the deployment that answers. score: the
    model's, None where the search did not bring it. propensity: the probability with which the policy showed
    it in this place, given those above.
    """

    item_id: str
    position: int
    score: float | None
    propensity: float
    source: str = "model"
    reasons: tuple[Evidence, ...] = ()
    retention: Move | None = None
    item: Mapping[str, Any] = field(default_factory=dict)

    def public(self) -> dict[str, Any]:
        """The row as plain values; `dataclasses.asdict` copies each deeply, in ten times as long."""
        reasons = [dict(vars(reason)) for reason in self.reasons]
        moved = None if self.retention is None else dict(vars(self.retention))
        return vars(self) | {"reasons": reasons, "retention": moved, "item": dict(self.item)}


def _nothing() -> Candidates:
    from tastemaker.retrieve.candidates import Candidates  # loads torch, which the server's edge does without

    return Candidates(np.empty(0, np.int64), np.empty(0), (), None)


@dataclass(frozen=True, eq=False)
class Slate:
    """An answer, as far as it has come: the search fills in the candidates, the draw the rows.

    request_id: the server's own. digest: of the query as it came. deployment, versions: what answered.
    profile: what is known of who asks. candidates: in the order they are drawn or shown in;
    `candidates.scores` go by place. pool: their ids. scores, moves: the model's own score of each item index,
    and what the proxy did to it. features: (n,) columns of what was known of the items `known`, to be logged.
    ranker: the version of what re-ranked. arm: the running test and the arm of it that this list is of.
    reason: why there are fewer rows than wanted. notice: what the caller should know.
    """

    request_id: str
    timestamp: datetime
    digest: str = ""
    deployment: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    policy_id: str = GREEDY_POLICY
    ranker: str = ""
    arm: str = ""
    rows: tuple[Row, ...] = ()
    reason: str | None = None
    notice: str | None = None
    profile: Profile = NOBODY
    candidates: Candidates = field(default_factory=_nothing)
    pool: tuple[str, ...] = ()
    scores: Mapping[int, float] = field(default_factory=dict)
    moves: Mapping[int, Move] = field(default_factory=dict)
    features: Mapping[str, Floats] = field(default_factory=dict)
    known: Sequence[str] = ()
    drawn: Draw | None = None

    def reordered(self, order: Sequence[int]) -> Slate:
        """The slate with its candidates in another order, or fewer of them: `order` numbers those of `pool`.

        Scores go by place: the first keeps the largest, so that what is drawn later follows the new order.
        """
        rows = list(order)
        if min(rows, default=0) < 0:
            raise InputError(f"the order holds {min(rows)}; it numbers the pool from 0")
        candidates = replace(
            self.candidates,
            items=self.candidates.items[rows],
            scores=np.sort(self.candidates.scores[rows])[::-1],
            source=tuple(self.candidates.source[row] for row in rows),
        )
        return replace(self, candidates=candidates, pool=tuple(self.pool[row] for row in rows))

    def public(self) -> dict[str, Any]:
        """What a caller is told, as plain values."""
        plain = {name: getattr(self, name) for name in PUBLIC}
        plain |= {"versions": dict(self.versions), "rows": [row.public() for row in self.rows]}
        return plain

    def to_json(self) -> str:
        """`public` as JSON, for a retry."""
        return json.dumps(self.public() | {"timestamp": self.timestamp.isoformat()})

    @classmethod
    def of(cls, answer: str) -> Slate:
        """The slate that `kept` made this JSON of."""
        plain = json.loads(answer)
        timestamp = datetime.fromisoformat(plain.pop("timestamp"))
        rows = []
        for row in plain.pop("rows"):
            reasons = tuple(Evidence(**reason) for reason in row.pop("reasons"))
            move = row.pop("retention")
            rows.append(Row(**row, reasons=reasons, retention=None if move is None else Move(**move)))
        return cls(timestamp=timestamp, rows=tuple(rows), **plain)


PUBLIC = ("request_id", "deployment", "versions", "policy_id", "ranker", "rows", "reason", "notice")


@dataclass(frozen=True)
class Standing:
    """What is known of an id. known: anything at all. recorded: it stands in the tables. simulated: no
    person, and the workspace says so. erased: the person was forgotten.
    """

    known: bool = False
    recorded: bool = False
    simulated: bool = False
    erased: bool = False


@dataclass(frozen=True)
class Happened:
    """Something a person did, under an id the client chose; `target` is what an `undo` takes back,
    `request_id` the slate it answers, `timestamp` when it happened where the client says so.
    """

    event_id: str
    user_id: str
    kind: str
    item_id: str | None = None
    target: str | None = None
    value: float | None = None
    request_id: str | None = None
    position: int | None = None
    timestamp: datetime | None = None
