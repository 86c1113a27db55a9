"""Questions answered from the facts: of items that were shown, and of the catalogue as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from tastemaker.assist.desk import MOST_SHOWN, Desk
from tastemaker.assist.parts import Part, Question, Text
from tastemaker.assist.state import label
from tastemaker.assist.understand import Understanding
from tastemaker.converse.catalogue import TITLE
from tastemaker.converse.constraints import Clause, Constraint
from tastemaker.converse.reading.plain import in_words
from tastemaker.converse.reading.scales import place
from tastemaker.converse.reading.standing import settle
from tastemaker.converse.reading.together import distinct


def list_values(read: Understanding, desk: Desk) -> Iterator[Part]:
    """The values of fields among the items of which is asked, or else of what was asked for before."""
    shelf, wished = desk.shelf, settle(_subject(read, desk), read.wishes, desk.shelf.kinds)
    for name in read.listing:
        others = [
            c for c in wished if c.kind != "prefer" and name not in shelf.vocabulary.kin([c.clause.field])
        ]
        if read.wishes.values:
            named = {field for field, _ in read.wishes.values}
            others = [c for c in others if c.clause.field in named]
        of = "; ".join(label(c, shelf.vocabulary) for c in distinct(others))
        yield Text(shelf.listing(name, shelf.adherence(others).holds if others else None, of))


def _subject(read: Understanding, desk: Desk) -> tuple[Constraint, ...]:
    """What stands, or what was counted right before a question that goes on from there."""
    wished = () if read.counted else desk.state.active
    for message in read.counted.splitlines() if read.counted else ():
        wished = settle(wished, desk.shelf.wishes.read(message), desk.shelf.kinds)
    return wished


def answer_question(read: Understanding, desk: Desk) -> Iterator[Part]:
    """Questions are answered from the facts of the items they are about."""
    shelf, state = desk.shelf, desk.state
    rows = read.rows or ((state.focus,) if state.focus is not None else state.shown[:1])
    if "count" in read.acts:
        alone = read.wishes.changes and not read.follows
        wished = settle(() if alone else _subject(read, desk), read.wishes, shelf.kinds)
        what = "; ".join(label(c, shelf.vocabulary) for c in wished) or "in all"
        yield Text(f"{shelf.fits(wished):,}: {what}.")
        return
    if not rows:
        yield Question("Which one do you mean? Nothing was shown yet.", ())
        return
    desk.gate.allow((*rows, *read.compared))
    if read.compared:
        yield from _more_so(read, desk)
        return
    if read.check and len(rows) > 1 and "which" in state.messages[-1].casefold():
        fits = [row for row in rows if (desk.shelf.match(_clauses(read, desk)) == 1)[row]]
        names = sorted({clause.field for clause in _clauses(read, desk)})
        listing = "; ".join(f"{shelf.quoted(row)}: {desk.facts(row, names)}" for row in fits)
        yield Text(f"{listing or 'None of these'}.")
        return
    if read.superlative:
        yield from _end_of_scale(read, desk, rows if len(rows) > 1 else state.shown)
        return
    if "compare" in read.acts and not read.about:
        yield from _compared(desk, rows if len(rows) > 1 else state.shown)
        return
    desk.change(focus=rows[-1])
    for row in rows[:MOST_SHOWN]:
        title = shelf.quoted(row)
        if "explain" in read.acts and not read.about:
            reasons = desk.explain(row)
            yield Text(
                f"{title}:"
                if reasons
                else f"Nothing I could point at speaks for {title}; it came by likeness of the text alone."
            )
            yield from reasons
        elif read.check:
            yield Text(_checked(read, desk, row))
        elif read.about:
            yield Text(f"{title}: {desk.facts(row, read.about)}.")
        elif not read.describe:
            yield Text(f"I have no such fact about {title}.")
        else:
            facts = desk.facts(row, [name for name, _ in shelf.catalogue.facts(row)])
            creator = shelf.catalogue.creators[row]
            by = f" ({creator})" if creator else ""
            description = ". ".join(filter(None, (facts, shelf.about(row)))) or shelf.title(row)
            yield Text(f"{title}{by}: {description}.")


def _checked(read: Understanding, desk: Desk, row: int) -> str:
    """Yes or no, with the fact."""
    shelf, title = desk.shelf, desk.shelf.quoted(row)
    answers = []
    for clause in _clauses(read, desk):
        hit = int(shelf.match([clause])[row])
        known = "not known" if hit < 0 else in_words(shelf.fact(row, clause.field))
        noun = shelf.vocabulary.called(clause.field)
        answers.append(
            f"{'Yes' if hit == 1 else 'No' if hit == 0 else 'I cannot say'}: {title}: {noun} {known}."
        )
    return " ".join(answers)


def _clauses(read: Understanding, desk: Desk) -> list[Clause]:
    """What is asked of items, one by one: values, and numbers."""
    kinds = desk.shelf.kinds
    clauses = [Clause(n, "contains" if kinds[n] == "words" else "eq", v) for n, v in read.wishes.values]
    return clauses + [c.clause for c in read.wishes.changes if kinds.get(c.clause.field) == "number"]


def _more_so(read: Understanding, desk: Desk) -> Iterator[Part]:
    """Whether the first of the compared rows is more so than each of the others."""
    up, scale = desk.shelf.vocabulary.end_of(read.superlative)
    places = [scale.place(desk.shelf.fact(each, scale.field)) if scale else None for each in read.compared]
    if scale is None or places[0] is None or None in places:
        yield Text("I have no such fact about these.")
        return
    holds = [place is not None and (place > places[0]) != up and place != places[0] for place in places[1:]]
    facts = "; ".join(f"{desk.shelf.quoted(row)}: {desk.facts(row, [scale.field])}" for row in read.compared)
    yield Text(f"{'Yes' if all(holds) else 'No'}. {facts}.")


def _end_of_scale(read: Understanding, desk: Desk, rows: tuple[int, ...]) -> Iterator[Part]:
    up, scale = desk.shelf.vocabulary.end_of(read.superlative)
    known = [(scale.place(desk.shelf.fact(row, scale.field)), row) for row in rows] if scale else []
    places = [(at, row) for at, row in known if at is not None]
    if not scale or not places:
        yield Text("I have no such fact about these.")
        return
    ends, nth = (
        sorted({each for each, _ in places}, reverse=up),
        place(desk.state.messages[-1], desk.shelf.vocabulary),
    )
    best = ends[min(nth, len(ends)) - 1]
    winners = [row for at, row in places if at == best]
    desk.change(focus=winners[0])
    yield Text(f"{desk.shelf.quoted(*winners, link=' and ')}: {desk.facts(winners[0], [scale.field])}.")


def _compared(desk: Desk, rows: tuple[int, ...]) -> Iterator[Part]:
    names = [name for name in desk.shelf.catalogue.fields if name != TITLE]
    if len(rows) < 2:
        yield Question(
            "Which ones shall I compare?", tuple(desk.shelf.title(row) for row in desk.state.shown[:5])
        )
        return
    same = [
        name
        for name in names
        if len({desk.shelf.fact(row, name) for row in rows}) == 1
        and desk.shelf.fact(rows[0], name) is not None
    ]
    for row in rows[:4]:
        yield Text(
            f"{desk.shelf.quoted(row)}: {desk.facts(row, [name for name in names if name not in same])}."
        )
    if same:
        yield Text(f"They share {desk.facts(rows[0], same)}.")
