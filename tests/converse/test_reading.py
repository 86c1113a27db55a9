"""Free words are read: the phrasings that people use, with numbers, refusals, corrections and misspelt
names.
"""

from __future__ import annotations

from typing import Any

import pytest

from tastemaker.converse.catalogue import Field
from tastemaker.converse.constraints import Constraint
from tastemaker.converse.reading.names import Names
from tastemaker.converse.reading.plain import plain
from tastemaker.converse.reading.standing import settle
from tastemaker.converse.reading.vocabulary import Vocabulary
from tastemaker.converse.reading.wishes import Wishes

TUNES = {
    "tune_type": Field(
        "tune_type", "word", ("reel", "jig", "slip jig", "hornpipe", "waltz", "air", "march"), 0.6
    ),
    "key": Field("key", "word", ("G", "D", "A", "E", "C", "Bb", "Eb"), 1.0),
    "mode": Field("mode", "word", ("major", "minor", "dorian"), 1.0),
    "metre": Field("metre", "word", ("6/8", "4/4", "3/4", "9/8"), 1.0),
    "book": Field("book", "word", ("O'Neill's Music of Ireland", "Ryan's Mammoth Collection"), 1.0),
    "timbre": Field("timbre", "word", ("plucked", "bowed", "whistle"), 1.0),
    "speed": Field("speed", "word", ("slow", "moderate", "fast"), 1.0),
    "popularity": Field("popularity", "word", ("little known", "middling known", "well known"), 1.0),
    "tempo_bpm": Field("tempo_bpm", "number", (), 1.0, 40.0, 260.0),
}
FILMS = {
    "genre": Field("genre", "words", ("Comedy", "Horror", "Sci-Fi", "Drama", "Film-Noir"), 1.0),
    "decade": Field("decade", "word", ("1970s", "1980s", "1990s", "2000s"), 1.0),
}
SHOP = {
    "colour": Field("colour", "word", ("red", "blue", "green"), 1.0),
    "price": Field("price", "number", (), 1.0, 3.0, 400.0),
    "size": Field("size", "word", ("small", "medium", "large"), 1.0),
}
FIRST: dict[str, Any] = {
    "key": "D",
    "tempo_bpm": 100.0,
    "speed": "moderate",
    "price": 40.0,
    "decade": "1980s",
}


def read(fields: dict[str, Field], *messages: str, focus: tuple[int, ...] = ()) -> set[tuple[Any, ...]]:
    wishes = Wishes(Vocabulary(fields), lambda row, name: FIRST.get(name))
    active: tuple[Constraint, ...] = ()
    for message in messages:
        kinds = {name: field.kind for name, field in fields.items()}
        active = settle(active, wishes.read(message, focus), kinds)
    return {(c.kind, c.clause.field, c.clause.cmp, c.clause.value) for c in active}


def must(name: str, value: Any, cmp: str = "eq") -> tuple[Any, ...]:
    return ("must", name, cmp, value)


CASES = [
    ("something in D, please", {must("key", "D")}),
    ("key D", {must("key", "D")}),
    ("no faster than 100 bpm", {must("tempo_bpm", 100.0, "le")}),
    ("tempo 72 to 96", {must("tempo_bpm", (72.0, 96.0), "between")}),
    ("around 100 bpm", {must("tempo_bpm", (90.0, 110.0), "between")}),
    ("no more than ninety beats a minute", {must("tempo_bpm", 90.0, "le")}),
    ("in six-eight", {must("metre", "6/8")}),
    ("fast-paced", {must("speed", "fast")}),
    ("on the fiddle", {must("timbre", "bowed")}),
    ("Not from O'Neill's", {("must_not", "book", "eq", "O'Neill's Music of Ireland")}),
    ("a popular one", {must("popularity", "well known")}),
    ("something obscure", {must("popularity", "little known")}),
    ("a lively jig in D", {must("speed", "fast"), must("tune_type", "jig"), must("key", "D")}),
    ("Anything in 9/8 that isn't in G?", {must("metre", "9/8"), ("must_not", "key", "eq", "G")}),
    ("jigs or reels in G or A", {must("tune_type", ("jig", "reel"), "in"), must("key", ("G", "A"), "in")}),
    ("anything but a waltz", {("must_not", "tune_type", "eq", "waltz")}),
    (
        "I don't want a reel, but a jig would be great",
        {("must_not", "tune_type", "eq", "reel"), must("tune_type", "jig")},
    ),
    ("in E flat major", {must("key", "Eb"), must("mode", "major")}),
    ("ideally in a minor key", {("prefer", "mode", "eq", "minor")}),
    ("not too fast", {("must_not", "speed", "eq", "fast")}),
    (
        "any collection you like, and a quickish air",
        {must("tune_type", "air"), ("prefer", "speed", "eq", "fast")},
    ),
    ("popularity middling", {must("popularity", "middling known")}),
    ("no slow jigs", {("must_not", "speed", "either", ("speed=slow\x1ftune_type=jig",))}),
    ("excluding G major", {("must_not", "key", "either", ("key=G\x1fmode=major",))}),
    (
        "neither a jig nor a reel, 6/8",
        {
            ("must_not", "tune_type", "eq", "jig"),
            ("must_not", "tune_type", "eq", "reel"),
            must("metre", "6/8"),
        },
    ),
    (
        "no jigs, in minor or from Ryan's",
        {
            ("must_not", "tune_type", "eq", "jig"),
            ("must_not", "mode", "eq", "minor"),
            ("must_not", "book", "eq", "Ryan's Mammoth Collection"),
        },
    ),
    ("on the whistle, no sorry, the fiddle", {must("timbre", "bowed")}),
    ("how are you today?", set()),
    ("", set()),
    ("🎻🎻🎻", set()),
]


@pytest.mark.parametrize(("message", "right"), CASES, ids=[message[:30] for message, _ in CASES])
def test_tunes(message: str, right: set[Any]) -> None:
    assert read(TUNES, message) == right


def test_moods_are_soft() -> None:
    assert read(TUNES, "something sad") == {
        ("prefer", "mode", "eq", "minor"),
        ("prefer", "speed", "eq", "slow"),
    }


def test_corrections_and_what_is_taken_back() -> None:
    assert read(TUNES, "a jig in G", "no, in D") == {must("tune_type", "jig"), must("key", "D")}
    assert read(TUNES, "a jig in G", "actually make it a reel") == {
        must("tune_type", "reel"),
        must("key", "G"),
    }
    assert read(TUNES, "a jig in G", "any key will do") == {must("tune_type", "jig")}
    assert read(TUNES, "a jig in G", "start over, a waltz") == {must("tune_type", "waltz")}
    assert read(TUNES, "no jigs", "ok, a jig then") == {must("tune_type", "jig")}


def test_comparatives_look_at_the_item() -> None:
    assert read(TUNES, "slower than that", focus=(0,)) == {must("tempo_bpm", 98.0, "le")}
    assert read(TUNES, "that's too slow", focus=(0,)) == {must("tempo_bpm", 102.0, "ge")}
    assert read(TUNES, "in the same key", focus=(0,)) == {must("key", "D")}
    assert read(TUNES, "in a different key", focus=(0,)) == {("must_not", "key", "eq", "D")}


def test_other_catalogues() -> None:
    assert read(FILMS, "a funny film from the 80s") == {
        must("genre", "Comedy", "contains"),
        must("decade", "1980s"),
    }
    assert read(FILMS, "scary, before 1990") == {
        must("genre", "Horror", "contains"),
        must("decade", ("1970s", "1980s"), "in"),
    }
    for text in ("a film noir", "some film-noir please", "filmnoir"):
        assert read(FILMS, text) == {must("genre", "Film-Noir", "contains")}
    assert read(FILMS, "something newer", focus=(0,)) == {must("decade", ("1990s", "2000s"), "in")}
    assert read(SHOP, "a red one under $50") == {must("colour", "red"), must("price", 50.0, "le")}
    assert read(SHOP, "cheaper, not blue", focus=(0,)) == {
        must("price", 38.4, "le"),
        ("must_not", "colour", "eq", "blue"),
    }


def test_names_are_found_as_people_write_them() -> None:
    titles = ["The Blackbird", "Drowsy Maggie", "Rolling in the Deep", "Yesterday"]
    names = Names(titles, ["Trad.", None, "Adele", "The Beatles"])

    def names_in(text: str) -> set[tuple[str, str]]:
        return {(named.role, named.name) for named in names.find(text)}

    assert ("title", "The Blackbird") in names_in("Do you know The Blackbird?")
    assert ("title", "Drowsy Maggie") in names_in("have you got drowsey magie")
    assert ("creator", "Adele") in names_in("some addele please")
    assert ("creator", "The Beatles") in names_in("anything by the beatles")
    assert names_in("can you add more songs like that please") == set()


def test_numbers_in_words() -> None:
    assert plain("a hundred and twenty, six-eight, ninety five") == "120, 6/8, 95"
