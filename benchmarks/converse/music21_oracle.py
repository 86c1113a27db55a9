"""music21 as an oracle: an environment of its own, made on first use, whose answers are kept so that a run
can be resumed.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

VERSION = "10.5.1"
READER = Path(__file__).with_name("music21_reader.py")
Notes = list[list[float]]


def environment() -> Path:
    """Folder of the environment of music21 with all it needs, made on first use (minutes) under the user's
    cache folder.
    """
    folder = (
        Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tastemaker" / f"music21-{VERSION}"
    )
    if not (folder / "ready").exists():
        print(f"installing music21 {VERSION} into {folder} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, f"music21=={VERSION}"], check=True)
        (folder / "ready").touch()
    return folder


class Oracle:
    """Reads tunes in `workers` processes; an answer once given is kept in the environment's folder.

    An answer is the notes ([onset, duration, MIDI] in quarters, sorted) or, as a string, the error that
    stopped music21.
    """

    def __init__(self, workers: int = 2) -> None:
        folder = environment()
        self.python, self.workers = folder / "bin" / "python", workers
        digest = hashlib.sha256(READER.read_bytes()).hexdigest()[:12]  # another reader, other answers
        self.file = folder / f"answers-{digest}.jsonl"
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.known: dict[str, Notes | str] = dict(json.loads(line) for line in lines if line.endswith("]"))
        self.lock = threading.Lock()

    def read(self, asked: Iterable[tuple[str, bool]], what: str) -> list[Notes | str]:
        """The answer to each (text, whether repeats are played out); progress with the time left on
        stderr.
        """
        asked = list(asked)
        new = {self._key(*request): request for request in asked if self._key(*request) not in self.known}
        waiting: queue.SimpleQueue[tuple[str, tuple[str, bool]]] = queue.SimpleQueue()
        for item in new.items():
            waiting.put(item)
        started = time.monotonic()
        with ThreadPoolExecutor(self.workers) as pool:
            jobs = [pool.submit(self._work, waiting) for _ in range(min(self.workers, len(new)))]
            while wait(jobs, timeout=2.0).not_done:
                done, spent = len(new) - waiting.qsize(), time.monotonic() - started
                left = spent / max(done, 1) * waiting.qsize()
                print(
                    f"\rmusic21 reads {what}: {done}/{len(new)}, about {left:.0f} s left  ",
                    end="",
                    file=sys.stderr,
                )
            for job in jobs:
                job.result()
        if new:
            print(file=sys.stderr)
        return [self.known[self._key(*request)] for request in asked]

    @staticmethod
    def _key(text: str, played: bool) -> str:
        return hashlib.sha256(f"{played} {text}".encode()).hexdigest()

    def _work(self, waiting: queue.SimpleQueue[tuple[str, tuple[str, bool]]]) -> None:
        """One process of music21, answering until nothing waits."""
        command = [str(self.python), str(READER)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            while not waiting.empty():
                try:
                    key, (text, played) = waiting.get_nowait()
                except queue.Empty:
                    break
                process.stdin.write(json.dumps({"text": text, "played": played}) + "\n")
                process.stdin.flush()
                answer = json.loads(process.stdout.readline())
                with self.lock, self.file.open("a") as file:
                    self.known[key] = answer.get("notes", answer.get("error"))
                    file.write(json.dumps([key, self.known[key]]) + "\n")
            process.stdin.close()
