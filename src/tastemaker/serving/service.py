"""What the server calls: slates, events, questions and pages of the deployment that is active."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from tastemaker.errors import InputError, TastemakerError
from tastemaker.flows.deploy import active, active_name, changed, deployments
from tastemaker.flows.deployment import Deployment
from tastemaker.flows.forget.person import forget
from tastemaker.flows.overview import part
from tastemaker.flows.watches import Watcher
from tastemaker.schema import EventRules, check_person
from tastemaker.serving.asking import Asker
from tastemaker.serving.load import Clock, Shared, load_parts, load_serving
from tastemaker.serving.pages import Pages
from tastemaker.serving.query import Conflict, Happened, Measures, Query, Slate, Standing, Unknown
from tastemaker.serving.serve import Parts, serve
from tastemaker.store import Event, Offers, Workspace
from tastemaker.store.database import Keys, Talks
from tastemaker.store.files import plain
from tastemaker.store.settings import SETTINGS_FILE, Settings, read_settings

FIRST = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(minutes=5)  # how far a client's clock may be before ours
WATCH = 1.0  # seconds between looks for another deployment, or other settings
# settings that a running server cannot take over
AT_START = (
    "host",
    "port",
    "threads",
    "visitors",
    "names",
    "origins",
    "rate_person",
    "rate_key",
    "log",
    "watch_seconds",
    "database",
)
log = logging.getLogger("tastemaker.serving")


@dataclass(frozen=True)
class Live:
    """What one deployment answers, shows and asks with one version of the settings."""

    parts: Parts
    pages: Pages
    asker: Asker
    deployment: Deployment


class WorkspaceService:
    """Everything behind the HTTP edge of one workspace. Calls may block; the server runs them in threads,
    several at once. A mistake of the caller is an InputError whose message ends in "; " and the remedy; what
    is not there is Unknown, what clashes is Conflict.

    clock: the time that events, slates and questions are stamped with. watch: seconds between looks whether
    another deployment was activated or the settings file changed, which then take over; 0 for never (see
    `swap`). alarms: seconds between looks of the watches; 0 for never. common: what is shared with other
    processes of the same server, and watched beside them.
    """

    def __init__(
        self,
        workspace: Workspace,
        clock: Clock | None = None,
        watch: float = 0.0,
        alarms: float = 0.0,
        common: Any = None,
    ) -> None:
        self.workspace, self.common = workspace, common
        self.shared = Shared.of(workspace, clock, common)
        self.clock = self.shared.clock
        self.database = self.shared.database
        self.offers, self._file = Offers(self.database), read_settings(workspace.root)
        self.keys = Keys(self.database)
        self._events = Counter[str]()
        self._live = load_serving(workspace, partial(self._load, workspace))
        self._swapping, self._stopped = threading.Lock(), threading.Event()
        self._watcher = threading.Thread(target=self._watch, args=(watch,), daemon=True, name="deployments")
        if watch:
            self._watcher.start()
        self.watches = Watcher(lambda: self.workspace, 0.0 if common else alarms)

    @property
    def parts(self) -> Parts:
        """What answers now; take it once a batch, for another may stand here the next time."""
        return self._live.parts

    @property
    def pages(self) -> Pages:
        """What is shown now."""
        return self._live.pages

    @property
    def asker(self) -> Asker:
        """What asks now."""
        return self._live.asker

    def _load(self, workspace: Workspace, deployment: Deployment) -> Live:
        parts = load_parts(workspace, self.shared, deployment)
        return Live(parts, Pages(workspace, parts), Asker(workspace, self.database), deployment)

    def swap(self) -> bool:
        """Take over the active deployment and the settings of the file, if either is another; requests in
        hand finish on what was before.

        Raises ArtifactError when a part of the deployment is damaged or gone, InputError when the file is not
        legal; what was before goes on then.
        """
        with self._swapping:
            file = read_settings(self.workspace.root)
            if file == self._file and active_name(self.database) == self.parts.deployment:
                return False
            workspace = self.workspace if file == self._file else replace(self.workspace, settings=file)
            deployment = active(workspace)
            if deployment is None:
                return False
            self._live = self._load(workspace, deployment)  # every reader has the old or the new whole
            if gc.get_freeze_count():  # a server's: it keeps this one now, and not the one before
                gc.unfreeze()
                gc.collect()
                gc.freeze()
            if file != self._file:
                log.warning("%s: %s", SETTINGS_FILE, _changes(self._file, file))
            self.workspace, self._file = workspace, file
            return True

    def _watch(self, seconds: float) -> None:
        """Look for something new until the service is closed; what cannot be taken over is said once."""
        message = ""
        while not self._stopped.wait(seconds):
            try:
                self.swap()
            except Exception as error:  # whatever it is: a watcher that dies would serve the old for ever
                if str(error) != message:
                    expected = isinstance(error, TastemakerError)
                    log.error("%s goes on serving: %s", self.parts.deployment, error, exc_info=not expected)
                message = str(error)

    def close(self) -> None:
        """Stop looking for deployments and alarms, and close the database once nobody looks."""
        self._stopped.set()
        self.watches.close()
        if self._watcher.is_alive():
            self._watcher.join()
        self.database.close()

    def writable(self) -> tuple[bool, str]:
        """Whether slates and events can be stored, and if not, why."""
        try:
            if not self.database.locked():
                return True, ""
        except TastemakerError as error:
            return False, str(error)
        return False, f"another process is writing to {self.workspace.database.name}; it waits or stops"

    def recommend_many(
        self, queries: Sequence[Query], free: Callable[[], None] = lambda: None
    ) -> list[Slate | TastemakerError]:
        """A slate or error for each query, logged as offered; `free` is called when only logging is left."""
        return serve(queries, self.parts, free)

    def delivered(self, request_ids: Sequence[str], confirms: bool = False) -> None:
        """These slates have reached whoever asked: they count as shown, or once the client confirms it."""
        self.offers.delivered(request_ids, self.clock(), confirms)

    def shown(self, request_id: str, user_id: str | None) -> bool:
        """The client showed a slate of this person, or of a bare history; whether there is one."""
        name = request_id if user_id is None else self.offers.server_id(user_id, request_id)
        return name is not None and self.offers.shown(user_id, [name], self.clock()) == 1

    def measures(self) -> Measures:
        """The deployment that answers, how many are kept, and the events stored since the start."""
        live, count = self._live.deployment, len(deployments(self.workspace))
        return Measures(live.name, live.created, count, dict(self._events))

    def overview(self, name: str) -> dict[str, Any]:
        """One part of what an operator looks at."""
        if name == "watches":
            watches = self.common.watches if self.common else self.watches
            return {"rows": [plain(look) for look in watches.looks()]}
        return part(self.workspace, name)

    def roll_back(self, serving: str) -> dict[str, Any]:
        """Serve what was served before the deployment named, which must be the one that serves. Raises
        Conflict, and InputError when there is nothing before.
        """

        def agreed(active: str) -> None:
            if active != serving:
                raise Conflict(f"{serving[:80]} does not serve any more; look at what does, and decide anew")

        result = changed(self.workspace.root, agreed=agreed)
        self.swap()
        return result

    def info(self) -> dict[str, Any]:
        """Names, notice, versions, counts."""
        return self.pages.info()

    def fields(self) -> list[dict[str, Any]]:
        """What can be filtered on."""
        return self.pages.fields()

    def items(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The known ones among `ids`."""
        return self.pages.items(ids)

    def search(self, text: str, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Items that match, best first, and how many there are."""
        return self.pages.search(text, limit, offset)

    def media(self, item_id: str, kind: str) -> tuple[Path, str] | None:
        """File and media type."""
        return self.pages.media(item_id, kind)

    def users(self, limit: int, offset: int, whom: str = "everybody") -> tuple[list[dict[str, Any]], int]:
        """Known people and how many. whom: "everybody", "recorded" in the tables, or the "simulated"."""
        return self.pages.users(limit, offset, whom)

    def standing(self, user_id: str) -> Standing:
        """What is known of an id."""
        people = self.parts.people
        if people.forgotten(user_id):
            return Standing(erased=True)
        recorded = people.recorded(user_id)
        known = recorded or bool(self.database.history(user_id))
        return Standing(known, recorded, recorded and self.pages.simulated(user_id))

    def history(self, user_id: str) -> list[dict[str, Any]]:
        """The table's events, then the server's own that still stand, oldest first. Raises Unknown."""
        past = self.parts.people.past(user_id)
        if past is None:
            raise _unknown(user_id)
        return past

    def talks(self, user_id: str) -> list[dict[str, Any]]:
        """What the person said to the assistant, oldest first. Raises Unknown for somebody who was erased."""
        if self.parts.people.forgotten(user_id):
            raise _unknown(user_id)
        turns = Talks(self.database).of(user_id)
        return [
            asdict(turn) | {"timestamp": turn.timestamp.timestamp(), "shown": list(turn.shown)}
            for turn in turns
        ]

    def forget(self, user_id: str) -> dict[str, Any]:
        """Erase the person from everything the workspace keeps, as `tastemaker admin forget` does. Raises
        Unknown, and InputError on the name that stands for nobody.
        """
        check_person(user_id)
        try:
            return forget(self.workspace.root, user_id, dry_run=False)
        except InputError:
            raise _unknown(user_id) from None

    def add_events(self, events: Sequence[Happened]) -> dict[str, Any]:
        """Store all or none; ids sent with other content are conflicts. A survey question may follow.

        Raises InputError on an item or a value that cannot be, Unknown on an undo of what is no event of the
        same person, Conflict on a person who was erased.
        """
        event_ids, now = self._event_ids(events), self.clock()
        known = self.database.stored(event_ids.values())
        stored = [self._stored(event, event_ids, known, now) for event in events]
        pairs = list(zip(events, stored, strict=True))
        clashing = [raw.event_id for raw, event in pairs if known.get(event.event_id, event) != event]
        if clashing:
            return {"accepted": 0, "duplicates": 0, "conflicts": clashing}
        self._check_undos(pairs, known)
        added = self.database.add_events(stored)
        self._events.update(event.kind for event in stored if event.event_id not in known)
        for user in dict.fromkeys(event.user_id for event in stored):
            request_ids = [event.request_id for event in stored if event.user_id == user and event.request_id]
            if request_ids:
                self.offers.shown(user, request_ids, now)
        survey = self.asker.after(stored, now)
        return {"accepted": added.inserted, "duplicates": added.duplicates, "conflicts": [], "survey": survey}

    def _event_ids(self, events: Sequence[Happened]) -> dict[tuple[str, str], str]:
        """(user, id) -> the id under which their event is kept: another one where another person's event has
        it, so that nobody blocks, undoes or finds out about what others did.
        """
        pairs = {(event.user_id, name) for event in events for name in (event.event_id, event.target) if name}
        apart = {pair: _apart(*pair) for pair in pairs}
        there = self.database.stored({*apart.values(), *(name for _, name in pairs)})
        return {
            (user, name): other if other in there or (name in there and there[name].user_id != user) else name
            for (user, name), other in apart.items()
        }

    def _stored(
        self, event: Happened, event_ids: dict[tuple[str, str], str], known: dict[str, Event], now: datetime
    ) -> Event:
        """The event as kept, stamped once by the server: sent again it is a duplicate of its first time."""
        check_person(event.user_id)
        if self.parts.people.forgotten(event.user_id):
            raise Conflict(f"user '{event.user_id[:80]}' was erased; go on under another id")
        user = event.user_id
        before = known.get(event_ids[user, event.event_id])
        if event.item_id is not None and before is None:
            self.parts.searcher.index_of([event.item_id])
        when = event.timestamp or (now if before is None else before.timestamp)
        if not FIRST <= when <= now + AHEAD:
            where = "before 1970" if when < FIRST else "in the future"
            raise InputError(
                f"event '{event.event_id[:80]}': timestamp {when:%Y-%m-%d %H:%M:%S} UTC lies {where};"
                " set the client's clock, or leave it out"
            )
        request = None if event.request_id is None else self.offers.server_id(event.user_id, event.request_id)
        about = (event.item_id, event.value, request, event.target)
        stored = Event(event.event_id, event.user_id, event.kind, when, *about)
        check_value(stored, self.parts.searcher.data.rules)
        target = event.target and event_ids[user, event.target]
        return replace(stored, event_id=event_ids[user, event.event_id], refers_to=target)

    def _check_undos(self, events: Sequence[tuple[Happened, Event]], known: dict[str, Event]) -> None:
        """An undo takes back an event of the same person, one that is there or comes before it."""
        there = {(event.user_id, name) for name, event in known.items()}
        for happened, event in events:
            if happened.target is not None and (event.user_id, event.refers_to) not in there:
                raise Unknown(
                    f"this person has no event '{happened.target[:80]}' to undo; send the event_id of one"
                    " that was stored"
                )
            there.add((event.user_id, event.event_id))

    def answer_survey(self, question_id: str, user_id: str, answer: int | None) -> str:
        """Store 1 to 5, or None for skipped, of a question that was asked of this user."""
        return self.asker.surveys.answer(question_id, user_id, answer, self.clock())


def _apart(user_id: str, event_id: str) -> str:
    """What an event is kept as where another person's has its id."""
    return "e-" + hashlib.blake2b(json.dumps([user_id, event_id]).encode(), digest_size=16).hexdigest()


def _unknown(user_id: str) -> Unknown:
    return Unknown(f"user '{user_id[:80]}' is unknown; find the ones there are with GET /users")


def _changes(before: Settings, after: Settings) -> str:
    old = asdict(before)
    changed = {name: value for name, value in asdict(after).items() if value != old[name]}
    return ", ".join(
        f"{name} is {value!r} {'from the next start' if name in AT_START else 'now'}"
        for name, value in changed.items()
    )


def check_value(event: Event, rules: EventRules) -> None:
    """Refuse a share heard outside 0 to 1, and a rating outside the workspace's scale."""
    low, high = {"play": (0.0, 1.0), "rating": rules.scale}.get(event.kind, (None, None))
    if low is not None and high is not None and event.value is not None and not low <= event.value <= high:
        what = "the share heard" if event.kind == "play" else "a rating"
        raise InputError(
            f"event '{event.event_id[:80]}': value {event.value:g} is outside {low:g} to {high:g}; send"
            f" {what} in that range"
        )


def open_service(workspace: Path, common: Any = None) -> WorkspaceService:
    """`tastemaker serve`: the service of a trained workspace, which takes over every new deployment."""
    opened = Workspace.open(workspace)
    return WorkspaceService(opened, watch=WATCH, alarms=opened.settings.watch_seconds, common=common)
