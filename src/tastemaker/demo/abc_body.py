"""The notes of an ABC tune body: keys, metres, lengths, broken rhythm, tuplets, ties, bars and repeats.

Follows the ABC standard 2.1 (Walshaw and others, 2011); `tastemaker.demo.abc` says what is and is not played.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tastemaker.errors import InputError

# By the first three letters: a mode's name, and its sharps relative to the major on the same tonic.
MODES = {
    "maj": ("major", 0),
    "ion": ("major", 0),
    "mix": ("mixolydian", -1),
    "dor": ("dorian", -2),
    "min": ("minor", -3),
    "aeo": ("minor", -3),
    "phr": ("phrygian", -4),
    "loc": ("locrian", -5),
    "lyd": ("lydian", 1),
}
DARK_MODES = frozenset({"minor", "dorian", "phrygian", "locrian"})
FIFTHS = "FCGDAEB"
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": None, "=": 0, "^": 1, "^^": 2, "_": -1, "__": -2}
_TUPLETS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}
# Expanded notes; a tune of nested repeats beyond this is refused, not played for ever.
_MAXIMUM_EVENTS = 20_000

_TOKEN = re.compile(
    r"""(?P<text>"[^"]*"|\{[^}]*\}|![^!\s]{1,30}!)
    |\[(?P<field>[A-Za-z]):(?P<content>[^\]]*)\]
    |(?P<bar>\[?[:|\]]*\|[:|\]]*|::+)(?:\s*\[\s*(?=\d))?(?P<after>\d[\d,.\-]*)?
    |\[\s*(?P<ending>\d[\d,.\-]*)
    |\[(?P<chord>[^\]|]*)\](?P<chord_length>\d*/*\d*)
    |\((?P<tuplet>\d)(?::(?P<into>\d?))?(?::(?P<over>\d?))?
    |(?P<note>(?P<accidental>\^{1,2}|_{1,2}|=)?(?P<letter>[A-Ga-g])(?P<octave>[',]*)(?P<length>\d*/*\d*))
    |(?P<rest>[zxXZ])(?P<rest_length>\d*/*\d*)
    |(?P<broken>>+|<+)
    |(?P<tie>-)
    """,
    re.VERBOSE,
)
_NOTE = re.compile(r"(\^{1,2}|_{1,2}|=)?([A-Ga-g])([',]*)(\d*/*\d*)(-?)")
_KEY = re.compile(r"^\s*([A-G])([#b♯♭]?)\s*([A-Za-z]*)(.*)$")


@dataclass(frozen=True)
class Key:
    """Tonic ("F#"), mode (the name of one of `MODES`) and the alteration of each letter, in semitones."""

    tonic: str
    mode: str
    alterations: dict[str, int]


def read_key(text: str) -> Key:
    """A `K:` field: tonic, mode by three letters, accidentals; `Hp`: Highland pipes' A mixolydian."""
    if text.strip()[:2].lower() == "hp":
        text = "Amix"
    match = _KEY.match(text)
    if match is None:
        return Key("C", "major", dict.fromkeys(FIFTHS, 0))
    letter, sign, word, accidentals = match.groups()
    mode = word.lower()[:3]
    # A lone capital M is a minor in the collections read here (E M, closing on E with natural Gs).
    mode = (
        mode if mode in MODES else "min" if mode == "m" or (word[:1] == "m" and word[:2] != "mi") else "maj"
    )
    shift = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[sign]
    title, signature = MODES[mode]
    sharps = FIFTHS.index(letter) - 1 + 7 * shift + signature
    alterations = {name: (sharps + 6 - place) // 7 for place, name in enumerate(FIFTHS)}
    for accidental, name in re.findall(r"(\^{1,2}|_{1,2}|=)([A-Ga-g])", word + accidentals):
        alterations[name.upper()] = int(_ACCIDENTALS[accidental] or 0)
    return Key(letter + {"♯": "#", "♭": "b"}.get(sign, sign), title, alterations)


def read_metre(text: str) -> tuple[str, float]:
    """An `M:` field as (name, quarters a bar): C is 4/4, C| is 2/2, what has no fraction ("free", 4)."""
    text = {"C": "4/4", "C|": "2/2"}.get(text.strip(), text.strip())
    match = re.match(r"^(\d+)\s*/\s*(\d+)$", text)
    if match is None or not int(match[1]) or not int(match[2]):
        return "free", 4.0
    return f"{int(match[1])}/{int(match[2])}", 4.0 * int(match[1]) / int(match[2])


def is_compound(metre: str) -> bool:
    """Whether the beat divides in three."""
    return metre in {"6/8", "9/8", "12/8", "6/4", "9/4"}


def _length(text: str) -> float:
    """A note length as a multiple of the unit: "" 1, "3" 3, "/" 1/2, "//" 1/4, "3/2" 1.5."""
    if not text:
        return 1.0
    head, slash, tail = text.partition("/")
    value = float(head or 1)
    if slash:
        value /= float(tail) if tail.isdigit() and int(tail) else 2.0 ** (1 + tail.count("/"))
    return value


@dataclass
class _Segment:
    """Bars between repeat marks; `notes`: [onset, duration, MIDI, tied] in quarters from its start."""

    notes: list[list[float]]
    length: float = 0.0
    opens: bool = False  # a place an unmatched end-repeat goes back to
    repeats: bool = False  # closes with an end-repeat
    endings: frozenset[int] = frozenset()


class _Body:
    """The state of reading a body: key, accidentals, unit, tuplet, broken rhythm, segments so far."""

    def __init__(self, key: Key, unit: float, metre: str, bar: float) -> None:
        self.key, self.unit, self.metre, self.bar = key, unit, metre, bar
        self.altered: dict[str, int] = {}
        # Alterations of the last group, by letter and octave, and the same while a tie holds them.
        self.recent: dict[tuple[str, int], int] = {}
        self.carried: dict[tuple[str, int], int] = {}
        self.tuplet_left, self.tuplet_factor, self.broken = 0, 1.0, 1.0
        self.last: tuple[int, float] = (0, 0.0)  # first note of the last group, its length
        self.voice: str | None = None
        self.muted = False
        self.segments = [_Segment([], opens=True)]

    def pitch(self, accidental: str, letter: str, marks: str) -> tuple[float, tuple[str, int]]:
        """The MIDI number of a written note, and its (letter, octave)."""
        name = letter.upper()
        octave = 5 + letter.islower() + marks.count("'") - marks.count(",")
        place = (name, octave)
        sign = _ACCIDENTALS[accidental or ""]
        if sign is not None:
            self.altered[name] = sign
        elif place in self.carried and name not in self.altered:
            sign = self.carried[place]
        else:
            sign = self.altered.get(name, self.key.alterations[name])
        return 12.0 * octave + _SEMITONES[name] + sign, place

    def place(self, pitches: list[tuple[float, tuple[str, int]]], units: float, tied: bool = False) -> None:
        """Append a note, chord or (no pitches) rest, `units` of unit length before tuplet and dot."""
        segment = self.segments[-1]
        duration = units * self.unit * self.broken
        self.broken = 1.0
        if self.tuplet_left:
            self.tuplet_left -= 1
            duration *= self.tuplet_factor
        self.last = (len(segment.notes), duration)
        segment.notes += [[segment.length, duration, midi, float(tied)] for midi, _ in pitches]
        segment.length += duration
        self.recent = {where: int(midi) - 12 * where[1] - _SEMITONES[where[0]] for midi, where in pitches}
        self.carried = self.recent if tied else {}

    def dot(self, marks: str) -> None:
        """Broken rhythm: `>` lengthens the last group and shortens the next, `<` the other way round."""
        small = 0.5 ** len(marks)
        factor, self.broken = (2.0 - small, small) if marks[0] == ">" else (small, 2.0 - small)
        first, length = self.last
        segment = self.segments[-1]
        if length:
            for note in segment.notes[first:]:
                note[1] *= factor
            segment.length += length * (factor - 1.0)

    def tie(self) -> None:
        """Mark the last group as tied to what follows."""
        self.carried = self.recent
        for note in self.segments[-1].notes[self.last[0] :]:
            note[3] = 1.0

    def mark(self, bar: str, ending: str) -> None:
        """A bar line or ending: accidentals end; a repeat, double bar or ending starts a segment."""
        if bar:
            self.altered = {}
        opens = bar.endswith(":") or "||" in bar or "]" in bar or "[" in bar or bar.startswith(":")
        if not opens and not ending:
            return
        numbers = {int(number) for number in re.findall(r"\d", ending)}
        if "-" in ending and len(numbers) == 2:
            numbers = set(range(min(numbers), max(numbers) + 1))
        last = self.segments[-1]
        if (
            len(self.segments) > 1 and not last.length and not last.endings
        ):  # two marks in a row, as in `:| [2`
            self.segments[-2].repeats |= bar.startswith(":")
            last.opens, last.endings = last.opens or opens, frozenset(numbers)
            return
        last.repeats = bar.startswith(":")
        self.segments.append(_Segment([], opens=opens, endings=frozenset(numbers)))
        self.last = (0, 0.0)

    def field(self, name: str, content: str) -> None:
        """A field inside the body: key, metre, unit length or voice."""
        if name == "K":
            self.key = read_key(content)
        elif name == "M":
            self.metre, self.bar = read_metre(content)
        elif name == "L":
            self.unit = 4.0 * fraction(content, self.unit / 4.0)
        elif name == "V":
            voice = content.split()[0] if content.split() else ""
            self.voice = self.voice or voice
            self.muted = voice != self.voice


def fraction(text: str, default: float) -> float:
    """`1/8` as a number; `default` when there is none."""
    match = re.match(r"^\s*(\d+)\s*/\s*(\d+)", text)
    return int(match[1]) / int(match[2]) if match and int(match[1]) and int(match[2]) else default


def _step(body: _Body, match: re.Match[str]) -> None:
    """Apply one token."""
    if match["field"]:
        body.field(match["field"], match["content"])
    elif body.muted:
        return
    elif match["letter"]:
        body.place(
            [body.pitch(match["accidental"], match["letter"], match["octave"])], _length(match["length"])
        )
    elif match["bar"]:
        body.mark(match["bar"], match["after"] or "")
    elif match["broken"]:
        body.dot(match["broken"])
    elif match["tie"]:
        body.tie()
    elif match["rest"]:
        units = _length(match["rest_length"])
        body.place([], units * body.bar / body.unit if match["rest"] == "Z" else units)
    elif match["tuplet"]:
        count = int(match["tuplet"])
        into = int(match["into"] or 0) or _TUPLETS.get(count, 3 if is_compound(body.metre) else 2)
        body.tuplet_left, body.tuplet_factor = int(match["over"] or 0) or count, into / max(count, 1)
    elif match["chord"] is not None:
        notes = _NOTE.findall(match["chord"])
        if notes:
            tied = any(note[4] for note in notes)
            units = _length(notes[0][3]) * _length(match["chord_length"])
            body.place([body.pitch(*note[:3]) for note in notes], units, tied)
    elif match["ending"]:
        body.mark("", match["ending"])


def _expand(segments: list[_Segment]) -> list[_Segment]:
    """The segments as played: repeats twice (or as often as endings count), each with its ending."""
    played: list[_Segment] = []
    place, start, turn = 0, 0, 1
    while place < len(segments):
        segment = segments[place]
        last = place + 1 == len(segments)
        if not segment.endings and (segment.opens or turn > 1) and place != start:
            start, turn = place, 1
        if segment.endings and turn not in segment.endings:
            place += 1
            continue
        played.append(segment)
        if sum(len(part.notes) for part in played) > _MAXIMUM_EVENTS:
            raise InputError(
                f"its repeats expand to more than {_MAXIMUM_EVENTS:,} notes; check the repeat marks"
            )
        # A first ending printed without its repeat mark goes back all the same.
        ends = segment.repeats or (bool(segment.endings) and not last and bool(segments[place + 1].endings))
        passes = max([2, *(max(part.endings) for part in _alternatives(segments, place))])
        if ends and turn < passes and (segment.endings or turn == 1):
            turn, place = turn + 1, start
            continue
        if ends and not segment.endings:
            start, turn = place + 1, 1
        place += 1
    return played


def _alternatives(segments: list[_Segment], place: int) -> list[_Segment]:
    """The run of numbered endings that `place` lies in or that follows it."""
    first = place
    while first > 0 and segments[first].endings and segments[first - 1].endings:
        first -= 1
    first += not segments[first].endings
    run = []
    while first < len(segments) and segments[first].endings:
        run.append(segments[first])
        first += 1
    return run


def read_body(
    text: str, key: Key, unit: float, metre: str, bar: float, repeats: bool
) -> list[tuple[float, float, float]]:
    """The notes of a body as (onset, duration, MIDI), in quarters, ties joined.

    `unit` is the unit note length and `bar` the bar, in quarters. Without `repeats` bars are played once.
    """
    body = _Body(key, unit, metre, bar)
    for match in _TOKEN.finditer(text):
        if not match["text"]:
            _step(body, match)
    notes: list[tuple[float, float, float]] = []
    tied: dict[float, int] = {}  # by pitch: the note that waits for its continuation
    start = 0.0
    for segment in _expand(body.segments) if repeats else body.segments:
        for onset, duration, midi, ties in segment.notes:
            onset += start
            index = tied.pop(midi, None)
            if index is not None and abs(notes[index][0] + notes[index][1] - onset) < 1e-6:
                notes[index] = (notes[index][0], notes[index][1] + duration, midi)
            else:
                index = len(notes)
                notes.append((onset, duration, midi))
            if ties:
                tied[midi] = index
        start += segment.length
    return notes
