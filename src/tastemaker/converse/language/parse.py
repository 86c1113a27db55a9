"""Words into constraints: a lexicon parser that audits messages and reads them for the search. It never sees
a constraint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tastemaker.converse.constraints import Change, Clause, Constraint, Strength, merge
from tastemaker.converse.language.lexicon import Lexicon, Words, bounded, plain

_NOT = re.compile(
    r"\b(?:(?:no|not)(?! (?:less|more|faster|slower) than)|nothing|never|without|except|anything but|other"
    r" than|avoid|skip|leave out|"
    r"don't want|do not want|isn't)\b"
    r"(?:(?!\bbut\b|\bjust\b|\bonly\b)[^.,;:!?])*$",
    re.IGNORECASE,
)
_PREFER = re.compile(r"\b(?:ideally|preferably|if possible|would be nice|a bonus|prefer)\b", re.IGNORECASE)
_INSTEAD = re.compile(r"\b(?:instead|rather|change)\b", re.IGNORECASE)
_UNNAMED = ("family", "audio", "image", "text")  # what attachments and likenesses are about
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_AT_LEAST = (
    r"(?:at least|no less than|not less than|no slower than|not slower than|faster than|more than|over|above|"
    r"from|a minimum of)"
)
_AT_MOST = (
    r"(?:at most|no more than|not more than|no faster than|not faster than|slower than|less than|under|below|"
    r"up to|a maximum of)"
)


@dataclass(frozen=True)
class Mention:
    """An item that both sides know: its handle, id and names."""

    handle: str
    item_id: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Utterance:
    """One message of the listener: its words, the items played before it, and what its attachments were
    recognised as.
    """

    text: str
    played: tuple[Mention, ...] = ()
    recognised: tuple[tuple[str, str], ...] = ()  # (medium, item id)


def read(messages: Sequence[Utterance], lexicon: Lexicon) -> tuple[Constraint, ...]:
    """The constraints that stand after the messages."""
    constraints: tuple[Constraint, ...] = ()
    for message in messages:
        for change in changes(message, lexicon):
            constraints = _merge_one(constraints, change, lexicon)
    return constraints


def _merge_one(
    constraints: tuple[Constraint, ...], change: Change, lexicon: Lexicon
) -> tuple[Constraint, ...]:
    """As `merge`; a second value for a field that holds one replaces the first, for nothing could satisfy
    both.
    """
    words = lexicon.fields.get(change.clause.field)
    single = words is not None and words.kind == "word" and change.op == "add" and change.kind == "must"
    if single and change.clause.cmp in ("eq", "in"):
        constraints = tuple(
            old
            for old in constraints
            if not (
                old.clause.field == change.clause.field
                and old.kind == "must"
                and old.clause.cmp in ("eq", "in")
            )
        )
    return merge(constraints, [change])


@lru_cache(maxsize=512)
def changes(message: Utterance, lexicon: Lexicon) -> tuple[Change, ...]:
    """What one message changes, in the order of its sentences."""
    text = plain(message.text)
    changed: list[Change] = []
    for name in sorted(
        {name for mention in message.played for name in mention.names}, key=lambda name: (-len(name), name)
    ):
        handle = next(mention.handle for mention in reversed(message.played) if name in mention.names)
        said = re.escape(plain(name))
        text = re.sub(rf'"{said}"|(?<!\w){said}(?!\w)', f"\x02{handle}\x03", text)
    for part in _SENTENCE.split(text):
        changed += _of_sentence(part, message, lexicon)
    for medium, item in message.recognised:
        if any(re.search(re.escape(phrase), text, re.IGNORECASE) for phrase in lexicon.media.get(medium, ())):
            changed.append(Change("add", "must", Clause("family", "same_group", item), None, medium))  # type: ignore[arg-type]
    return tuple(changed)


def _of_sentence(text: str, message: Utterance, lexicon: Lexicon) -> list[Change]:
    """Drops, references, bounds, then values; what one step reads is blanked for the next."""
    prefer, instead = bool(_PREFER.search(text)), bool(_INSTEAD.search(text))
    text, changed = _drops(text, lexicon)
    if re.search(r"\b(?:start afresh|start over|forget (?:what|everything|all) )", text, re.IGNORECASE):
        changed += [Change("drop", "must", Clause(name, "eq", "")) for name in (*lexicon.fields, *_UNNAMED)]
    if re.search(r"what I attached no longer matters|need not be like that any more", text, re.IGNORECASE):
        changed += [Change("drop", "must", Clause(name, "eq", "")) for name in _UNNAMED]
    text, more = _references(text, message, lexicon)
    changed += more
    for words in lexicon.fields.values():
        if words.kind == "number":
            text, more = _bounds(text, words)
            changed += more
    changed += _values(text, lexicon)
    kind: Strength
    out = []
    for change in changed:
        kind = "prefer" if prefer and change.kind == "must" else change.kind
        op = "replace" if instead and change.op == "add" else change.op
        out.append(Change(op, kind, change.clause, change.reference, change.medium))
    return out


def _blank(text: str, match: re.Match[str]) -> str:
    return text[: match.start()] + "\x00" * (match.end() - match.start()) + text[match.end() :]


_DROPS = (
    r"\bany (?:{noun})(?: that there is)? (?:will do|would do|is fine|works|goes)",
    r"\bthe (?:{noun}) (?:no longer matters|doesn't matter|does not matter|is open|is up to you)",
    r"\b(?:don't|do not|no longer) (?:mind|care about|worry about|insist on) (?:the|which|what) (?:{noun})",
    r"\b(?:forget|never mind)(?: about)? the (?:{noun})",
    r"\bnot (?:fussy|picky|set) (?:about|on) the (?:{noun})",
    r"\bleave the (?:{noun}) (?:open|to you)",
)


@lru_cache(maxsize=64)
def _drop_patterns(words: tuple[tuple[str, tuple[str, ...]], ...]) -> list[tuple[str, re.Pattern[str]]]:
    joined = [(name, "|".join(re.escape(noun) for noun in nouns)) for name, nouns in words]
    return [
        (name, re.compile("|".join(form.replace("{noun}", nouns) for form in _DROPS), re.IGNORECASE))
        for name, nouns in joined
    ]


def _drops(text: str, lexicon: Lexicon) -> tuple[str, list[Change]]:
    drops = []
    nouns = tuple((name, words.nouns) for name, words in lexicon.fields.items())
    for name, pattern in _drop_patterns(nouns):
        while match := pattern.search(text):
            drops.append(Change("drop", "must", Clause(name, "eq", "")))
            text = _blank(text, match)
    return text, drops


def _referred(text: str, played: Sequence[Mention]) -> Mention | None:
    """The item that "the last one", "the first one" or a name points at."""
    if not played:
        return None
    if text.startswith("\x02"):
        return next(mention for mention in played if mention.handle == text[1:-1])
    return played[0] if text.lower() == "the first one" else played[-1]


_REFERENCE = r"(the last one|that last one|that one|the first one|\x02T\d+\x03)"


def _references(text: str, message: Utterance, lexicon: Lexicon) -> tuple[str, list[Change]]:
    references = []
    for name, words in lexicon.fields.items():
        nouns = "|".join(re.escape(noun) for noun in words.nouns)
        while match := re.search(rf"\bthe same (?:{nouns}) as {_REFERENCE}", text, re.IGNORECASE):
            mention = _referred(match.group(1), message.played)
            kind: Strength = "must_not" if _NOT.search(text[: match.start()]) else "must"
            if mention:
                references.append(
                    Change("add", kind, Clause(name, "same_group", mention.item_id), mention.handle)
                )
            text = _blank(text, match)
    ways = (("audio", "sounds like"), ("image", "a cover like that of"), ("text", "much like"))
    for medium, verb in ways:
        while match := re.search(rf"\b{verb} {_REFERENCE}", text, re.IGNORECASE):
            if mention := _referred(match.group(1), message.played):
                clause = Clause(medium, "similar_to", mention.item_id)
                references.append(Change("add", "must", clause, mention.handle, medium))  # type: ignore[arg-type]
            text = _blank(text, match)
    return text, references


def _bounds(text: str, words: Words) -> tuple[str, list[Change]]:
    """Bounds on a number that carry the field's unit or name."""
    bounds = []
    nouns = "|".join(re.escape(noun) for noun in words.nouns)
    units = "|".join(re.escape(unit) for unit in words.units)
    forms = [(rf"\b(?:{nouns}) (?:of |is |)", "")] + ([("", rf" ?(?:{units})")] if units else [])
    for before, after in forms:
        for cmp, body in (
            (
                "between",
                rf"(?:between |around |about |roughly |from )?{_NUMBER} ?(?:and|to|-|–) ?{_NUMBER}",
            ),
            ("ge", rf"{_AT_LEAST} {_NUMBER}"),
            ("le", rf"{_AT_MOST} {_NUMBER}"),
        ):
            while match := re.search(before + bounded(body) + after, text, re.IGNORECASE):
                first, last = float(match.group(1)), float(match.groups()[-1])
                bounds.append(
                    Change(
                        "add", "must", Clause(words.name, cmp, (first, last) if cmp == "between" else first)
                    )
                )
                text = _blank(text, match)
    return text, bounds


def _values(text: str, lexicon: Lexicon) -> list[Change]:
    """Values by name, longest first, with the polarity of their place in the sentence; "a or b" of one field
    is one constraint.
    """
    spots: list[tuple[int, int, str, str]] = []
    left, folded = text, text.casefold()
    for key, pattern, value, name in lexicon.surfaces:
        while key in folded and (match := pattern.search(left)):
            spots.append((match.start(), match.end(), name, value))
            left = _blank(left, match)
            folded = left.casefold()
    spots.sort()
    values: list[Change] = []
    ends: list[int] = []
    for start, end, name, value in spots:
        kind: Strength = "must_not" if _NOT.search(text[:start]) else "must"
        same = values and values[-1].clause.field == name and values[-1].kind == kind
        if same and re.fullmatch(r",? or (?:an? )?", text[ends[-1] : start], re.IGNORECASE):
            earlier = values[-1].clause.value
            several = (*(earlier if isinstance(earlier, tuple) else (str(earlier),)), value)
            values[-1] = Change("add", kind, Clause(name, "in", several))
        else:
            cmp = "contains" if lexicon.fields[name].kind == "words" else "eq"
            values.append(Change("add", kind, Clause(name, cmp, value)))
        ends.append(end)
    return values
