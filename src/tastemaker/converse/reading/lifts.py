"""What a message lets go: fields that may be anything ("any year", "money is no object"), wishes that are
dropped ("forget the red", "not only jigs") and refusals that are ("leather is fine after all").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tastemaker.converse.constraints import Change, Clause, Constraint
from tastemaker.converse.reading.passage import Text, negated
from tastemaker.converse.reading.together import backed, values_of, ways_of
from tastemaker.converse.reading.vocabulary import Vocabulary

_CARES = (
    r"(?:(?:don'?t|do not|doesn'?t|does not) (?:really |much )?(?:care"
    r" about|care|mind|bother|worry|matter)|not"
    r" (?:bothered|fussed|fussy|picky|worried)|no matter|regardless of|makes? no difference)"
)
_FIELDS = (  # each with the nouns of the fields at <noun>
    r"\b(?:any|all|whatever|whichever|regardless of(?: the)?)(?: old)? <noun>(?: it is| will do| works?| you"
    r" like|(?: is|"
    r" are) (?:fine|ok(?:ay)?|good|all right))?(?: (?:by|with|for) me)?\b"
    r"(?! (?:(?:you|that|which) (?!like)|but\b(?! i\b)|except|other than|besides))",
    r"\b(?:the |my |what |which )?<noun>(?: it(?: is|'s) in| it is)?(?: really| just)? ?(?:no longer matters|"
    r"(?:doesn'?t|does not|won'?t)(?: really| much)? matter|(?:isn'?t|is not|is no|isn'?t an?|is not an?|'s"
    r" not|'s no)"
    r" (?:important|relevant|issue|problem|object|concern|big deal|matter)|is (?:irrelevant|optional|up to"
    r" you|open"
    r"|flexible|negotiable|your choice)|(?:can|could|may) be (?:anything|whatever|any))\b",
    rf"\b{_CARES}(?: about| what| which| on| for| with)*(?: the| my)? <noun>(?: it(?: is|'?s)(?: in)?)?\b",
    r"\b(?:forget|ignore|drop|never ?mind|skip|lose|remove|without|scrap|lift|relax|loosen)(?: about)?"
    r" (?:the|my|that) <noun>(?: limit| bound| restriction| filter)?\b",
    r"\bno (?:preference|limit|restriction|constraint)s? (?:on|for|about|to|in|of)(?: the)? <noun>\b",
    (
        r"\bno (?:particular |special |specific |fixed )?<noun>"
        r" (?:limit|restriction|preference|constraint|cap)s?\b"
    ),
    r"\bno (?:particular|special|specific|fixed) <noun>\b",
    r"\b(?:doesn'?t|does not|needn'?t|need not)(?: have to)? (?:be|matter) (?:what|which) <noun>\b",
    r"^\W*<noun>\W+(?:no matter|whatever|any(?:thing)?(?: goes)?|doesn'?t matter|i don'?t (?:mind|care))\W*$",
)
_HOW = (  # with the asking words of a field ("how long") at <how>
    (
        rf"\b{_CARES} <how>(?: (?:it|they|that)(?: is| are| was| were|'s|s)?(?: from| made| takes?| costs?|"
        r" lasts?)?)?\b"
    ),
    r"\b<however>(?: (?:it|they|that)(?: is| are|'s)?(?: takes?| costs?| lasts?)?)?\b",
)
_PHRASES = {
    r"\b(?:takes? )?as long as it takes\b": ("duration", "time"),
    r"\b(?:money|cost|expense) is (?:no|not an?) (?:object|issue|problem)\b": ("price", "cost"),
    r"\bwhatever it (?:costs?|takes)\b": ("price", "cost"),
}
_LET_GO = re.compile(
    r"\b(?:forget|never ?mind|drop|scrap|ignore|cancel|remove|undo|take (?:back|away|off|out))(?: about)?(?:"
    r" the| my| that| those)?(?: \w+)? $",
    re.IGNORECASE,
)
_NOT_ALONE = re.compile(
    r"(?:\bnot|n't)(?: (?:want|need|have to be|be))? (?:only|just|merely|solely|exclusively)(?: the| an?|"
    r" for| in)? $|\bnot necessarily(?: an?)? $|\bno need for(?: an?| the| any)? $|\b(?:doesn't|does"
    r" not|needn't"
    r"|need not|don't|do not)(?: (?:have|need)(?: it)? to)? be(?: an?)? $|\bmore than (?:just|only) (?:the"
    r" |an? )?$",
    re.IGNORECASE,
)
_UNNEEDED = re.compile(
    r"s?(?: (?:films?|movies?|ones?|part))?(?: (?:is|are))?(?: not|n't)? (?:a"
    r" must|necessary|needed|required|essential"
    r"|optional)\b",
    re.IGNORECASE,
)
_WELCOME = re.compile(
    r"\b(?:(?:don't|do not) mind|can include|may include|okay with|ok with|fine with|changed my mind"
    r" about|bring back"
    r"|(?:forget|ignore|never ?mind|scrap) (?:that )?i said (?:no|not))(?: the| any| an?)? $",
    re.IGNORECASE,
)
ONLY = re.compile(
    r"s?(?: (?:films?|movies?|ones?|songs?|tunes?|recipes?|things?))? (?:only|alone)\b", re.IGNORECASE
)
_ALLOWED = re.compile(
    r"s?(?: \w+)?(?: is| are|'s|'re| would be| will be)(?: also| actually| totally| perfectly| quite)?"
    r" (?:fine|ok(?:ay)?|allowed|acceptable|alright|all right|welcome|no problem)\b",
    re.IGNORECASE,
)
ALONE = re.compile(
    r"\b(?:only|just|solely|nothing but|exclusively|purely)(?: the| an?| some| for| with| in)* $", re.I
)


def lift_fields(text: Text, vocabulary: Vocabulary) -> None:
    """The fields that may be anything from here on, and what tells the same of an item."""
    nouns = {noun for field_nouns in vocabulary.nouns.values() for noun in field_nouns}
    any_noun = "|".join(re.escape(noun) for noun in sorted(nouns, key=len, reverse=True)) or "(?!)"
    for frame in _FIELDS:
        for hit in text.each(frame.replace("<noun>", f"({any_noun})s?")):
            _lift(text, hit, vocabulary.meant_by(hit[1]))
    for asking, names in vocabulary.asking.items():
        if asking.startswith(("how ", "when")):
            for frame in _HOW:
                bare = frame.replace("<however>", f"however {asking.removeprefix('how ')}").replace(
                    "<how>", asking
                )
                for hit in text.each(bare):
                    _lift(text, hit, vocabulary.kin(names))
    for phrase, stems in _PHRASES.items():
        for hit in text.each(phrase):
            _lift(text, hit, vocabulary.kin(stems))


def _lift(text: Text, hit: re.Match[str], names: Sequence[str]) -> None:
    text.changes += [(hit.start(), Change("drop", "must", Clause(name, "eq", ""))) for name in names]
    text.ends(*hit.span())


def manner_of(text: Text, start: int, end: int) -> str:
    """How values at a place are spoken of besides: "let go", "not alone", "allowed"; else empty."""
    before = text.whole[:start]
    if _NOT_ALONE.search(before) or _UNNEEDED.match(text.whole, end):
        return "not alone"
    if _WELCOME.search(before):
        return "allowed"
    if _LET_GO.search(before):
        return "let go"
    allowed = _ALLOWED.match(text.whole, end) and not text.whole.rstrip().endswith("?")
    return "allowed" if allowed and not negated(text.whole, start) else ""


def let_go(
    active: Sequence[Constraint], clause: Clause, several: bool, among_others: bool = False
) -> tuple[Constraint, ...]:
    """The constraints without the wish for a value, or without it only `among_others` that are wished.

    several: its field holds several values.
    """
    constraints: list[Constraint] = []
    for old in active:
        left = [value for value in values_of(old.clause) if value not in values_of(clause)]
        if (
            old.kind == "must_not"
            or old.clause.field != clause.field
            or left == list(values_of(old.clause))
            or (among_others and not left)
        ):
            constraints.append(old)
        elif left:
            cmp = "in" if len(left) > 1 else "contains" if several else "eq"
            constraints.append(
                replace(old, clause=Clause(clause.field, cmp, tuple(left) if len(left) > 1 else left[0]))
            )
    return backed(constraints)


def allow(active: Sequence[Constraint], change: Change, several: bool) -> tuple[Constraint, ...]:
    """The constraints after a value is said to be welcome: a refusal of it goes; where its field has one
    value and others are wished it joins them; else it is softly wished.
    """
    clause, values = change.clause, set(values_of(change.clause))
    refused = [
        old
        for old in active
        if old.kind == "must_not"
        and any(
            name == clause.field and value in values
            for way in (ways_of(old.clause) if old.clause.cmp == "either" else [_pairs(old.clause)])
            for name, value in way
        )
    ]
    if refused:
        return tuple(old for old in active if old not in refused)
    wished = [old for old in active if old.kind == "must" and old.clause.field == clause.field]
    if not wished:
        return (*active, Constraint("prefer", clause))
    if several or any(not values_of(old.clause) for old in wished):
        return tuple(active)
    every = tuple(
        dict.fromkeys(
            value for each in (*(old.clause for old in wished), clause) for value in values_of(each)
        )
    )
    rest = [old for old in active if old not in wished]
    return (*rest, Constraint("must", Clause(clause.field, "in", every)))


def _pairs(clause: Clause) -> tuple[tuple[str, str], ...]:
    return tuple((clause.field, value) for value in values_of(clause))
