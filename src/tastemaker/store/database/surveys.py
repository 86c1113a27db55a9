"""Survey questions shown and their answers, features logged with slates, exposures to experiments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

import pyarrow as pa

import tastemaker.schema as schema
from tastemaker.store.database.database import Database, insert, table_of
from tastemaker.store.database.events import micros, moment
from tastemaker.store.database.integrity import intact
from tastemaker.store.database.sqlite import Connection

Outcome = Literal["stored", "duplicate", "conflict", "unknown"]
EXPOSURES = pa.schema(
    [
        pa.field("experiment", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
SURVEY_COLUMNS = (  # the columns of `Surveys.rows` before the features
    "question_id",
    "request_id",
    "user_id",
    "item_id",
    "question",
    "asked_probability",
    "answer",
    "timestamp",
)


DIFFERS = "/differs"  # after the name of a test: its log of people whose first lists differ between the arms


@dataclass(frozen=True)
class Question:
    """A question shown about an item of a logged slate; `asked_probability`: its chance, given the past."""

    question_id: str
    user_id: str
    item_id: str
    request_id: str
    question: str
    asked_probability: float
    timestamp: datetime


class Surveys:
    """The survey side of a `Database`; every call is one durable transaction. Raises as `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def shown_to(self, request_id: str, item_id: str) -> str | None:
        """The user whose slate `request_id` showed the item; None when it was never shown."""
        sql = (
            "SELECT o.user_id FROM offers o JOIN slates s USING (request_id)"
            " WHERE request_id = ? AND s.item_id = ? AND o.shown_at IS NOT NULL"
        )
        row = self._database.first(sql, request_id, item_id)
        return str(row[0]) if row else None

    def ask(self, question: Question, hours: float, lists: int) -> bool:
        """Log a question as shown, unless something was asked of the user in the `hours` before it, or fewer
        than `lists` slates were shown since the last time; says whether it was logged.
        """
        with self._database.transaction() as connection:
            if not _may_ask(connection, question.user_id, question.timestamp, hours, lists):
                return False
            return insert(connection, "surveys", again=True, **vars(question))

    def open_question(self, question_id: str) -> Question | None:
        """The question when it was shown and neither answered nor skipped yet."""
        names = [field.name for field in fields(Question)]
        still = "WHERE question_id = ? AND closed_at IS NULL"
        rows = self._database.select("surveys", names, still, question_id)
        if not rows:
            return None
        return Question(**dict(zip(names, rows[0], strict=True)) | {"timestamp": moment(rows[0][-1])})

    def answer(self, question_id: str, user_id: str, answer: int | None, at: datetime) -> Outcome:
        """Close a question with 1 to 5, or None for skipped. The same again is a duplicate, another answer a
        conflict; a question that was never shown to this user is unknown.
        """
        with self._database.transaction() as connection:
            sql = "SELECT answer, closed_at FROM surveys WHERE question_id = ? AND user_id = ?"
            row = connection.execute(sql, (question_id, user_id)).fetchone()
            if row is None:
                return "unknown"
            if row[1] is not None:
                return "duplicate" if row[0] == answer else "conflict"
            change = "UPDATE surveys SET answer = ?, closed_at = ? WHERE question_id = ?"
            connection.execute(change, (answer, micros(at), question_id))
            return "stored"

    def count(self) -> tuple[int, int]:
        """How many questions were shown, and how many of them answered."""
        row = self._database.first("SELECT count(*), count(answer) FROM surveys") or (0, 0)
        return int(row[0]), int(row[1])

    def rows(self) -> pa.Table:
        """Every question shown: `schema.SURVEYS`, question_id, request_id, and as float64 each feature logged
        with the slate.

        Rows are in order of time. A feature that a slate did not log is null there.
        """
        sql = f"""SELECT s.question_id, s.request_id, s.user_id, s.item_id, s.question, s.asked_probability,
            s.answer, s.timestamp, i.features,
            {intact("surveys", "s")} AND (i.request_id IS NULL OR {intact("impressions", "i")})
            FROM surveys s LEFT JOIN impressions i USING (request_id) ORDER BY s.timestamp, s.question_id"""
        table, rows = self._columns(sql, SURVEY_COLUMNS)
        checked = schema.check(table, schema.SURVEYS, "surveys")
        for name in ("question_id", "request_id"):
            checked = checked.append_column(name, table[name])
        return _with_features(checked, rows)

    def shown(self) -> pa.Table:
        """Every item of every slate that was shown: request_id, user_id, item_id, and as float64 each feature
        logged with the slate, null where it did not log one.
        """
        sql = f"""SELECT s.request_id, s.user_id, s.item_id, i.features, {intact("slates", "s")}
            AND {intact("offers", "o")} AND (i.request_id IS NULL OR {intact("impressions", "i")}) FROM slates s
            JOIN offers o USING (request_id) LEFT JOIN impressions i USING (request_id)
            WHERE o.shown_at IS NOT NULL ORDER BY o.shown_at, s.request_id, s.position"""
        return _with_features(*self._columns(sql, ("request_id", "user_id", "item_id")))

    def _columns(self, sql: str, names: tuple[str, ...]) -> tuple[pa.Table, list[tuple[Any, ...]]]:
        """What a query that ends in features and `intact` gives: as a table of `names`, and as it is."""
        rows = self._database.read(sql)
        kinds = {"asked_probability": pa.float64(), "answer": pa.int64(), "timestamp": pa.int64()}
        columns = {
            name: pa.array([row[place] for row in rows], kinds.get(name, pa.string()))
            for place, name in enumerate(names)
        }
        return pa.table(columns), rows

    def expose(self, experiment: str, unit: str, arm: str, at: datetime, differs: bool = False) -> None:
        """Log that a unit met an arm; only the first time counts, and a second arm shows in the log.

        differs: whether the arms would have shown it different lists then; kept as a meeting of `DIFFERS`.
        """
        row = {"unit": unit, "arm": arm, "timestamp": at}
        with self._database.transaction() as connection:
            if insert(connection, "exposures", again=True, experiment=experiment, **row) and differs:
                insert(connection, "exposures", again=True, experiment=experiment + DIFFERS, **row)

    def exposures(self, experiment: str) -> pa.Table:
        """First meetings of each unit with each arm, in time order: experiment, unit, arm, timestamp."""
        order = "WHERE experiment = ? ORDER BY timestamp, unit, arm"
        rows = self._database.select("exposures", EXPOSURES.names, order, experiment)
        return table_of(rows, EXPOSURES, "exposures")


def _may_ask(connection: Connection, user_id: str, at: datetime, hours: float, lists: int) -> bool:
    last = connection.execute("SELECT max(timestamp) FROM surveys WHERE user_id = ?", (user_id,)).fetchone()[
        0
    ]
    if last is None:
        return True
    if at < moment(last) + timedelta(hours=hours):
        return False
    sql = "SELECT count(*) FROM offers WHERE user_id = ? AND shown_at > ?"
    return int(connection.execute(sql, (user_id, last)).fetchone()[0]) >= lists


def _with_features(table: pa.Table, rows: list[tuple[Any, ...]]) -> pa.Table:
    """`table` with the features of its items, which the last column of `rows` holds."""
    known = [_of_item(row[-1], item) for row, item in zip(rows, table["item_id"].to_pylist(), strict=True)]
    for name in dict.fromkeys(name for entry in known for name in entry):
        table = table.append_column(name, pa.array([entry.get(name) for entry in known], pa.float64()))
    return table


def _of_item(features: str | None, item_id: str) -> Mapping[str, float]:
    """The features that a slate logged for one of its items: JSON of 'item_id' and one list a feature."""
    if features is None:
        return {}
    values: dict[str, list[Any]] = json.loads(features)
    items = values.pop("item_id")
    if item_id not in items:
        return {}
    return {name: float(column[items.index(item_id)]) for name, column in values.items()}
