"""The log: one row a shown action, checked at the door, and its three-way split by user."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import InputError
from tastemaker.schema import columns as columns_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Strings = npt.NDArray[np.str_]

LOGGED, ESTIMATED = "logged", "estimated"


@dataclass(frozen=True)
class Columns:
    """Which columns of a log table play which part; `r_max` is the largest reward possible, known before the
    data.

    context: names of numeric (or fixed-size list) columns. A name of an optional column that the table lacks
    is no error.
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
    r_max: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.r_max < float("inf"):
            raise InputError(
                f"r_max is {self.r_max}; give the largest reward a row can have, a finite number above 0"
            )


@dataclass(frozen=True)
class Log:
    """A checked log of n rows over the catalogue `actions` (A,).

    context (n, d); action (n,) row numbers of `actions`; reward (n,) in [0, r_max]; propensity (n,) in (0,
    1], what whoever logged the row gave the shown action; the optional columns are (n,) or None. reference,
    deployed: what pi0, and the policy deployed beside it, gave the shown action where a mixture of both
    logged the rows; None where pi0 did. source: "logged", or "estimated" when the propensities come from a
    fitted logger.
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

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Log:
        """The log of some rows, by number or mask."""
        kept = {one: getattr(self, one) for one in _ROWWISE}
        taken: dict[str, Any] = {name: None if value is None else value[rows] for name, value in kept.items()}
        return replace(self, **taken)

    @cached_property
    def hash(self) -> str:
        """A digest of every row: two logs of the same rows in the same order have the same one."""
        digest = hashlib.blake2b(f"{len(self)} {self.r_max} {self.source}".encode(), digest_size=16)
        for name in _ROWWISE:
            value = getattr(self, name)
            if value is not None:
                digest.update(f"\x1f{name} {value.dtype.str} {value.shape}".encode())
                digest.update(np.ascontiguousarray(value).data)
        digest.update("\x1f".join(np.asarray(self.actions, dtype=str)[np.unique(self.action)]).encode())
        return digest.hexdigest()


_ROWWISE = tuple(one.name for one in fields(Log) if one.name not in ("actions", "r_max", "source"))


def check_log(table: pa.Table, columns: Columns, actions: Sequence[str], *, fit_logger: bool = False) -> Log:
    """The log of a table over the catalogue `actions` (A,), every value verified.

    Parameters
    ----------
    actions
        ids of all actions there are, novel ones too; `Log.action` holds row numbers of this list.
    fit_logger
        allow a table without propensities: they are then estimated, and everything that follows is labelled
        so.

    Raises
    ------
    InputError
        naming column, first row and remedy: a missing column; a propensity that is empty, NaN, not above 0 or
        above 1; a reward that is empty, NaN, negative or above `columns.r_max`; an action the catalogue does
        not have; a context value that is not a finite number.
    """
    if table.num_rows == 0:
        raise InputError("the log has no rows; an estimate needs at least one")
    action = _actions(table, columns.action, actions)
    reward = _numbers(table, columns.reward, "no reward is 0, not empty")
    _within(reward, columns.reward, reward < 0, "is negative; shift rewards to 0 and above")
    _within(
        reward,
        columns.reward,
        reward > columns.r_max,
        f"is above r_max = {columns.r_max:g}; raise r_max or rescale the rewards",
    )
    context = _context(table, columns.context)
    has_propensity = columns.propensity in table.column_names
    if not has_propensity and not fit_logger:
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
        position=_integers(table, columns.position),
        user=_texts(table, columns.user),
        request=_texts(table, columns.request),
        timestamp=_moments(table, columns.timestamp),
        policy=_texts(table, columns.policy),
        prefix_propensity=(
            _propensity(table, columns.prefix_propensity)
            if _filled(table, columns.prefix_propensity)
            else None
        ),
        # Whoever names the propensity itself as pi0's says that pi0 logged the rows.
        reference=None if columns.reference == columns.propensity else _probability(table, columns.reference),
        deployed=_probability(table, columns.deployed),
    )
    if has_propensity:
        return log
    # Imported late: scikit-learn takes a second, and nearly every log has its propensities.
    from tastemaker.explore.estimate.logger import fitted_propensities

    return replace(log, propensity=fitted_propensities(log), source=ESTIMATED)


def split(
    log: Log, shares: Sequence[float] = (0.5, 0.2, 0.3), key: str | int = 0
) -> tuple[Log, Log, Log, str]:
    """S1 to learn on, S2 to choose on, S3 to certify on once, and a digest of this split.

    All rows of one user go to the same part (of one request where no users are known; else each row by its
    number), by a keyed hash, so that the same key gives the same split whatever the order of users. Raises
    InputError on shares that are not three positive numbers of sum 1, or when a part stays empty.
    """
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
    part = np.searchsorted(np.cumsum(parts)[:2], _uniform(names, key), side="right")[unit]
    if min(np.count_nonzero(part == one) for one in range(3)) == 0:
        raise InputError(
            f"{len(names)} users or requests are too few for a split by {tuple(shares)}: one part has no row"
        )
    text = f"{log.hash} {key!r} {parts.tolist()}"
    learn, choose, certify = (log.take(part == one) for one in range(3))
    return learn, choose, certify, hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _uniform(names: Strings, key: str | int) -> Floats:
    """One number in [0, 1) a name, by a keyed hash."""
    secret = hashlib.blake2b(f"{type(key).__name__}:{key}".encode(), digest_size=16).digest()
    digests = (hashlib.blake2b(str(one).encode(), digest_size=8, key=secret).digest() for one in names)
    return np.array([int.from_bytes(one, "little") / 2.0**64 for one in digests])


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise InputError(
            f"column '{name}' is missing; the table has {', '.join(table.column_names) or 'no columns'}"
        )
    return table.column(name)


def _filled(table: pa.Table, name: str) -> bool:
    """Whether an optional column is there with at least one value."""
    return name in table.column_names and table.column(name).null_count < table.num_rows


def _numbers(table: pa.Table, name: str, remedy: str) -> Floats:
    """A column as float64, no value empty or NaN."""
    column = _column(table, name)
    try:
        cast = column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"column '{name}' is no number ({error}); convert it first, categories to indicator columns"
        ) from None
    if cast.null_count:
        raise InputError(
            f"row {pc.index(cast.is_null(), True).as_py() + 1}, column '{name}' is empty; {remedy}"
        )
    values: Floats = cast.to_numpy()
    _within(values, name, ~np.isfinite(values), f"is not a finite number; {remedy}")
    return values


def _within(values: Floats, name: str, wrong: npt.NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"row {row + 1}, column '{name}': {values[row]:g} {what}")


def _propensity(table: pa.Table, name: str) -> Floats:
    remedy = "the logger must record the probability of what it showed; drop rows it did not draw"
    values = _numbers(table, name, remedy)
    _within(values, name, values <= 0, f"is not above 0; {remedy}")
    _within(values, name, values > 1, "is above 1; give probabilities, not weights, densities or percentages")
    return values


def _probability(table: pa.Table, name: str) -> Floats | None:
    """An optional column of probabilities, 0 among them."""
    if not _filled(table, name):
        return None
    values = _numbers(table, name, "0 where that policy never shows the action")
    _within(values, name, ~((values >= 0) & (values <= 1)), "is no probability; give numbers from 0 to 1")
    return values


def _actions(table: pa.Table, name: str, actions: Sequence[str]) -> Ints:
    found = pc.index_in(
        _cast(_column(table, name), name, pa.string()), value_set=pa.array(actions, pa.string())
    )
    if found.null_count:
        row = pc.index(found.is_null(), True).as_py()
        value = table.column(name)[row].as_py()
        raise InputError(
            f"row {row + 1}, column '{name}': action {value!r} is not among the {len(actions)} known actions;"
            " add it to the catalogue, or drop the row"
        )
    indices: Ints = found.to_numpy().astype(np.int64)
    return indices


def _context(table: pa.Table, names: Sequence[str]) -> Floats:
    """(n, d) float64 of all context columns, lists spread over several."""
    parts = []
    for name in names:
        column = _column(table, name)
        if pa.types.is_fixed_size_list(column.type) and not column.null_count:
            flat = pa.table({name: pc.list_flatten(column)})
            parts.append(_numbers(flat, name, "fill or drop it").reshape(table.num_rows, -1))
        else:
            parts.append(_numbers(table, name, "fill it, or drop the row").reshape(-1, 1))
    return np.concatenate(parts, axis=1) if parts else np.zeros((table.num_rows, 0))


def _complete(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray | None:
    """An optional column, None where it is absent or empty; half a column is refused."""
    if not _filled(table, name):
        return None
    column = table.column(name)
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise InputError(f"row {row + 1}, column '{name}' is empty; fill it, or drop the column")
    return _cast(column, name, kind)


def _cast(column: pa.ChunkedArray, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"column '{name}' cannot be read as {kind} ({error}); convert it, or drop the column"
        ) from None


def _integers(table: pa.Table, name: str) -> Ints | None:
    column = _complete(table, name, pa.int64())
    return None if column is None else column.to_numpy()


def _moments(table: pa.Table, name: str) -> Ints | None:
    """Times of any kind as microseconds since 1970."""
    if not _filled(table, name):
        return None
    moments: Ints = columns_of.times(table, name).cast(pa.int64()).to_numpy()
    return moments


def _texts(table: pa.Table, name: str) -> Strings | None:
    column = _complete(table, name, pa.string())
    return None if column is None else np.asarray(column.to_pylist(), dtype=str)
