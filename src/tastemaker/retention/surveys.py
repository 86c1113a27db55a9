"""The one way in for survey tables: names, probabilities, answers, duplicates, and what was shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.arrays import Floats
from tastemaker.errors import InputError, many
from tastemaker.schema import SURVEYS, check
from tastemaker.schema.columns import codes, numbers, one_spelling, present

SCALE = (1, 5)
RARE = 1e-12  # of a probability of being asked
_KEY = ("user_id", "item_id", "question", "timestamp")


def check_surveys(
    table: pa.Table,
    *,
    columns: Mapping[str, str] | None = None,
    impressions: pa.Table | None = None,
    name: str = "surveys",
) -> pa.Table:
    """`table` with the columns of `schema.SURVEYS` cast and verified; further columns are kept.

    columns: schema name -> the table's own name. impressions: a table of user_id and item_id of everything
    that was shown; answers to anything else are refused. name: what errors call the table.

    Raises InputError with table, row, column and remedy: no row; a missing column; an asked_probability that
    is null or outside (0, 1]; an answer that is no whole number of the scale; a question in two spellings;
    the same question asked twice at the same time; an unlogged impression.
    """
    renamed = {theirs: ours for ours, theirs in (columns or {}).items()}
    for theirs, ours in renamed.items():
        present(table, theirs, f"{name}: {ours}")
    table = table.rename_columns([renamed.get(item, item) for item in table.column_names])
    if table.num_rows == 0:
        raise InputError(
            f"{name}: the table has no row; a survey table has one row a question shown, answered or not"
        )
    check_answers(table, name=name)
    checked = check(table, SURVEYS, name)
    check_probability(checked, name=name)
    one_spelling(checked["question"].unique().to_pylist(), "question", name)
    _no_duplicates(checked, name)
    if impressions is not None:
        _logged(checked, impressions, name)
    for extra in [item for item in table.column_names if item not in SURVEYS.names]:
        checked = checked.append_column(extra, table[extra])
    return checked


def check_answers(table: pa.Table, *, answer: str = "answer", name: str = "surveys") -> None:
    """Raise InputError with the first row whose answer is no whole number of `SCALE`; null is no answer."""
    span = f"whole numbers from {SCALE[0]} to {SCALE[1]}"
    values = numbers(table, answer, name, nulls=True)
    wrong = ~np.isnan(values) & ~np.isin(values, range(SCALE[0], SCALE[1] + 1))
    if wrong.any():
        row, others = int(np.argmax(wrong)), np.unique(values[wrong])
        extent = "" if len(others) == 1 else f", from {others[0]:g} to {others[-1]:g}"
        remedy = (
            "; is it a code for no answer?" if len(others) == 1 else "; put answers of another scale on it"
        )
        raise InputError(
            f"{name}: row {row + 1}, column '{answer}' is {values[row]:g}; answers are {span}, empty where"
            f" the question was shown and not answered ({many(int(wrong.sum()), 'row')} of {len(values):,}"
            f" off that scale{extent}{remedy})"
        )


def check_probability(table: pa.Table, name: str = "surveys") -> None:
    """Raise InputError with the first row whose probability of being asked is null, above 1, or so small that
    nobody would ever have been asked.
    """
    values = numbers(table, "asked_probability", name, nulls=True)
    wrong = ~((values >= RARE) & (values <= 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        text = "empty" if np.isnan(values[row]) else f"{values[row]:g}"
        raise InputError(
            f"{name}: row {row + 1}, column 'asked_probability' is {text}; log the probability with which"
            " the question was shown, above 0 and at most 1 (1 where everyone was asked)"
        )


def turned(table: pa.Table, columns: Sequence[str], name: str) -> pa.Table:
    """`table` with the answers in `columns`, of questions worded the other way round, turned on `SCALE`."""
    for column in columns:
        values = sum(SCALE) - numbers(table, column, name, nulls=True)
        answers = pa.array(values, mask=np.isnan(values))
        table = table.set_column(table.column_names.index(column), column, answers)
    return table


def of_question(surveys: pa.Table, question: str) -> pa.Table:
    """The rows of one question. Raises InputError naming the questions there are when it was never asked."""
    result = surveys.filter(pc.equal(surveys["question"], question))
    if not result.num_rows:
        known = ", ".join(sorted(surveys["question"].unique().to_pylist()))
        raise InputError(f"surveys: question '{question}' was never asked; the table has {known}")
    return result


def with_covariates(surveys: pa.Table, users: pa.Table, name: str = "users") -> pa.Table:
    """`surveys` with the further columns of `users` (one row a user) added to each row, in the same order.

    Raises InputError when a user is listed twice, or is asked without being in `users`.
    """
    asked, labels = codes(surveys, "user_id", "surveys")
    numbered, known = codes(users, "user_id", name)
    if len(known) < users.num_rows:
        row = int(np.flatnonzero(np.bincount(numbered) > 1)[0])
        raise InputError(
            f"{name}: user '{known[row]}' has several rows; a table of covariates has one row a user"
        )
    place = {label: row for row, label in enumerate(known)}
    missing = [label for label in labels if label not in place]
    if missing:
        raise InputError(
            f"{name}: user '{missing[0]}' was asked but has no row"
            f" ({many(len(missing), 'such user')}); add them"
        )
    taken = users.take(pa.array(np.array([place[label] for label in labels], dtype=np.int64)[asked]))
    for column in [item for item in users.column_names if item not in surveys.column_names]:
        surveys = surveys.append_column(column, taken[column])
    return surveys


def _no_duplicates(table: pa.Table, name: str) -> None:
    frame = pl.DataFrame(table.select(_KEY)).with_row_index()
    rows = frame.select(pl.col("index").first().over(_KEY)).to_series()
    again = (rows != frame["index"]).arg_true()
    if len(again):
        row = int(again[0])
        raise InputError(
            f"{name}: row {row + 1} repeats row {rows[row] + 1} (same user_id, item_id, question and"
            f" timestamp; {many(len(again), 'such row')}); keep one row a question shown"
        )


def _logged(table: pa.Table, impressions: pa.Table, name: str) -> None:
    pair = ["user_id", "item_id"]
    rows, shown = (pl.DataFrame(part.select(pair)).cast(pl.String) for part in (table, impressions))
    missing = rows.with_row_index().join(shown, on=pair, how="anti", maintain_order="left")["index"]
    if len(missing):
        row = int(missing[0])
        raise InputError(
            f"{name}: row {row + 1}: user '{table['user_id'][row]}' answers about item"
            f" '{table['item_id'][row]}', which was never logged as shown to them ({len(missing):,} such"
            " rows); repair the log or leave those rows out"
        )


QUESTION = "return"
WORDS = {"text": "Would you come back for more like this?", "low": "surely not", "high": "surely"}
HEARD_SHARE = 0.3  # of a play; a glance is nothing to ask about


def never_salt(seed: int) -> str:
    """What the hash of the never-asked group is salted with."""
    return f"never asked/{seed}"


def straight_lines(x: Floats) -> tuple[str, bool]:
    """In words, how many people gave one answer to every item of (people, items), before any is turned;
    and whether they are most of them. Empty below a tenth, and of two items, which may well agree.
    """
    complete = x[~np.isnan(x).any(axis=1)]
    same = int((np.ptp(complete, axis=1) == 0).sum()) if x.shape[1] > 2 else 0
    if not same or same < len(complete) / 10:
        return "", False
    share = f"{same:,} of {len(complete):,} people ({same / len(complete):.0%})"
    text = f"{share} gave the same answer to every item and may not have read them"
    return text, same > len(complete) / 2


def no_answers(x: Floats, names: Sequence[str]) -> list[str]:
    """In words, the answers (people, items) that may be a code for none (9, 99, 0, -1): whole numbers apart
    from all others of the battery, or below 1 in fewer than half of the items.
    """
    used = np.unique(x[~np.isnan(x)])
    if not len(names) or len(used) < 3 or (used % 1).any():
        return []
    gaps = np.diff(used)
    ends = [used[-1]] if gaps[-1] > 1 and gaps[:-1].max() == 1 else []
    ends += [used[0]] if gaps[0] > 1 and gaps[1:].max() == 1 else []
    few = 0 < 2 * (np.nanmin(x, axis=0) < 1).sum() < len(names)
    ends += [used[0]] if few and gaps[0] == 1 else []
    doubts = []
    for end in ends:
        counts = zip(names, (x == end).sum(axis=0), strict=True)
        cells = ", ".join(f"'{item}' ({count:,} of {len(x):,})" for item, count in counts if count)
        doubts.append(f"{end:g} may be a code for no answer, in {cells}: empty such cells")
    return doubts
