"""Real processes on one small workspace: what is lost when the server is killed, what is left of a person who
is forgotten while it serves, and what goes wrong when commands run at once.

    python -m recipes.safety.live kills --count 200
    python -m recipes.safety.live canary
    python -m recipes.safety.live grind       # can a caller choose what the log says was drawn by chance?
    python -m recipes.safety.live pairs
    python -m recipes.safety.live schema      # every check of schemathesis (`make promises` installs it)

`--workspace FOLDER` takes a copy of a trained workspace instead of making one. Each part prints its figures
as JSON and PASS or FAIL; exit code 1 for the latter. The processes are forks, so that a round takes seconds.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from recipes.common import chosen, command, options
from recipes.safety.shop import make_shop
from tastemaker.assist.assistant import Assistant
from tastemaker.errors import BusyError, InputError, TastemakerError
from tastemaker.flows import deploy
from tastemaker.flows.forget.person import forget
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.train import run_stages
from tastemaker.server import serve
from tastemaker.serving.query import Happened, Query
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Database, Workspace, diagnose, read_manifest, write_text
from tastemaker.store.database import check_database

Json = dict[str, Any]
QUIET = lambda *_: None  # noqa: E731
TOP = Path(__file__).parents[2]


PROCESSES = multiprocessing.get_context("forkserver")  # forks of a process that did nothing but import
PROCESSES.set_forkserver_preload(["recipes.safety.live"])


def _child(action: Callable[..., object], arguments: tuple[Any, ...], log: Path) -> None:
    code = 4
    try:
        torch.set_num_threads(1)
        action(*arguments)
        code = 0
    except TastemakerError as error:
        code = 3 if isinstance(error, BusyError) else 2
        log.write_text(str(error))
    except BaseException:
        log.write_text(traceback.format_exc())
    os._exit(code)


def start(log: Path, action: Callable[..., object], *arguments: Any) -> Any:
    """A process that does one thing: exit code 0, 2 for an error of one line, 3 where it was told to wait, 4
    for a traceback; what it said stands in `log`.
    """
    child = PROCESSES.Process(target=_child, args=(action, arguments, log))
    child.start()
    return child


def ended(child: Any, timeout: float = 300) -> int:
    """The exit code of a process; one that does not end is killed, and its code is -9."""
    child.join(timeout)
    if child.is_alive():
        child.kill()
        child.join()
    return int(child.exitcode)


def log_tail(log: Path) -> str:
    """What a process left behind."""
    return log.read_text()[-600:] if log.exists() else ""


def serving(root: Path, address: Path) -> None:
    """Serve the workspace on a free port, which is written to `address`."""
    service = WorkspaceService(Workspace.open(root), watch=0.2)
    try:
        announce = lambda url: write_text(address, url.rpartition(":")[2])  # noqa: E731
        serve(service, port=0, announce=announce, talker=Assistant(service, None))
    finally:
        service.close()


class Server:
    """A server of the workspace in a process of its own."""

    def __init__(self, root: Path) -> None:
        address, log = root.parent / f"port-{os.urandom(4).hex()}", root.parent / "server.log"
        self.child = start(log, serving, root, address)
        for _ in range(2400):
            if address.exists():
                self.port = int(address.read_text())
                if self.call("GET", "/health/ready")[0] == 200:
                    address.unlink()
                    return
            if not self.child.is_alive():
                break
            time.sleep(0.05)
        raise SystemExit(f"the server did not start: {log_tail(log)}")

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON of one request; status 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw else None
        except (OSError, http.client.HTTPException, ValueError):
            return 0, None
        finally:
            connection.close()

    def kill(self) -> None:
        """SIGKILL."""
        self.child.kill()
        self.child.join()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.child.terminate()
        return ended(self.child)


def kills(root: Path, count: int) -> tuple[Json, bool]:
    """Kill a server under four writers again and again; count acknowledged events that are gone or twice."""
    acknowledged, lock, started = list[str](), threading.Lock(), time.monotonic()
    items = Workspace.open(root).table("items")["item_id"].to_pylist()
    rng = random.Random(1)
    for round_ in range(count):
        server, stop = Server(root), threading.Event()

        def write(
            tag: str, server: Server = server, stop: threading.Event = stop, rng: random.Random = rng
        ) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                names = [f"{tag}-{number}-{k}" for k in range(1 + number % 4)]
                about = {"user_id": f"w{number % 9}", "kind": "like", "item_id": rng.choice(items)}
                body = {"events": [{"event_id": name} | about for name in names]}
                if server.call("POST", "/events", body)[0] == 200:
                    with lock:
                        acknowledged.extend(names)

        writers = [threading.Thread(target=write, args=(f"k{round_}-{n}",)) for n in range(4)]
        for writer in writers:
            writer.start()
        time.sleep(rng.uniform(0.05, 0.6))
        server.kill()
        stop.set()
        for writer in writers:
            writer.join()
    wrong = check_database(root / "tastemaker.sqlite")
    with sqlite3.connect(root / "tastemaker.sqlite") as raw:
        stored = Counter(row[0] for row in raw.execute("SELECT event_id FROM events"))
    raw.close()
    lost = [name for name in acknowledged if name not in stored]
    figures = {
        "kills": count,
        "acknowledged": len(acknowledged),
        "lost": len(lost),
        "twice": sum(number > 1 for number in stored.values()),
        "database": wrong or "whole",
        "seconds": round(time.monotonic() - started),
    }
    return figures, not lost and wrong is None and len(acknowledged) > count


def occurrences(root: Path, canary: str) -> dict[str, int]:
    """How often each file under the folder holds the canary: as bytes, in its name, in a compressed table."""
    counts = dict[str, int]()
    for path in sorted(file for file in root.rglob("*") if file.is_file()):
        count = path.read_bytes().count(canary.encode()) + path.name.count(canary)
        if path.suffix == ".parquet":
            count += str(pq.read_table(path).to_pylist()).count(canary)
        if count:
            counts[path.relative_to(root).as_posix()] = count
    return counts


def canary(root: Path, seconds: float = 3.0) -> tuple[Json, bool]:
    """Forget a person, and a visitor of the page, while a server answers them under load and a reader has the
    database open; look for their names in every byte afterwards.
    """
    names = {"person": "Canary7f3a9e", "visitor": "visitor-Canary7f3a9e"}
    item = str(Workspace.open(root).table("items")["item_id"][0])
    server, stop, statuses = Server(root), threading.Event(), Counter[str]()

    def use(name: str, number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            asked = {"user_id": name, "k": 3} if name == names["person"] else {"history": [item], "k": 3}
            status, answer = server.call("POST", "/recommendations", asked)
            statuses[f"recommendations {status}"] += 1
            event = {"event_id": f"c{number}-{count}", "user_id": name, "kind": "like", "item_id": item}
            if status == 200 and answer.get("request_id"):
                event["request_id"] = answer["request_id"]
            status, _ = server.call("POST", "/events", {"events": [event]})
            statuses[f"events {status}"] += 1

    users = [threading.Thread(target=use, args=(name, n)) for n, name in enumerate([*names.values()] * 2)]
    for user in users:
        user.start()
    before = 0
    while not before and server.child.is_alive():
        time.sleep(seconds / 2)
        before = sum(occurrences(root, "Canary7f3a9e").values())
    reader = sqlite3.connect(root / "tastemaker.sqlite", isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    log = root.parent / "forget.log"
    refused = ended(start(log, forget, root, names["person"]))
    pending = next(note for note in diagnose(root, least_free=0) if note.subject == "forgotten").level
    reader.execute("COMMIT")
    reader.close()  # before the files are read as bytes, which would take its locks
    message = log_tail(log)
    codes = {name: ended(start(log, forget, root, identity)) for name, identity in names.items()}
    at_once = sum(occurrences(root, "Canary7f3a9e").values())
    erased = (" 404", " 409")
    while server.child.is_alive() and not any(status.endswith(erased) for status in list(statuses)):
        time.sleep(seconds / 2)  # the server goes on, and so do they
    stop.set()
    for user in users:
        user.join()
    running = occurrences(root, "Canary7f3a9e")
    code = server.stop()
    stopped = occurrences(root, "Canary7f3a9e")
    figures = {
        "before": before,
        "with a reader open": {"exit": refused, "says": message, "doctor": pending},
        "forget": codes,
        "left at once": at_once,
        "left while the server goes on": running,
        "left when it has stopped": stopped,
        "server's exit": code,
        "answers": dict(statuses),
    }
    served_on = any(name.endswith(erased) for name in statuses)
    clean = not running and not stopped and not at_once and not any(codes.values())
    return figures, bool(before and clean and refused == 3 and pending == "error" and served_on)


KINDS = ("ingest", "train", "serve", "forget")
PAIRS = [f"{first}+{second}" for place, first in enumerate(KINDS) for second in KINDS[place:]]


def pairs(root: Path, only: str = "") -> tuple[Json, bool]:
    """Every two of ingest, train, serve and forget at once, each pair on a copy of its own."""
    table = Workspace.open(root).tables_folder()
    for number, keep in enumerate((1.0, 0.9)):
        items, plays = (pq.read_table(table / f"{name}.parquet") for name in ("items", "interactions"))
        folder = root.parent / f"files{number}"
        folder.mkdir()
        pq.write_table(items.slice(0, int(items.num_rows * keep)), folder / "items.parquet")
        pq.write_table(plays, folder / "interactions.parquet")
    people = sorted(set(pq.read_table(table / "interactions.parquet")["user_id"].to_pylist()))
    outcomes, bad = dict[str, str](), list[str]()
    for name in [only] if only else PAIRS:
        first, second = name.split("+")
        copy = root.parent / name / "w"
        shutil.copytree(root, copy)
        codes, faults = _together(copy, (first, second), people, root.parent)
        outcomes[name] = f"exit {codes}" + (f", {len(faults)} faults" if faults else "")
        bad += [f"{name}: {fault}" for fault in faults]
        shutil.rmtree(copy.parent)
    return {"pairs": outcomes, "faults": bad}, not bad


def _together(
    root: Path, both: tuple[str, str], people: list[str], files: Path
) -> tuple[list[int], list[str]]:
    """Exit codes of two commands that ran at once, and what was wrong then or afterwards."""
    gone, logs = [people[-1], people[-2]], [root.parent / f"{number}.log" for number in range(2)]
    turns = {"ingest": files, "train": None, "serve": people, "forget": gone}
    children = [
        start(logs[number], ACTIONS[kind], root, turns[kind], number) for number, kind in enumerate(both)
    ]
    codes = [ended(child) for child in children]
    faults = [
        f"{kind} ended with {code}: {log_tail(log)}"
        for kind, code, log in zip(both, codes, logs, strict=True)
        if code not in (0, 3)
    ]
    return codes, faults + _wrong(root, [gone[n] for n, kind in enumerate(both) if kind == "forget"])


def _ingest(root: Path, files: Path, number: int) -> None:
    for turn in range(6):
        folder = files / f"files{(turn + number) % 2}"
        ingest_files(root, folder / "items.parquet", folder / "interactions.parquet")


def _train(root: Path, _: None, number: int) -> None:
    run_stages(root, QUIET)


def _forget(root: Path, gone: list[str], number: int) -> None:
    for _ in range(300):
        try:
            forget(root, gone[number])
            return
        except BusyError:  # a training holds the lock: the command says so, and a person tries again
            time.sleep(0.2)


def _serve(root: Path, people: list[str], number: int) -> None:
    service, wrong = WorkspaceService(Workspace.open(root), watch=0.05), Counter[str]()
    try:
        for turn in range(150):
            user, other = people[turn % len(people)], people[-1 - turn % 2]
            slates = service.recommend_many([Query(user, k=3), Query(other, k=3)])
            for slate in slates:
                if isinstance(slate, TastemakerError) and not isinstance(slate, InputError):
                    wrong[str(slate)] += 1
            if isinstance(slates[0], TastemakerError) or not slates[0].rows:
                continue
            event = Happened(f"{number}-{turn}", other, "like", slates[0].rows[0].item_id)
            try:
                service.add_events([event])
            except InputError:  # erased meanwhile
                continue
    finally:
        service.close()
    if wrong:
        raise RuntimeError(f"answers {dict(wrong)}")


ACTIONS: dict[str, Callable[[Path, Any, int], None]] = {
    "ingest": _ingest,
    "train": _train,
    "serve": _serve,
    "forget": _forget,
}


def _wrong(root: Path, gone: list[str]) -> list[str]:
    """What does not fit together in a workspace that nobody uses any more."""
    workspace, faults = Workspace.open(root), list[str]()
    faults += [
        str(note) for note in (*diagnose(root, least_free=0), *deploy.faults(root)) if note.level == "error"
    ]
    for artifact in workspace.artifacts.finished():
        if artifact.kind != "vectors":
            continue
        tables = read_manifest(artifact.path)["about"]["inputs"]["tables"]
        if not (workspace.data / f"tables-{tables}").exists():
            continue
        items = set(workspace.table("items", tables=tables)["item_id"].to_pylist())
        own = set(pq.read_table(artifact.path / "text.parquet")["item_id"].to_pylist())
        if items != own:
            faults.append(
                f"vectors/{artifact.fingerprint[:8]} holds {len(own)} items, its tables {len(items)}"
            )
    current = deploy.active(workspace)
    if current is None or current.catalogue != workspace.tables_fingerprint():
        faults.append("what is served is not the tables in use")
    for name in gone:
        left = {path: count for path, count in occurrences(root, name).items() if not path.endswith(".lock")}
        if left:
            faults.append(f"{name} is still in {left}")
    return faults


def grind(root: Path, lists: int) -> tuple[Json, bool]:
    """One person chooses ids, asks for list after list, confirms those alone that begin with an item that
    rarely comes, and likes each under twenty ids to be asked about it: does the log say of anything that it
    had another chance than it was logged with?
    """
    file = root / "tastemaker.toml"
    wished = {"exploration": 1.0, "ask_share": 0.05, "ask_hours": 0, "ask_lists": 0, "ask_holdout": 0.0}
    rows = [line for line in file.read_text().splitlines() if line.partition(" =")[0] not in wished]
    write_text(file, "\n".join([*(f"{name} = {value}" for name, value in wished.items()), *rows]) + "\n")
    server, answers, asked = Server(root), list[Json](), 0
    for number in range(lists):
        wish = {"user_id": "grinder", "k": 1, "request_id": f"chosen-{number}", "confirm": True}
        answers.append(server.call("POST", "/recommendations", wish)[1])
        server.call("POST", "/recommendations", wish)  # a retry is no second draw
    tops = [answer["rows"][0]["item_id"] for answer in answers]
    target = min(set(tops), key=lambda item: answers[tops.index(item)]["rows"][0]["propensity"])
    for place in [place for place, top in enumerate(tops) if top == target]:
        server.call(
            "POST", "/impressions", {"request_id": answers[place]["request_id"], "user_id": "grinder"}
        )
    for number in range(lists):
        answer = server.call("POST", "/recommendations", {"user_id": f"curious-{number}", "k": 1})[1]
        about = {"user_id": f"curious-{number}", "kind": "like", "item_id": answer["rows"][0]["item_id"]}
        about["request_id"] = answer["request_id"]
        likes = [about | {"event_id": f"{number}-{turn}"} for turn in range(20)]
        asked += server.call("POST", "/events", {"events": likes})[1]["survey"] is not None
    server.stop()
    database = Database(root / "tastemaker.sqlite")
    logged = [row for row in database.slates_table().to_pylist() if row["user_id"] == "grinder"]
    database.close()
    shown = [row["propensity"] for row in logged if row["item_id"] == target]
    excess = {
        name: round((count - chance * n) / max(n * chance * (1 - chance), 1e-9) ** 0.5, 2)
        for name, count, chance, n in (
            ("lists", len(shown), shown[0], len(logged)),
            ("questions", asked, wished["ask_share"], lists),
        )
    }
    figures = {
        "lists logged": len(logged),
        "with the item wanted": len(shown),
        "expected by its propensity": round(shown[0] * len(logged), 1),
        "people who wanted a question": lists,
        "asked": asked,
        "expected": round(wished["ask_share"] * lists, 1),
        "standard errors above chance": excess,
    }
    return figures, max(excess.values()) < 4


def schema(root: Path, examples: int) -> tuple[Json, bool]:
    """Every check of schemathesis on every route, talking, media and erasing among them."""
    own = TOP / ".venv-release" / "bin" / "st"
    program = str(own) if own.exists() else shutil.which("st")
    if program is None:
        raise SystemExit("there is no `st`; pip install schemathesis in an environment of its own")
    server = Server(root)
    command = [program, "--config-file", str(TOP / "benchmarks" / "schemathesis.toml"), "--no-color", "run"]
    command += f"http://127.0.0.1:{server.port}/openapi.json --request-timeout 120 --seed 1".split()
    command += ["--max-examples", str(examples)]
    done = subprocess.run(command, cwd=root.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-8000:], file=sys.stderr)
    alive = server.call("GET", "/health/ready")[0] == 200
    server.stop()
    cases = re.search(r"([0-9,]+) generated", done.stdout)
    figures = {
        "operations": (re.search(r"Operations: +([0-9]+)", done.stdout) or [0, 0])[1],
        "cases": cases and cases[1],
        "failures": len(re.findall(r"^- [A-Z]+[0-9]+ ", done.stdout, re.M)) or done.returncode,
    }
    return figures, not done.returncode and alive and cases is not None


PARTS: dict[str, Callable[..., tuple[Json, bool]]] = {
    "kills": kills,
    "canary": canary,
    "grind": grind,
    "pairs": pairs,
    "schema": schema,
}


@contextmanager
def workspace(given: Path | None) -> Iterator[Path]:
    """A trained workspace in a temporary folder."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "shop"
        if given is None:
            make_shop(root)
        else:
            shutil.copytree(given, root)
        for name in ("items", "plays"):
            (root / f"{name}.parquet").unlink(missing_ok=True)
        yield root


def main() -> None:
    """Run one part and print what it found."""
    parser = options(__doc__)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--count", type=int, default=200, help="kills of `kills`")
    parser.add_argument("--lists", type=int, default=200, help="lists, and people, of `grind`")
    parser.add_argument("--examples", type=int, default=40, help="cases a route of `schema`, at most")
    parser.add_argument("--only", default="", help="one pair of `pairs`, such as ingest+train")
    dials = parser.parse_args()
    chosen(dials.only, PAIRS, "pair")
    more: dict[str, Any] = {
        "kills": {"count": dials.count},
        "grind": {"lists": dials.lists},
        "pairs": {"only": dials.only},
        "schema": {"examples": dials.examples},
    }
    with workspace(dials.workspace) as root:
        figures, good = PARTS[dials.part](root, **more.get(dials.part, {}))
    print(json.dumps(figures, indent=1))
    print(f"{'PASS' if good else 'FAIL'}: {dials.part}")
    sys.exit(not good)


if __name__ == "__main__":
    command(main)
