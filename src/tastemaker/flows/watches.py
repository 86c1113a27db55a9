"""The watches that a server runs by itself: the kill-switch of a certified policy, drift of the survey proxy,
and the sample ratio of the running test. Each may look as often as it likes.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tastemaker.errors import TastemakerError
from tastemaker.experiment.checks import ALARM, srm, srm_evidence
from tastemaker.flows.explore.ledger_store import LedgerStore, ledger_in
from tastemaker.flows.explore.live import AlarmSettings
from tastemaker.flows.explore.live import watch as watch_policy
from tastemaker.flows.explore.tables import Source
from tastemaker.flows.retention.live.context import SHARES, load_deployed
from tastemaker.flows.retention.live.fit import NAME, NO_PROXY, fresh_answers, weighed
from tastemaker.retention.proxy.claim import drift_claim
from tastemaker.store import Database, Surveys, Workspace
from tastemaker.store.database import Keys

SHARE = 0.05  # of the time that the watches take at most
FIRST, GROWTH = 40, 1.5  # answers at the first look for drift, and how many more at each next one
DRIFT = 0.05  # chance of a false alarm of drift at all looks together
TIMEOUT = 5.0  # seconds that the webhook may take
log = logging.getLogger("tastemaker.watches")


@dataclass(frozen=True)
class Look:
    """What a watch saw: of which policy, proxy or test; whether it rings; in words; since when it rings; and
    what was handed back because of it; failed: why it could not look since, while it rings.
    """

    watch: str
    subject: str
    alarm: bool
    text: str
    at: datetime
    handed_back: str = ""
    failed: str = ""


def look_at_policy(workspace: Workspace, settings: AlarmSettings = AlarmSettings()) -> Look:
    """The kill-switch: at an alarm pi0 serves everything again from the next request on."""
    with Database(workspace.database) as database:
        book = ledger_in(database)
        if book is None or book.serving is None:
            return _quiet("kill-switch", "", "no certified policy is in force")
        subject, store = book.serving.policy[:12], LedgerStore.of(workspace.root, None)
        source = Source(workspace=workspace.root, r_max=book.r_max)
        result = watch_policy(source, store, settings, hand_back=True)
        back = str(result["handed_back"])
        if back:
            Keys(database).note("the server", "policy handed back", f"{back[:12]}, at an alarm")
    return replace(_quiet("kill-switch", subject, result["text"]), alarm=bool(back), handed_back=back)


def look_for_drift(workspace: Workspace, looked: dict[str, int]) -> Look | None:
    """Whether fresh answers come as the proxy says, looked at when half as many again have come; `looked`
    keeps how far each proxy was looked at. None where there is nothing new to look at.
    """
    mark, rows = fresh_answers(workspace)
    if mark is None or rows is None:
        return _quiet("drift", mark or "", "no answer since it was deployed" if mark else NO_PROXY)
    answers = rows.num_rows - rows["answer"].null_count
    number = math.floor(math.log(answers / FIRST, GROWTH)) if answers >= FIRST else -1
    if number < 0:
        return _quiet("drift", mark, f"{answers} answers since it was deployed, {FIRST} are needed")
    if looked.get(mark, -1) >= number:
        return None
    alpha = DRIFT / ((number + 1) * (number + 2))  # all looks together: DRIFT
    claim = drift_claim(load_deployed(workspace, mark), weighed(rows)[0], NAME, alpha)
    looked[mark] = number
    return replace(_quiet("drift", mark, claim.because), alarm=claim.verdict == "not supported")


def look_at_ratio(workspace: Workspace) -> Look:
    """Whether the arms of the running test hold their shares, by evidence that holds at every look."""
    name = workspace.settings.experiment
    if not name:
        return _quiet("sample ratio", "", "no test is set")
    with Database(workspace.database) as database:
        arms = Surveys(database).exposures(name)["arm"].to_pylist()
    if not arms:
        return _quiet("sample ratio", name, "nobody was exposed yet")
    counts = {arm: arms.count(arm) for arm in SHARES}
    evidence = srm_evidence(counts, SHARES)
    text = f"{srm(counts, SHARES).reason}; e-value {evidence:.3g}, alarm at {1 / ALARM:,.0f}"
    return replace(_quiet("sample ratio", name, text), alarm=evidence >= 1 / ALARM)


def _quiet(watch: str, subject: str, text: str) -> Look:
    return Look(watch, subject, False, text, datetime.now(UTC))


class Watcher:
    """Looks every `seconds` in a thread of its own (0: only when `round` is called), but spends at most a
    twentieth of the time on it; `workspace` gives the workspace with the settings in force.

    A new alarm is logged, and sent to `alarm_webhook` until that takes it. It rings until the watch is quiet
    or watches something else; a policy that was handed back stays on record until the next one is in force.
    """

    def __init__(
        self,
        workspace: Callable[[], Workspace],
        seconds: float = 0.0,
        settings: AlarmSettings = AlarmSettings(),
    ) -> None:
        self._workspace, self._seconds, self.settings = workspace, seconds, settings
        self._looks = dict[str, Look]()
        self._looked, self._unsent, self._stopped = dict[str, int](), list[Look](), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watches")
        if seconds:
            self._thread.start()

    def looks(self) -> list[Look]:
        """The last look of each watch, with why it could not look since, where it could not."""
        template = "{}; it rings on, for the last look failed: {}"
        return [
            replace(look, text=template.format(look.text, look.failed)) if look.failed else look
            for look in self._looks.values()
        ]

    def round(self) -> list[Look]:
        """Look once at everything, and tell what is new."""
        workspace = self._workspace()
        watches: dict[str, Callable[[], Look | None]] = {
            "kill-switch": lambda: look_at_policy(workspace, self.settings),
            "drift": lambda: look_for_drift(workspace, self._looked),
            "sample ratio": lambda: look_at_ratio(workspace),
        }
        for watch, look in watches.items():
            try:
                seen = look()
            except TastemakerError as error:  # too few rows to say anything, a proxy whose files are gone
                before = self._looks.get(watch)
                if before is not None and before.alarm:
                    self._looks[watch] = replace(before, failed=str(error))
                    continue
                seen = _quiet(watch, "", str(error))
            if seen is not None:
                self._note(watch, seen)
            elif watch in self._looks:
                self._looks[watch] = replace(self._looks[watch], failed="")
        self._send(workspace)
        return self.looks()

    def _note(self, watch: str, seen: Look) -> None:
        before = self._looks.get(watch)
        if before is not None and before.handed_back and not seen.subject:
            self._looks[watch] = replace(before, failed="")
            return
        if seen.alarm and before is not None and before.alarm and before.subject == seen.subject:
            seen = replace(seen, at=before.at)
        elif seen.alarm:
            log.error("ALARM of the %s: %s", watch, seen.text)
            self._unsent.append(seen)
        self._looks[watch] = seen

    def _send(self, workspace: Workspace) -> None:
        """Call the webhook with what it does not know yet; what it does not take is sent again next time."""
        address = workspace.settings.alarm_webhook
        if not address or not self._unsent:
            return
        import httpx

        for look in list(self._unsent):
            body = {
                "watch": look.watch,
                "subject": look.subject,
                "text": look.text,
                "at": look.at.isoformat(timespec="seconds"),
                "handed_back": look.handed_back,
                "title": workspace.settings.title,
            }
            try:
                httpx.post(address, json=body, timeout=TIMEOUT).raise_for_status()
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                log.warning("the webhook did not take an alarm (%s); it is sent again", type(error).__name__)
                return
            self._unsent.remove(look)

    def _run(self) -> None:
        wait = self._seconds
        while not self._stopped.wait(wait):
            started = time.monotonic()
            try:
                self.round()
            except Exception as error:  # a watch that dies would be taken for one that is quiet
                log.error("the watches failed: %s", error, exc_info=True)
            wait = max(self._seconds, (time.monotonic() - started) / SHARE)

    def close(self) -> None:
        """Stop looking."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
