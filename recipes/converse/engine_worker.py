"""One session of a run against a rehearsed endpoint, in a process that may be killed.

Every unit makes four calls, each of which quotes the answer before. The results go to FOLDER/results.json.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from recipes.common import options
from tastemaker.chat import (
    Budget,
    Cache,
    Engine,
    EngineSettings,
    Journal,
    PaceSettings,
    Request,
    Sampling,
    Unit,
    map_units,
    user,
)
from tastemaker.chat.endpoint import Endpoint, EndpointSettings
from tastemaker.store import append_line, read_lines, write_bytes, write_json

CALLS = 4


class Answer(BaseModel):
    """What the rehearsed endpoint answers."""

    answer: str


def say(body: dict[str, Any]) -> str:
    """The endpoint's answer: a function of the question alone, so that a re-ask or a lost call leads to the
    same words.
    """
    words = body["messages"][0]["content"]
    return json.dumps({"answer": f"{len(words)} letters, of which {words.count('e')} are e"})


def engine_of(folder: Path, chat: Endpoint, pace: PaceSettings) -> Engine:
    """An engine whose cache and journal are in `folder`, continued if there is one."""
    path = folder / "journal.jsonl"
    journal = Journal(partial(append_line, path), read_lines(path) if path.exists() else [], {"calls": CALLS})
    budget = Budget(usage=journal.billed()[0], calls=journal.billed()[1])
    cache = Cache(folder / "cache", write_bytes)
    return Engine(chat, cache=cache, journal=journal, budget=budget, settings=EngineSettings(pace))


def talk(engine: Engine, unit: Unit[int], calls: int = CALLS) -> dict[str, Any]:
    """The work of one unit: `calls` calls, one after the other."""
    answers: list[str] = []
    for turn in range(calls):
        asked = user(f"unit {unit.value}, turn {turn}; before: {answers[-1] if answers else 'nothing'}")
        request = Request(
            (asked,), Answer, Sampling(max_tokens=64), unit=unit.id, subject=unit.subject, kind="turn"
        )
        answers.append(engine.call(request).answer)
    return {"answer": answers}


def run_session(folder: Path, url: str, units: int, most: int = 8) -> None:
    """Run or resume, and write the results when all is done."""
    pace = PaceSettings(most=most, cool_down=0.2, back_off=0.02, longest=0.2)
    with Endpoint(EndpointSettings(url, "rehearsal", deadline=1.0)) as chat:
        engine = engine_of(folder, chat, pace)
        todo = [Unit(f"c{i:04d}", f"subject {i % 7}", i) for i in range(units)]
        out = list(map_units(engine, partial(talk, engine), todo))
    write_json(folder / "results.json", [[result.id, result.value, result.failure] for result in out])


if __name__ == "__main__":
    reader = options(__doc__)
    reader.add_argument("out", type=Path)
    reader.add_argument("url")
    reader.add_argument("units", type=int)
    reader.add_argument("--most", type=int, default=8)
    arguments = reader.parse_args()
    run_session(arguments.out, arguments.url, arguments.units, arguments.most)
