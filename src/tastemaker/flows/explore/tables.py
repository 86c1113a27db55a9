"""The log and catalogue of `tastemaker explore`: from plain tables, or a workspace's slates and events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.explore.catalogue import Catalogue
from tastemaker.explore.checked import Preflight, preflight
from tastemaker.explore.estimate.weighting import fitted_propensities
from tastemaker.explore.policy.base import Policy, Pools
from tastemaker.explore.slate import IN_TALK, kept_for_new
from tastemaker.explore.table import Columns, Log, check_log
from tastemaker.flows.data import Data
from tastemaker.flows.explore.ledger_store import last_gate
from tastemaker.schema import ANONYMOUS, EventRules
from tastemaker.store import Database, Offers, Workspace, read_any
from tastemaker.store.database.events import now

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
ROLES = tuple(part.name for part in fields(Columns) if part.name not in ("context", "r_max"))


@dataclass(frozen=True)
class Source:
    """Where the data is: a log table (with a catalogue table) or a workspace; which columns play which part.

    context: names of the context columns; renamed: role -> column; r_max: the largest reward there can be. Of
    a workspace: what it served, outside of conversations, after `since` (default: the last gate) up to
    `until` (default: now), and, where one is named, by that deployment, at the first `places` positions.
    unit: user, request or row, what is independent; accept: names of checks that may fail.
    """

    log: Path | None = None
    actions: Path | None = None
    workspace: Path | None = None
    context: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    r_max: float = 1.0
    fit_logger: bool = False
    since: datetime | None = None
    until: datetime | None = None
    deployment: str = ""
    unit: str = ""
    accept: tuple[str, ...] = ()
    places: int = 1

    def columns(self) -> Columns:
        """The columns as `check_log` takes them. Raises InputError on a role that does not exist."""
        for role, _ in self.renamed:
            if role not in ROLES:
                raise InputError(
                    f"--column {role}=...: there is no such role; choose one of {', '.join(ROLES)}"
                )
        roles = [role for role, _ in self.renamed]
        twice = next((role for role in roles if roles.count(role) > 1), "")
        if twice:
            raise InputError(f"--column {twice}=... is given twice; a role has one column")
        return Columns(context=self.context, r_max=self.r_max, **dict(self.renamed))


@dataclass(frozen=True, eq=False)
class Loaded:
    """log; catalogue; existing (A,): what pi0 may play; source: as read."""

    log: Log
    catalogue: Catalogue
    existing: Bools
    source: Source

    @property
    def vectors(self) -> Floats:
        """(A, k) of all actions."""
        return self.catalogue.vectors

    @property
    def prefixes(self) -> Ints | None:
        """(A,) of all actions, or None."""
        return self.catalogue.prefixes

    def preflight(self, policies: Sequence[Policy] = ()) -> Preflight:
        """Every check of the log, with what the source accepts."""
        new, source = self.catalogue.new, self.source
        return preflight(self.log, self.existing, new, policies, unit=source.unit, accept=source.accept)


def load(source: Source) -> Loaded:
    """Read and check everything. Raises InputError naming file, row, column and remedy."""
    if (source.log is None) == (source.workspace is None):
        raise InputError("give either --log with a table, or --workspace")
    if source.workspace is not None:
        return _from_workspace(source, source.workspace)
    assert source.log is not None
    table, columns = read_any(source.log), source.columns()
    listed = None if source.actions is None else read_any(source.actions)
    where = source.actions or source.log
    try:
        catalogue = Catalogue.logged(table, columns.action) if listed is None else Catalogue.of(listed)
        where = source.log
        loaded = _loaded(table, catalogue, columns, source)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    del table  # twice the log's size, of which nothing is needed any more
    pa.default_memory_pool().release_unused()
    return loaded


def _loaded(
    table: pa.Table, catalogue: Catalogue, columns: Columns, source: Source, pool: Pools | None = None
) -> Loaded:
    logger = fitted_propensities if source.fit_logger else None
    log = check_log(table, columns, catalogue.ids, logger=logger)
    if pool is not None:
        log = replace(log, pool=pool)
    return Loaded(log, catalogue, catalogue.existing(log), source)


def _from_workspace(source: Source, root: Path) -> Loaded:
    """Places of slates with their pools, joined by request and item to the event that earned most."""
    from tastemaker.flows.deploy import in_service

    workspace = Workspace.open(root)
    deployment = in_service(workspace)
    data, codes = deployment.data(), deployment.arrays()["codes"]
    source, rows = _served(workspace, source)
    rows = [row for row in rows if row["action"] in data.index]  # what was taken down is no choice any more
    if any(row["pool"] is not None for row in rows):  # slates of the first release logged none
        rows = [row for row in rows if row["pool"] is not None]
    pool = _pools(rows, data)
    for row in rows:
        row["propensity"] = min(1.0, row["propensity"] / _kept_share(row, data))
    facts = _attributes(deployment.catalogue_items()["attributes"].to_pylist())
    vectors = np.hstack([_reduced(deployment.text_vectors().astype(np.float64)), _reduced(facts)])
    context = contexts([row["user_id"] for row in rows], data, vectors)
    names = tuple(f"x{number}" for number in range(context.shape[1]))
    # Nobody knows who sends a bare history, so each such request is a unit of its own.
    raw = pa.Table.from_pylist(
        [
            {name: value for name, value in row.items() if name not in ("pool", "above")}
            | ({"user_id": row["request_id"]} if row["user_id"] == ANONYMOUS else {})
            for row in rows
        ]
    )
    reference = raw["reference_propensity"]
    if 0 < reference.null_count < len(raw):  # where pi0 served alone, the propensity is what it gave
        raw = raw.drop_columns(["policy_propensity", "reference_propensity"])
        raw = raw.append_column("reference_propensity", pc.coalesce(reference, raw["propensity"]))
    for number, name in enumerate(names):
        raw = raw.append_column(name, pa.array(context[:, number]))
    catalogue = Catalogue(tuple(data.item_ids), vectors, codes[:, 0].astype(np.int64))
    return _loaded(raw, catalogue, Columns(context=names, r_max=source.r_max), source, pool)


def _pools(rows: Sequence[dict[str, Any]], data: Data) -> Pools | None:
    """What each row's place could show: its slate's pool less what stands above; None where unknown."""
    if not rows or rows[0]["pool"] is None:
        return None
    known = data.index
    pools = [
        {
            known[item]: logit
            for item, logit in row["pool"].items()
            if item in known and item not in row["above"]
        }
        for row in rows
    ]
    if any(logit is None for pool in pools for logit in pool.values()):  # some were logged without
        return Pools.of([list(pool) for pool in pools])
    return Pools.of([list(pool) for pool in pools], [list(pool.values()) for pool in pools])


def _kept_share(row: Mapping[str, Any], data: Data) -> float:
    """The chance that pi0, which served the row alone, showed here something that is in the catalogue still:
    rows of what was taken down are left out, so that chances are those given that.
    """
    logits = {item: logit for item, logit in (row["pool"] or {}).items() if item not in row["above"]}
    if row["reference_propensity"] is not None or None in logits.values() or not logits:
        return 1.0
    there = [logit for item, logit in logits.items() if item in data.index]
    if not there:
        return 1.0
    return float(np.exp(np.logaddexp.reduce(there) - np.logaddexp.reduce(list(logits.values()))))


def _served(workspace: Workspace, source: Source) -> tuple[Source, list[dict[str, Any]]]:
    """First rows of slates as served, with rewards, pools, what stood above; and the source with times."""
    with Database(workspace.database) as database:
        since, until = source.since or last_gate(database) or BEGINNING, source.until or now()
        slates, events = database.slates_table().to_pylist(), database.events_table().to_pylist()
        pools, above = Offers(database).pools(), dict[str, tuple[str, ...]]()
    reward = _rewards([event for event in events if event["timestamp"] <= until], workspace.event_rules())
    lengths = Counter(row["request_id"] for row in slates)
    rows = []
    for row in slates:  # in the order of their places
        request, item = row["request_id"], row["item_id"]
        over = above.get(request, ())
        above[request] = (*over, item)
        policy = row["policy_id"]
        wanted = since < row["timestamp"] <= until and policy.startswith(source.deployment)
        wanted = wanted and (policy.startswith(IN_TALK) == source.deployment.startswith(IN_TALK))
        # The last places may be kept for new items: what is drawn there is drawn among those alone.
        wanted = wanted and row["position"] < lengths[request] - kept_for_new(policy)
        if wanted and row["position"] < source.places:
            earned = reward.get((request, item), 0.0)
            rows.append(row | {"action": item, "reward": earned, "pool": pools.get(request), "above": over})
    if not rows:
        what = f"by deployment {source.deployment}" if source.deployment else f"since {since:%Y-%m-%d %H:%M}"
        raise InputError(
            f"{workspace.root}: no slate was served {what}; serve with `exploration` above 0 in"
            " tastemaker.toml and collect some"
        )
    return replace(source, since=since, until=until), rows


def _rewards(events: Sequence[dict[str, Any]], rules: EventRules) -> dict[tuple[str, str], float]:
    """What each shown item earned, by request and item: the best event, nothing once it was refused."""
    earned: dict[tuple[str, str], float] = {}
    for event in sorted(events, key=lambda row: row["timestamp"]):
        about = event["request_id"], event["item_id"]
        refused = rules.sign(event["kind"], event["value"]) < 0
        best = max(earned.get(about, 0.0), rules.reward(event["kind"], event["value"]))
        earned[about] = 0.0 if refused else best
    return earned


def _attributes(lists: Sequence[list[str] | None]) -> Floats:
    """(A, w) unit TF-IDF of attributes, which sentence vectors blur; (A, 1) zeros where there are none."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = [values or [] for values in lists]
    if not any(words):
        return np.zeros((len(words), 1))
    return np.asarray(TfidfVectorizer(analyzer=list).fit_transform(words).toarray())


def _reduced(vectors: Floats, width: int = 16) -> Floats:
    """(A, at most width) the strongest directions of the vectors, without those that are rounding alone."""
    from sklearn.decomposition import TruncatedSVD

    if vectors.shape[1] <= width:
        return vectors
    strongest = TruncatedSVD(width, random_state=0).fit(np.nan_to_num(vectors))
    reduced: Floats = strongest.transform(np.nan_to_num(vectors))
    return reduced[:, strongest.singular_values_ > 1e-6 * strongest.singular_values_[0]]


def contexts(users: Sequence[str], data: Data, vectors: Floats) -> Floats:
    """(n, k) mean vector of what each user's ingested history holds; zeros for a bare history."""
    rows = [data.histories.of(data.user_row[user]) if user in data.user_row else () for user in users]
    return np.stack(
        [vectors[np.asarray(row)].mean(axis=0) if len(row) else np.zeros(vectors.shape[1]) for row in rows]
    )
