"""Kill -9 a run at random moments, resume it, and compare it with one that was left alone (acceptance check
4).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recipes.converse.engine_worker import run_session, say
from recipes.converse.rehearsal import Rehearsal, Script
from tastemaker.chat import Journal
from tastemaker.chat.journal import records
from tastemaker.stats.random import generator
from tastemaker.store import read_lines

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300.0
"""Seconds for the work itself; every kill adds `EACH`, most of which a loaded machine may need to start a
process."""
EACH = 30.0


@dataclass(frozen=True)
class Kills:
    """What killing did. kept_asked_again: answers that were on disk and were asked for again (0 is the goal).

    lost: calls under way at a kill, whose answer never arrived; asked_again: requests the server saw once
    more because of that.
    """

    kills: int
    sessions: int
    calls: int
    same_bytes: bool
    duplicate_units: int
    kept_asked_again: int
    lost: int
    asked_again: int


def kill_and_resume(folder: Path, kills: int, units: int, seed: int, latency: float = 0.01) -> Kills:
    """Run to the end through `kills` kills at moments drawn from `seed`; the rest of the faults stay on."""
    faults = {"503": 0.02, "wrong_schema": 0.03, "truncated": 0.03, "drop": 0.02}
    script = Script(say, latency=latency, faults=faults, seed=seed)
    whole, broken = folder / "whole", folder / "broken"
    with Rehearsal(script) as server:
        run_session(whole, server.base_url, units)
    with Rehearsal(script) as server:
        command = [
            sys.executable,
            "-m",
            "recipes.converse.engine_worker",
            str(broken),
            server.base_url,
            str(units),
        ]
        results = broken / "results.json"
        killed, sessions = run_through(lambda: command, results.exists, server, kills, seed)
        same = (whole / "results.json").read_bytes() == results.read_bytes()
        return counted(broken / "journal.jsonl", server, killed, sessions, same)


def counted(journal: Path, server: Rehearsal, kills: int, sessions: int, same_bytes: bool) -> Kills:
    """What a journal and the server's own count say of a run that was killed and is finished now."""
    lines = list(records(read_lines(journal)))
    history = Journal(lambda record: None, lines, {}, "always")
    finished = Counter(line["unit"] for line in lines if line["event"] == "unit")
    unit_of = {line["attempt"]: line["unit"] for line in lines if line["event"] == "sent"}
    # An equal question about two people is two questions: each person's answer is kept, and erased, apart.
    valid = Counter(
        (line["call"], unit_of[line["attempt"]])
        for line in lines
        if line["event"] == "answered" and line["outcome"] == "valid"
    )
    shared = len(valid) - len({call for call, _ in valid})
    failed = sum(line["event"] == "failed" for line in lines)
    again = server.asked.total() - len(server.asked) - shared - failed
    return Kills(
        kills=kills,
        sessions=sessions,
        calls=valid.total(),
        same_bytes=same_bytes,
        duplicate_units=finished.total() - len(finished),
        kept_asked_again=valid.total() - len(valid) + max(0, again - len(history.unconfirmed)),
        lost=len(history.unconfirmed),
        asked_again=max(0, again),
    )


def run_through(
    command: Callable[[], list[str]],
    done: Callable[[], bool],
    server: Rehearsal,
    kills: int,
    seed: int,
    longest: float = 0.12,
    starting: float = 0.0,
) -> tuple[int, int]:
    """Start, wait for progress, wait a random moment of at most `longest` seconds, kill; until `done`.
    Returns (kills, sessions).

    starting: seconds a start takes; with it, every fifth kill or so comes at any moment of the start.
    """
    draws = generator(seed, "kills")
    killed = sessions = 0
    end = time.monotonic() + LIMIT + EACH * kills
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(f"not finished after {killed} kills")
        sessions += 1
        before = server.asked.total()
        with subprocess.Popen(
            command(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            if killed < kills:
                if starting and draws.random() < 0.2:
                    time.sleep(float(draws.uniform(0, starting)))
                else:
                    while server.asked.total() == before and process.poll() is None:
                        time.sleep(0.005)
                    time.sleep(float(draws.uniform(0, longest)))
                killed += process.poll() is None
                process.kill()
            errors = process.communicate()[1]
        if process.returncode not in (0, -9):
            raise RuntimeError(f"the worker failed: {json.dumps(errors[-2000:])}")
    return killed, sessions
