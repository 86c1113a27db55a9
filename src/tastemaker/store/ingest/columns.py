"""Which of a file's columns plays which part: by name, and of item ids by how many are in the catalogue."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files

_NAMES = tomllib.loads(files(__package__).joinpath("columns.toml").read_text("utf-8"))
ITEM_NAMES, INTERACTION_NAMES, WORDS = (
    {part: tuple(names.split()) for part, names in _NAMES[table].items()}
    for table in ("items", "interactions", "words")
)
RATINGS, SHARES, PEOPLE, LISTS, BASKETS, YES, NO = (
    tuple(_NAMES[name].split()) for name in ("ratings", "shares", "people", "lists", "baskets", "yes", "no")
)
_RATED = ("rating", "ratings")  # how the names of such columns end (Book-Rating)
_SUMMED = (  # what all people said together, or nobody
    *("average", "avg", "mean", "num", "total", "count", "sum", "imdb", "tmdb", "meta", "critic"),
    *("community", "global", "public", "audience", "predicted", "expected"),
)
_OWN = ("my", "your", "user", "own", "personal")  # how the person's own rating begins
_ENDS = {"value": _RATED, "creator": ("author", "artist", "brand")}  # Book-Author, before the publisher


def candidates(present: Iterable[str], legal: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Which of the `present` columns could play each part, best first: {part: [column, ...]}.

    Case, spaces, hyphens and underscores do not matter (`movieId` is `movie_id`); our own name comes before
    its aliases, and a column that bears one part's own name plays no other.
    """
    theirs = {squeezed(name): name for name in reversed(list(present))}
    own = {squeezed(ours): ours for ours in legal}
    result: dict[str, list[str]] = {}
    for ours, aliases in legal.items():
        names = [squeezed(alias) for alias in (ours, *aliases)]
        if ours in _ENDS:
            ending = [
                name
                for name in reversed(theirs)
                if name.endswith(_ENDS[ours]) and not name.startswith(_SUMMED)
            ]
            ending = sorted(ending, key=lambda name: not name.startswith(_OWN))
            names = names + ending if ours == "value" else names[:1] + ending + names[1:]
        fit = [theirs[name] for name in names if name in theirs and own.get(name, ours) == ours]
        if fit:
            result[ours] = list(dict.fromkeys(fit))
    return result


def is_rating(column: str) -> bool:
    """Whether a column of this name holds ratings, rather than counts or shares."""
    name = squeezed(column)
    return name.endswith(_RATED) or name in {squeezed(alias) for alias in RATINGS}


def is_share(column: str) -> bool:
    """Whether a column of this name holds how much of an item was played, as a share or in percent."""
    return squeezed(column) in {squeezed(name) for name in SHARES}


def squeezed(name: str) -> str:
    """A column's name in small letters and digits alone, without what stands in brackets behind it."""
    return re.sub(r"[\W_]+", "", re.sub(r"(?<=\w)\s*[(\[].*[)\]]\s*$", "", name.lower()))
