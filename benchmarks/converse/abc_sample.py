"""Tunes drawn by seed from the four books that music21 carries."""

from __future__ import annotations

from dataclasses import dataclass

from tastemaker.demo.abc import split_tunes
from tastemaker.demo.tunes import INSTALL, corpus_folder
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

BOOKS = ("ryansMammoth", "oneills1850", "airdsAirs", "essenFolksong")


@dataclass(frozen=True)
class Printed:
    """A tune's text and its place: the book, the file, and the how-manieth tune of that file it is (from
    1).
    """

    book: str
    file: str
    place: int
    text: str


def book(name: str) -> list[Printed]:
    """Every tune of a book, in file order; raises InputError where music21's collections are missing."""
    folder = corpus_folder()
    if folder is None:
        raise InputError(f"the books come with music21, which is not installed: {INSTALL}")
    return [
        Printed(name, path.name, place, text)
        for path in sorted((folder / name).glob("*.abc"))
        for place, text in enumerate(split_tunes(path.read_text("utf-8", "replace")), start=1)
    ]


def draw(printed: list[Printed], n: int, seed: int) -> list[Printed]:
    """`n` tunes of one book, in its order."""
    chosen = generator(seed, "abc oracle", printed[0].book).choice(len(printed), n, replace=False)
    return [printed[row] for row in sorted(chosen)]
