"""A model folder in this process: how fast it answers, and how often its first answer has the shape that was
asked for.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from pydantic import BaseModel, Field

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from tastemaker.chat import CallError, Engine, Reply, Request, Sampling, system, user
from tastemaker.chat.answers import read_answer
from tastemaker.chat.local import Local

HANDLES = (
    "T1: Drowsy Maggie, reel, E minor",
    "T2: The Butterfly, slip jig, E minor",
    "T3: Planxty Irwin, waltz, G major",
)
WISHES = ("a slip jig", "a fast reel", "a calm waltz", "something in G major", "something in E minor")


class Pick(BaseModel):
    """A recommendation by handle."""

    handle: str = Field(pattern="^T[123]$")
    message: str = Field(min_length=1)


RIGHT = (("T2",), ("T1",), ("T3",), ("T3",), ("T1", "T2"))


def ask(wish: str, answer: type[Any], sample: int) -> Request[Any]:
    """One turn of a recommender: three tunes to choose from, and a wish."""
    told = "You recommend one of these tunes, by its handle:\n" + "\n".join(HANDLES)
    return Request(
        (system(told), user(f"I would like {wish}.")), answer, Sampling(0.7, 0.95, 64), sample=sample
    )


def one(chat: Local, engine: Engine, place: int, sample: int) -> dict[str, Any]:
    """A wish in prose (speed), as JSON at the first try, and as JSON with up to two re-asks."""
    began = time.perf_counter()
    prose = chat.complete(ask(WISHES[place], str, sample))
    seconds = time.perf_counter() - began
    first = chat.complete(ask(WISHES[place], Pick, sample))
    made = prose.usage.output if prose.usage else 0
    told: dict[str, Any] = {"prose": prose.text, "json": first.text, "speed": made / seconds}
    told["first"] = _right(first, ask(WISHES[place], Pick, sample), place)
    try:
        told["engine"] = engine.call(ask(WISHES[place], Pick, sample)).handle in RIGHT[place]
    except CallError as error:
        told["engine"] = error.kind
    return told


def _right(reply: Reply, request: Request[Any], place: int) -> bool | str:
    try:
        return read_answer(reply, request).handle in RIGHT[place]
    except CallError as error:
        return error.kind


def main() -> None:
    """Ask, count, show."""
    reader = parser(main, "one sample of each wish")
    reader.add_argument(
        "--folder", type=Path, required=True, help="a model folder, such as the one `make smollm2` writes"
    )
    arguments = read_arguments(reader, "local_model")
    samples = 1 if arguments.quick else 4
    chat = Local(arguments.folder)
    engine = Engine(chat)
    journal = Journal(arguments.out, {"model": chat.model, "wishes": WISHES, "samples": samples})
    keys = [(place, arguments.seed + sample) for sample in range(samples) for place in range(len(WISHES))]
    told = journal.run(keys, lambda key: one(chat, engine, *key), "wishes")
    show(arguments.out, chat.model, told)


def show(out: Path, model: str, told: list[dict[str, Any]]) -> None:
    """Outcomes by kind, as a table and bars."""
    failures = {row[name] for row in told for name in ("first", "engine") if isinstance(row[name], str)}
    kinds = ["right", "wrong item", *sorted(failures)]

    def count(name: str, kind: str) -> int:
        wanted = {"right": True, "wrong item": False}.get(kind, kind)
        return sum(row[name] == wanted and type(row[name]) is type(wanted) for row in told)

    rows = [
        {"outcome": kind, "first answer": count("first", kind), "with two re-asks": count("engine", kind)}
        for kind in kinds
    ]
    speed = sorted(row["speed"] for row in told)
    note = (
        f"{len(told)} wishes, {model}; {speed[len(speed) // 2]:.1f} tokens/s (median). Prose:"
        f" {told[0]['prose']!r}"
    )
    show_table(out, rows, "A local model as recommender", note)
    figure = Figure(figsize=(6, 3), layout="constrained")
    axis = figure.subplots()
    axis.bar(
        [x - 0.2 for x in range(len(rows))], [row["first answer"] for row in rows], 0.4, label="first answer"
    )
    axis.bar(
        [x + 0.2 for x in range(len(rows))],
        [row["with two re-asks"] for row in rows],
        0.4,
        label="with two re-asks",
    )
    axis.set_xticks(range(len(rows)), kinds)
    axis.set(xlabel="outcome", ylabel=f"wishes of {len(told)}")
    axis.legend()
    save_figure(out, figure)


if __name__ == "__main__":
    command(main)
