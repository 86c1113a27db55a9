"""One world of a rehearsal: a workspace of its own, its server with a clock that is moved by hand, the crowd
that uses it over HTTP by day, and an operator's commands by night.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from tastemaker.assist.assistant import Assistant
from tastemaker.rehearse.crowd import Crowd, Deed
from tastemaker.rehearse.operator import Catalogue, Operator, reason
from tastemaker.server.app import create_app
from tastemaker.server.run import address, bind
from tastemaker.serving.service import WorkspaceService
from tastemaker.stats.random import generator
from tastemaker.store import Workspace, write_text

START = datetime(2026, 3, 2, tzinfo=UTC)
PARTS = ("learning", "exploration", "proxy")
K = 10
EXPERIMENT = "rehearsal"
TEST_DAYS = 7
ASKING = {"ask_share": 0.5, "ask_hours": 20.0, "ask_lists": 1, "ask_holdout": 0.1}
PLAN = """\
id = "{}"
primary = ["returned"]
exploratory = ["likes"]
horizon = "day 1 after the first exposure"
shares = {{ control = 0.5, treatment = 0.5 }}
guardrails = {{ skips = 0.2 }}

[metrics.returned]
[metrics.likes]
denominator = "plays"
[metrics.skips]
better = "down"
"""


@dataclass(frozen=True)
class Schedule:
    """When things happen. night: every how many days the model is trained, a proxy fitted, a policy learnt
    and certified. arrivals: every how many days new items come, and one is taken down. talking: share of
    visits in which somebody also asks the assistant for something.
    """

    days: int = 30
    night: int = 10
    arrivals: int = 3
    talking: float = 0.3
    answers: int = 200  # that a proxy is learnt from at least


@dataclass
class Visit:
    """One list: who got it on which day, the true chance to come back after it, rows shown, rows of items
    that were new, and what was played and liked.
    """

    person: str
    day: int
    returning: float
    shown: int
    new: int
    targets: int
    plays: int
    likes: int


@dataclass
class Talk:
    """One conversation: who, what, which day, rows shown, true chance to come back (None: nothing shown)."""

    person: str
    day: int
    asked: str
    shown: int
    returning: float | None


@dataclass
class Diary:
    """What happened in one world: visits, what the nights said, and alarms. flagged: what the operator's page
    said of the data at the end; seconds: of each command, and of the days.
    """

    arm: str
    visits: list[Visit] = field(default_factory=list)
    talks: list[Talk] = field(default_factory=list)
    nights: list[dict[str, Any]] = field(default_factory=list)
    present: list[int] = field(default_factory=list)
    errors: int = 0
    flagged: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class Town:
    """One world: `live` is its life from the first day to the last."""

    def __init__(
        self, folder: Path, crowd: Crowd, catalogue: Catalogue, parts: frozenset[str], schedule: Schedule
    ) -> None:
        self.operator = Operator(folder, lambda: self.now)
        self.folder, self.crowd, self.catalogue = folder, crowd, catalogue
        self.parts, self.schedule = parts, schedule
        self.now = START
        self.absent = list(catalogue.arrivals)
        self.arrived: dict[str, int] = {}
        self.down: list[str] = []
        self.service: WorkspaceService | None = None
        self.certified = False
        self.trial = -1  # the day on which the test of the proxy began

    def live(self, arm: str, report: Any) -> Diary:
        """Every day and night; report(done, total, note) says how far it is."""
        diary, began = Diary(arm), time.monotonic()
        chances = dict.fromkeys(self.crowd.people, self.crowd.settings.returning)
        settings: dict[str, Any] = {"exploration": 0.0, "ask_share": 0.0, "experiment": ""}
        if "exploration" in self.parts:
            settings["exploration"] = 0.5
        if "proxy" in self.parts:
            settings |= ASKING
        self.operator.set(settings)
        with self.serving() as client:
            for day in range(self.schedule.days):
                self.now = START + timedelta(days=day, hours=8)
                self.morning(day, diary)
                present = 0
                for person in self.crowd.people:
                    if not self.crowd.comes(person, chances[person], day):
                        continue
                    present += 1
                    self.now += timedelta(seconds=40)
                    liked = self.visit(client, person, day, diary)
                    if generator(self.crowd.seed, "talks", person, day).random() < self.schedule.talking:
                        self.talk(client, person, day, diary)
                    chances[person] = self.crowd.returning(liked)
                for fake in self.crowd.fakes:
                    self.push(client, fake, day)
                diary.present.append(present)
                self.now = START + timedelta(days=day, hours=23)
                self.night(day, diary)
                report(day + 1, self.schedule.days, f"{arm}: {present} people came")
            findings = client.get("/operator.json", params={"part": "data"}).json()["data"]["findings"]
        diary.flagged = [finding["message"] for finding in findings]
        diary.seconds = self.operator.seconds | {
            "days": time.monotonic() - began - sum(self.operator.seconds.values())
        }
        return diary

    # ---- by day

    def visit(self, client: httpx.Client, person: str, day: int, diary: Diary) -> float:
        """One person's visit: a list, what they do, an answer to a question; how much they liked it."""
        slate = self.post(client, "/recommendations", {"user_id": person, "k": K}, diary)
        if slate is None:
            return 0.0
        shown = [row["item_id"] for row in slate["rows"]]
        deeds, liked = self.crowd.deeds(person, shown, day, 0)
        visit = Visit(
            person,
            day,
            self.crowd.expected(person, shown, day),
            len(shown),
            sum(item in self.arrived for item in shown),
            sum(item in self.crowd.targets for item in shown),
            sum(deed.kind == "play" for deed in deeds),
            sum(deed.kind == "like" for deed in deeds),
        )
        for number, deed in enumerate(deeds):
            event = self.event(person, deed, f"{person}-{day}-{number}", slate["request_id"])
            stored = self.post(client, "/events", {"events": [event]}, diary)
            survey = (stored or {}).get("survey")
            if survey:
                answer = self.crowd.answer(person, deed.item_id, day)
                body = {"question_id": survey["question_id"], "user_id": person, "answer": answer}
                self.post(client, "/surveys", body, diary)
        diary.visits.append(visit)
        return liked

    def talk(self, client: httpx.Client, person: str, day: int, diary: Diary) -> None:
        """A person asks in words, as the page does, and does with what is shown what they do with a list."""
        wish = self.crowd.wish(person, day)
        answer = client.post("/assist", json={"message": wish, "user_id": person})
        if answer.status_code >= 400:
            diary.errors += 1
            return
        parts = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        items = {part["item_id"]: part["request_id"] for part in parts if part["kind"] == "item"}
        shown = list(items)
        returning = self.crowd.expected(person, shown, day) if shown else None
        diary.talks.append(Talk(person, day, wish, len(shown), returning))
        for number, deed in enumerate(self.crowd.deeds(person, shown, day, 1)[0]):
            event = self.event(person, deed, f"{person}-{day}-said-{number}", items[deed.item_id] or None)
            self.post(client, "/events", {"events": [event]}, diary)

    def push(self, client: httpx.Client, fake: str, day: int) -> None:
        """What a program of the world "poison" does on a day: it plays and likes its targets."""
        known = [item for item in self.crowd.targets if item not in self.absent and item not in self.down]
        events = [
            self.event(
                fake, Deed(kind, item, 0, 1.0 if kind == "play" else None), f"{fake}-{day}-{item}-{kind}"
            )
            for item in known
            for kind in ("play", "like")
        ]
        if events:
            client.post("/events", json={"events": events})

    def event(self, person: str, deed: Deed, name: str, request: str | None = None) -> dict[str, Any]:
        """An event as a client sends it."""
        body: dict[str, Any] = {
            "event_id": name,
            "user_id": person,
            "kind": deed.kind,
            "item_id": deed.item_id,
        }
        if deed.value is not None:
            body["value"] = round(deed.value, 3)
        return body | ({"request_id": request, "position": deed.position} if request else {})

    def post(
        self, client: httpx.Client, path: str, body: dict[str, Any], diary: Diary
    ) -> dict[str, Any] | None:
        """The answer, or None where the server refused; refusals are counted."""
        answer = client.post(path, json=body)
        if answer.status_code >= 400:
            diary.errors += 1
            return None
        return dict(answer.json())

    # ---- by night

    def morning(self, day: int, diary: Diary) -> None:
        """New items arrive, and one that was there is taken down."""
        if day % self.schedule.arrivals or not self.absent:
            return
        steps = max(1, self.schedule.days // self.schedule.arrivals)
        coming = self.absent[: max(1, len(self.catalogue.arrivals) // steps)]
        self.absent = self.absent[len(coming) :]
        self.arrived |= dict.fromkeys(coming, day)
        here = [item for item in self.catalogue.items["item_id"].to_pylist() if item not in self.absent]
        self.down.append(next(item for item in here if item not in self.down and item not in self.arrived))
        self.operator.ingest(self.catalogue, [*self.absent, *self.down])
        self.take_over()
        diary.nights.append({"day": day, "what": "catalogue", "new": len(coming), "taken down": 1})

    def night(self, day: int, diary: Diary) -> None:
        """What an operator does at the end of a day."""
        if self.certified:
            self.watch(day, diary)
        if day + 1 == self.schedule.days:
            if self.trial >= 0:
                self.read_out(day, diary)
            return
        night = self.schedule.night
        # Half-way to the next training: a policy is learnt on the rows of the model that it is served beside.
        if "exploration" in self.parts and (day + 1) % night == night // 2:
            self.explore(day, diary)
        if (day + 1) % night:
            return
        if "learning" in self.parts:
            code, result = self.operator.command("train")
            diary.nights.append(
                {"day": day, "what": "train", "code": code, "deployment": result.get("deployment")}
            )
            self.take_over()
        if "proxy" in self.parts:
            self.proxy(day, diary)

    def proxy(self, day: int, diary: Diary) -> None:
        """Read out a test that had its days, fit a proxy; the first deployed is tested on half of all."""
        if self.trial >= 0 and day >= self.trial + min(TEST_DAYS, self.schedule.night):
            self.read_out(day, diary)
        code, result = self.operator.command(
            "retention", "proxy", "live", "--least", str(self.schedule.answers)
        )
        deployed = bool(result.get("deployed"))
        outcome = {"deployed": deployed, "text": reason(result)}
        diary.nights.append({"day": day, "what": "proxy", "code": code} | outcome)
        if deployed and self.trial == -1:
            self.operator.set({"experiment": EXPERIMENT})
            self.take_over()
            self.trial = day

    def read_out(self, day: int, diary: Diary) -> None:
        """What the test of the proxy says; everybody gets the proxy from here on."""
        out = self.folder.parent / f"{self.folder.name}-trial"
        out.mkdir(exist_ok=True)
        plan, table = out / "plan.toml", str(out / "results.parquet")
        write_text(plan, PLAN.format(EXPERIMENT))
        days = str(min(TEST_DAYS, day - self.trial))
        self.operator.command("experiment", "export", "--out", table, "--days", days)
        arguments = ("experiment", "read", table, "--plan", str(plan), "--out", str(out / "read"))
        code, result = self.operator.command(*arguments, here=False)
        diary.nights.append({"day": day, "what": "test", "code": code, "verdict": reason(result)})
        self.operator.set({"experiment": ""})
        self.take_over()
        self.trial = -2

    def explore(self, day: int, diary: Diary) -> None:
        """Bank what was served, learn candidates on the log, certify one and deploy it."""
        run, certificate = (
            self.folder.parent / f"{self.folder.name}-{name}-{day}" for name in ("run", "certificate")
        )
        key = ("--key", str(day))
        self.operator.command("explore", "ledger", "--settle-live", *key)
        code, result = self.operator.command("explore", "learn", "--out", str(run), *key)
        entry = {"day": day, "what": "certificate", "learnt": code == 0, "text": reason(result)}
        if code == 0:
            gate = ["explore", "certify", "--run", str(run), "--out", str(certificate)]
            if result["most_rows"]:
                gate += ["--most-rows", str(result["most_rows"])]
            code, result = self.operator.command(*gate)
            entry |= {"certified": code == 0, "text": reason(result)}
            if code == 0:
                code, _ = self.operator.command(
                    "explore", "deploy", "--run", str(run), "--certificate", str(certificate)
                )
                entry["deployed"] = code == 0
                self.certified = self.certified or code == 0
        diary.nights.append(entry)

    def watch(self, day: int, diary: Diary) -> None:
        """Look at what the certified policy earns; an alarm hands back."""
        code, result = self.operator.command("explore", "watch", "--hand-back")
        if code == 1 and result.get("alarm") is not None:
            diary.nights.append({"day": day, "what": "alarm", "text": str(result["alarm"])})

    # ---- the server

    @contextmanager
    def serving(self) -> Iterator[httpx.Client]:
        """The running server of this world, and a client as a browser is one."""
        self.service = WorkspaceService(Workspace.open(self.folder), clock=lambda: self.now)
        listener = bind(port=0)
        listener.listen()
        app = create_app(self.service, talker=Assistant(self.service) if self.schedule.talking else None)
        config = uvicorn.Config(app, log_level="error", access_log=False, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            with httpx.Client(base_url=address(listener), timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()
            self.service.close()
            listener.close()

    def take_over(self) -> None:
        """Let the server take over what was deployed, as it does within seconds of real time."""
        if self.service is not None:
            self.service.swap()
