"""The demo catalogue: traditional tunes, each with facts, a description, and what its sound and cover are
made of.

The tunes are read, at run time, from the ABC collections that the installed music21 package carries; nothing
of them is kept in this project. Without that package `tastemaker.demo.procedural` makes tunes of its own.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.arrays import Floats
from tastemaker.demo.abc import TEMPI, TYPE_PATTERN, Tune, clean_title, read_abc, split_tunes, tune_type
from tastemaker.demo.abc_body import DARK_MODES, is_compound
from tastemaker.demo.covers import PALETTES, SHAPES, CoverSpec, palette_probabilities
from tastemaker.demo.procedural import BOOK as PROCEDURAL_BOOK
from tastemaker.demo.procedural import procedural_tunes
from tastemaker.demo.synth import TIMBRES
from tastemaker.errors import InputError
from tastemaker.schema import ITEMS, check
from tastemaker.stats.random import generator, hashed_order

INSTALL = "pip install --no-deps music21"
CLIP_SECONDS = 12.0
BOOKS = {
    "ryansMammoth": "Ryan's Mammoth Collection",
    "oneills1850": "O'Neill's Music of Ireland",
    "airdsAirs": "Aird's Airs",
}
FACTS = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("aliases", pa.list_(pa.string())),
        ("tune_type", pa.string()),
        ("key", pa.string()),
        ("mode", pa.string()),
        ("metre", pa.string()),
        ("book", pa.string()),
        ("family_id", pa.string()),
        ("tempo_bpm", pa.float64()),
        ("tempo_source", pa.string()),
        ("speed", pa.string()),
        ("timbre", pa.string()),
        ("cover_palette", pa.string()),
        ("cover_shape", pa.string()),
        ("cover_count", pa.int32()),
        ("cover_symmetry", pa.int32()),
        ("notes", pa.list_(pa.float32())),
    ]
)
_UNKNOWN_TEMPO = (76, 112)
# Words that many unrelated titles share: alone they identify no tune.
_COMMON_WORDS = (
    "do favorite favourite new old setting irish german scotch highland french regt first second quick"
)
_COMMON = frozenset(_COMMON_WORDS.split())
# A demo that anybody may open does not print the minstrel stage's slurs and mock dialect on its cards.
_LEFT_OUT = re.compile(r"\b(coon|darkey|darkie|walk ?arounds?)s?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """A tune with its place: `item_id` names the collection and the position in it."""

    item_id: str
    book: str
    tune: Tune


def _bare(title: str) -> str:
    """A title without "A ", "Another " or full stop, to be repeated after "Another"."""
    return re.sub(r"^(A|An|Another|The) ", "", title.strip(" ."))


def beat(metre: str) -> float:
    """Quarters a beat: a dotted quarter in compound metres and 3/8, a half in 2/2 and 3/2, else a quarter."""
    return 1.5 if is_compound(metre) or metre == "3/8" else 2.0 if metre.endswith("/2") else 1.0


def corpus_folder() -> Path | None:
    """The installed music21's scores, found without importing it; None when it is not installed."""
    spec = importlib.util.find_spec("music21")
    folder = Path(spec.origin).parent / "corpus" if spec and spec.origin else None
    return folder if folder and folder.is_dir() else None


def read_books(books: Iterable[str], folder: Path) -> list[Entry]:
    """Every tune of the named collections in file order; titles that no demo should print are left out."""
    entries: list[Entry] = []
    for book in books:
        if book not in BOOKS:
            raise InputError(f"book '{book}' is not known; choose from {', '.join(BOOKS)}")
        texts = [
            source
            for path in sorted((folder / book).glob("*.abc"))
            for source in split_tunes(path.read_text("utf-8", "replace"))
        ]
        if not texts:
            raise InputError(f"{folder / book}: has no tune; install the complete package: {INSTALL}")
        for place, text in enumerate(texts):
            tune = read_abc(text)
            if entries and re.fullmatch(r"(A )?Do\.?", tune.titles[0] if tune.titles else "Do"):
                ditto = f"Another {_bare(entries[-1].tune.titles[0])}"
                tune = replace(tune, titles=(ditto,))
            if not _LEFT_OUT.search(" ".join([tune.rhythm, *tune.titles])):
                entries.append(
                    Entry(f"{book.rstrip('0123456789').lower()}-{place + 1:04d}", BOOKS[book], tune)
                )
    return entries


def _title_key(title: str) -> str:
    """Letters that identify a title; empty when it names no more than a type or a ditto."""
    words = re.sub(r"[^a-z0-9 ]", "", TYPE_PATTERN.sub(" ", title.lower()).replace("'", "")).split()
    words = [word for word in words if word not in {"the", "a", "an", "of"}]
    return " ".join(words) if any(len(word) > 2 and word not in _COMMON for word in words) else ""


def families(entries: list[Entry]) -> list[str]:
    """A family for each entry: the first item with the same identifying title, or same intervals."""
    leaders: dict[tuple[str, str], int] = {}
    parent = list(range(len(entries)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for place, entry in enumerate(entries):
        melody = np.diff(entry.tune.notes[:, 2]).astype(np.int8).tobytes().hex()
        titles = [_title_key(clean_title(title)) for title in entry.tune.titles[:1]]
        keys = [("melody", melody), *(("title", title) for title in titles if title)]
        for key in keys:
            first, second = sorted((root(leaders.setdefault(key, place)), root(place)))
            parent[second] = first
    return [entries[root(place)].item_id for place in range(len(entries))]


def _tempo(entry: Entry, kind: str | None, seed: int) -> tuple[float, str]:
    """Beats a minute and where they come from: as printed, else drawn for the type."""
    metre = entry.tune.metre
    if entry.tune.tempo_printed:
        return round(entry.tune.tempo / beat(metre)), "printed"
    low, high = TEMPI.get(kind or "", _UNKNOWN_TEMPO)
    pulse = generator(seed, "tempo", entry.item_id).uniform(low, high)
    halved = metre == "4/4" and kind not in {"strathspey", "highland fling", "march", "air", "lament"}
    return round(pulse * (2.0 if halved else 1.0)), "assigned"


def _excerpt(tune: Tune) -> list[float]:
    """The notes that start within `CLIP_SECONDS`, flattened."""
    flat: list[float] = tune.notes[tune.notes[:, 0] < CLIP_SECONDS].astype(np.float32).ravel().tolist()
    return flat


def _speed(notes: list[float]) -> str:
    """Slow, moderate or fast by the notes heard a second, which compares across metres as beats do not."""
    rows = np.array(notes).reshape(-1, 3)
    rate = len(rows) / max(float(rows[-1, 0] + rows[-1, 1]), 1e-6)
    return "slow" if rate < 3.0 else "fast" if rate > 5.0 else "moderate"


def _fact(entry: Entry, family: str, dark_share: float, seed: int) -> dict[str, Any]:
    """One row of `FACTS`: what is printed, and what is drawn by seed (tempo if unprinted, timbre, cover)."""
    tune, kind = entry.tune, tune_type(entry.tune)
    titles = list(dict.fromkeys(title for title in map(clean_title, tune.titles) if title)) or ["Untitled"]
    tempo, source = _tempo(entry, kind, seed)
    rng = generator(seed, "look and sound", entry.item_id)
    notes = _excerpt(tune.at_tempo(tempo * beat(tune.metre)))
    chances = palette_probabilities(tune.key.mode in DARK_MODES, dark_share)
    return {
        "item_id": entry.item_id,
        "title": titles[0],
        "aliases": titles[1:],
        "tune_type": kind,
        "key": tune.key.tonic,
        "mode": tune.key.mode,
        "metre": tune.metre,
        "book": entry.book,
        "family_id": family,
        "tempo_bpm": float(tempo),
        "tempo_source": source,
        "speed": _speed(notes),
        "timbre": str(rng.choice(list(TIMBRES))),
        "cover_palette": str(rng.choice(list(PALETTES), p=chances)),
        "cover_shape": str(rng.choice(SHAPES)),
        "cover_count": int(rng.integers(2, 7)),
        "cover_symmetry": int(rng.integers(1, 7)),
        "notes": notes,
    }


def describe(title: str, aliases: list[str], entry: Entry, kind: str | None) -> str:
    """Sentences from what is printed: no timbre, tempo or cover, which are to be heard and seen."""
    notes = entry.tune.notes
    steps = np.abs(np.diff(notes[:, 2]))
    stepwise = float(np.mean(steps <= 2)) if len(steps) else 1.0
    span = int(notes[:, 2].max() - notes[:, 2].min())
    lengths = notes[:, 1] / np.median(notes[:, 1])
    name = kind or "tune"
    article = "an" if name[0] in "aeiou" else "a"
    motion = "mostly by step" if stepwise > 0.66 else "by leaps" if stepwise < 0.45 else "by steps and leaps"
    pace = "in even notes" if np.mean(np.abs(lengths - 1.0) < 0.1) > 0.75 else "in mixed note lengths"
    dotted = float(np.mean((np.abs(lengths - 1.5) < 0.05) | (np.abs(lengths - 0.5) < 0.05)))
    pace = "in dotted rhythm" if dotted > 0.4 else pace
    reach = "a narrow range" if span <= 12 else "a wide range" if span >= 19 else "a middling range"
    time = f"{entry.tune.metre} time" if entry.tune.metre != "free" else "free time"
    text = (
        f"{title} is {article} {name} in {entry.tune.key.tonic} {entry.tune.key.mode}, {time}, from"
        f" {entry.book}."
    )
    text += f" The melody has {reach}, moves {motion} and goes {pace}."
    return text + (f" Also known as {'; '.join(aliases)}." if aliases else "")


def _attributes(fact: dict[str, Any]) -> list[str]:
    """`field=value` strings; an unknown type gives none."""
    fields = ("tune_type", "key", "mode", "metre", "book", "timbre", "speed", "cover_palette", "cover_shape")
    return [f"{field}={fact[field]}" for field in fields if fact[field] is not None] + [
        f"tempo_bpm={fact['tempo_bpm']:.0f}"
    ]


def catalogue(
    n: int | None = None, seed: int = 0, books: Iterable[str] | None = None, one_per_family: bool = True
) -> tuple[pa.Table, pa.Table]:
    """`n` tunes (None = all) as an `ITEMS` table and a `FACTS` table, row by row the same items.

    `books` names collections (`BOOKS`), or is ("procedural",) for invented tunes; None takes the three
    collections when music21 is installed and invented tunes when it is not (then `n` defaults to 400). With
    `one_per_family` no two items are versions of one tune. `audio` and `image` are paths such as
    media/<item_id>.wav, rendered on demand from the facts (`notes_of`, `cover_of`). Item i does not depend on
    `n`, nor on the other items but for the share of dark modes.

    Raises InputError when there are fewer tunes, a book is unknown, or music21 is needed and missing.
    """
    entries = _entries(n, seed, books)
    groups = families(entries)
    dark_share = round(float(np.mean([entry.tune.key.mode in DARK_MODES for entry in entries])), 2)
    order = [int(place) for place in hashed_order([entry.item_id for entry in entries], f"catalogue {seed}")]
    if one_per_family:
        first = {groups[place]: place for place in reversed(order)}
        order = [place for place in order if first[groups[place]] == place]
    if n is not None and n > len(order):
        raise InputError(
            f"{n:,} tunes were asked for and there are {len(order):,}; ask for fewer, or for more books"
        )
    order = order[:n]
    facts = [_fact(entries[place], groups[place], min(max(dark_share, 0.02), 0.98), seed) for place in order]
    rows = [
        {
            "item_id": fact["item_id"],
            "title": fact["title"],
            "text": describe(fact["title"], fact["aliases"], entries[place], fact["tune_type"]),
            "attributes": _attributes(fact),
            "creator": fact["book"],
            "audio": f"media/{fact['item_id']}.wav",
            "image": f"media/{fact['item_id']}.png",
        }
        for place, fact in zip(order, facts, strict=True)
    ]
    return check(pa.Table.from_pylist(rows), ITEMS, "catalogue"), pa.Table.from_pylist(facts, schema=FACTS)


def _entries(n: int | None, seed: int, books: Iterable[str] | None) -> list[Entry]:
    """The tunes to choose from."""
    folder = corpus_folder()
    chosen = tuple(books) if books is not None else tuple(BOOKS) if folder else ("procedural",)
    if chosen == ("procedural",):
        texts = procedural_tunes(400 if n is None else n + n // 10 + 20, seed)
        return [
            Entry(f"invented-{place + 1:04d}", PROCEDURAL_BOOK, read_abc(text))
            for place, text in enumerate(texts)
        ]
    if folder is None:
        raise InputError(
            f"the collections {', '.join(chosen)} come with music21, which is not installed: {INSTALL}"
        )
    return read_books(chosen, folder)


def notes_of(fact: dict[str, Any]) -> Floats:
    """Notes (n, 3) [onset s, duration s, MIDI] of a row of facts, at its tempo, up to `CLIP_SECONDS`."""
    return np.asarray(fact["notes"], dtype=np.float64).reshape(-1, 3)


def cover_of(fact: dict[str, Any], seed: int = 0) -> CoverSpec:
    """The cover of one row of facts; the drawing's own randomness is keyed by the item."""
    key = int(generator(seed, "cover", fact["item_id"]).integers(1 << 31))
    return CoverSpec(
        fact["cover_palette"], fact["cover_shape"], int(fact["cover_count"]), int(fact["cover_symmetry"]), key
    )
