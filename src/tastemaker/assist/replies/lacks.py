"""What an answer lacks of what was asked for."""

from __future__ import annotations

from dataclasses import replace

from tastemaker.assist.desk import Desk
from tastemaker.assist.state import label
from tastemaker.converse.constraints import Clause, Constraint, demands, granted
from tastemaker.converse.reading.together import distinct, either_of, ways_of


def lacking(desk: Desk) -> str:
    """Which of several values or ways that were asked for no item has that fits: "a red dress and boots"
    where no boots are red; empty where each has one.
    """
    none = [
        label(each, desk.shelf.vocabulary)
        for asked in distinct(demands(desk.state.active))
        for each in _alternatives(asked)
        if not (desk.holds & (granted(each, desk.shelf.match) == 1)).any()
    ]
    return f"Nothing that fits is {' or '.join(none[:3])}." if none else ""


def _alternatives(asked: Constraint) -> list[Constraint]:
    """A demand that several values meet, as one demand for each."""
    clause = asked.clause
    if asked.kind != "must" or not isinstance(clause.value, tuple):
        return []
    if clause.cmp == "either":
        return [replace(asked, clause=either_of([way]).clause) for way in ways_of(clause)]
    return [
        replace(asked, clause=Clause(clause.field, "eq", str(value)))
        for value in clause.value
        if clause.cmp == "in"
    ]
