"""Everything a workspace showed, and what became of it: played, asked, answered."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.experiment.assign import position
from tastemaker.retention.prompts import HEARD, QUESTION, never_salt
from tastemaker.schema import ANONYMOUS
from tastemaker.store import Database, Surveys, Workspace
from tastemaker.store.database.surveys import ASKED


def question_rows(surveys: Surveys) -> pa.Table:
    """Questions of the survey whose slate logged its features, those first, without rows that lack one."""
    rows = surveys.rows()
    return complete(rows.filter(pc.equal(rows["question"], QUESTION)))


def complete(rows: pa.Table) -> pa.Table:
    """The rows that have every feature, which is every column that is none of a question's."""
    for name in [name for name in rows.column_names if name not in ASKED]:
        rows = rows.filter(pc.is_valid(rows[name]))
    return rows


def shown_rows(workspace: Workspace, database: Database) -> pa.Table:
    """One row an item of a list that somebody saw, with the features logged then, played, asked (0 or 1) and
    the answer; people who are never asked, and those nobody knows, left out.
    """
    shown = complete(Surveys(database).shown())
    settings, rules, salt = workspace.settings, workspace.event_rules(), never_salt(workspace.settings.seed)
    users, asked = shown["user_id"].to_pylist(), question_rows(Surveys(database))
    met = set(asked["user_id"].to_pylist())  # whatever ask_holdout says today
    askable = {
        user: user in met or (user != ANONYMOUS and bool(position(user, salt) >= settings.ask_holdout))
        for user in set(users)
    }
    shown = shown.filter(pa.array([askable[user] for user in users], pa.bool_()))
    keys = list(zip(shown["request_id"].to_pylist(), shown["item_id"].to_pylist(), strict=True))
    events = database.events_table()
    wished = {
        (request, item)
        for request, item, kind, value in zip(
            *(events[name].to_pylist() for name in ("request_id", "item_id", "kind", "value")), strict=True
        )
        if request is not None and rules.reward(kind, value) >= HEARD
    }
    places = zip(asked["request_id"].to_pylist(), asked["item_id"].to_pylist(), strict=True)
    answers = dict(zip(places, asked["answer"].to_pylist(), strict=True))
    columns = {
        "played": [float(key in wished or key in answers) for key in keys],
        "asked": [float(key in answers) for key in keys],
        "answer": [answers.get(key) for key in keys],
    }
    for name, values in columns.items():
        kind = pa.int64() if name == "answer" else pa.float64()
        shown = shown.append_column(name, pa.array(values, kind))
    return shown
