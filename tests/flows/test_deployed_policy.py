"""A certified policy: learnt from a workspace's own slates, served beside pi0, logged, watched, banked, and
learnt from again.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import ArtifactError, InputError
from tastemaker.explore.policy.base import Pools
from tastemaker.flows.explore.ledger_store import LedgerStore
from tastemaker.flows.explore.live import AlarmSettings
from tastemaker.flows.explore.runs import kept_policy, learnt_on
from tastemaker.flows.explore.tables import Source, contexts, load
from tastemaker.flows.watches import Watcher
from tastemaker.serving.draw import Drawer, Rounds
from tastemaker.serving.log import log
from tastemaker.serving.query import Query, Slate
from tastemaker.serving.serve import begin, search
from tastemaker.serving.service import WorkspaceService, open_service
from tastemaker.stats.random import generator
from tastemaker.store import Event

HEAT, PLANNED, PASSES = 8.0, 1_300, 24
LIKED, OTHER = 0.95, 0.1  # chance that a shown tune is played: a reel, and another


@dataclass
class Shop:
    """A copy of the tiny workspace, whose people all like reels, and its server."""

    root: Path
    service: WorkspaceService

    def __post_init__(self) -> None:
        self.users = [str(user) for user in self.service.parts.searcher.data.histories.users]
        self.asked = [begin(Query(user, k=3), self.service.parts) for user in self.users]
        self.found = search(self.asked, self.service.parts, 0)

    def offer(self, name: str, row: int, drawer: Drawer | None = None) -> Slate:
        """A list for one person under an id of its own, not logged yet."""
        query, slate = self.asked[row][0], replace(self.found[row], request_id=name)
        return (drawer or self.service.parts.drawer).now()(query, replace(slate, timestamp=datetime.now(UTC)))

    def serve(self, name: str, passes: int, good: float = LIKED) -> list[Slate]:
        """Every person comes `passes` times; what is shown is logged, what they play too."""
        slates, events, draws = [], [], generator(0, "people", name)
        for turn in range(passes):
            for row, user in enumerate(self.users):
                slate = self.offer(f"{name}-{turn}-{user}", row)
                top = slate.rows[0].item_id
                if draws.random() < (good if int(top[1:]) % 4 == 0 else OTHER):
                    about = (top, None, slate.request_id, None)
                    events.append(Event(f"e-{slate.request_id}", user, "play", slate.timestamp, *about))
                log(self.service.offers, [(self.asked[row][0], slate)])
                slates.append(slate)
        self.service.delivered([slate.request_id for slate in slates])
        self.service.database.add_events(events)
        return slates

    def run(self, line: str, code: int = 0) -> dict[str, Any]:
        """A command of `tastemaker explore` on this workspace, its exit code checked."""
        result = CliRunner().invoke(app, ["explore", *line.split(), "-w", str(self.root), "--json"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        told: dict[str, Any] = json.loads(result.stdout)
        return told

    @property
    def database(self) -> Path:
        """Its file."""
        return self.root / "tastemaker.sqlite"


def wide(root: Path) -> WorkspaceService:
    """A service whose lists are drawn from the whole catalogue."""
    service = open_service(root)
    searcher = service.parts.searcher
    searcher.settings = replace(searcher.settings, beam=64)
    return service


@pytest.fixture(scope="module")
def shop(tiny_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Served by pi0, learnt from, certified, deployed, and served again."""
    root = tmp_path_factory.mktemp("shop") / "workspace"
    shutil.copytree(tiny_workspace, root, ignore=shutil.ignore_patterns("tastemaker.sqlite*"))
    dials = root / "tastemaker.toml"
    dials.write_text(dials.read_text().replace("\nexploration = 0.0", f"\nexploration = {HEAT}"))
    made = Shop(root, wide(root))
    made.before = made.serve("before", PASSES)
    study, certificate = root / "study", root / "certificate"
    made.run(f"learn --out {study} --shares 0,0.1 --steps 60 -q")
    made.told = made.run(f"certify --study {study} --out {certificate} --gates 3 --rounds {PLANNED} -q")
    # The server goes on while people look at the certificate; none of this changes what it says.
    made.run(f"deploy --study {study} --certificate {certificate} --rounds {PLANNED}")
    made.live = made.serve("live", 6)
    return made


def first_rows(slates: list[Slate]) -> dict[str, np.ndarray]:
    """Columns of the first positions."""
    drawn = [(slate, slate.rows[0], slate.drawn) for slate in slates]
    columns = {
        "item_id": [row.item_id for _, row, _ in drawn],
        "policy_id": [slate.policy_id for slate, _, _ in drawn],
        "propensity": [row.propensity for _, row, _ in drawn],
        "policy_propensity": [np.nan if draw.policy is None else draw.policy[0] for *_, draw in drawn],
        "reference_propensity": [
            np.nan if draw.reference is None else draw.reference[0] for *_, draw in drawn
        ],
    }
    return {name: np.asarray(values) for name, values in columns.items()}


def test_what_is_deployed_is_served_without_a_restart(shop: Shop) -> None:
    assert shop.told["passed"]
    before, live = first_rows(shop.before), first_rows(shop.live)
    pi0 = shop.service.parts.searcher.versions["model"]
    assert set(before["policy_id"]) == {f"plackett-luce-8-{pi0}"}
    assert len(set(live["policy_id"])) == 1 and live["policy_id"][0].startswith("certified-")
    assert live["policy_id"][0].endswith(f"/plackett-luce-8-{pi0}")
    assert np.isnan(before["reference_propensity"]).all()
    assert not np.isnan(live["reference_propensity"]).any() and not np.isnan(live["policy_propensity"]).any()


def test_logged_propensities_are_those_of_policy_pi0_and_their_mixture(shop: Shop) -> None:
    live = first_rows(shop.live)
    book = LedgerStore(shop.database).read()
    assert book.serving is not None
    own, logger, mixed = (live[f"{name}propensity"] for name in ("policy_", "reference_", ""))
    share = (mixed - own) / np.where(logger == own, np.nan, logger - own)
    share = share[np.isfinite(share) & (np.abs(logger - own) > 1e-3)]
    assert share.min() > book.holdout - 1e-6 and share.max() < 1
    assert (logger / mixed).max() <= book.cap * (1 + 1e-6)
    # Both columns are probabilities: their weights average 1 over what the mixture drew.
    for column in (own, logger):
        weight = column / mixed
        assert abs(weight.mean() - 1) < 5 * weight.std() / np.sqrt(len(weight))
    # The policy served is the certified one, and what it may not show here falls to pi0.
    policy, vectors, _ = kept_policy(shop.service.workspace, book.serving.policy)
    data = shop.service.parts.searcher.data
    assert learnt_on(shop.service.workspace, book.serving.policy, data.item_ids)
    assert not learnt_on(shop.service.workspace, book.serving.policy, data.item_ids[::-1])  # it knows places
    item = np.array([data.index[one] for one in live["item_id"]])
    drawn = [slate.drawn for slate in shop.live]
    logits = [one.logits for one in drawn if one is not None and one.logits is not None]
    pools = Pools.of([[data.index[name] for name in slate.pool] for slate in shop.live], logits)
    certified = np.exp(policy.within(pools).log_prob(contexts(shop.users * 6, data, vectors), item))
    rest = np.where(logger > 0, (own - certified) / np.maximum(logger, 1e-300), 0.0)
    assert (own >= certified - 1e-6).all() and rest.max() < 1


def test_frequencies_of_the_served_slates_match_their_propensities(shop: Shop) -> None:
    # Rounds of its own: these are none of the deployment.
    runs, service = 600, shop.service
    rounds = Rounds(service.database)
    drawer = Drawer(service.workspace, service.parts.searcher, service.database, rounds)
    slates = [shop.offer(f"chi-{run}", 0, drawer) for run in range(runs)]
    tops = first_rows(slates)
    seen = Counter(tops["item_id"].tolist())
    chance = dict(zip(tops["item_id"].tolist(), tops["propensity"].tolist(), strict=True))
    often = [one for one in seen if runs * chance[one] >= 5]
    expected = runs * np.array([chance[one] for one in often])
    # All that was seldom or never shown is one cell.
    counts = np.array([*(seen[one] for one in often), runs - sum(seen[one] for one in often)], float)
    assert (
        len(often) > 3 and stats.chisquare(counts, np.append(expected, runs - expected.sum())).pvalue > 1e-4
    )
    assert shop.offer("chi-7", 0, drawer).rows == slates[7].rows


def test_the_server_answers_with_the_policy_and_its_filters(shop: Shop) -> None:
    query = Query(shop.users[3], k=5, filters={"type": ("reel",)}, exclude=frozenset({"t000"}))
    (slate,) = shop.service.recommend_many([query])
    shop.service.delivered([slate.request_id])
    assert slate.policy_id.startswith("certified-") and len(slate.rows) == 5
    assert all(int(row.item_id[1:]) % 4 == 0 and row.item_id != "t000" for row in slate.rows)
    table = shop.service.database.slates_table().to_pylist()
    logged = [row for row in table if row["request_id"] == slate.request_id]
    assert [row["propensity"] for row in logged] == [row.propensity for row in slate.rows]
    assert {row.source for row in slate.rows} <= {"model", "exploration"}


def test_live_rows_are_watched_and_banked_as_they_come(shop: Shop) -> None:
    watched = shop.run("watch")
    served = shop.service.database.served("certified-")
    assert watched["alarm"] is None and watched["rows"] == served
    banked = shop.run("ledger --settle-live")
    assert banked["rounds_left"] == PLANNED - served and banked["serving"]
    with pytest.raises(InputError, match="nothing new"):
        shop.run("ledger --settle-live")
    shop.live = shop.serve("later", 2)
    more = shop.run("ledger --settle-live")
    assert more["rounds_left"] == PLANNED - served - 2 * len(shop.users)
    # What was earned in truth, were rewards counted without error: about twice the logger's value a round.
    book = LedgerStore(shop.database).read()
    assert -book.c < more["bank"] / (served + 180) < 1
    with pytest.raises(InputError, match="leave out --ledger"):
        shop.run("ledger --ledger elsewhere.sqlite")


def test_the_next_gate_reads_what_the_mixture_served(shop: Shop) -> None:
    shop.serve("more", 5)
    study, certificate = shop.root / "second", shop.root / "again"
    shop.run("ledger --settle-live")
    shop.run(f"learn --out {study} --shares 0,0.1 --steps 60 -q")
    rows = load(Source(workspace=shop.root)).log
    assert rows.reference is not None and (rows.reference < rows.propensity * 5.001).all()
    told = CliRunner().invoke(
        app,
        ["explore", "certify", "-w", str(shop.root), "--study", str(study), "--out", str(certificate), "-q"],
    )
    assert told.exit_code in (0, 1)
    found = json.loads((certificate / "certificates.json").read_text())
    assert {one["cap"] for one in found} == {5.0} and any(one["tested"] for one in found)
    assert (
        len({one["log_hash"] for one in found} & {one["log_hash"] for one in shop.told["certificates"]}) == 0
    )
    with pytest.raises(InputError, match="opened before"):
        shop.run(f"certify --study {study} --out {shop.root / 'third'} -q")


def test_another_pi0_is_not_what_the_policy_was_certified_against(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served = shop.service.database.served("certified-")
    assert shop.run("ledger")["served"]
    searcher = shop.service.parts.searcher
    monkeypatch.setattr(searcher, "settings", replace(searcher.settings, exploration=2.0))
    assert shop.serve("hotter", 1)[0].policy_id.startswith("plackett-luce-2-")
    assert shop.service.database.served("certified-") == served
    # Elsewhere, as this shop's server takes up what its settings say.
    other = Path(shutil.copytree(shop.root, tmp_path / "other"))
    dials = other / "tastemaker.toml"
    dials.write_text(dials.read_text().replace(f"exploration = {HEAT}", "exploration = 2.0"))
    told = CliRunner().invoke(app, ["explore", "ledger", "-w", str(other)]).output
    assert "NOT SERVED: pi0 is now plackett-luce-2-" in told and "certified against plackett-luce-8-" in told


def test_no_more_rounds_are_served_than_were_planned(shop: Shop) -> None:
    before = shop.service.database.served("certified-")
    passes = (PLANNED - before) // len(shop.users) + 1
    certified = [one.startswith("certified-") for one in first_rows(shop.serve("last", passes))["policy_id"]]
    assert certified == [True] * (PLANNED - before) + [False] * (passes * len(shop.users) - PLANNED + before)
    assert shop.run("ledger --settle-live")["rounds_left"] == 0


def test_an_alarm_gives_everything_back_to_pi0_at_once(shop: Shop) -> None:
    told = shop.run("watch --reference 0.95 --floor 0.95 --hand-back", 1)
    assert told["alarm"] < told["rows"] <= PLANNED
    assert shop.run("ledger")["serving"] is None
    assert shop.service.parts.drawer.in_force() is None
    with pytest.raises(InputError, match="nothing is deployed"):
        shop.run("ledger --hand-back")
    store, again = LedgerStore(shop.database), LedgerStore(shop.database).read()
    store.append(again, again.plus(next(entry for entry in again.entries if entry.kind == "deployed")))
    assert shop.run("ledger --hand-back")["serving"] is None
    # So does a running server by itself, and says so until another policy is in force.
    store.append(again, again.plus(next(entry for entry in again.entries if entry.kind == "deployed")))
    settings = AlarmSettings(floor=0.95, reference=0.95)
    watcher = Watcher(lambda: shop.service.workspace, settings=settings)
    rung, later = watcher.round()[0], watcher.round()[0]
    assert rung.alarm and later == rung and rung.text.endswith("all traffic goes back to pi0")
    assert shop.run("ledger")["serving"] is None and shop.service.parts.drawer.in_force() is None
    policy = again.entries[-1].policy[:12]
    acts = [entry for entry in shop.service.keys.entries() if entry.action.startswith("policy")]
    assert [(entry.action, entry.detail) for entry in acts] == [
        ("policy deployed", f"{policy}, {PLANNED:,} rounds"),
        ("policy handed back", f"{policy}, at an alarm"),
        ("policy handed back", policy),
        ("policy handed back", f"{policy}, at an alarm"),
    ]
    before = shop.service.keys.entries()
    shop.run("ledger")
    assert shop.service.keys.entries() == before  # a look alone is no act


def test_a_damaged_policy_is_not_served(shop: Shop) -> None:
    mark = next(one for one in LedgerStore(shop.database).read().entries if one.kind == "deployed").policy
    file = shop.service.workspace.artifacts.path("policy", mark) / "policy.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="damaged"):
        kept_policy(shop.service.workspace, mark)
