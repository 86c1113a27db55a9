"""Values that belong together ("a jig in D and a reel at 100 bpm"): read, kept with the other constraints,
narrowed, widened and taken back.

Such a constraint compares with `either`; each of its ways demands some (field, value) at once. The words of
the fields that all ways have stand beside it as constraints of their own; numbers do not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise, product
from operator import itemgetter

from tastemaker.converse.catalogue import Field
from tastemaker.converse.constraints import Change, Clause, Constraint, spanned
from tastemaker.converse.reading.numbers import among
from tastemaker.converse.reading.passage import Text
from tastemaker.converse.reading.surfaces import KINDS as KINDS
from tastemaker.converse.reading.surfaces import Surface
from tastemaker.schema.values import EITHER, SPAN

Spot = tuple[int, int, Surface]
Group = Sequence[Spot]  # values of one field, joined by "or" or "and"
Way = tuple[tuple[str, str], ...]
JOINED = re.compile(
    r"s?\s*(?:,?\s*(?:and|or|plus|as well as|&)\s+(?:maybe |also |then |else )?(?:(?:an?|some|any|the)\s+)?"
    r"(?:(?:some|any)thing\s+(?:(?:in|from|on|by|with)\s+)?)?|"
    r",\s*(?:an?|some)\s+)",
    re.IGNORECASE,
)
LISTED = re.compile(r"s?\s*,\s*", re.IGNORECASE)  # joins only between parts that say the same fields
_NOUN = r"(?:songs?|tunes?|ones?|pieces?|tracks?|music|things?|films?|movies?|books?|items?|recipes?|dishes)"
ATTACHED = re.compile(
    rf"s?\s+(?:{_NOUN}\s+)?(?:that's\s+)?(?:(?:(?:that|which)(?:'s)?\s+)?(?:is|are|was|were|made|released|set|priced|going|goes|go"
    r"|costing|costs?|taking|takes?|lasting|running)\s+)*"
    r"(?:(?:in|from|on|by|with|at|of)\s+(?:(?:an?|the)\s+)?(?:key of\s+)?)?",
    re.IGNORECASE,
)
OR = re.compile(  # between values of two fields, of which either will do
    r"s?\s*,?\s*\bor\s+(?:(?:maybe|also|else|even|just)\s+)*(?:(?:an?|some|any|the)\s+)?(?:(?:something|anything"
    rf"|{_NOUN})\s+)?(?:(?:that|which)(?:'s| is| are)\s+)?(?:(?:in|from|on|by|with|of)\s+(?:the\s+)?)?",
    re.IGNORECASE,
)
OF_IT = re.compile(r"s?\s+(?:in|from|on|by|with|at|of)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Together:
    """A constraint `either` at a place of the message; starts: of the groups that say nothing beside it."""

    at: int
    change: Change
    starts: frozenset[int] = frozenset()


def read_together(text: Text, groups: Sequence[Group], fields: Mapping[str, Field]) -> list[Together]:
    """Which values of two fields and more belong together."""
    words = [group for group in groups if fields[_name(group)].kind != "number"]
    parts: list[list[Group]] = []
    either = any(re.search(r"\bor\b", text.whole[a[-1][1] : b[0][0]]) for a, b in pairwise(groups))
    for group in groups:
        own = set(map(_name, parts[-1])) if parts else set()
        between = text.whole[parts[-1][-1][-1][1] : group[0][0]] if parts else ""
        trait = group[0][2].value.startswith(SPAN) or OF_IT.match(" " + text.whole[group[0][0] : group[0][1]])
        more = either and trait and re.fullmatch(r",? and ", between)  # "in D and under 80 bpm or ..."
        listed = parts and len(group) > 1 and LISTED.fullmatch(between)  # "a dress, shoes and a bag"
        another = bool(listed and _sorts(text, [parts[-1], [group]], fields))
        if not parts or _name(group) in own or (JOINED.fullmatch(between) and not more) or another:
            parts.append([])
        parts[-1].append(group)
    if len(words) < 2 or len(parts) < 2:
        return []
    sets = [frozenset(map(_name, part)) for part in parts]
    joins = " ".join(text.whole[a[-1][-1][1] : b[0][0][0]] for a, b in pairwise(parts))
    sorts: Collection[str] = ()
    if common := frozenset.intersection(*sets):
        whole = re.search(r"\b(?:some|any)thing\b", joins, re.IGNORECASE)  # "a jig in G or something in D"
        runs = [parts if whole else _own(text, parts, common)]
    elif sorts := _sorts(text, parts, fields):  # "a dress in size 2 and shoes"
        runs = [_own(text, parts, sorts)]
    else:
        runs = [[part for _, part in run] for _, run in groupby(zip(sets, parts, strict=True), itemgetter(0))]
    result = []
    for run in runs:
        spots = [spot for part in run for group in part for spot in group]
        of_all = frozenset.intersection(*(frozenset(map(_name, part)) for part in run))
        several = [name for name in of_all if len({s[2].value for s in spots if s[2].field == name}) > 1]
        alternatives = {
            group[0][0]
            for part in run
            for group in part
            if _name(group) not in of_all or fields[_name(group)].kind != "word"
        }
        clear = all(any(fields[_name(group)].kind == "number" for group in part) for part in run) or (
            any(KINDS.search(name) and fields[name].kind == "word" for name in common or sorts)
            and all(len(group) == 1 or fields[_name(group)].kind == "word" for part in run for group in part)
        )
        wished = all(
            (clear or fields[spot[2].field].kind != "words") and not text.negated(spot[0]) for spot in spots
        )
        if (
            len(run) > 1
            and (alternatives or len(several) > 1)
            and wished
            and _listed(text, parts if common or sorts else run)
        ):
            result.append(Together(spots[0][0], _either(run), frozenset(alternatives)))
            for name in sorted(of_all):
                if fields[name].kind == "words":  # else an item would need the values of all parts
                    any_of = tuple(dict.fromkeys(spot[2].value for spot in spots if spot[2].field == name))
                    result.append(Together(spots[0][0], among(name, any_of, "contains")))
    return result


def _sorts(text: Text, parts: Sequence[Sequence[Group]], fields: Mapping[str, Field]) -> set[str]:
    """The fields that say what each part is, where not all say so by one: "a dress and shoes"."""
    kinds = [
        [g for g in part if KINDS.search(_name(g)) and fields[_name(g)].kind == "word"] for part in parts
    ]
    spots = [spot for own in kinds for group in own for spot in group]
    article = re.compile(r"\b(?:an?|some|any) (?:[\w'-]+ ){0,2}$", re.IGNORECASE)
    things = (article.search(text.whole[:start]) or text.whole[end - 1] == "s" for start, end, _ in spots)
    names = {_name(own[0]) for own in kinds if len(own) == 1}
    return names if all(len(own) == 1 for own in kinds) and len(names) > 1 and all(things) else set()


def read_apart(text: Text, groups: Sequence[Group]) -> list[Together]:
    """Values of several fields of which any will do: "red or silk", "a red dress or anything in silk"; of "a
    red dress or a silk one" both are dresses.
    """
    names, runs = list(map(_name, groups)), list[list[list[Group]]]()
    for group in groups:
        between = text.whole[runs[-1][-1][-1][-1][1] : group[0][0]] if runs else ""
        alone = names.count(_name(group)) == 1 and not text.negated(group[0][0])
        if not runs or not alone or names.count(_name(runs[-1][-1][-1])) > 1:
            runs.append([[group]])
        elif OR.fullmatch(between):
            runs[-1].append([group])
        elif between in (" ", "s ") and len(runs[-1]) == 1:
            runs[-1][-1].append(group)
        else:
            runs.append([[group]])
    result = []
    for parts in (run for run in runs if len(run) > 1 and not text.negated(run[0][0][0][0])):
        own = [group for group in parts[0] if not KINDS.search(_name(group))]
        alike = re.match(r"\s*ones?\b", text.whole[parts[-1][-1][-1][1] :], re.IGNORECASE)
        parts[0] = own if own and alike else parts[0]
        ways = [tuple((s[2].field, s[2].value) for s in way) for part in parts for way in product(*part)]
        starts = frozenset(group[0][0] for part in parts for group in part)
        result.append(Together(parts[0][0][0][0], either_of(ways), starts))
    return result


def numbers_of(text: Text, fields: Mapping[str, Field], refused: bool = False) -> list[Group]:
    """Spans of numbers read, in groups of one value; `refused`: as said before, decades as years."""
    groups: list[Group] = []
    for at, change in text.changes:
        clause = change.clause
        if refused:
            clause = text.refused.get(at, clause)
        number = clause.field in fields and fields[clause.field].kind == "number"
        demand = (change.op, change.kind) == ("add", "must") or at in text.refused
        if clause.cmp == "either" and len({way[0][0] for way in ways_of(clause)}) > 1:
            continue  # "under 300 calories or under 20 minutes" is whole
        if demand and (number or (refused and clause.cmp in ("eq", "in"))):
            run = re.compile("\x00+").match(text.text, at)
            if number:
                ways = [w[0][1] for w in ways_of(clause)] if clause.cmp == "either" else [spanned(clause)]
            else:  # decades
                ways = list(values_of(clause))
            end = at if run is None else run.end()
            groups.append([(at, end, Surface(clause.field, way, re.compile(""), 0)) for way in ways])
    return groups


def clause_of(name: str, value: str) -> Clause:
    """The clause that a (field, value) of a way demands."""
    if not value.startswith(SPAN):
        return Clause(name, "eq", value)
    _, low, high = value.split(SPAN)
    if low and high:
        return Clause(name, "between", (float(low), float(high)))
    return Clause(name, "ge", float(low)) if low else Clause(name, "le", float(high))


def for_each(text: Text, groups: Sequence[Group]) -> str:
    """What to say of "a reel or a jig in D", where D was taken for both; empty where nothing is unclear."""
    for group, following in pairwise(groups):
        if len(group) < 2 or text.negated(group[0][0]) or not _of_it(text, group, following):
            continue
        listed = re.search(r"\b(?:or|and)\s+(?:an?|some)\s", text.whole[group[-2][1] : group[-1][0]])
        between = text.whole[group[-1][1] : following[0][0]]
        if listed and ATTACHED.fullmatch(between):
            first, last = (text.whole[spot[0] : spot[1]] for spot in (group[0], group[-1]))
            tail = text.whole[group[-1][1] : following[-1][1]].strip()
            return f"I took “{tail}” for each; if it is for the last alone, say “{last} {tail} or {first}”."
    return ""


def refused_together(text: Text, groups: Sequence[Group], fields: Mapping[str, Field]) -> list[Together]:
    """Values refused only where they meet: "not a jig in D", "neither a jig in D nor a reel in G"."""
    chunks: list[list[Group]] = []
    for group in groups:
        kind = fields[_name(group)].kind
        thing = kind == "word" or (kind == "words" and KINDS.search(_name(group)) is not None)
        refused = text.negated(group[0][0]) and (thing or kind == "number")
        if not refused:
            chunks.append([])
        elif chunks and chunks[-1] and _meets(text, chunks[-1], group):
            chunks[-1].append(group)
        else:
            chunks.append([group])
    chunks = [chunk for chunk in chunks if len(chunk) > 1]
    return [
        Together(
            chunk[0][0][0],
            replace(_either([chunk]), kind="must_not"),
            frozenset(group[0][0] for group in chunk),
        )
        for chunk in chunks
    ]


def _meets(text: Text, chunk: Sequence[Group], group: Group) -> bool:
    """Whether a value says more of the one thing that those before it say: "a jig in D", "D major"."""
    between = text.whole[chunk[-1][-1][1] : group[0][0]]
    sort = any(KINDS.search(_name(part)) for part in chunk)
    article = r"\b(?:an?|any|the|no|zero)\s+$" if sort else r"\b(?:an?|any|the)\s+$"
    thing = re.search(article, text.whole[: chunk[0][0][0]], re.IGNORECASE)
    start, end, last = chunk[-1][-1]
    if last.value.startswith(SPAN):  # "nothing over 60 that is leather"
        return re.match(r" (?:that|which)\b", between) is not None and ATTACHED.fullmatch(between) is not None
    noun = re.match(rf"s?\s+{_NOUN}\b", between, re.IGNORECASE)
    things = thing or noun or (text.whole[end - 1] == "s" and end - start > len(last.value))
    if group[0][2].value.startswith(SPAN) and not things:  # "not red under 50" refuses red alone
        return False
    return _name(group) not in map(_name, chunk) and ATTACHED.fullmatch(between) is not None


def _own(text: Text, parts: Sequence[Sequence[Group]], common: Collection[str]) -> list[list[Group]]:
    """ "A jig in D or a reel", "a reel or a slow air": what each part says for itself alone.

    What stands before the first of the common fields, and after the last ones, may be meant for all, and is,
    unless another part says the same field, or has an end of its own ("a jig in D or a reel in minor").
    """
    names = [_name(group) for part in parts for group in part]
    repeated = {name for name in names if names.count(name) > 1}
    result, ends = [], False
    for number, part in enumerate(parts):
        places = [place for place, group in enumerate(part) if _name(group) in common]
        last = end = places[-1]
        while end + 1 < len(part) and _of_it(text, part[end], part[end + 1]):
            end += 1
        if number < len(parts) - 1 or ends:
            last, ends = end, ends or end > last
        own = range(places[0] if number == 0 else 0, last + 1)
        result.append([group for at, group in enumerate(part) if at in own or _name(group) in repeated])
    return result


def _name(group: Group) -> str:
    return group[0][2].field


def _of_it(text: Text, group: Group, following: Group) -> bool:
    """Whether a value says more of the one before it: "jig in D", "jigs under 100 bpm"."""
    between = text.whole[group[-1][1] : following[0][0]]
    number = following[0][2].value.startswith(SPAN) and between in (" ", "s ")
    return number or OF_IT.match(text.whole[group[-1][1] : following[0][1]]) is not None


def _listed(text: Text, parts: Sequence[Sequence[Group]]) -> bool:
    """Whether the parts follow each other as the items of one list."""
    joins = [text.whole[a[-1][-1][1] : b[0][0][0]] for a, b in pairwise(parts)]
    return all(JOINED.fullmatch(join) or LISTED.fullmatch(join) for join in joins)


def _either(parts: Sequence[Sequence[Group]]) -> Change:
    """Each combination of a part's values is a way; the fields in the order of the first part."""
    order = list(dict.fromkeys(_name(group) for part in parts for group in part))
    ways = []
    for part in parts:
        choices = [
            [(name, spot[2].value) for group in part for spot in group if spot[2].field == name]
            for name in sorted(set(map(_name, part)), key=order.index)
        ]
        ways += list(product(*choices))
    return either_of(ways)


def either_of(ways: Sequence[Way]) -> Change:
    """The wish for any of some ways."""
    ways = tuple(dict.fromkeys(ways))
    value = tuple(EITHER.join(f"{name}={word}" for name, word in way) for way in ways)
    head = next((name for name, _ in ways[0] if all(name in dict(way) for way in ways)), ways[0][0][0])
    return Change("add", "must", Clause(head, "either", value))


def fields_of(clause: Clause) -> set[str]:
    """The fields that a clause speaks of."""
    if clause.cmp != "either":
        return {clause.field}
    return {name for way in ways_of(clause) for name, _ in way}


def ways_of(clause: Clause) -> list[Way]:
    """The (field, value) of each way of an `either`."""
    assert isinstance(clause.value, tuple)
    parts = ([part.partition("=") for part in str(way).split(EITHER)] for way in clause.value)
    return [tuple((name, value) for name, _, value in part) for part in parts]


def shared(clause: Clause) -> dict[str, set[str]]:
    """The fields of words that all ways of an `either` have, with their values."""
    ways = [{name: value for name, value in way if not value.startswith(SPAN)} for way in ways_of(clause)]
    return {name: {way[name] for way in ways} for name in ways[0] if all(name in way for way in ways)}


def values_of(clause: Clause) -> tuple[str, ...]:
    """The values that a clause lets a field have; none of a number, an item or an `either`."""
    if clause.cmp not in ("eq", "in", "contains"):
        return ()
    return tuple(map(str, clause.value if isinstance(clause.value, tuple) else (clause.value,)))


def backed(active: Sequence[Constraint]) -> tuple[Constraint, ...]:
    """The constraints with each `either` narrowed to the ways that the others allow, and they to its values.

    It goes where a field of its own is not wished any more, or has a value that none of its ways has.
    """
    for constraint in [c for c in active if c.clause.cmp == "either" and c.kind != "must_not"]:
        active = _narrowed(active, constraint)
    return tuple(active)


def _narrowed(active: Sequence[Constraint], either: Constraint) -> list[Constraint]:
    others = [c for c in active if c is not either]
    ways, ways_left = ways_of(either.clause), []
    wished: dict[str, set[str]] = {}
    for c in others:
        if c.kind == either.kind and (values := values_of(c.clause)):
            wished[c.clause.field] = wished.get(c.clause.field, set(values)) & set(values)
    refused = [
        set(way)
        for c in others
        if c.kind == "must_not"
        for way in (ways_of(c.clause) if c.clause.cmp == "either" else _alone(c.clause))
    ]
    choices = {
        name: {value for way in ways for field, value in way if field == name}
        for way in ways
        for name, _ in way
    }
    if not set(shared(either.clause)) <= set(wished) or any(
        not values <= choices[name] for name, values in wished.items() if name in choices
    ):
        return others
    for way in ways:
        if all(value in wished.get(name, {value}) for name, value in way) and not any(
            bad <= set(way) for bad in refused
        ):
            ways_left.append(way)
    if not ways_left or ways_left == ways:
        return others if not ways_left else list(active)
    clause = either_of(ways_left).clause
    values_left = shared(clause)
    narrowed = [
        (
            replace(c, clause=among(c.clause.field, _ordered(c.clause, values_left[c.clause.field])).clause)
            if c.kind == either.kind and c.clause.field in values_left and values_of(c.clause)
            else c
        )
        for c in others
    ]
    if len(ways_left) > 1:
        return [*narrowed, replace(either, clause=clause)]
    own = {c.clause.field for c in narrowed if c.kind == either.kind}
    return narrowed + [
        Constraint(either.kind, clause_of(name, value)) for name, value in ways_left[0] if name not in own
    ]


def _alone(clause: Clause) -> list[Way]:
    return [((clause.field, value),) for value in values_of(clause)]


def lifted(active: Sequence[Constraint], changes: Sequence[Change]) -> tuple[Constraint, ...]:
    """The constraints a message asks for without joint refusals, or wishes for what these refuse."""
    wished = {way[0] for c in changes if c.kind == "must" for way in _alone(c.clause)}
    standing = {
        c: way[0] for c in active if (c.kind, c.clause.cmp) == ("must", "eq") for way in _alone(c.clause)
    }
    together = [c for c in active if (c.kind, c.clause.cmp) == ("must_not", "either")]
    met = {c for c in together if {pair for way in ways_of(c.clause) for pair in way} <= wished}
    ways = [
        set(way)
        for c in changes
        if (c.kind, c.clause.cmp) == ("must_not", "either")
        for way in ways_of(c.clause)
    ]
    gone = {pair for way in ways if way <= set(standing.values()) for pair in way}
    return tuple(c for c in active if c not in met and standing.get(c) not in gone)


def _ordered(clause: Clause, values: Collection[str]) -> list[str]:
    return [value for value in values_of(clause) if value in values]


def distinct(active: Sequence[Constraint]) -> list[Constraint]:
    """The constraints without those that an `either` says already."""
    covered = {
        (c.kind, name)
        for c in active
        if c.clause.cmp == "either" and c.kind != "must_not"
        for name in shared(c.clause)
    }
    return [c for c in active if c.clause.cmp == "either" or (c.kind, c.clause.field) not in covered]


def without(active: Sequence[Constraint], gone: Collection[Constraint]) -> tuple[Constraint, ...]:
    """The constraints that are left when some are taken back; an `either` takes along what it brought."""
    own = {
        name for c in gone if c.clause.cmp == "either" and c.kind != "must_not" for name in shared(c.clause)
    }
    left = [c for c in active if c not in gone and not (c.kind != "must_not" and c.clause.field in own)]
    return backed(left)
