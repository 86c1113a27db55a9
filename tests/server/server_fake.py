"""An in-memory service with real small sounds and pictures; tests and the browser check run against it."""

from __future__ import annotations

import atexit
import io
import math
import shutil
import struct
import threading
import wave
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from tastemaker.errors import InputError, TastemakerError
from tastemaker.flows.data import numbers_of, passing
from tastemaker.retrieve.typeahead import TypeAhead
from tastemaker.schema import KINDS, EventRules
from tastemaker.serving.query import Evidence, Happened, Measures, Move, Query, Row, Slate, Standing, Unknown
from tastemaker.store.database import Key

FILES = Path(mkdtemp(prefix="fake-media-"))
atexit.register(shutil.rmtree, FILES, ignore_errors=True)
TYPES, KEYS = ("reel", "jig", "hornpipe", "polka", "waltz"), ("D", "G", "A minor", "E dorian")
BOOKS = ("Ryan's Mammoth Collection, 1883", "O'Neill's Music of Ireland", "Aird's Airs, 1778")
NAMES = (
    "The Blackbird",
    "The Cuckoo's Nest",
    "Drowsy Maggie",
    "The Morning Dew",
    "Miss McLeod's",
    "The Lark in the Morning",
    "Bonaparte Crossing the Rhine",
    "The Rights of Man",
    "Jenny's Chickens",
    "The Wind that Shakes the Barley",
    "Off to California",
    "The Humours of Glendart",
    "Haste to the Wedding",
    "The Rakes of Mallow",
    "Soldier's Joy",
    "The Flogging",
    "Father O'Flynn",
    "The Boys of Bluehill",
    "The Star of Munster",
    "Planxty Irwin",
)
# With type, key and book ten fields, as many as the demo has.
FURTHER = {
    "mode": ("major", "minor", "dorian"),
    "metre": ("4/4", "6/8", "9/8", "3/4"),
    "tempo_bpm": tuple(f"{tempo}" for tempo in range(84, 124, 4)),
    "length_bars": ("16", "24", "32"),
    "cover_background": ("a warm and sandy paper", "grey and green"),
    "cover_pattern": ("rings", "bands", "rings and bands"),
    "collected_in": ("Chicago", "Dublin", "Edinburgh", "a place whose name takes more room than a menu has"),
}
PALETTES = (
    ("#e7d7b9", "#b5482f", "#2f3e46"),
    ("#dfe6e1", "#1f6f5c", "#d9a441"),
    ("#efe3df", "#5a3a63", "#c9737a"),
    ("#dbe2ea", "#27496d", "#e08e45"),
    ("#ece7d3", "#6b7d3a", "#8c4a2f"),
)


@cache
def tone(frequency: float, seconds: float = 2.0, rate: int = 8000) -> bytes:
    """A fading tone as 16-bit WAV."""
    samples = (
        int(9000 * math.exp(-t / rate) * math.sin(2 * math.pi * frequency * t / rate))
        for t in range(int(seconds * rate))
    )
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(struct.pack("<h", one) for one in samples))
    return out.getvalue()


@cache
def picture(number: int, size: int = 160) -> bytes:
    """Rings and bands in one of a few palettes, as PNG."""
    colours = [bytes.fromhex(one[1:]) for one in PALETTES[(number * 7 + number // 5) % len(PALETTES)]]
    centre = (size * (0.3 + 0.1 * (number % 5)), size * (0.35 + 0.08 * (number % 4)))
    width = 9 + 4 * (number % 4)
    rows = []
    for y in range(size):
        line = bytearray(b"\0")
        for x in range(size):
            far = math.hypot(x - centre[0], y - centre[1])
            band = (x * (number % 3) + y * 2) // (size // 2)
            line += (
                colours[1]
                if far < width * 2.4
                else colours[2]
                if int(far // width) % 4 == 3 and band % 2 == 0
                else colours[0]
            )
        rows.append(bytes(line))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tunes(n: int = 60) -> list[dict[str, Any]]:
    """`n` tunes with type, key and book."""
    made = []
    for i in range(n):
        kind, key, book = TYPES[i % 5], KEYS[(i * 7 + i // 5) % 4], BOOKS[(i // 4) % 3]
        name = NAMES[i % len(NAMES)] + ("" if i < len(NAMES) else f" (No. {i // len(NAMES) + 1})")
        attributes = [f"tune_type={kind}", f"key={key}", f"book={book}"]
        attributes += [f"{name}={values[(i // 3) % len(values)]}" for name, values in FURTHER.items()]
        made.append(
            {
                "item_id": f"tune-{i:03d}",
                "title": name,
                "text": f"{name}, a {kind} in {key}",
                "attributes": attributes,
                "creator": None,
                "has_audio": True,
                "has_image": True,
            }
        )
    return made


def goods(n: int = 40) -> list[dict[str, Any]]:
    """`n` shop items: no sound, no picture, some without a title."""
    made = []
    for i in range(n):
        attributes = [
            f"brand={('Acme', 'Lumen', 'Orchard')[i % 3]}",
            f"category={('Shampoo', 'Hand cream', 'Soap', 'Brush')[i % 4]}",
        ]
        made.append(
            {
                "item_id": f"shop/{i:03d}",
                "title": f"Everyday No. {i}" if i % 3 else None,
                "text": None,
                "attributes": attributes,
                "creator": None,
                "has_audio": False,
                "has_image": False,
            }
        )
    return made


class FakeKeys:
    """A key store without keys: open to this machine."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []

    def all(self) -> list[Key]:
        return []

    def signing(self) -> str:
        return "a secret of this fake, with 32 bytes or more"

    def note(self, actor: str, action: str, detail: str = "") -> None:
        self.notes.append((actor, action, detail))


@dataclass
class FakeService:
    """Scores by shared attributes. `gate` is called inside each recommend call, so that a test can hold it
    there.

    `asks`: the survey question follows every like. `moves`: rows say what a survey proxy moved.
    """

    catalogue: list[dict[str, Any]] = field(default_factory=tunes)
    gate: Callable[[Sequence[Query]], None] = lambda queries: None
    is_writable: tuple[bool, str] = (True, "")
    simulated: bool = True
    asks: bool = False
    moves: bool = False
    keys: Any = field(default_factory=FakeKeys)

    def __post_init__(self) -> None:
        self.by_id = {one["item_id"]: one for one in self.catalogue}
        self.stored: dict[str, Happened] = {}
        self.sent: list[str] = []
        self.seen: list[str] = []
        self.made = 0
        self.erased: set[str] = set()
        self.lock = threading.Lock()
        self.batches: list[int] = []
        self.questions: dict[str, tuple[str, list[int | None]]] = {}
        n = len(self.catalogue)
        titles = [item["title"] or "" for item in self.catalogue]
        self.words = TypeAhead(titles, [" ".join(item["attributes"]) for item in self.catalogue])
        self.past = {
            f"listener-{u:04d}": [self.catalogue[(u + 5 * i) % n]["item_id"] for i in range(3 + u % 5)]
            for u in range(12)
        }

    def writable(self) -> tuple[bool, str]:
        return self.is_writable

    def measures(self) -> Measures:
        events = Counter(event.kind for event in self.stored.values())
        return Measures("d-000000000000", datetime(2026, 1, 1, tzinfo=UTC), 2, events)

    def overview(self, name: str) -> dict[str, Any]:
        return {"reason": f"nothing of {name} in a fake"}

    def roll_back(self, serving: str) -> dict[str, Any]:
        return {"deployment": {"name": "d-111111111111"}}

    def info(self) -> dict[str, Any]:
        tuneful = any(one["has_audio"] for one in self.catalogue)
        notice = (
            "Every listener here is simulated: drawn by a program, not recorded from people."
            if self.simulated
            else None
        )
        return {
            "dataset": "Traditional tunes" if tuneful else "Everyday goods",
            "item_noun": "tune" if tuneful else "item",
            "user_noun": "listener" if tuneful else "customer",
            "simulated": self.simulated,
            "notice": notice,
            "versions": {"model": "3f9a1c", "codebook": "b21e07"},
            "counts": {"items": len(self.catalogue), "users": len(self.past)},
        }

    def fields(self) -> list[dict[str, Any]]:
        counts: dict[str, Counter[str]] = {}
        for one in self.catalogue:
            for pair in one["attributes"]:
                name, _, value = pair.partition("=")
                counts.setdefault(name, Counter())[value] += 1
        return [
            {
                "name": name,
                "label": None,
                "values": [{"value": v, "count": c} for v, c in sorted(values.items())],
            }
            | (
                {"low": min(numbers), "high": max(numbers)}
                if (numbers := numbers_of(values).values())
                else {}
            )
            for name, values in counts.items()
        ]

    def items(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        return [self.by_id[one] for one in ids if one in self.by_id]

    def search(self, text: str, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        rows = self.words.search(text).tolist() if text.strip() else range(len(self.catalogue))
        return [self.catalogue[row] for row in rows][offset : offset + limit], len(rows)

    def media(self, item_id: str, kind: str) -> tuple[Path, str] | None:
        item = self.by_id.get(item_id)
        if item is None or not item["has_audio" if kind == "audio" else "has_image"]:
            return None
        number = self.catalogue.index(item)
        path = FILES / f"{len(self.catalogue)}-{number}.{kind}"
        if not path.exists():
            path.write_bytes(tone(220 + 20 * number) if kind == "audio" else picture(number))
        return path, "audio/wav" if kind == "audio" else "image/png"

    def standing(self, user_id: str) -> Standing:
        recorded = user_id in self.past
        undone = {event.target for event in self.stored.values()}
        acts = (event for event in self.stored.values() if event.user_id == user_id)
        known = recorded or any(event.kind != "undo" and event.event_id not in undone for event in acts)
        return Standing(known, recorded, recorded and self.simulated, user_id in self.erased)

    def users(self, limit: int, offset: int, whom: str) -> tuple[list[dict[str, Any]], int]:
        if whom == "simulated" and not self.simulated:
            return [], 0
        rows = []
        for number, (user_id, items) in enumerate(self.past.items()):
            liked = Counter(
                self.by_id[one]["attributes"][0].partition("=")[2] for one in items if one in self.by_id
            )
            note = f"mostly {liked.most_common(1)[0][0].lower()}" if liked else None
            noun = self.info()["user_noun"].capitalize()
            rows.append(
                {
                    "user_id": user_id,
                    "label": f"{noun} {number + 1}",
                    "simulated": self.simulated,
                    "events": len(items),
                    "note": note,
                }
            )
        return rows[offset : offset + limit], len(rows)

    def talks(self, user_id: str) -> list[dict[str, Any]]:
        return [{"conversation_id": "c-1", "turn": 0, "timestamp": 0.0, "message": user_id, "shown": []}]

    def history(self, user_id: str) -> list[dict[str, Any]]:
        undone = {one.target for one in self.stored.values() if one.kind == "undo"}
        new = [
            one
            for one in self.stored.values()
            if one.user_id == user_id and one.kind != "undo" and one.event_id not in undone
        ]
        if user_id not in self.past and not new:
            raise Unknown(f"user '{user_id}' is unknown; list the users with GET /users")
        return [{"item_id": one, "kind": "play", "sign": 1} for one in self.past.get(user_id, [])] + [
            {
                "item_id": one.item_id,
                "kind": one.kind,
                "event_id": one.event_id,
                "sign": EventRules().sign(one.kind, one.value),
            }
            for one in new
        ]

    def recommend_many(
        self, queries: Sequence[Query], free: Callable[[], None]
    ) -> list[Slate | TastemakerError]:
        self.batches.append(len(queries))
        self.gate(queries)
        answers: list[Slate | TastemakerError] = []
        for query in queries:
            try:
                answers.append(self._slate(query))
            except InputError as error:
                answers.append(error)
        return answers

    def delivered(self, request_ids: Sequence[str], confirms: bool) -> None:
        with self.lock:
            self.sent += request_ids
            self.seen += [] if confirms else request_ids

    def shown(self, request_id: str, user_id: str | None) -> bool:
        with self.lock:
            if request_id not in {
                f"s-{n + 1}" for n in range(self.made)
            }:  # as the database: logged is enough
                return False
            self.seen += [request_id] if request_id not in self.seen else []
            return True

    def forget(self, user_id: str) -> dict[str, Any]:
        with self.lock:
            events = [name for name, event in self.stored.items() if event.user_id == user_id]
            for name in events:
                del self.stored[name]
            if self.past.pop(user_id, None) is None and not events:
                raise Unknown(f"nothing is about '{user_id}'; ids are taken exactly, case included")
            self.erased.add(user_id)
            return {"removed": [{"what": "events", "count": len(events), "where": "here"}], "outdated": []}

    def _slate(self, request: Query) -> Slate:
        events = (
            self.history(request.user_id)
            if request.user_id and self.standing(request.user_id).known
            else [{"item_id": one, "kind": "like"} for one in request.history]
        )
        for event in events:
            if event["item_id"] not in self.by_id:
                raise InputError(
                    f"item '{event['item_id']}' is unknown; find items with GET /items?query=..."
                )
        last = {event["item_id"]: KINDS[event["kind"]].sign for event in events}
        liked = [self.by_id[e["item_id"]] for e in events if last[e["item_id"]] > 0]
        seen = {e["item_id"] for e in events} | request.exclude
        taste = Counter(
            pair
            for age, one in enumerate(reversed(liked))
            for pair in one["attributes"]
            for _ in range(3 if age == 0 else 1)
        )
        rows = []
        for one in self.catalogue:
            values = dict(pair.split("=", 1) for pair in one["attributes"])
            if one["item_id"] not in seen and all(
                any(len(passing({values.get(name, ""): np.zeros(1, np.int64)}, one)) for one in wanted)
                for name, wanted in request.filters.items()
            ):
                rows.append((sum(taste[pair] for pair in one["attributes"]), one))
        rows.sort(key=lambda row: (-row[0], row[1]["item_id"]))
        with self.lock:
            self.made += 1
            name = f"s-{self.made}"
        return Slate(
            name,
            datetime.now(UTC),
            deployment="d-1",
            versions={"model": "3f9a1c"},
            reason=None if len(rows) >= request.k else f"only {len(rows)} items pass the filters",
            rows=tuple(
                Row(
                    one["item_id"],
                    place,
                    float(score),
                    1.0,
                    "model",
                    self._reasons(one, liked),
                    self._moved(place),
                    one,
                )
                for place, (score, one) in enumerate(rows[: request.k])
            ),
        )

    def _moved(self, position: int) -> Move | None:
        if not self.moves:
            return None
        text = (
            "Moved up 2 places: of people asked about such a match, 68% are expected to say they would return"
            " for more, 9% not"
        )
        text += "; learnt from 412 survey answers, all of simulated listeners."
        return Move(0.68, 0.09, 0.4, 2 - position, text)

    def _reasons(self, item: dict[str, Any], liked: list[dict[str, Any]]) -> tuple[Evidence, ...]:
        best = max(
            liked, key=lambda other: len(set(other["attributes"]) & set(item["attributes"])), default=None
        )
        if best is None or not set(best["attributes"]) & set(item["attributes"]):
            return ()
        same = [pair.partition("=") for pair in item["attributes"] if pair in best["attributes"]]
        text = ", ".join(f"same {name.replace('_', ' ')} {value}" for name, _, value in same)
        return (Evidence(f"You heard {best['title'] or best['item_id']}: {text}", best["item_id"]),)

    def add_events(self, events: Sequence[Happened]) -> dict[str, Any]:
        with self.lock:
            for one in events:
                if one.item_id is not None and one.item_id not in self.by_id:
                    raise InputError(f"item '{one.item_id}' is unknown; find items with GET /items?query=...")
            conflicts = [one.event_id for one in events if self.stored.get(one.event_id, one) != one]
            new = [one for one in events if one.event_id not in self.stored]
            if conflicts:
                return {"accepted": 0, "duplicates": 0, "conflicts": conflicts}
            self.stored.update({one.event_id: one for one in new})
            return {"accepted": len(new), "duplicates": len(events) - len(new), "survey": self._question(new)}

    def _question(self, events: Sequence[Happened]) -> dict[str, Any] | None:
        liked = next((one for one in events if one.kind == "like"), None)
        if not self.asks or liked is None:
            return None
        name = f"q-{liked.event_id}"
        self.questions[name] = liked.user_id, []
        words = {"text": "Would you come back for more like this?", "low": "surely not", "high": "surely"}
        return {"question_id": name, "item_id": liked.item_id, **words}

    def answer_survey(self, question_id: str, user_id: str, answer: int | None) -> str:
        with self.lock:
            whose, told = self.questions.get(question_id, ("", []))
            if not whose or whose != user_id:
                return "unknown"
            if told:
                return "duplicate" if told[0] == answer else "conflict"
            told.append(answer)
            return "stored"
