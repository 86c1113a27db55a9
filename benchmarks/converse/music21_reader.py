"""The oracle's side, run by the Python that has music21: a tune in, its notes out, a JSON line each.

    python music21_reader.py < texts > notes

Each line in is {"text": ABC, "played": whether repeats are expanded}; each line out {"notes": [[onset,
duration, MIDI], ...]} in quarters, ties joined, without grace notes and chord symbols, or {"error": why}.
"""

from __future__ import annotations

import json
import sys
import warnings

from music21 import converter, harmony, stream


def notes_of(text: str, played: bool) -> list[list[float]]:
    """The notes of one tune. The first line makes music21 carry accidentals through the bar, as the standard
    wants.
    """
    score = converter.parse("%abc-2.1\n" + text, format="abc")
    part = score.parts[0] if isinstance(score, stream.Score) else score
    if played:
        part = part.expandRepeats()
    rows = []
    for note in part.stripTies().flatten().notes:
        if not note.duration.isGrace and not isinstance(note, harmony.Harmony):
            rows += [
                [float(note.offset), float(note.quarterLength), float(pitch.midi)] for pitch in note.pitches
            ]
    return sorted(rows)


def main() -> None:
    """Answer line by line until the input ends; an error is an answer too."""
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"notes": notes_of(asked["text"], asked["played"])}
        except Exception as error:  # whatever stops the oracle is a fact about the oracle
            answer = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
