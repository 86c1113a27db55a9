"""The one table of event kinds: what people do, whether they want the item, and how much it counts.

Ingest, the server, histories, features, rewards, exploration, evaluation, reasons and the page read this
table; a kind that it does not hold is counted and left out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.arrays import Bools, Floats
from tastemaker.errors import InputError

Kinds: TypeAlias = Sequence[str | None] | pa.Array | pa.ChunkedArray
Values: TypeAlias = Sequence[float | None] | Floats | pa.Array | pa.ChunkedArray
WANTED, NEITHER, UNWANTED = 1, 0, -1
GLANCE = 0.1  # a play of a smaller share says nothing about taste
HIGH, LOW = 0.6, 0.4  # where on its scale a rating begins to be wanted, and ends being unwanted


@dataclass(frozen=True)
class EventKind:
    """One kind of event.

    sign: 1 says the item is wanted, -1 that it is not, 0 neither; of a play or a rating the value decides,
    see `EventRules.sign`. weight: how much one event counts as evidence, in (0, 1]. reward: what it earns the
    slate it answers. synonyms: other spellings, as `_squeezed` writes them. explicit: the person said so,
    rather than merely did something.
    """

    name: str
    sign: int
    weight: float
    reward: float
    synonyms: tuple[str, ...] = ()
    explicit: bool = False


_SYNONYMS = tomllib.loads(files(__package__).joinpath("spellings.toml").read_text("utf-8"))
KINDS: Mapping[str, EventKind] = {
    name: EventKind(name, sign, weight, reward, tuple(_SYNONYMS[name].split()), explicit)
    for name, sign, weight, reward, explicit in (
        ("view", NEITHER, 0.1, 0.0, False),
        ("click", WANTED, 0.5, 1.0, False),
        ("play", WANTED, 1.0, 1.0, False),
        ("like", WANTED, 1.0, 1.0, True),
        ("save", WANTED, 1.0, 1.0, True),
        ("purchase", WANTED, 1.0, 1.0, True),
        ("rating", WANTED, 1.0, 1.0, True),
        ("dislike", UNWANTED, 1.0, 0.0, True),
        ("skip", UNWANTED, 0.5, 0.0, False),
        ("not_interested", UNWANTED, 1.0, 0.0, True),
        ("undo", NEITHER, 0.0, 0.0, False),
    )
}
_BARE = EventKind("", WANTED, 1.0, 1.0)  # an event without a kind: it happened, so it was wanted


def _squeezed(text: str) -> str:
    """Lower case without blanks, hyphens, underscores, punctuation: ways to write a word are alike."""
    return re.sub(r"[\s\-_./'’!+:]+", "", text).casefold()


# What something is done to, in the names of kinds.
_THINGS = {*("product", "item", "video", "song", "track", "movie", "film", "article", "content", "media")}
_THINGS |= {*("list", "event", "page", "screen", "job", "ad", "listing")}
_SPELLINGS = {_squeezed(name): kind for kind in KINDS.values() for name in (kind.name, *kind.synonyms)}


def kind_named(text: str) -> EventKind | None:
    """The kind that `text` spells, whatever its case, spaces and hyphens, in the plural (`clicks`) or beside
    the word for what it is done to (`Product Viewed`, `select_item`); None for one that nobody knows.
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("_", " ").replace("-", " ").split()
    bare = "".join(word for word in words if word.casefold() not in _THINGS)
    for spelling in (_squeezed(text), _squeezed(bare)):
        known = _SPELLINGS.get(spelling) or _SPELLINGS.get(spelling.removesuffix("s"))
        if known is not None:
            return known
    return None


def kind_of(text: str) -> EventKind:
    """The kind that `text` spells. Raises InputError naming the kinds there are."""
    known = kind_named(text)
    if known is None:
        raise InputError(f"kind '{text}' is unknown; the kinds are {', '.join(KINDS)}")
    return known


def coded(cells: Kinds) -> tuple[npt.NDArray[np.int32], list[str | None]]:
    """(E,) which of the distinct values each cell holds, and those values, None among them."""
    column = cells if isinstance(cells, pa.Array | pa.ChunkedArray) else pa.array(cells, pa.large_string())
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = column.dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int32), encoded.dictionary.to_pylist()


@dataclass(frozen=True)
class EventRules:
    """How the events of one workspace are read: what ingest understood of ratings, and what the user said.

    scale: lowest and highest rating that can be given. wanted: names of the kinds that count as wanted
    instead of those the table says (`--positive`); every other kind then counts as neither, but for the
    unwanted ones. Raises InputError on an empty scale or an unknown kind.
    """

    scale: tuple[float, float] = (1.0, 5.0)
    wanted: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if not self.scale[0] < self.scale[1]:
            raise InputError(
                f"a rating scale goes from low to high, not from {self.scale[0]:g} to {self.scale[1]:g}"
            )
        if self.wanted is not None:
            object.__setattr__(self, "wanted", frozenset(kind_of(name).name for name in self.wanted))

    def sign(self, kind: str | None, value: float | None = None) -> int:
        """1 when the event says that the item is wanted, -1 that it is not, 0 neither.

        A rating is wanted from 60 % of its scale up and unwanted to 40 %; a play of less than a tenth is a
        glance. An event without a kind is wanted; a rating without its number says nothing
        (unless the user named ratings as wanted), nor does a kind that nobody knows.
        """
        return int(self.signs([kind], [value])[0])

    def signs(self, kinds: Kinds, values: Values) -> npt.NDArray[np.int8]:
        """(E,) `sign` of each event, for whole columns; 0 for kinds that nobody knows."""
        return self._by_kind(kinds, values, self._signs_of).astype(np.int8)

    def rewards(self, kinds: Kinds, values: Values) -> Floats:
        """(E,) `reward` of each event, for whole columns; 0 for kinds that nobody knows."""
        return self._by_kind(kinds, values, self._rewards_of)

    def worth(self, kinds: Kinds, values: Values) -> Floats:
        """(E,) how much each event says that the item was wanted, in [0, 1], for whole columns: the weight of
        its kind, times the share of a play, or the place of a rating on its scale.
        """

        def worth_of(kind: EventKind, values: Floats) -> Floats:
            place = values
            if kind.name == "rating":
                place = (values - self.scale[0]) / (self.scale[1] - self.scale[0])
            elif kind.name != "play":
                place = np.ones(len(values))
            return kind.weight * np.clip(np.nan_to_num(place, nan=1.0), 0.0, 1.0)

        return self._by_kind(kinds, values, worth_of)

    def liked(self, kinds: Kinds, values: Values) -> Bools:
        """(E,) whether it says that the item is wanted (a like, a purchase, a good rating), not mere play."""

        def liked_of(kind: EventKind, values: Floats) -> Bools:
            wanted: Bools = self._signs_of(kind, values) == WANTED
            return wanted if kind.explicit else np.zeros_like(wanted)

        return self._by_kind(kinds, values, liked_of).astype(bool)

    def _by_kind(
        self, kinds: Kinds, values: Values, convert: Callable[[EventKind, Floats], npt.NDArray[Any]]
    ) -> Floats:
        """(E,) what `convert` makes of the values of each known kind, 0 elsewhere."""
        if not len(kinds):
            return np.zeros(0)
        codes, names = coded(kinds)
        numbers = np.asarray(values, dtype=np.float64)
        result = np.zeros(len(codes))
        for code, name in enumerate(names):
            known = kind_named(name) if name else _BARE
            if known is not None:
                rows = codes == code
                result[rows] = convert(known, numbers[rows])
        return result

    def _signs_of(self, kind: EventKind, values: Floats) -> npt.NDArray[np.int8]:
        """(n,) signs of events of one kind; `values` (n,) are NaN where the event has none."""
        sign = kind.sign
        if self.wanted is not None and sign != UNWANTED:
            sign = WANTED if kind.name in self.wanted else NEITHER
        signs = np.full(len(values), sign, np.int8)
        if kind.name == "play":
            signs[values < GLANCE] = NEITHER
        elif kind.name == "rating":
            place = (values - self.scale[0]) / (self.scale[1] - self.scale[0])
            signs[place < HIGH] = NEITHER
            signs[place <= LOW] = UNWANTED
            if self.wanted is None:
                signs[np.isnan(place)] = NEITHER
        return signs

    def _rewards_of(self, kind: EventKind, values: Floats) -> Floats:
        share = np.nan_to_num(np.minimum(values, 1.0), nan=1.0) if kind.name == "play" else 1.0
        return np.where(self._signs_of(kind, values) == WANTED, kind.reward * share, 0.0)

    def weight(self, kind: str | None, value: float | None = None) -> float:
        """How much the event counts as evidence, in [0, 1]: a play by its share, above 1 as a whole one."""
        known = _BARE if kind is None else kind_named(kind)
        if known is None or not self.sign(kind, value):
            return 0.0
        share = min(1.0, value) if known.name == "play" and value is not None else 1.0
        return known.weight * share

    def reward(self, kind: str | None, value: float | None = None) -> float:
        """What the event earns the slate that it answers, in [0, 1]; 0 where the item was not wanted."""
        return float(self.rewards([kind], [value])[0])
