"""Invented tunes for when no collection is installed: ABC, so they go through the same reader.

A tune has two parts of eight bars (AABB), each a question and an answer that share their opening; strong
beats lean on the chord of the bar, the melody moves mostly by step, and each part closes on the tonic.
"""

from __future__ import annotations

import numpy as np

from tastemaker.errors import InputError
from tastemaker.stats.random import generator

BOOK = "Invented Airs"
# Type: metre, unit, and bar rhythms in units (each sums to the bar).
_FORMS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "reel": ("4/4", "1/8", ("11111111", "2111111", "211211", "1111211")),
    "hornpipe": ("4/4", "1/8", (">>>>", ">>11>", "2211>", ">>22")),
    "jig": ("6/8", "1/8", ("111111", "21111", "2121", "11121")),
    "slip jig": ("9/8", "1/8", ("111111111", "2111121", "212121", "11121111")),
    "polka": ("2/4", "1/8", ("1111", "211", "112", "22")),
    "waltz": ("3/4", "1/4", ("111", "21", "12", "111")),
    "march": ("4/4", "1/8", ("2222", "3122", "22211", "31211")),
    "strathspey": ("4/4", "1/8", ("><><", "<><>", "><22", "2><2")),
    "air": ("3/4", "1/8", ("222", "3111", "42", "1122")),
}
_CELLS = {">": (1.5, 0.5), "<": (0.5, 1.5)}
# Mode: semitones of the scale, and the sharps of its signature relative to the major on the same tonic.
_MODES = {"": 0.5, "mix": 0.14, "dor": 0.16, "m": 0.2}
_TONICS = {"": "GDACF", "mix": "DAG", "dor": "EAD", "m": "EABD"}
_CHORDS = {"": (0, 3, 4, 0), "mix": (0, 6, 3, 0), "dor": (0, 6, 3, 0), "m": (0, 6, 5, 0)}
_LETTERS = "CDEFGAB"
_FIRST_WORDS = (
    "Copper Larkspur Hollow Amber Winding Northern Quiet Silver Thistle Harbour Merry Lantern Rowan Frosty"
    " Wandering Saffron Hidden Orchard Russet Tidal Bramble Gilded Hazel Drowsy Velvet"
)
_SECOND_WORDS = (
    "Kettle Ferry Weaver Sparrow Causeway Gate Miller Fiddle Lighthouse Meadow Piper Bridge Cobbler Heron"
    " Chimney Tinker Anchor Shepherd Market Fox Spindle Ploughman Garland Turnstile Ribbon"
)
_FIRST, _SECOND = _FIRST_WORDS.split(), _SECOND_WORDS.split()
_TITLES = (
    "The {0} {1}",
    "{0} {1}",
    "The {1}'s {0}",
    "{0} {1} Fair",
    "The {0} {1} Road",
    "Farewell to the {0} {1}",
    "The {1} of {0} Hill",
    "Miss {0}'s {1}",
)


def _place(degree: int, tonic: str) -> str:
    """The ABC letter of a scale degree (0 = the tonic at or above D4), with its octave mark."""
    step = _LETTERS.index(tonic[0]) + degree + (7 if tonic[0] == "C" else 0)
    octave, letter = divmod(step, 7)
    name = _LETTERS[letter]
    if octave <= 0:
        return name + "," * -octave
    return name.lower() + "'" * (octave - 1)


def _bar(
    rng: np.random.Generator, rhythm: str, chord: int, degree: int
) -> tuple[list[tuple[int, float]], int]:
    """Notes (degree, length) of a bar from `degree` on: chord notes on strong places, steps between."""
    lengths = [
        length for sign in rhythm for length in _CELLS.get(sign, (float(sign) if sign.isdigit() else 1.0,))
    ]
    notes, position = [], 0.0
    for length in lengths:
        if position % 3 < 0.1 or position % 4 < 0.1:
            near = [chord % 7 + offset + octave for offset in (0, 2, 4) for octave in (-7, 0, 7)]
            near = [note for note in near if -3 <= note <= 9]
            weights = np.exp(-0.55 * np.abs(np.array(near) - degree))
            degree = int(rng.choice(near, p=weights / weights.sum()))
        else:
            degree += int(rng.choice((-2, -1, 0, 1, 2), p=(0.12, 0.34, 0.06, 0.36, 0.12)))
            degree = max(-3, min(9, degree))
        notes.append((degree, length))
        position += length
    return notes, degree


def _write(notes: list[tuple[int, float]], tonic: str) -> str:
    """A bar of notes as ABC."""
    lengths = {0.5: "/", 1.0: "", 1.5: "3/2"}
    return "".join(_place(degree, tonic) + lengths.get(length, f"{length:g}") for degree, length in notes)


def _part(rng: np.random.Generator, kind: str, mode: str, tonic: str, height: int) -> str:
    """Eight bars: question and answer open alike, and the answer closes on the tonic."""
    rhythms = _FORMS[kind][2]
    chosen = [rhythms[int(index)] for index in rng.integers(len(rhythms), size=8)]
    degree = height
    bars: list[list[tuple[int, float]]] = []
    for number in range(8):
        if number in (4, 5):
            bars.append(bars[number - 4])
            continue
        chord = 4 if number == 3 else _CHORDS[mode][int(rng.integers(4))] if number % 4 else 0
        notes, degree = _bar(rng, chosen[number], chord, degree)
        bars.append(notes)
    total = sum(length for _, length in bars[7])
    last = {3: 2.0, 4: 2.0, 6: 3.0, 8: 4.0, 9: 6.0}[int(total)]
    head: list[tuple[int, float]] = []
    elapsed = 0.0
    for note, length in bars[7]:
        if elapsed + length > total - last:
            break
        head.append((note, length))
        elapsed += length
    bars[7] = [*head, (0 if degree < 5 else 7, total - elapsed)]
    return "|".join(_write(bar, tonic) for bar in bars)


def procedural_tunes(n: int, seed: int) -> list[str]:
    """`n` invented tunes as ABC text; tune i of a seed is the same whatever `n`.

    Raises InputError when more titles are asked for than there are (5,000).
    """
    if n > 5_000:
        raise InputError(f"{n:,} invented tunes were asked for; there are titles for 5,000")
    texts = []
    shuffled = generator(seed, "titles").permutation(len(_FIRST) * len(_SECOND) * 8)
    kinds = list(_FORMS)
    for number in range(n):
        rng = generator(seed, "tune", number)
        kind = kinds[int(rng.integers(len(kinds)))]
        mode = str(rng.choice(list(_MODES), p=list(_MODES.values())))
        tonic = str(rng.choice(list(_TONICS[mode])))
        metre, unit, _ = _FORMS[kind]
        pair, form = divmod(int(shuffled[number]), 8)
        title = _TITLES[form].format(_FIRST[pair % len(_FIRST)], _SECOND[pair // len(_FIRST)])
        parts = [_part(rng, kind, mode, tonic, height) for height in (0, 4)]
        head = f"X:{number + 1}\nT:{title}\nR:{kind}\nB:{BOOK}\nM:{metre}\nL:{unit}\nK:{tonic}{mode}\n"
        texts.append(head + f"|:{parts[0]}:|\n|:{parts[1]}:|\n")
    return texts
