"""What stands after a message: wishes join, take each other's place, and are let go."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product

from tastemaker.converse.constraints import Change, Clause, Constraint, apart, merge
from tastemaker.converse.reading.lifts import allow, let_go
from tastemaker.converse.reading.numbers import among
from tastemaker.converse.reading.scales import narrowed
from tastemaker.converse.reading.together import Way, backed, either_of, lifted, shared, values_of, ways_of
from tastemaker.converse.reading.wishes import WishReading


def _opposed(old: Constraint, change: Change) -> bool:
    """Whether one refuses what the other asks for: the same, or one of the values that are wished now."""
    refused = values_of(old.clause) if old.kind == "must_not" else ()
    return old.clause == change.clause or bool(refused and set(refused) <= set(values_of(change.clause)))


def _superseded(old: Constraint, change: Change) -> bool:
    """Whether values that belong together take the place of a wish for a field of theirs."""
    if change.clause.cmp != "either" or "must_not" in (old.kind, change.kind):
        return False
    names = {name for way in ways_of(change.clause) for name, _ in way}
    return old.clause.cmp == "either" or old.clause.field in names


def _turned(clause: Clause, other: Clause) -> bool:
    """Whether one bound is the other one turned round: "not under 50" after "under 50"."""
    return {clause.cmp, other.cmp} == {"le", "ge"} and clause.value == other.value


def _same_time(old: Constraint, change: Change) -> bool:
    """Whether a wish for a year speaks of what one for a decade did, or the other way round."""
    names = {old.clause.field, change.clause.field}
    return "decade" in names and any("year" in name for name in names) and change.kind != "must_not"


def joined_values(active: Sequence[Constraint], change: Change) -> Change:
    """ "And the 90s too" beside the 80s: either, in a field of one value."""
    before = [
        v
        for c in active
        if (c.kind, c.clause.field) == ("must", change.clause.field)
        for v in values_of(c.clause)
    ]
    now = values_of(change.clause)
    return (
        replace(change, clause=among(change.clause.field, tuple(dict.fromkeys((*before, *now)))).clause)
        if before and now
        else change
    )


def settle(
    active: Sequence[Constraint], reading: WishReading, fields: Mapping[str, str]
) -> tuple[Constraint, ...]:
    """The constraints after a message: a second value of a field that holds one takes the first one's place.

    fields: field -> kind. A wish for what was refused lifts the refusal, and the other way round.
    """
    active = () if reading.restart else lifted(active, reading.changes)
    replaced: set[str] = set()
    for change in widened(active, reading.changes) if reading.further else reading.changes:
        name, clause = change.clause.field, change.clause
        if change.op == "drop":
            active = merge(active, [change])
            continue
        manner, several = reading.manner.get(clause, ""), fields.get(name) == "words"
        if manner == "allowed":
            active = allow(active, change, several)
            continue
        if manner in ("let go", "not alone"):
            left = let_go(active, clause, several)
            if manner == "not alone" or left != tuple(active):
                active = left
                continue
        if name in reading.relative:
            active = merge(narrowed(active, change), [change])
            continue
        single = fields.get(name) == "word" and change.kind in ("must", "prefer")
        if reading.further and single and name not in replaced and change.kind == "must":
            change = joined_values(active, change)
            clause = change.clause
        number, now = fields.get(name) == "number", set(values_of(clause))
        if change.kind == "must_not" and clause.cmp != "either":
            active = let_go(active, clause, several, among_others=True)
        remaining = []
        for old in active:
            same = old.clause.field == name or _same_time(old, change)
            opposite = same and old.kind != change.kind and _opposed(old, change)
            overridden = _superseded(old, change) or (
                same
                and (
                    old.clause.cmp != "either" or {n for way in ways_of(old.clause) for n, _ in way} == {name}
                )
                and old.kind != "must_not"
                and change.kind != "must_not"
                and not {name, old.clause.field} & replaced
                and (
                    single
                    or change.op == "replace"
                    or old.clause.field != name
                    or apart(old.clause, clause)
                    or _turned(old.clause, clause)
                    or (number and old.clause.cmp in (clause.cmp, "between", "either"))
                    or (number and clause.cmp in ("between", "either"))
                    or (old.clause.cmp == "in" and now and now < set(values_of(old.clause)))
                    or (clause.cmp == "in" and set(values_of(old.clause)) <= now)  # "Ana or Bo" after both
                )
            )
            weaker = (
                same
                and change.kind == "must_not"
                and old.kind == "prefer"
                and old.clause.value == clause.value
            )
            if not (opposite or overridden or weaker):
                remaining.append(old)
        if change.kind == "must":
            replaced.add(name)
        active = merge(remaining, [replace(change, op="add")])
    return backed(active)


def widened(active: Sequence[Constraint], changes: Sequence[Change]) -> list[Change]:
    """The changes of a message that goes on with the last one ("and a waltz in A"): its values join those
    that stand, if they say the same two fields or more.
    """
    now = {c.clause.field: c.clause for c in changes if c.kind == "must" and values_of(c.clause)}
    if len(now) < 2:
        return list(changes)
    before, added = (
        _standing([c.clause for c in part if c.kind == "must"], now) for part in (active, changes)
    )
    if not before or not added:
        return list(changes)
    change = either_of([*before, *added])
    rest = [c for c in changes if c.clause.cmp != "either" and c.clause not in now.values()]
    of_all = shared(change.clause)
    several = sum(len(values) > 1 for values in of_all.values()) > 1 or len(of_all) < len(now)
    return (
        rest + ([change] if several else []) + [among(name, _values(change.clause, name)) for name in of_all]
    )


def _standing(clauses: Sequence[Clause], names: Collection[str]) -> list[Way]:
    """The ways of these fields that clauses allow; none where they say fewer than two, or pair others."""
    values = {clause.field: values_of(clause) for clause in clauses if values_of(clause)}
    ways = next((ways_of(clause) for clause in clauses if clause.cmp == "either"), [()])
    own = {name for way in ways for name, _ in way}
    rest = [name for name in names if name in values and name not in own]
    if not own <= set(names) or len(own) + len(rest) < 2:
        return []
    choices = [[(name, value) for value in values[name]] for name in rest]
    return [(*way, *extra) for way in ways for extra in product(*choices)]


def _values(clause: Clause, name: str) -> list[str]:
    return list(dict.fromkeys(value for way in ways_of(clause) for field, value in way if field == name))
