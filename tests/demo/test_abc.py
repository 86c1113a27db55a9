"""The ABC reader against notes worked out by hand, its own round trip, and music21 where that can be
imported.
"""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.demo.abc import clean_title, read_abc, read_tempo, split_tunes, tune_type
from tastemaker.demo.abc_body import read_key, read_metre
from tastemaker.demo.tunes import BOOKS, corpus_folder
from tastemaker.errors import InputError

HEAD = "X:1\nT:Test\nM:4/4\nL:1/8\nQ:1/4=60\nK:{key}\n"


def notes(body: str, key: str = "C", repeats: bool = True) -> np.ndarray:
    """At a quarter a second, so that seconds are quarters."""
    return read_abc(HEAD.format(key=key) + body, repeats).notes


def pitches(body: str, key: str = "C", repeats: bool = True) -> list[int]:
    return [int(pitch) for pitch in notes(body, key, repeats)[:, 2]]


def durations(body: str, key: str = "C") -> list[float]:
    return [round(float(length), 9) for length in notes(body, key)[:, 1]]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("D", [62, 64, 66, 67, 69, 71, 73, 74]),
        ("C", [62, 64, 65, 67, 69, 71, 72, 74]),
        ("Ddor", [62, 64, 65, 67, 69, 71, 72, 74]),
        ("D Mixolydian", [62, 64, 66, 67, 69, 71, 72, 74]),
        ("Dm", [62, 64, 65, 67, 69, 70, 72, 74]),
        ("D minor", [62, 64, 65, 67, 69, 70, 72, 74]),
        ("DM", [62, 64, 65, 67, 69, 70, 72, 74]),
        ("Dphr", [62, 63, 65, 67, 69, 70, 72, 74]),
        ("Dlyd", [62, 64, 66, 68, 69, 71, 73, 74]),
        ("Hp", [62, 64, 66, 67, 69, 71, 73, 74]),
        ("Bb", [62, 63, 65, 67, 69, 70, 72, 74]),
        ("F#m", [62, 64, 66, 68, 69, 71, 73, 74]),
        ("Dmix=c^g", [62, 64, 66, 68, 69, 71, 72, 74]),
        ("none", [62, 64, 65, 67, 69, 71, 72, 74]),
    ],
)
def test_a_scale_from_d_has_the_signature_of_its_key(key: str, expected: list[int]) -> None:
    assert pitches("DEFG ABcd|", key) == expected


def test_every_major_key_is_a_major_scale_on_its_tonic() -> None:
    steps = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    for tonic in ("C", "G", "D", "A", "E", "B", "F#", "F", "Bb", "Eb", "Ab", "Db"):
        key = read_key(tonic)
        letters = ("CDEFGAB" * 2)["CDEFGAB".index(tonic[0]) :][:7]
        scale = [(steps[letter] + key.alterations[letter]) % 12 for letter in letters]
        root = (steps[tonic[0]] + (tonic[1:] == "#") - (tonic[1:] == "b")) % 12
        assert [(step - root) % 12 for step in scale] == [0, 2, 4, 5, 7, 9, 11]


def test_octaves_lengths_and_accidentals() -> None:
    assert pitches("C,, C, C c c' c''") == [36, 48, 60, 72, 84, 96]
    assert durations("C C2 C/ C// C3/2 C/4 C3/") == [0.5, 1.0, 0.25, 0.125, 0.75, 0.125, 0.75]
    assert pitches("^GAG g|G ^^G __G =G") == [68, 69, 68, 80, 67, 69, 65, 67]  # a bar long, in every octave


def test_onsets_add_up_and_rests_count() -> None:
    assert notes("C z2 D x | Z E")[:, 0].tolist() == [0.0, 1.5, 2.5 + 4.0]


def test_broken_rhythm_also_across_decorations_and_slurs() -> None:
    assert durations("A>B A<B") == [0.75, 0.25, 0.25, 0.75]
    assert durations("A>>B A<<<B") == [0.875, 0.125, 0.0625, 0.9375]
    assert durations("A>.B (A>(B)) A> {c}B") == [0.75, 0.25] * 3


def test_tuplets_by_default_by_metre_and_spelled_out() -> None:
    assert durations("(3ABc A") == pytest.approx([1 / 3] * 3 + [0.5])
    assert durations("(3A2B2c2") == pytest.approx([2 / 3] * 3)
    assert durations("(5ABcde") == pytest.approx([0.2] * 5)
    assert durations("(3:2:2 A2 B A") == pytest.approx([2 / 3, 1 / 3, 0.5])
    compound = read_abc("X:1\nT:t\nM:6/8\nL:1/8\nQ:1/4=60\nK:C\n(2AB (4ABcd").notes[:, 1]
    assert compound == pytest.approx([0.75] * 2 + [0.375] * 4)


def test_ties_join_equal_pitches_only_and_carry_an_accidental_over_the_bar() -> None:
    assert notes("A-A2 B").tolist() == [[0.0, 1.5, 69.0], [1.5, 0.5, 71.0]]
    assert pitches("A-B") == [69, 71]  # as a slur in O'Neill's
    assert notes("^f2-|f2 f").tolist() == [[0.0, 2.0, 78.0], [2.0, 0.5, 77.0]]
    assert notes("[^C-E-]|[CE]").tolist() == [[0.0, 1.0, 61.0], [0.0, 1.0, 64.0]]
    assert notes("[CE]-[CE]").tolist() == [[0.0, 1.0, 60.0], [0.0, 1.0, 64.0]]


def test_chords_sound_together_and_grace_notes_symbols_and_ornaments_do_not_sound() -> None:
    assert notes("[CEG]2 c").tolist() == [[0, 1, 60], [0, 1, 64], [0, 1, 67], [1, 0.5, 72]]
    assert notes("[C2E2] c").tolist() == [[0, 1, 60], [0, 1, 64], [1, 0.5, 72]]
    assert pitches('{/ab}C "Am7"D !trill!E ~F "^text with CDE"G uA vB Tc .d `e') == [
        60,
        62,
        64,
        65,
        67,
        69,
        71,
        72,
        74,
        76,
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("|:CD:|E", "CDCDE"),
        ("CD:|E", "CDCDE"),
        ("C|:D:|:E:|", "CDDEE"),
        ("|:C::D:|", "CCDD"),
        ("C||D:|E", "CDDE"),
        ("|:C|1D:|2E|]F", "CDCEF"),
        ("|:C|1 D:|2 E||F:|", "CDCEFF"),
        ("|:C[1D:|[2E||F", "CDCEF"),
        ("|:C [1 D :| [2 E ||F", "CDCEF"),
        ("|:C|[1D:|[2E:|F", "CDCEF"),
        ("C|1D:|2E:|:F|1G:|2A|]", "CDCEFGFA"),
        ("|:C|1,3D:|2E:|", "CDCECD"),
        ("|:C|1-3D:|4E|]", "CDCDCDCE"),
        ("|:C|1D|2E|]", "CDCE"),
        ("|:C:| |:D:|", "CCDD"),
        ("|:C:|", "CC"),
        ("C || :|D", "CCD"),
        ("C|]", "C"),
    ],
)
def test_repeats_and_endings_are_played_out(body: str, expected: str) -> None:
    table = dict(zip((60, 62, 64, 65, 67, 69), "CDEFGA", strict=True))
    assert "".join(table[pitch] for pitch in pitches(body)) == expected
    written = "".join(letter for letter in body if letter in "CDEFGA")
    assert "".join(table[pitch] for pitch in pitches(body, repeats=False)) == written


def test_fields_inside_the_body_and_only_the_first_voice() -> None:
    assert pitches("F|[K:G]F|\nK:D\nFC") == [65, 66, 66, 61]
    assert durations("C[L:1/4]C\nL:1/16\nC") == [0.5, 1.0, 0.25]
    assert pitches("[V:1] CD|\n[V:2] EF|\n[V:1] GA|") == [60, 62, 67, 69]
    assert pitches("C % comment DEF\nw: doh ray\nG\\\nA") == [60, 67, 69]


def test_metres_tempi_and_default_units() -> None:
    assert read_metre("C") == ("4/4", 4.0)
    assert read_metre("C|") == ("2/2", 4.0)
    assert read_metre("6/8") == ("6/8", 3.0)
    assert read_metre("none") == ("free", 4.0)
    assert read_tempo("1/2=112", "2/2") == 224.0
    assert read_tempo("3/8=120", "6/8") == 180.0
    assert read_tempo('1/4 =50 "Slow"', "4/4") == 50.0
    assert read_tempo("80", "6/8") == 120.0
    assert read_tempo("Slow", "4/4") is None
    sixteenth = read_abc("X:1\nT:t\nM:2/4\nQ:1/4=60\nK:C\nC")
    eighth = read_abc("X:1\nT:t\nM:3/4\nQ:1/4=60\nK:C\nC")
    assert (sixteenth.notes[0, 1], eighth.notes[0, 1]) == (0.25, 0.5)
    assert eighth.at_tempo(120).notes[0].tolist() == [0.0, 0.25, 60.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("X:7\nT:Gone\nM:C\n", "no K: field"),
        ("X:7\nT:Gone\nK:D\n% CDE\n", "no note"),
        (HEAD.format(key="C") + "z4|", "no note"),
    ],
)
def test_a_tune_without_notes_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_abc(text)


def test_repeats_that_explode_are_refused() -> None:
    body = "|:" + "C" * 300 + "|1-9" + "D" * 300 + ":|"
    assert len(pitches(body)) <= 20_000
    with pytest.raises(InputError, match=r"X:1 'Test'.*repeats expand"):
        pitches("|:" + "C" * 3_000 + "|1-9 D:|")


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ABcdefg|:[]()<>123/-=^_'\"{}zZ ,~!\n", max_size=80))
def test_any_body_gives_notes_or_a_named_error(body: str) -> None:
    with contextlib.suppress(InputError):
        sounds = notes(body)
        assert np.isfinite(sounds).all()
        assert (sounds[:, 1] >= 0).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(-1, 2), st.integers(-1, 1), st.integers(1, 8)),
        min_size=1,
        max_size=30,
    )
)
def test_written_notes_are_read_back(tune: list[tuple[int, int, int, int]]) -> None:
    steps = (0, 2, 4, 5, 7, 9, 11)
    text, expected, at = "", [], 0.0
    for letter, octave, sign, length in tune:
        name = "CDEFGAB"[letter]
        written = name + "," * -octave if octave <= 0 else name.lower() + "'" * (octave - 1)
        text += {-1: "_", 0: "=", 1: "^"}[sign] + written + str(length) + "|"
        expected.append([at, length / 2, 60 + 12 * octave + steps[letter] + sign])
        at += length / 2
    assert np.allclose(notes(text), expected)


@pytest.mark.parametrize(
    ("printed", "clean"),
    [
        ("NIGHT OF FUN -- JIG., THE", "The Night of Fun"),
        ("Acacia Reel -- Reel", "Acacia Reel"),
        ("Short Grass, The", "The Short Grass"),
        ("BILLY O'ROURKE'S -- JIG", "Billy O'Rourke's"),
        ("Old Granite Stat:e -- Reel", "Old Granite State"),
        ("The Ranting Highlandman.", "The Ranting Highlandman"),
        ("Fisher's Hornpipe (2nd Setting)", "Fisher's Hornpipe"),
        ('"All Aboard" -- Reel', "All Aboard"),
        ("an sean .bean ag caoinea.d", "An Sean Bhean Ag Caoineadh"),
        ("I'LL MEND YOUR POTS AND KETTLES", "I'll Mend Your Pots and Kettles"),
    ],
)
def test_titles_are_put_in_order(printed: str, clean: str) -> None:
    assert clean_title(printed) == clean


@pytest.mark.parametrize(
    ("rhythm", "title", "kind"),
    [
        ("SlipJig", "Anything", "slip jig"),
        ("REEL", "Some Jig", "reel"),
        ("", "Lord Kelly's Reel.", "reel"),
        ("", "Mr. Willm. Stewart's Strathsy.", "strathspey"),
        ("", "Reeling Home", None),
        ("", "Quick Step 25th Regt", "quickstep"),
        ("fling", "x", "highland fling"),
    ],
)
def test_the_type_is_printed_or_a_whole_word_of_the_title(rhythm: str, title: str, kind: str | None) -> None:
    assert tune_type(read_abc(f"X:1\nT:{title}\nR:{rhythm}\nM:6/8\nK:D\nDEF")) == kind


def collection(book: str) -> list[str]:
    folder = corpus_folder()
    if folder is None:
        pytest.skip("music21, whose collections this reads, is not installed")
    return [
        tune
        for path in sorted((folder / book).glob("*.abc"))
        for tune in split_tunes(path.read_text("utf-8"))
    ]


def test_every_tune_of_the_collections_is_read() -> None:
    counts = {book: len([read_abc(tune) for tune in collection(book)]) for book in BOOKS}
    assert counts == {"ryansMammoth": 1059, "oneills1850": 2009, "airdsAirs": 1180}


def test_acacia_reel_as_counted_by_hand() -> None:
    text = next(entry for entry in collection("ryansMammoth") if "T:Acacia" in entry.replace("T: ", "T:"))
    tune = read_abc(text, repeats=False).at_tempo(60)
    assert len(tune.notes) == 124
    assert tune.notes[-1, 0] + tune.notes[-1, 1] == pytest.approx(32.0)
    assert tune.notes[:10, 2].tolist() == [62, 64, 66, 67, 67, 69, 71, 72, 74, 71]


def test_no_email_address_survives_reading() -> None:
    tune = read_abc("X:1\nT:t\nZ:Somebody somebody:example.org\nK:D\nDEF")
    assert "example.org" not in repr(tune)


def test_music21_reads_the_same_notes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from music21 import converter
        except ImportError as error:
            pytest.skip(f"music21 is installed for its collections only and cannot be imported: {error}")
        agree = 0
        texts = collection("ryansMammoth")[::90]
        for text in texts:
            score = converter.parse("%abc-2.1\n" + text, format="abc").stripTies().flatten()
            played = [p.midi for note in score.notes if not note.duration.isGrace for p in note.pitches]
            agree += played == [int(pitch) for pitch in read_abc(text, repeats=False).notes[:, 2]]
    assert agree >= 0.75 * len(texts)
