"""Thirty printed tunes, read bar by bar by a person from the ABC text before the reader's answer was looked
at.

Ten of each default book, drawn by seed; music21 reads the first four of each otherwise than the page has it.
Only numbers are kept here. A note is a sounding pitch (each of a chord's is one); ties are joined, slurs and
ties between different pitches join nothing; grace notes and da capos are not played. Lengths are in quarters,
to the end of the last note.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tastemaker.demo.abc import read_abc, split_tunes
from tastemaker.demo.tunes import corpus_folder

THIRD = 0.5 / 3.0  # a triplet's note where three take the time of two sixteenths


@dataclass(frozen=True)
class Hand:
    """What the page says: `file` within the collections, the how-manieth tune of it, its X, then the facts.

    `written` and `played` are (notes, quarters) with each bar once and with repeats; `played` is None where
    the printed repeat mark is ambiguous. `pitches` and `lengths` are the first eight notes', `last` the last
    note's MIDI number.
    """

    file: str
    place: int
    number: str
    written: tuple[int, float]
    played: tuple[int, float] | None
    pitches: tuple[int, ...]
    lengths: tuple[float, ...]
    last: int


RYAN, ONEILL, AIRD = "ryansMammoth/", "oneills1850/", "airdsAirs/"
HANDS = (
    Hand(
        RYAN + "DownfallOfWaterStreetJig.abc",
        1,
        "1",
        (114, 32.5),
        (114, 32.5),
        (76, 78, 80, 81, 80, 76, 78, 81),
        (THIRD, THIRD, THIRD, 0.5, 0.375, 0.125, 0.375, 0.125),
        73,
    ),
    Hand(
        RYAN + "MunciesFavoriteLancashireClog.abc",
        1,
        "1",
        (133, 64),
        (266, 128),
        (69, 66, 67, 69, 71, 69, 68, 69),
        (1, 0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 0.75),
        74,
    ),
    Hand(
        RYAN + "NoveltyLancashireClog.abc",
        1,
        "1",
        (204, 100),
        (328, 160),
        (69, 73, 64, 68, 69, 73, 76, 81),
        (0.75, 0.25) * 4,
        71,
    ),
    Hand(
        RYAN + "WalkAroundBrudderBones.abc",
        1,
        "4",
        (116, 51.5),
        (116, 51.5),
        (55, 57, 58, 60, 62, 63, 60, 62),
        (1, 1, 1, 1, 1, 0.75, 0.25, 0.75),
        70,
    ),
    Hand(
        RYAN + "CongressParkReel.abc",
        1,
        "1",
        (114, 32),
        (114, 32),
        (62, 67, 71, 74, 76, 74, 71, 74),
        (0.5, 0.75, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25),
        76,
    ),
    Hand(
        RYAN + "DemocraticHornpipe.abc",
        1,
        "1",
        (119, 32),
        (238, 64),
        (67, 69, 70, 69, 70, 72, 74, 72),
        (0.25,) * 8,
        79,
    ),
    Hand(
        RYAN + "FloggingReel.abc",
        1,
        "1",
        (192, 97),
        (192, 97),
        (74, 72, 71, 67, 67, 71, 67, 69),
        (0.5, 0.5, 0.5, 0.5, 1, 0.5, 0.5, 0.5),
        69,
    ),
    Hand(
        RYAN + "HumoursOfBostonHornpipe.abc",
        1,
        "1",
        (110, 32),
        (220, 64),
        (65, 63, 62, 65, 67, 69, 70, 70),
        (0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5),
        70,
    ),
    Hand(
        RYAN + "NewBostonSicillianCircle.abc",
        1,
        "5",
        (105, 47.5),
        (155, 63.5),
        (67, 69, 71, 72, 74, 74, 79, 74),
        (0.5,) * 8,
        84,
    ),
    Hand(
        RYAN + "WeelMayTheKeelRowReel.abc",
        1,
        "1",
        (110, 64),
        (110, 64),
        (81, 78, 74, 74, 78, 79, 76, 81),
        (0.5, 0.5, 0.5, 0.5, 0.5, 1, 0.5, 0.5),
        74,
    ),
    Hand(
        ONEILL + "0001-0050.abc",
        44,
        "44",
        (82, 96),
        None,
        (71, 72, 74, 72, 69, 67, 62, 64),
        (0.5, 0.5, 1, 1, 1, 1, 1, 1),
        67,
    ),
    Hand(
        ONEILL + "0550-0625.abc",
        45,
        "596",
        (87, 35.75),
        (87, 35.75),
        (69, 70, 69, 67, 69, 74, 74, 74),
        (0.125, 0.125, 0.25, 0.25, 0.5, 0.5, 0.5, 0.125),
        62,
    ),
    Hand(
        ONEILL + "1701-1780.abc",
        20,
        "1720",
        (133, 65),
        (133, 65),
        (69, 67, 66, 66, 64, 66, 69, 74),
        (0.75, 0.25, 1, 0.75, 0.25, 0.75, 0.25, 0.75),
        64,
    ),
    Hand(
        ONEILL + "1781-1800.abc",
        1,
        "1781",
        (165, 96),
        (330, 192),
        (74, 72, 71, 72, 69, 71, 67, 72),
        (0.5, 0.5, 1, 0.5, 0.5, 0.5, 0.5, 0.5),
        67,
    ),
    Hand(
        ONEILL + "0401-0486.abc",
        28,
        "428",
        (114, 71.5),
        (114, 71.5),
        (67, 69, 67, 67, 69, 72, 74, 76),
        (0.75, 0.25, 0.5, 0.5, 0.5, 0.5, 1, 0.5),
        67,
    ),
    Hand(
        ONEILL + "0550-0625.abc",
        50,
        "601",
        (86, 48),
        (86, 48),
        (64, 69, 68, 66, 64, 66, 69, 68),
        (0.5, 0.5, 0.5, 1, 0.5, 0.5, 0.5, 0.5),
        69,
    ),
    Hand(
        ONEILL + "0759-0810.abc",
        4,
        "762",
        (138, 72),
        (276, 144),
        (67, 64, 62, 64, 66, 67, 69, 71),
        (0.25, 0.25, 0.5, 0.5, 0.5, 1, 0.5, 0.5),
        67,
    ),
    Hand(
        ONEILL + "0900-0950.abc",
        49,
        "948",
        (92, 48),
        (184, 96),
        (76, 73, 69, 69, 69, 64, 69, 73),
        (0.5, 0.5, 0.5, 0.5, 1, 0.5, 0.5, 0.5),
        69,
    ),
    Hand(
        ONEILL + "1376-1475.abc",
        47,
        "1422",
        (93, 24),
        (123, 32),
        (57, 61, 64, 69, 73, 76, 73, 74),
        (0.5, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25),
        69,
    ),
    Hand(
        ONEILL + "1625-1700.abc",
        4,
        "1628",
        (127, 32),
        (254, 64),
        (62, 64, 66, 67, 66, 67, 71, 69),
        (THIRD, THIRD, THIRD, 0.375, 0.125, 0.375, 0.125, 0.375),
        67,
    ),
    Hand(
        AIRD + "book3.abc",
        119,
        "0519",
        (75, 32),
        (150, 64),
        (69, 67, 66, 74, 74, 73, 74, 69),
        (0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
        62,
    ),
    Hand(
        AIRD + "book3.abc",
        166,
        "0566",
        (130, 64.5),
        (259, 128.5),
        (74, 69, 74, 78, 74, 76, 74, 71),
        (0.5, 0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 1),
        74,
    ),
    Hand(
        AIRD + "book4.abc",
        31,
        "0631",
        (139, 64),
        (139, 64),
        (69, 66, 69, 74, 69, 71, 74, 73),
        (0.5, 0.75, 0.25, 0.5, 0.5, 0.25, 0.75, 0.75),
        74,
    ),
    Hand(
        AIRD + "book6.abc",
        100,
        "1100",
        (97, 90),
        (97, 90),
        (78, 76, 74, 71, 71, 71, 74, 71),
        (0.5, 0.5, 1, 1, 1, 1.5, 0.5, 0.5),
        71,
    ),
    Hand(
        AIRD + "book2.abc",
        184,
        "0384",
        (83, 42),
        (166, 84),
        (69, 71, 73, 74, 76, 74, 66, 69),
        (THIRD, THIRD, THIRD, 0.5, 0.5, 0.5, 0.5, 0.5),
        74,
    ),
    Hand(
        AIRD + "book3.abc",
        162,
        "0562",
        (48, 32),
        (96, 64),
        (64, 69, 73, 76, 68, 66, 64, 66),
        (0.5, 1, 0.5, 0.5, 1, 0.5, 0.5, 1),
        69,
    ),
    Hand(
        AIRD + "book4.abc",
        30,
        "0630",
        (91, 48),
        (182, 96),
        (81, 79, 78, 74, 78, 78, 74, 78),
        (0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
        74,
    ),
    Hand(
        AIRD + "book4.abc",
        179,
        "0779",
        (95, 48),
        (126, 64),
        (79, 67, 67, 71, 67, 72, 71, 69),
        (0.5, 0.25, 0.75, 0.75, 0.25, 0.75, 0.25, 0.25),
        74,
    ),
    Hand(
        AIRD + "book6.abc",
        84,
        "1084",
        (99, 65.5),
        (99, 65.5),
        (69, 74, 78, 71, 79, 78, 76, 74),
        (0.5, 0.5, 0.5, 1, 1, 0.25, 0.25, 0.25),
        74,
    ),
    Hand(
        AIRD + "book6.abc",
        149,
        "1149",
        (122, 91),
        (236, 168),
        (74, 76, 78, 78, 81, 76, 76, 78),
        (4, 4, 1, 0.5, 0.5, 1, 0.75, 0.25),
        74,
    ),
)


@pytest.mark.parametrize("hand", HANDS, ids=lambda hand: f"{hand.file}-{hand.number}")
def test_the_reader_says_what_the_page_says(hand: Hand) -> None:
    folder = corpus_folder()
    if folder is None:
        pytest.skip("music21, whose collections this reads, is not installed")
    text = split_tunes((folder / hand.file).read_text("utf-8"))[hand.place - 1]
    tune = read_abc(text, repeats=False).at_tempo(60)  # a quarter a second, so that seconds are quarters
    assert tune.number == hand.number
    assert (len(tune.notes), round(float(tune.notes[-1, :2].sum()), 6)) == hand.written
    assert tuple(tune.notes[:8, 2]) == hand.pitches
    assert np.allclose(tune.notes[:8, 1], hand.lengths)
    assert tune.notes[-1, 2] == hand.last
    if hand.played:
        played = read_abc(text).at_tempo(60).notes
        assert (len(played), round(float(played[-1, :2].sum()), 6)) == hand.played


def test_thirty_tunes_ten_of_each_book() -> None:
    assert len({(hand.file, hand.place) for hand in HANDS}) == 30
    assert [sum(hand.file.startswith(book) for hand in HANDS) for book in (RYAN, ONEILL, AIRD)] == [
        10,
        10,
        10,
    ]
