"""The log: one row a shown action, validated on input, and its three-way split by user."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import tastemaker.schema.columns as read
from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.explore.bounds import Units, check_kind
from tastemaker.explore.policy.base import Pools
from tastemaker.stats.random import hashed_place

Strings = npt.NDArray[np.str_]

LOGGED, ESTIMATED = "logged", "estimated"
LEAST, MOST = 1e-30, 1e30  # of propensities, and of numbers that are multiplied with others
ROWS = 65_536  # at once: of a column that holds one text, no copy is made
OR_DROP = "fill it, or drop the column"


@dataclass(frozen=True)
class Columns:
    """Which columns of a log table play which part; `r_max`: the largest possible reward, known beforehand.

    context: names of numeric (or fixed-size list) columns. An optional column may be absent.
    """

    context: tuple[str, ...] = ()
    action: str = "action"
    reward: str = "reward"
    propensity: str = "propensity"
    position: str = "position"
    user: str = "user_id"
    request: str = "request_id"
    timestamp: str = "timestamp"
    policy: str = "policy_id"
    prefix_propensity: str = "prefix_propensity"
    reference: str = "reference_propensity"
    deployed: str = "policy_propensity"
    target: str = "target_propensity"
    pool: str = "pool"
    r_max: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.r_max < float("inf"):
            raise InputError(
                f"r_max is {self.r_max}; give the largest reward a row can have, a finite number above 0"
            )
        taken: dict[str, str] = {}
        named = {"action": self.action, "reward": self.reward, "propensity": self.propensity}
        for role, name in [*named.items(), *(("context", name) for name in self.context)]:
            if taken.setdefault(name, role) != role:
                raise InputError(f"column '{name}' cannot be both {taken[name]} and {role}; name another one")


@dataclass(frozen=True)
class Log:
    """A checked log of n rows over the catalogue `actions` (A,).

    context (n, d); action (n,) row numbers of `actions`; reward (n,) in [0, r_max]; propensity (n,) in (0,
    1], what whoever logged the row gave the shown action; the optional columns are (n,) or None. reference,
    deployed: what pi0, and the policy deployed beside it, gave the shown action where a mixture of both
    logged the rows; None where pi0 did. target: what a policy of the caller's own gives the shown action.
    pool: what could have been shown in each row; None where every action that pi0 plays could. source:
    "logged", or "estimated" when the propensities come from a fitted logger.
    """

    context: npt.NDArray[np.floating]
    action: Ints
    reward: Floats
    propensity: Floats
    actions: Sequence[str]
    r_max: float = 1.0
    position: Ints | None = None
    user: Strings | None = None
    request: Strings | None = None
    timestamp: Ints | None = None
    policy: Strings | None = None
    prefix_propensity: Floats | None = None
    reference: Floats | None = None
    deployed: Floats | None = None
    target: Floats | None = None
    pool: Pools | None = None
    source: str = field(default=LOGGED)

    def __len__(self) -> int:
        return len(self.action)

    @property
    def n_actions(self) -> int:
        """Size A of the catalogue."""
        return len(self.actions)

    @property
    def rewarded(self) -> int:
        """Rows with a reward above 0."""
        return int(np.count_nonzero(self.reward))

    @property
    def early(self) -> Bools | None:
        """(n,) which rows are in the first half of the time; None where times are unknown or all alike."""
        early = None if self.timestamp is None else self.timestamp <= np.median(self.timestamp)
        return None if early is None or early.all() else early

    def units(self, unit: str = "") -> Units:
        """What is independent: persons where they are known, else requests, else rows; or as `unit` says.

        Raises InputError on a unit that the log does not know.
        """
        check_kind(unit)
        if not unit:
            unit = "user" if self.user is not None else "request" if self.request is not None else "row"
        names = {"user": self.user, "request": self.request}.get(unit)
        if unit == "row":
            return Units.rows(len(self))
        if names is None:
            raise InputError(
                f"unit '{unit}': the log has no column for it; name it with --column {unit}=NAME"
            )
        known: dict[str, Units] = self.__dict__.setdefault("_units", {})
        if unit not in known:
            known[unit] = Units.of(unit, names)
        return known[unit]

    def take(self, rows: Ints | Bools) -> Log:
        """The log of some rows, by number or mask."""
        columns = {name: getattr(self, name) for name in _ROWWISE}
        taken: dict[str, Any] = {
            name: None if value is None else _taken(value, rows) for name, value in columns.items()
        }
        return replace(self, **taken)

    @cached_property
    def hash(self) -> str:
        """A digest of every row: two logs of the same rows in the same order have the same one."""
        digest = hashlib.blake2b(f"{len(self)} {self.r_max} {self.source}".encode(), digest_size=16)
        for name in _ROWWISE[:-2]:  # as in the first release
            value = getattr(self, name)
            if value is not None:
                digest.update(f"\x1f{name} {value.dtype.str} {value.shape}".encode())
                for start in range(0, len(value), ROWS):
                    digest.update(np.ascontiguousarray(value[start : start + ROWS]).data)
        digest.update("\x1f".join(np.asarray(self.actions, dtype=str)[np.unique(self.action)]).encode())
        return digest.hexdigest()


_ROWWISE = tuple(part.name for part in fields(Log) if part.name not in ("actions", "r_max", "source"))


def check_log(
    table: pa.Table,
    columns: Columns,
    actions: Sequence[str],
    *,
    logger: Callable[[Log], Floats] | None = None,
) -> Log:
    """The log of a table over the catalogue `actions` (A,), every value verified.

    actions: ids of all actions there are, novel ones too; `Log.action` holds row numbers of this list.
    logger: what estimates the propensities (n,) of a table that has none, for instance
        `estimate.logger.fitted_propensities`; everything that follows is then labelled "estimated". None:
        such a table is refused.

    Raises InputError naming column, first row and remedy: a missing column; a propensity that is empty, NaN,
    not above 0 or above 1; a reward that is empty, NaN, negative or above `columns.r_max`; an action the
    catalogue does not have; a context value that is not a finite number.
    """
    if table.num_rows == 0:
        raise InputError("the log has no rows; an estimate needs at least one")
    if len(set(actions)) < len(actions):
        twice = next(name for place, name in enumerate(actions) if name in actions[:place])
        raise InputError(f"'{twice}' comes twice among the {len(actions)} known actions; list each once")
    action = read.places(table, columns.action, actions, of="known actions")
    reward = read.numbers(table, columns.reward, remedy="no reward is 0, not empty")
    _within(
        reward,
        columns.reward,
        reward < 0,
        "is negative; a certificate compares shares of the logger's value, so rewards are counted from 0:"
        " give what a row earned, or 0",
    )
    _within(
        reward,
        columns.reward,
        reward > columns.r_max,
        f"is above r_max = {columns.r_max:g}; raise r_max or rescale the rewards",
    )
    context = _context(table, columns.context)
    has_propensity = columns.propensity in table.column_names
    if not has_propensity and logger is None:
        raise InputError(
            f"column '{columns.propensity}' is missing; log the probability of each shown action, or ask for"
            " a fitted logger (the result is then labelled 'estimated')"
        )
    log = Log(
        context=context,
        action=action,
        reward=reward,
        propensity=_propensity(table, columns.propensity) if has_propensity else np.ones(len(action)),
        actions=actions,
        r_max=columns.r_max,
        position=_whole(table, columns.position),
        user=_ids(table, columns.user),
        request=_ids(table, columns.request),
        timestamp=_times(table, columns.timestamp),
        policy=_alike(table, columns.policy),
        prefix_propensity=(
            _propensity(table, columns.prefix_propensity)
            if read.has(table, columns.prefix_propensity)
            else None
        ),
        # Whoever names the propensity itself as pi0's says that pi0 logged the rows.
        reference=None if columns.reference == columns.propensity else _probability(table, columns.reference),
        deployed=_probability(table, columns.deployed),
        target=_probability(table, columns.target),
        pool=_pool(table, columns.pool, actions),
    )
    if logger is None or has_propensity:
        return log
    return replace(log, propensity=logger(log), source=ESTIMATED)


def played_by_log(log: Log) -> Bools:
    """(A,) what pi0 showed, or could have shown where pools are known. Of rows that a mixture logged, only
    those that pi0 may have drawn say what it plays.
    """
    shown = log.action if log.reference is None else log.action[log.reference > 0]
    played = np.bincount(shown, minlength=log.n_actions) > 0
    if log.pool is not None:
        played[log.pool.items[log.pool.items >= 0]] = True
    return np.asarray(played)


class Parts(NamedTuple):
    """Three parts of a log, no user in two of them, and the digest that names this split."""

    learn: Log
    choose: Log
    certify: Log
    digest: str


class Split(Parts):
    """`Parts`, where `split` made them the whole log too, and part (n,): which of three each row is in."""

    whole: Log | None = None
    part: Ints | None = None

    @property
    def judged(self) -> Log:
        """What no candidate was learnt from, in the log's order: S2 and S3 (S3 of a split by hand)."""
        if self.whole is None or self.part is None:
            return self.certify
        log, part = self.whole.take(self.part > 0), self.part[self.part > 0]
        log.__dict__["_parts"] = ((part == 1, self.choose), (part == 2, self.certify))
        return log


def split(log: Log, shares: Sequence[float] = (0.5, 0.2, 0.3), key: str | int = 0) -> Split:
    """S1 to learn on, S2 to choose on, S3 to certify on once, and a digest of this split.

    All rows of one user go to the same part (of one request where no users are known; else each row by its
    number), by a keyed hash, so that the same key gives the same split whatever the order of users. Raises
    InputError on shares that are not three positive numbers of sum 1, or when a part stays empty.
    """
    part = split_parts(log, shares, key)
    text = f"{log.hash} {key!r} {np.asarray(shares, dtype=np.float64).tolist()}"
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    learn, choose, certify = (log.take(part == number) for number in range(3))
    parts = Split(learn, choose, certify, digest)
    parts.whole, parts.part = log, part
    return parts


def split_parts(log: Log, shares: Sequence[float] = (0.5, 0.2, 0.3), key: str | int = 0) -> Ints:
    """(n,) the part, 0 to 2, that `split` puts each row in; raises as that does."""
    parts = np.asarray(shares, dtype=np.float64)
    if parts.shape != (3,) or not np.all(parts > 0) or abs(parts.sum() - 1) > 1e-9:
        raise InputError(
            f"a split needs three positive shares of sum 1, for instance .5, .2, .3; got {tuple(shares)}"
        )
    units = (
        log.user
        if log.user is not None
        else log.request
        if log.request is not None
        else np.arange(len(log)).astype(str)
    )
    names, unit = np.unique(units, return_inverse=True)
    secret = hashlib.blake2b(f"{type(key).__name__}:{key}".encode(), digest_size=16).digest()
    places = [hashed_place(name, secret, "blake2b", "little") for name in names.tolist()]
    part = np.searchsorted(np.cumsum(parts)[:2], places, side="right")[unit]
    if min(np.count_nonzero(part == number) for number in range(3)) == 0:
        raise InputError(
            f"{many(len(names), 'user')} or requests are too few for a split by"
            f" {tuple(shares)}: one part has no row"
        )
    return np.asarray(part, dtype=np.int64)


def _within(values: Floats, name: str, wrong: Bools, what: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"row {row + 1}, column '{name}': {values[row]:g} {what}")


def _propensity(table: pa.Table, name: str) -> Floats:
    remedy = "the logger must record the probability of what it showed; drop rows it did not draw"
    values = read.numbers(table, name, remedy=remedy)
    _within(values, name, values <= 0, f"is not above 0; {remedy}")
    _within(
        values, name, values < LEAST, f"is below {LEAST:g}, and no draw shows what is that rare; {remedy}"
    )
    _within(values, name, values > 1, "is above 1; give probabilities, not weights, densities or percentages")
    return values


def _probability(table: pa.Table, name: str) -> Floats | None:
    """An optional column of probabilities, 0 among them."""
    if not read.has(table, name):
        return None
    remedy = "0 where that policy never shows the action"
    return read.numbers(table, name, low=0.0, high=1.0, remedy=remedy)


def _context(table: pa.Table, names: Sequence[str]) -> Floats:
    """(n, d) float64 of all context columns, lists spread over several."""
    parts = []
    for name in names:
        column = read.present(table, name)
        if pa.types.is_fixed_size_list(column.type) and not column.null_count:
            flat = pa.table({name: pc.list_flatten(column)})
            parts.append(read.numbers(flat, name, low=-MOST, high=MOST).reshape(table.num_rows, -1))
        else:
            remedy = "fill it, or drop the row; categories go into indicator columns"
            parts.append(read.numbers(table, name, low=-MOST, high=MOST, remedy=remedy).reshape(-1, 1))
    return np.concatenate(parts, axis=1) if parts else np.zeros((table.num_rows, 0))


def _pool(table: pa.Table, name: str, actions: Sequence[str]) -> Pools | None:
    """An optional column of lists of ids (or of text with blanks or | between them)."""
    if not read.has(table, name):
        return None
    column = table.column(name)
    if not pa.types.is_list(column.type) and not pa.types.is_large_list(column.type):
        column = pc.split_pattern_regex(pc.utf8_trim_whitespace(column.cast(pa.string())), r"[\s|]+")
    read.complete(column, name, remedy="list what could have been shown in the row, or drop the column")
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    items = read.places(
        pa.table({name: column.flatten().cast(pa.string())}), name, actions, of="known actions"
    )
    pools = Pools.ragged(items, pc.list_value_length(column).to_numpy(zero_copy_only=False))
    ordered = np.sort(pools.items, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    if twice.any():
        row = int(np.argmax(twice))
        raise InputError(f"row {row + 1}, column '{name}' holds an action twice; list each once")
    return pools


def _whole(table: pa.Table, name: str) -> Ints | None:
    return read.integers(table, name) if read.has(table, name) else None


def _texts(table: pa.Table, name: str) -> Strings | None:
    if not read.has(table, name):
        return None
    return np.asarray(read.texts(table, name, remedy=OR_DROP).to_pylist(), dtype=str)


def _alike(table: pa.Table, name: str) -> Strings | None:
    """As `_texts`; where all rows say the same, that text is held once."""
    if not read.has(table, name):
        return None
    cells = read.texts(table, name, remedy=OR_DROP)
    if pc.all(pc.equal(cells, cells[0])).as_py():
        return np.broadcast_to(np.asarray([cells[0].as_py()], dtype=str), (len(cells),))
    return np.asarray(cells.to_pylist(), dtype=str)


def distinct(texts: Strings) -> set[str]:
    """The different ones."""
    parts = (texts[start : start + ROWS] for start in range(0, len(texts), ROWS))
    return {text for part in parts for text in np.unique(part).tolist()}


def _taken(value: Any, rows: Ints | Bools) -> Any:
    """Some rows of a column, held once where the column is."""
    if not isinstance(value, np.ndarray) or len(value) < 2 or value.strides[0]:
        return value[rows]
    count = int(np.count_nonzero(rows)) if rows.dtype == bool else len(rows)
    return np.broadcast_to(value[0], (count, *value.shape[1:]))


def _ids(table: pa.Table, name: str) -> Strings | None:
    ids = _texts(table, name)
    if ids is not None:
        read.somebody(pa.array(ids), name)
    return ids


def _times(table: pa.Table, name: str) -> Ints | None:
    """Times as integers: numbers as they are, all others in microseconds since 1970."""
    if not read.has(table, name):
        return None
    if pa.types.is_integer(table.column(name).type):
        return read.integers(table, name)
    moments: Ints = read.times(table, name).cast(pa.int64()).to_numpy()
    return moments
