"""How soon the assistant answers, offline: seconds to the first text part and to the first item of a turn.

    python -m benchmarks.assistant -w shop
    python -m benchmarks.assistant -w shop --turns 200 --at-once 8 --json

One conversation after another, then `--at-once` conversations side by side, each with the same turns, in one
process; turns of one conversation follow one another without a pause, which is harder than people are. Time
counts from the call to `respond` until the part is in hand; every list is logged as offered before its first
item, and the workspace's database grows accordingly: use a copy.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recipes.common import command, options

from tastemaker.assist.assistant import Assistant, Limits
from tastemaker.stats.random import generator

FORMS = (
    "{value} please",
    "something {value}, and not {other}",
    "I am looking for {value} for a friend's birthday",
    "more",
    "like the second",
    "not that one",
    "what is the first one?",
    "anything by the maker of {other}",
)
WORDS = ("text", "nothing_fits", "question", "notice")


def messages(assistant: Assistant, turns: int, seed: int) -> list[str]:
    """Turns about values that the catalogue has; a new wish every other turn."""
    fields = assistant.library().shelf.catalogue.fields.values()
    values = [value for field in fields for value in field.values if len(value) > 2] or ["something new"]
    rng = generator(seed, "messages")
    pairs = rng.integers(len(values), size=(turns, 2)).tolist()
    return [
        FORMS[turn % len(FORMS)].format(value=values[a], other=values[b]) for turn, (a, b) in enumerate(pairs)
    ]


def talk(assistant: Assistant, texts: Sequence[str], user: str | None) -> list[tuple[float, float, float]]:
    """For each turn the seconds to the first words, to the first item (NaN without one), and to the end."""
    conversation: str | None = None
    times = []
    for number, message in enumerate(texts):
        start, words, item = time.perf_counter(), float("nan"), float("nan")
        if number % len(FORMS) == 0:
            conversation = None
        for part in assistant.respond(message, conversation, user):
            now = time.perf_counter() - start
            if part.kind in WORDS and np.isnan(words):
                words = now
            if part.kind == "item" and np.isnan(item):
                item = now
            if part.kind == "done":
                conversation = part.public()["conversation_id"]
        times.append((words, item, time.perf_counter() - start))
    return times


def measure(assistant: Assistant, turns: int, at_once: int, users: Sequence[str | None]) -> dict[str, Any]:
    """Percentiles in milliseconds of `at_once` conversations side by side."""
    times: list[list[tuple[float, float, float]]] = [[] for _ in range(at_once)]

    def client(place: int) -> None:
        times[place] = talk(assistant, messages(assistant, turns, place), users[place % len(users)])

    threads = [threading.Thread(target=client, args=(place,)) for place in range(at_once)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    columns = 1000 * np.array([row for each in times for row in each])
    line: dict[str, Any] = {"conversations": at_once, "turns": len(columns)}
    for name, column in zip(("first_text", "first_item", "whole_turn"), columns.T, strict=True):
        p50, p99 = np.nanpercentile(column, [50, 99]).round(1).tolist()
        line[name] = {"n": int((~np.isnan(column)).sum()), "p50": p50, "p99": p99}
    line["turns_a_second"] = round(len(columns) / (time.perf_counter() - started), 2)
    return line


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("-w", "--workspace", type=Path, required=True, help="a trained workspace, a copy")
    parser.add_argument("--turns", type=int, default=80, help="turns of each conversation")
    parser.add_argument("--at-once", type=int, default=8, help="conversations side by side")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    started = time.perf_counter()
    assistant = Assistant.open(arguments.workspace, limits=Limits(turns=100_000))
    items = len(assistant.library().shelf)
    ready = time.perf_counter() - started
    known = people(assistant)
    talk(assistant, messages(assistant, 8, 99), None)
    load = os.getloadavg()[0]
    lines = [measure(assistant, arguments.turns, count, known) for count in (1, arguments.at_once)]
    result: dict[str, Any] = {
        "items": items,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_before": load,
        "seconds_to_ready": round(ready, 1),
        "lines": lines,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    result["load_after"] = os.getloadavg()[0]
    assistant.close()
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        if name != "lines":
            print(f"{name}: {value}")
    for line in result["lines"]:
        print(line)


def people(assistant: Assistant) -> list[str | None]:
    """People with a past, so that the model has a say in the ranking."""
    ids = assistant.service.parts.people.ids[:50]
    return list(ids) or [None]


if __name__ == "__main__":
    command(main)
