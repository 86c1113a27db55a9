"""What a message was meant to say, read back by two readers that share no pattern: one takes wishes out of
the words, the other looks for evidence of each wish that was meant. A wish counts as said when either finds
it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tastemaker.converse.constraints import Change, Clause, Constraint, demands, merge
from tastemaker.converse.language.lexicon import Lexicon, plain, spoken
from tastemaker.converse.language.parse import Utterance, changes

_WORD = re.compile(r"[^\W_]+(?:[/'#♯♭][^\W_]*)*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_NEGATES = re.compile(
    r"\b(?:no|not|nor|never|without|except|avoid|skip|nothing|anything but|other than|less of|rather than|"
    r"instead of|tired of|enough of|had my fill|spare me|leave out|away from|hate|dislike|\w+n't)\b",
    re.IGNORECASE,
)
_LETS_GO = re.compile(
    r"\b(?:any|anything|whatever|whichever|matters?|mind|care|worry|forget|drop|ignore|open|free|no longer|"
    r"not important|skip|let go|relax|never mind|set on|fussy|picky|up to you|insist)\b",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"\b(?:same|similar|like|likewise|again|that|this|it|last|one|match\w*|as)\b", re.IGNORECASE
)
_SHOWS = re.compile(
    r"\b(?:record\w*|clip|sound|audio|picture|image|photo\w*|cover|attach\w*|this|here)\b", re.IGNORECASE
)
_PART = re.compile(r"[.;:!?\n]+\s*|,\s*(?:but|and|just|only)\b|\b(?:but|just|only)\b", re.IGNORECASE)


def misread(
    utterance: Utterance, meant: Sequence[Change], before: Sequence[Constraint], lexicon: Lexicon
) -> tuple[list[Change], list[Constraint]]:
    """(changes that no reader finds in the message, demands that it makes and that were not meant).

    before: the constraints that stood before it. A standing wish said again is no new demand.
    """
    found, after = changes(utterance, lexicon), merge(before, meant)
    standing = {(line.kind, line.clause) for line in (*before, *after)}
    read = {(line.kind, line.clause) for line in merge(before, found)}
    dropped = {change.clause.field for change in found if change.op == "drop"}

    def said(change: Change) -> bool:
        if change.op == "drop":
            return change.clause.field in dropped
        return change.kind == "prefer" or (change.kind, change.clause) in read

    missing = [change for change in meant if not said(change) and not evident(change, utterance, lexicon)]
    wishes = [change for change in found if change.op != "drop" and change.kind != "prefer"]
    extra = [change.constraint for change in wishes if (change.kind, change.clause) not in standing]
    lost = [line for line in demands(before) if line.clause.field in dropped and line in after]
    return missing, extra + lost


def evident(change: Change, utterance: Utterance, lexicon: Lexicon) -> bool:
    """Whether the message bears witness to a change: its value, numbers or reference with the right sign."""
    text = plain(utterance.text)
    clause, words = change.clause, lexicon.fields.get(change.clause.field)
    nouns = words.nouns if words is not None else (clause.field,)
    names_field = any(_said(noun, text) for noun in nouns)
    if change.op == "drop":
        return bool(_LETS_GO.search(text)) and (names_field or words is None)
    if change.attached:
        return bool(_SHOWS.search(text))
    if clause.cmp in ("same_group", "similar_to"):
        media = {"audio": "sound", "image": "cover"}.get(clause.field)
        about = names_field or media is None or _said(media, text)
        named = any(name in text for item in utterance.played for name in item.names)
        return about and (named or bool(_POINTS.search(text)))
    if clause.cmp in ("le", "ge", "between"):
        numbers = {float(number) for number in _NUMBER.findall(text)}
        ends = clause.value if isinstance(clause.value, tuple) else (clause.value,)
        return {float(end) for end in ends} <= numbers
    refused = change.kind == "must_not"
    values = clause.value if isinstance(clause.value, tuple) else (str(clause.value),)
    return all(any(_signed(form, text, refused) for form in _forms(clause, str(v), lexicon)) for v in values)


def _forms(clause: Clause, value: str, lexicon: Lexicon) -> list[str]:
    """Ways to say a value: as it is written, and the other words that the lexicon has for it."""
    words = lexicon.fields.get(clause.field)
    return [spoken(value), *(words.synonyms.get(value, ()) if words is not None else ())]


def _stem(word: str) -> str:
    """A word without its ending; a single letter keeps its case, for keys are written large."""
    if len(word) <= 2:
        return word
    folded = word.casefold().removesuffix("'s")
    for ending in ("ies", "ing", "ed", "es", "s", "y", "ly"):
        if len(folded) - len(ending) >= 3 and folded.endswith(ending):
            return folded.removesuffix(ending)
    return folded


def _said(phrase: str, text: str) -> bool:
    wanted = [_stem(word) for word in _WORD.findall(phrase)]
    said = [_stem(word) for word in _WORD.findall(text)]
    return bool(wanted) and any(
        said[at : at + len(wanted)] == wanted for at in range(len(said) - len(wanted) + 1)
    )


def _signed(phrase: str, text: str, refused: bool) -> bool:
    """Whether a part of the text says the phrase, and with a negation exactly when it is refused."""
    return any(
        _said(phrase, part) and bool(_NEGATES.search(part)) == refused for part in _PART.split(text) if part
    )
