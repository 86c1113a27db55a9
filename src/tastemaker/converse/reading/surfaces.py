"""The ways in which a value of a field is said."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from tastemaker.converse.catalogue import Field
from tastemaker.converse.reading.plain import spoken
from tastemaker.converse.reading.words import chat, english, fold, singular, stop_words

COUNT = "_count"  # ends the name of the field that counts the values of another one
SHORT = 3  # letters below which a value is only read beside its field's noun, or after "in"
KINDS = re.compile(  # fields that say what a thing is
    r"type|kind|categor|genre|attribute|topic|format|class|department|tag|keyword", re.IGNORECASE
)
LEAD = r"(?:not|no|but|only|just|forget|never ?mind|drop|lose|scrap)(?: about)?(?: the)?"  # before a letter
MODES = r"(?:major|minor|dorian|mixolydian|phrygian|lydian|locrian|maj|min)"


def bounded(pattern: str) -> str:
    """`pattern` where no word, number or fraction goes on."""
    return rf"(?<![\w/#'])(?:{pattern})(?![\w/#]|'(?!s\b)\w|-(?!free\b)\w)"


@dataclass(frozen=True)
class Surface:
    """One way in which a value is said. sure: by its own name, not by an everyday word for it."""

    field: str
    value: str
    pattern: re.Pattern[str]
    length: int
    sure: bool = True


def surfaces_of(
    field: Field, value: str, nouns: tuple[str, ...], counts: tuple[Counter[str], Counter[str], Counter[str]]
) -> list[Surface]:
    """Every way to say a value: its name, alone or with its noun, its parts, everyday words.

    counts: of values, of the words of values, and of both without the last words.
    """
    shared, parts, others = counts
    phrase = spoken(value)
    body = re.sub(r"\\[ -]", "[ -]?" if "-" in phrase else "[ -]", re.escape(phrase)).replace("'", "'?")
    near = "|".join(re.escape(noun) for noun in nouns)
    short = len(fold(phrase)) < SHORT or fold(phrase) in stop_words() or phrase.isdigit()
    refusing = re.match(r"(?:no|none|not|without)\b", phrase, re.IGNORECASE) is not None
    forms: list[tuple[str, int, bool]] = []
    if refusing:  # "no assembly required" for "Not required"
        tail = "(?: (?:required|needed|necessary))?"
        forms.append((rf"(?:no|without(?: any)?|needs? no) (?:{near}){tail}", len(phrase) + 9, False))
    elif phrase.isdigit():
        forms.append((rf"(?<=\x00 ){body}(?! ?[a-z%$€£])", 1, True))
    if short and phrase[:1].isalpha():
        forms += [(form, length, True) for form, length in _letters(phrase, body, near)]
    elif short or shared[fold(phrase)] > 1:
        forms += [
            (rf"{body} (?:{near})", len(phrase) + 5, True),
            (rf"(?:{near})(?: is| of|:)? {body}", len(phrase) + 5, True),
        ]
        if "/" not in phrase and not phrase.isdigit():
            forms.append((rf"(?:in|by|from|of) {body}", len(phrase) + 3, True))
    else:
        ending = "(?:es)?" if phrase.endswith("s") else "(?:e?s)?"
        plural = body + ending if phrase[-1:].isalpha() else body
        forms.append((plural, len(phrase), True))
        if KINDS.search(field.name) and (alone := singular(phrase, others)):
            forms.append((alone, len(phrase) - 1, True))
        if phrase.endswith("y"):
            forms.append((re.escape(phrase[:-1]) + "ies", len(phrase), True))
    if re.fullmatch(r"\d{3}0s", phrase):
        forms.append((rf"(?:'|the |early |late |mid[- ])?'?(?:{phrase[:2]})?{phrase[2:4]}'?s", 4, True))
    forms += [(form, length, field.kind != "words") for form, length in _parts(phrase, parts, nouns)]
    if " " in phrase:  # "popularity middling" for "middling known"
        own = [word for word in fold(phrase).split() if parts[word] == 1 and len(word) > 3]
        forms += [(rf"(?:{near})(?: is| of|:)? {re.escape(word)}", len(word) + 5, True) for word in own]
    everyday = english()["synonyms"].get(phrase.casefold(), ())
    forms += [(re.escape(word).replace(r"\ ", r"[ -]"), len(word), False) for word in everyday]
    return [
        Surface(field.name, value, re.compile(bounded(form), re.IGNORECASE), length, sure and not refusing)
        for form, length, sure in forms
    ]


def _letters(label: str, body: str, near: str) -> list[tuple[str, int]]:
    """Ways to say a key or a size: "in D", "key of D", "D major", "a D reel", "E flat", "or A"."""
    exact = letter = rf"(?-i:{body})" + (r"(?![ -](?:sharp|flat)\b|♯|♭)" if len(label) == 1 else "")
    if len(label) > 1:
        letter = body
        for sign, name in (("b", "(?:[ -]flat|♭)"), ("#", "(?:[ -]sharp|♯)")):
            if len(label) == 2 and label.endswith(sign):
                letter, exact = (
                    rf"(?:{body}|(?-i:{label[0]}){name})",
                    rf"(?:{exact}|(?-i:{label[0]}){name})",
                )
    more = len(label) - 1
    forms = (
        [(exact, 10)]
        if more and not label.islower()
        else []
        if more
        else []
        if label in "AI"
        else [(rf"(?:an?|any|some) {letter}(?= [a-z])", 7)]
    )
    small = (
        rf"(?-i:{body.lower()})"
        if label not in "AI"
        else rf"(?-i:{body.lower()})(?=[.,!?]|$| (?:please|minor|major)\b(?! (?:key|mode)))"
    )
    never = r"(?! (?:[a-z]+ )?(?:one|few|bit|little|lot|minute|day|week|year|month|moment|while|hurry)\b)"
    return [
        *forms,
        (rf"(?:(?<=\x00 or )|(?<=\x00 and )|(?<=\x00, ))(?:in )?{letter}{never}", 1),
        (rf"(?:{LEAD}) {letter}(?! (?!(?:please|but|and|or|thanks|then|any)\b)[a-z])", 7),
        (
            (
                rf"{letter}(?=(?: is|'s| would be) (?:also )?(?:fine|ok|okay|good|allowed|alright|all"
                r" right|out|in(?=\W|$)(?! [a-z]))\b)"
            ),
            7,
        ),
        (rf"{letter}(?=(?:, (?-i:[A-Z][b#]?))*,? or (?-i:[A-Z]{{1,2}})\b)", 6),
        (rf"(?<=\x00 please, ){letter}(?=\W*$)", 6),
        (
            (
                rf"(?:^(?:or|and|also|plus|then|rather) |^){letter}(?= (?:too|instead|as"
                r" well|please|not)\b|[^\w\x00]*$)"
            ),
            6,
        ),
        (rf"(?:{near})(?: is| of| from|:)? {letter}", 9 + more),
        (rf"in (?:the key of )?{letter}{never}", 8 + more),
        (rf"(?:in|key of|the key) {small}{never}", 8 + more),
        (rf"{letter}(?=[ -]{MODES}\b)" if label != "A" else rf"(?<=\w ){letter}(?=[ -]{MODES}\b)", 8 + more),
        (rf"{letter}(?=[ -]{MODES}\b(?! [a-z]))", 8 + more),
        (rf"{letter} (?:{near})", 8 + more),
    ]


def _parts(phrase: str, parts: Counter[str], nouns: tuple[str, ...]) -> list[tuple[str, int]]:
    """ "O'Neill's" for "O'Neill's Music of Ireland": capital words that no other value has."""
    forms = []
    for word in phrase.replace(",", " ").split() if " " in phrase else ():
        bare = fold(word)
        telling = (
            word[:1].isupper()
            and len(bare) > 3
            and bare not in chat()
            and bare not in stop_words()
            and bare not in nouns
        )
        plural = {bare.removesuffix("s"), bare + "s"} & parts.keys() - {bare}
        if telling and parts[bare] == 1 and not plural:
            stem = re.escape(word.removesuffix("'s").removesuffix("s'"))
            forms.append((rf"{stem}(?:'s|s'?)?".replace("'", "'?"), len(bare)))
    return forms
