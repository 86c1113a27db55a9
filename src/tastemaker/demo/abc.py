"""A reader of ABC notation: one tune of text in, its headers and its notes out.

Follows the ABC standard 2.1 (Walshaw and others, 2011): accidentals last for the bar and hold in every
octave, a tie carries them over a bar line, the first voice is played, repeats and numbered endings are
expanded. Grace notes, ornaments, chord symbols, words, part orders (`P:`) and da capos are not played. Titles
and tune types are put in order here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from tastemaker.arrays import Floats
from tastemaker.demo.abc_body import Key, fraction, is_compound, read_body, read_key, read_metre
from tastemaker.errors import InputError

DEFAULT_TEMPO = 120.0  # quarters a minute, for a tune that prints none
_FIELD = re.compile(r"^([A-Za-z]):(?![|:])(.*)$")
_TEMPO = re.compile(r"(\d+)\s*/\s*(\d+)\s*=\s*(\d+(?:\.\d+)?)")

# Types of tunes, with the pulses a minute from which an unprinted tempo is drawn; the pulse is the half note
# in 2/2 and 4/4.
TEMPI = {
    "reel": (96, 116),
    "hornpipe": (72, 92),
    "jig": (104, 124),
    "slip jig": (108, 126),
    "slide": (116, 132),
    "strathspey": (60, 72),
    "highland fling": (64, 78),
    "clog": (66, 80),
    "march": (76, 96),
    "quickstep": (96, 112),
    "waltz": (120, 150),
    "minuet": (100, 120),
    "gavotte": (66, 80),
    "polka": (112, 132),
    "planxty": (84, 104),
    "lament": (50, 66),
    "air": (56, 76),
}
_TYPE_WORDS = {
    **{word: word for word in TEMPI},
    "slipjig": "slip jig",
    "fling": "highland fling",
    "quick step": "quickstep",
    "strathsy": "strathspey",
    "strathspe": "strathspey",
    "quick march": "march",
    "double jig": "jig",
    "single jig": "jig",
    "lamentation": "lament",
}
TYPE_PATTERN = re.compile(
    r"\b(" + "|".join(sorted(_TYPE_WORDS, key=len, reverse=True)) + r")s?\b", re.IGNORECASE
)
_SMALL_WORDS = "a an and as at by de for from in of on or o' o'er the to wi' with"
_SMALL = frozenset(_SMALL_WORDS.split())


@dataclass(frozen=True)
class Tune:
    """A tune: headers, and `notes` (n, 3) float64 [onset s, duration s, MIDI] at `tempo` quarters a minute.

    `metre` is canonical ("4/4", "2/2", "free"); `titles`, `rhythm` (R) and `book` (B) are as printed.
    Contributors' lines (Z) hold e-mail addresses and are never kept.
    """

    number: str
    titles: tuple[str, ...]
    rhythm: str
    metre: str
    key: Key
    tempo: float
    tempo_printed: bool
    book: str
    notes: Floats

    def at_tempo(self, tempo: float) -> Tune:
        """The same tune played at `tempo` quarters a minute."""
        ratio = self.tempo / tempo
        return replace(self, tempo=tempo, notes=self.notes * np.array([ratio, ratio, 1.0]))


def read_tempo(text: str, metre: str) -> float | None:
    """A `Q:` field in quarters a minute; a bare number counts the metre's beats; None without one."""
    match = _TEMPO.search(text)
    if match:
        return float(match[3]) * 4.0 * int(match[1]) / max(int(match[2]), 1) or None
    bare = re.match(r"^\s*(\d+)\s*$", text)
    return float(bare[1]) * (1.5 if is_compound(metre) else 1.0) or None if bare else None


def split_tunes(text: str) -> list[str]:
    """The tunes of a file: each from its `X:` line to the line before the next."""
    return [f"X:{part}" for part in re.split(r"(?m)^X:", text)[1:]]


def _headers(text: str) -> tuple[dict[str, list[str]], str]:
    """The fields up to and with the first `K:`, and the body as one string with its inline fields."""
    fields: dict[str, list[str]] = {}
    body: list[str] = []
    for line in text.splitlines():
        line = line.split("%", 1)[0].strip()
        match = _FIELD.match(line)
        if match is None:
            if "K" in fields:
                body.append(line)
        elif "K" not in fields:
            fields.setdefault(match[1], []).append(match[2].strip())
        elif match[1] in "KMLV":
            body.append(f"[{match[1]}:{match[2].replace(']', ' ')}]")
    return fields, " ".join(body)


def read_abc(text: str, repeats: bool = True) -> Tune:
    """Read one tune; `notes` are seconds at the printed tempo, or at `DEFAULT_TEMPO`.

    Without `repeats` every bar is played once, as written.

    Raises InputError naming the tune (X and first title) when it has no `K:` field or no note, or when its
    repeats never end.
    """
    fields, body = _headers(text)
    first = {name: values[0] for name, values in fields.items()}
    name = f"tune X:{first.get('X', '?')} '{first.get('T', 'untitled')}'"
    if "K" not in fields:
        raise InputError(f"{name}: has no K: field, where its body would begin; add one, such as K:D")
    metre, bar = read_metre(first.get("M", ""))
    key = read_key(first["K"])
    # The standard's default unit: a sixteenth under a metre smaller than 3/4, else an eighth.
    unit = 4.0 * fraction(first.get("L", ""), 0.0625 if bar < 3.0 else 0.125)
    try:
        notes = read_body(body, key, unit, metre, bar, repeats)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    if not notes:
        raise InputError(f"{name}: has no note that can be read; its body is empty or is not ABC")
    printed = read_tempo(first.get("Q", ""), metre)
    tempo = printed or DEFAULT_TEMPO
    seconds = np.array([60.0 / tempo, 60.0 / tempo, 1.0])
    return Tune(
        number=first.get("X", ""),
        titles=tuple(title for title in fields.get("T", []) if title),
        rhythm=first.get("R", ""),
        metre=metre,
        key=key,
        tempo=tempo,
        tempo_printed=printed is not None,
        book=first.get("B", ""),
        notes=np.array(notes, dtype=np.float64) * seconds,
    )


def clean_title(text: str) -> str:
    """A printed title as a person would write it: "NIGHT OF FUN -- JIG., THE" is "The Night of Fun"."""
    text = re.sub(r"at:(?=\w|\b)", "at", text).strip().strip('"').strip()
    text = re.sub(r"\\(.)([A-Za-z])", r"\2", text)
    text = re.sub(r"\.([bcdfgmpst])(?=[a-z .]|$)", r"\1h", text)  # the dot of lenition in Irish titles
    article = re.search(r",\s*(the|a|an)\.?$", text, re.IGNORECASE)
    text = text[: article.start()] if article else text
    text = re.sub(r"[\[(][^\])]*[\])]", "", text).strip()
    kind = re.search(r"\s+-{1,2}\s+([^-]+)$", text)
    if kind and TYPE_PATTERN.search(kind[1]):
        type_only = TYPE_PATTERN.fullmatch(kind[1].strip(" ."))
        text = text[: kind.start()] + ("" if type_only else f" {kind[1]}")
    text = re.sub(r"\s+", " ", text).strip(' .,;:"').strip()
    if article:
        text = f"{article[1]} {text}"
    letters = [letter for letter in text if letter.isalpha()]
    words = text.split(" ")
    shouted = bool(letters) and sum(letter.isupper() for letter in letters) > 0.8 * len(letters)
    words = [_capitals(word, place, shouted) for place, word in enumerate(words)]
    return " ".join(words)


def _capitals(word: str, place: int, shouted: bool) -> str:
    """One word of a title: small words small unless first, others capital; "O'NEILL'S": "O'Neill's"."""
    if shouted:
        word = word.lower()
    if place and word.lower() in _SMALL:
        return word.lower()
    if not word or not (word[0].islower() or shouted):
        return word
    word = word[0].upper() + word[1:]
    return re.sub(
        r"((?:^|-)(?:O'|Mac(?=[^aehk])|Mc)?)([a-z])", lambda match: match[1] + match[2].upper(), word
    )


def tune_type(tune: Tune) -> str | None:
    """The printed rhythm, else a whole word of a title, else None (never guessed from the metre)."""
    for text in (tune.rhythm, *tune.titles):
        match = TYPE_PATTERN.search(text)
        if match:
            word = match[1].lower()
            return _TYPE_WORDS[word]
    return None
