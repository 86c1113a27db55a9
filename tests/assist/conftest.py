"""A shelf of invented tunes, people of whom nothing is known, and a way to talk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from recipes.assistant.attacker import Crowd, turn

from tastemaker.assist.assistant import Limits
from tastemaker.assist.desk import Desk
from tastemaker.assist.gate import Gate
from tastemaker.assist.model import Model
from tastemaker.assist.parts import Part
from tastemaker.assist.ranking import Ranker
from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import State
from tastemaker.converse.catalogue import Catalogue
from tastemaker.encoders.text import fit_tfidf

N = 60
TYPES, KEYS, MODES = ("reel", "jig", "waltz", "air"), ("D", "G", "A"), ("major", "minor")


def tunes() -> Shelf:
    """60 tunes: row r is a type r % 4 in a key r // 4 % 3; slower ones come first."""
    titles = tuple(
        f"{word} of {place}"
        for place in ("Cork", "Clare", "Sligo", "Kerry")
        for word in (
            "The Boys",
            "The Maids",
            "The Hills",
            "The Road",
            "The Piper",
            "The Wind",
            "The Rose",
            "The Lark",
            "The Mill",
            "The Star",
            "The Fiddler",
            "The Harvest",
            "The Lads",
            "The Bridge",
            "The Moon",
        )
    )
    assert len(titles) == N
    columns: dict[str, tuple[Any, ...]] = {
        "tune_type": tuple(TYPES[r % 4] for r in range(N)),
        "key": tuple(KEYS[r // 4 % 3] for r in range(N)),
        "mode": tuple(MODES[r // 12 % 2] for r in range(N)),
        "tempo_bpm": tuple(float(60 + 2 * r) for r in range(N)),
        "speed": tuple(("slow", "moderate", "fast")[r // 20] for r in range(N)),
    }
    ids = tuple(f"tune-{r:03d}" for r in range(N))
    texts = [
        f"{title}: a {columns['tune_type'][r]} in {columns['key'][r]} {columns['mode'][r]}"
        for r, title in enumerate(titles)
    ]
    encoder, vectors = fit_tfidf(texts)
    creators = tuple(("Ann Dow", "Bo Reed")[r % 2] for r in range(N))
    catalogue = Catalogue(ids, titles, ((),) * N, creators, ids, columns, np.zeros(N, np.int64))
    return Shelf.of(catalogue, texts, lambda batch: np.nan_to_num(encoder.transform(batch)), vectors)


class Talk:
    """One conversation: `say` gives the parts of a turn."""

    def __init__(self, shelf: Shelf, model: Model | None = None, user: str | None = None) -> None:
        self.shelf, self.ranker, self.model, self.crowd = shelf, Ranker(shelf), model, Crowd(shelf)
        self.state, self.handles = State(user_id=user), list[int]()

    def say(self, message: str) -> list[Part]:
        desk = Desk(self.shelf, self.ranker, self.crowd, self.state, Gate(self.shelf, self.state))
        parts = turn(self.model, desk, self.handles, message, Limits())
        self.state, self.desk = desk.state, desk
        return parts

    def words(self, message: str) -> str:
        return " ".join(part.text for part in self.say(message) if hasattr(part, "text"))

    def rows(self, message: str) -> list[int]:
        return rows_of(self.shelf, self.say(message))


def rows_of(shelf: Shelf, parts: Sequence[Part]) -> list[int]:
    return [shelf.catalogue.row[part.item_id] for part in parts if part.kind == "item"]  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def shelf() -> Shelf:
    return tunes()


@pytest.fixture
def talk(shelf: Shelf) -> Callable[..., Talk]:
    return lambda **options: Talk(shelf, **options)
