"""Why music21 reads a tune otherwise: constructs that can be written out of the text without changing what it
says.

A rule of `RULES` rewrites one construct. It explains a difference when our own reading of the rewritten text
is the old one, note for note, and music21's reading of it becomes ours: then the construct, and nothing else,
made the two differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

_FIELD = re.compile(r"^[A-Za-z]:(?![|:])")
_QUOTED = r'("[^"]*"|\[[A-Za-z]:[^\]]*\])'  # never touched, but by the rule that takes quoted text out


def _in_body(change: Callable[[str], str], quoted: bool = False) -> Callable[[str], str]:
    """`change` applied to the music lines after the first K: field; to quoted text only if asked."""

    def apply(text: str) -> str:
        lines, body = [], False
        for line in text.splitlines():
            music = body and not _FIELD.match(line) and not line.startswith("%")
            body = body or line.startswith("K:")
            if music:
                parts = [line] if quoted else re.split(_QUOTED, line)
                line = "".join(part if place % 2 else change(part) for place, part in enumerate(parts))
            lines.append(line)
        return "\n".join(lines) + "\n"

    return apply


def _without(pattern: str, by: str = "", quoted: bool = False) -> Callable[[str], str]:
    """Every match of `pattern` in the music replaced."""
    return _in_body(lambda music: re.sub(pattern, by, music), quoted)


def _other_ties(music: str) -> str:
    """Without the ties whose next note is another pitch: they are slurs."""
    notes = list(re.finditer(r"([\^_=]*)([A-Ga-g][,']*)[\d/<>]*(-?)", music))
    cuts = [note.start(3) for note, after in pairwise(notes) if note[3] and note[2] != after[2]]
    return "".join(letter for place, letter in enumerate(music) if place not in cuts)


def _explicit_chords(music: str) -> str:
    """With the accidental that holds in the bar written out before each note of a chord."""
    held: dict[str, str] = {}

    def step(match: re.Match[str]) -> str:
        if match[0] == "|":
            held.clear()
        held.update((letter.upper(), sign) for sign, letter in re.findall(r"([\^_=]+)([A-Ga-g])", match[0]))
        if match[0][0] != "[":
            return match[0]
        return re.sub(
            r"([\^_=]*)([A-Ga-g])",
            lambda note: (note[1] or held.get(note[2].upper(), "")) + note[2],
            match[0],
        )

    return re.sub(r"\||\[[^\]|]*\]|[\^_=]+[A-Ga-g]", step, music)


def _bare_broken(music: str) -> str:
    """Broken rhythm with neither slur nor decoration beside its mark; quoted text stays."""
    pattern = r'("[^"]*")|[.)]*([<>]+)("[^"]*")?[(.TMuvk~)H]*'
    return re.sub(pattern, lambda match: match[1] or match[2] + (match[3] or ""), music)


def _plain_graces(music: str) -> str:
    """Grace notes, which neither reading plays, without accidentals."""
    return re.sub(r"\{[^}]*\}", lambda match: re.sub(r"[\^_=]", "", match[0]), music)


# Written out of the text: what music21 stumbles over, gone, while our reading stays.
RULES: dict[str, Callable[[str], str]] = {
    "broken rhythm lost beside a slur or decoration (`A>.B`, `(AB)>c`)": _in_body(_bare_broken, quoted=True),
    "note under a fermata dropped (`HG`)": _without(r"H"),
    "note under a quoted `>` dropped": _without(r'">[^"]*"', quoted=True),
    "other quoted text": _without(r'"[^">][^"]*"', quoted=True),
    "tie between different pitches, which ties nothing (`F-E`)": _in_body(_other_ties),
    "note before `::` dropped (`E::` taken for a field)": _without(r"(?<=[A-Ga-g])::", " ::"),
    "accidental not carried into a chord": _in_body(_explicit_chords, quoted=True),
    "invisible rest (`x`) not read": _without(r"x", "z"),
    "accidental under a decoration not carried (`T^c B/c/`)": _without(r"[TMuvk~.]+(?=[\^_=])"),
    "accidental of a grace note carried through the bar (the standard is silent)": _in_body(_plain_graces),
    "`!` as a line break": _without(r"!"),
    "other decoration": _without(r"[TMuvk~.]"),
    "other slur": _without(r"\((?!\d)|\)"),
}
# Read as if: our reading of the rewritten text is music21's of the printed one.
AS_IF: dict[str, Callable[[str], str]] = {
    "tie between chords not joined (`[DF]-[DF]`)": _without(r"(?<=\])-|-(?=[^\[\]|]*\])", quoted=True),
}
