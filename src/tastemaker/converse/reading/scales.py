"""Comparisons in a message ("slower", "fewer calories", "not too expensive") as bounds on ordered fields."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from tastemaker.converse.catalogue import Day
from tastemaker.converse.constraints import Change, Clause, Constraint, Strength
from tastemaker.converse.reading.numbers import CLOSE, among, dated
from tastemaker.converse.reading.passage import Text
from tastemaker.converse.reading.plain import DIGITS, ORDINALS
from tastemaker.converse.reading.vocabulary import Facts, Scale, Vocabulary
from tastemaker.converse.reading.words import english

_THAN = r"\b(?! than \W?\d)(?: than (?:that|this|it|the last)(?: one)?)?"
_IT_IS = r"\b(?:(?:that|it|this)(?:'s| is| was) (?:a bit |way |much |far )?|a bit |far |way )?"
_MILDLY = (
    r"\b(?:not|nothing|never|none|anything not|n't(?: be)?)(?: that(?:'s| is))?"
    r" (?:too|so|very|that|overly|all that)"
)
_FINE = re.compile(
    r"(?: is|'s| would be) (?:also )?(?:fine|ok(?:ay)?|alright|all right|no problem)\b", re.IGNORECASE
)
DEGREE = (
    r"(?:^\W*|\b(?:an?|some|something|anything|really|very|quite|fairly|pretty|nice and|and|rather|few|\d+"
    rf"|{'|'.join(DIGITS[1:])})\s+)"
)


def multiples(text: Text, vocabulary: Vocabulary, value: Facts, focus: Sequence[int]) -> None:
    """ "Twice the calories of the first", "half as long": about so much, of the item in focus."""
    fields = {noun: name for name in vocabulary.units for noun in vocabulary.nouns[name]}
    ends = {word: vocabulary.end_of(comparative)[1] for word, comparative in english()["too"].items()}
    fields |= {word: scale.field for word, scale in ends.items() if scale and not scale.words}
    words = "|".join(sorted(map(re.escape, fields), key=len, reverse=True)) or "(?!)"
    for hit in text.each(
        rf"\b(?:twice|double|(half)|(\d+) times)(?: (?:the|as|its|many|much))* ({words})"
        rf"(?: (?:of|as) (?:it|(?:the|that|this)(?: (?:{'|'.join(ORDINALS)}|last))?)(?: one)?)?"
        r"(?= *(?:[,.;!?]|$))"
    ):
        name = fields[hit[3].lower()]
        known = value(focus[-1], name) if focus and not dated(vocabulary.fields[name]) else None
        if not isinstance(known, int | float):
            text.leave(hit)
            continue
        middle = known * (0.5 if hit[1] else float(hit[2] or 2))
        ends_at = (round(middle * (1 - CLOSE), 3), round(middle * (1 + CLOSE), 3))
        text.add(hit.start(), Change("add", "must", Clause(name, "between", ends_at)))


def place(text: str, vocabulary: Vocabulary) -> int:
    """Which one from the end of a scale: 2 of "the second cheapest" and of "the cheapest but one"."""
    words = "|".join(re.escape(word.removeprefix("the ")) for word in vocabulary.superlatives)
    hit = re.search(
        rf"\b(?:({'|'.join(ORDINALS)})|(\d+)(?:st|nd|rd|th)) (?:{words})\b"
        rf"|\b(?:{words})(?: [\w-]+){{0,3}}? but (one|two)\b",
        text,
        re.IGNORECASE,
    )
    if hit is None:
        return 1
    return (
        ORDINALS.index(hit[1].lower()) + 1 if hit[1] else int(hit[2] or {"one": 2, "two": 3}[hit[3].lower()])
    )


def comparatives(text: Text, vocabulary: Vocabulary, value: Facts, focus: Sequence[int]) -> None:
    """ "Slower", "less popular", "fewer calories": a bound at the value of the item in focus. "Not too
    expensive", "something cheap": one at the quarter of the items that are so.
    """
    row = focus[-1] if focus else None
    for word in sorted(vocabulary.comparatives, key=len, reverse=True):
        if word not in text.text.casefold():
            continue
        up, scale = vocabulary.comparatives[word]
        for hit in text.each(rf"\b(?:(not so|not as|not too|less|not|no) )?{re.escape(word)}{_THAN}"):
            if scale is None:
                text.leave(hit)
            elif _FINE.match(text.whole, hit.end()):  # "longer is fine" asks for nothing
                drops = [
                    Change("drop", "must", Clause(name, "eq", "")) for name in vocabulary.kin([scale.field])
                ]
                text.changes += [(hit.start(), change) for change in drops]
            else:
                _move(text, hit.start(), vocabulary, scale, up == bool(hit[1]), value, row)
    for hit in text.each(rf"\bnot the ({'|'.join(vocabulary.superlatives)})\b"):
        up, scale = vocabulary.end_of(vocabulary.superlatives[hit[1].lower()])
        if scale is None or scale.words:
            text.leave(hit)
        else:
            _quarter(text, hit, vocabulary, scale, (up, False, "must"))
    for word, comparative in vocabulary.superlatives.items():  # no value: "the most popular"
        if word in text.text.casefold() and vocabulary.end_of(comparative)[1]:
            text.each(rf"\b{re.escape(word)}\b")
    opposite: dict[str, str] = english()["too"]
    adjectives = "|".join(sorted(map(re.escape, opposite), key=len, reverse=True))
    for hit in text.each(rf"{_MILDLY} ({adjectives})\b(?! ago)"):
        _mild(text, hit, vocabulary, opposite[hit[1].lower()], "must")
    for hit in text.each(rf"{_IT_IS}too ({adjectives})\b"):
        up, scale = vocabulary.end_of(opposite[hit[1].lower()])
        if scale is None:
            text.leave(hit)
        else:
            _move(text, hit.start(), vocabulary, scale, not up, value, row)
    _by_values(text, vocabulary, value, row)


def _by_values(text: Text, vocabulary: Vocabulary, value: Facts, row: int | None) -> None:
    """ "Less lively", "funnier", "low calorie": what values and fields are called, compared."""
    for hit in text.each(r"\b(?:(less|not so|not as)|more) (\w+(?:[ -]\w+)?)\b"):  # "less lively", by a value
        text.leave(hit)
        fitting = ((s, s.pattern.match(hit[2])) for s in vocabulary.surfaces if s.field in vocabulary.scales)
        surface, value_match = next(((s, match) for s, match in fitting if match), (None, None))
        words = vocabulary.scales[surface.field].words if surface is not None else ()
        if surface is None or value_match is None or surface.value not in words:
            continue
        text.take(hit.start(), hit.start(2) + value_match.end())
        up = words.index(surface.value) >= len(words) / 2
        kin = (
            vocabulary.scales[name] for name in vocabulary.kin([surface.field]) if name in vocabulary.scales
        )
        own = min(kin, key=lambda scale: bool(scale.words))
        _move(text, hit.start(), vocabulary, own, up == bool(hit[1]), value, row)
    for hit in text.each(r"\b(\w{3,}?)(?:(i?)er|(ish))\b"):  # "funnier", "slowish": softly
        bases = {hit[1] + ("y" if hit[2] else ""), hit[1][:-1], hit[1] if hit[3] else f"{hit[1]}e"}
        pairs = [pair for base in bases for pair in vocabulary.moods.get(base.casefold(), ())]
        pairs += [
            (s.field, s.value)
            for s in vocabulary.surfaces
            if (hit[3] or not s.sure) and any(map(s.pattern.fullmatch, bases))
        ]
        if not pairs:
            text.leave(hit)
        kind = [vocabulary.fields[name].kind for name, _ in pairs]
        for (name, word), cmp in zip(
            pairs, ["contains" if each == "words" else "eq" for each in kind], strict=True
        ):
            text.changes.append((hit.start(), Change("add", "prefer", Clause(name, cmp, word))))
    for word, (_, scale) in vocabulary.comparatives.items():
        noun = word.removeprefix("more ")
        if noun == word or scale is None or scale.words or noun not in text.text.casefold():
            continue
        for form, down, keeps in (
            (
                r"\b(?:not|nothing|without|n't have)(?: with)? (?:too |so |very |that )?(?:many|much) ",
                True,
                False,
            ),
            (r"\b(?:only |just )?(?:an? |very |really )?few ", True, True),
            (r"(?<!how )(?<!too )\b(?:many|lots of|loads of|a lot of|plenty of) ", False, True),
            (r"\blow(?: in|-)? ?", True, True),
            (r"\bhigh(?: in|-)? ?", False, True),
        ):
            for hit in text.each(rf"{form}{re.escape(noun)}\b"):
                _quarter(text, hit, vocabulary, scale, (down, keeps, "must"))


def adjectives(text: Text, vocabulary: Vocabulary) -> None:
    """ "Something cheap", "a quick one": softly, where no value was read in the word."""
    opposite: dict[str, str] = english()["too"]
    words = "|".join(word for word in opposite if word not in ("new", "dear", "popular"))
    for hit in text.each(
        rf"(?:{DEGREE}|,\s?(?=\w+\W*$))({words})\b(?! (?:as|ago|time|enough|run|way|for|at|on)\b)"
    ):
        _mild(text, hit, vocabulary, opposite[hit[1].lower()], "prefer")


def free(text: Text, vocabulary: Vocabulary) -> None:
    """ "Free", "for nothing" of prices that may be nothing, where no value was read in the word."""
    prices = [n for n, units in vocabulary.units.items() if "$" in units and vocabulary.fields[n].low == 0]
    for hit in text.each(
        r"(?<![\w-])(?<!feel )(?:for free|free(?: of charge| admission| entry)?|gratis|costs? nothing)"
        r"(?![\w-])(?! (?:of|from|time|to|as)\b)"
        if len(prices) == 1
        else "(?!)"
    ):
        kind: Strength = "must_not" if text.negated(hit.start()) else "must"
        text.add(hit.start(), Change("add", kind, Clause(prices[0], "between", (0.0, 0.0))))


def _mild(text: Text, hit: re.Match[str], vocabulary: Vocabulary, opposite: str, kind: Strength) -> None:
    """ "Not too long" is at most so long as three quarters are; "a long one" is softly the other end."""
    up, scale = vocabulary.end_of(opposite)
    if scale is None or any(surface.pattern.fullmatch(hit[1]) for surface in vocabulary.surfaces):
        text.leave(hit)
        if scale is not None and kind == "must":  # a value: it is read later, refused
            text.take(hit.start(), hit.start(1))
        return
    down = up if kind == "prefer" else not up
    if scale.words:
        far = scale.words[-1] if down == (kind == "must") else scale.words[0]
        strength: Strength = "must_not" if kind == "must" else kind
        text.changes.append((hit.start(), Change("add", strength, Clause(scale.field, "eq", far))))
    else:
        _quarter(text, hit, vocabulary, scale, (down, kind == "prefer", kind))


def _quarter(
    text: Text, hit: re.Match[str], vocabulary: Vocabulary, scale: Scale, way: tuple[bool, bool, Strength]
) -> None:
    """A bound that leaves out the quarter of the items at one end, or keeps (the second of `way`) that at the
    other; none where a number is said as well.
    """
    known, (down, keeps, kind) = vocabulary.fields[scale.field], way
    low, high = known.quarters
    if math.isnan(low):
        low, high = (known.low + (known.high - known.low) * share for share in (0.25, 0.75))
    clause = Clause(scale.field, "le" if down else "ge", low if down == keeps else high)
    if all(change.clause.field != scale.field or change.op == "drop" for _, change in text.changes):
        text.changes.append((hit.start(), Change("add", kind, clause)))


def _move(
    text: Text, at: int, vocabulary: Vocabulary, scale: Scale, down: bool, value: Facts, row: int | None
) -> None:
    """ "Slower" than a fast one lifts the wish for fast, and bounds the tempo at the one in focus."""
    others = [
        name for name in vocabulary.kin([scale.field]) if name != scale.field and name in vocabulary.scales
    ]
    text.changes += [(at, Change("drop", "must", Clause(name, "eq", ""))) for name in others]
    text.relative.add(scale.field)
    text.add(at, beyond(vocabulary, scale, down, None if row is None else value(row, scale.field)))


def beyond(vocabulary: Vocabulary, scale: Scale, down: bool, value: object) -> Change:
    """What is beyond a value of a scale, or beyond its middle where none is known."""
    if scale.words:
        place = scale.words.index(str(value)) if value in scale.words else (len(scale.words) // 2)
        wanted = scale.words[:place] if down else scale.words[place + 1 :]
        return among(scale.field, wanted or (scale.words[:1] if down else scale.words[-1:]))
    known = vocabulary.fields[scale.field]
    if known.days:
        day = value if isinstance(value, int | float) else (known.low + known.high) // 2
        return Change(
            "add", "must", Clause(scale.field, "le" if down else "ge", Day(day - 1 if down else day + 1))
        )
    middle = float(value) if isinstance(value, int | float) else (known.low + known.high) / 2
    step = 1.0 if dated(known) else max(abs(middle) * 0.02, (known.high - known.low) * 0.004)
    bound = middle - step if down else middle + step
    bound = float(f"{bound:.{3 if abs(bound) < 1000 else 4}g}")  # as people say numbers
    return Change("add", "must", Clause(scale.field, "le" if down else "ge", bound))


def narrowed(active: Sequence[Constraint], change: Change) -> list[Constraint]:
    """The constraints that stand beside "a bit faster": a bound of the same kind before it gives way."""
    clause = change.clause
    return [
        old
        for old in active
        if old.clause.field != clause.field
        or old.kind == "must_not"
        or (old.kind == "must" and old.clause.cmp in ("le", "ge", "between") and old.clause.cmp != clause.cmp)
    ]


def opposed_mood(vocabulary: Vocabulary, name: str, value: str) -> Change | None:
    """What "less sad" softly asks for: the other values of a field of few."""
    others = tuple(other for other in vocabulary.fields[name].values if other != value)
    return replace(among(name, others), kind="prefer") if 0 < len(others) <= 5 else None


def superlative(text: str, vocabulary: Vocabulary, shown: bool) -> str:
    """The comparative whose end is sought: "the slowest", or among those `shown`, "which is slower"."""
    table = vocabulary.superlatives
    for word in sorted(table, key=len, reverse=True):
        if re.search(rf"(?<!\bnot the )\b{re.escape(word)}\b", text, re.IGNORECASE):
            return table[word]
    which = re.search(
        r"\bwhich\b(?: one| of \w+(?: two)?)? is (?:the )?([\w ]+?)(?:[,:-] ?the [\w ]+)?\W*$", text, re.I
    )
    return which[1].lower() if shown and which and which[1].lower() in vocabulary.comparatives else ""


def without_superlatives(left: str, vocabulary: Vocabulary) -> str:
    """The words that are left without the superlatives that mean a scale here, which were read."""
    for word, comparative in vocabulary.superlatives.items():
        if vocabulary.end_of(comparative)[1]:
            left = re.sub(rf"\b{re.escape(word)}\b", lambda hit: "\0" * len(hit[0]), left, flags=re.I)
    return left


_ORDERS = (
    r"(?:sort|order|rank|arrange|list)(?:ed)?"
    r"(?: (?:it|all|them|these|those|results|the (?:list|results)))? by"
)
_DOWNWARDS = (
    r"desc\w*|(?:from )?high(?:est)? (?:to low(?:est)?|first)"
    r"|(?:newest|latest|biggest|best|most \w+) first"
)
_UPWARDS = (
    r"asc\w*|(?:from )?low(?:est)? (?:to high(?:est)?|first)"
    r"|(?:oldest|earliest|smallest|cheapest) first"
)


def in_order(message: str, vocabulary: Vocabulary) -> str:
    """A message that asks for an order of what is shown, as the end it begins with: "sort by price" is "the
    lowest price"; of ratings, days and years the highest come first.
    """
    nouns = {noun: name for name in vocabulary.scales for noun in vocabulary.nouns[name]}
    words = "|".join(sorted(map(re.escape, nouns), key=len, reverse=True)) or "(?!)"
    form = (
        rf"(?:\b{_ORDERS}|^\W*by) (?:the )?({words})"
        rf"(?:,? (?:in )?(?:({_DOWNWARDS})|({_UPWARDS})))?(?: order)?(?=\W*$|[,.;])"
    )

    def end(hit: re.Match[str]) -> str:
        name = nouns[hit[1].lower()]
        late = name in vocabulary.days or vocabulary.is_year(name)
        down = hit[2] or (not hit[3] and (late or {"stars", "points"} & set(vocabulary.units.get(name, ()))))
        return f"the {'highest' if down else 'lowest'} {hit[1]}"

    ends = "|".join(sorted(map(re.escape, vocabulary.superlatives), key=len, reverse=True))
    message = re.sub(form, end, message, flags=re.IGNORECASE)
    return re.sub(rf"\b(?:the )?({ends})(?: ones?)? first\b", r"the \1", message, flags=re.IGNORECASE)
