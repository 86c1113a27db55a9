"""The survey in the running product: who is asked, what is stored, when a proxy ranks, and what a test
logs.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import USERS, quiet
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import ArtifactError, InputError
from tastemaker.experiment.assign import position
from tastemaker.explore.slate import plackett_luce
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.retention.experiment.run import export_trial, read_experiment
from tastemaker.flows.retention.live.context import deployed, event_rewards
from tastemaker.flows.retention.live.fit import export_surveys, fit_live, withdraw_proxy
from tastemaker.flows.stages.passes import passes
from tastemaker.flows.watches import look_for_drift
from tastemaker.serving.asking import Asker
from tastemaker.serving.once import recommend_once
from tastemaker.serving.query import Happened, Query, Slate
from tastemaker.serving.serve import begin, search
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Database, Offers, Surveys, Workspace, read_table, write_table

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
ASKING = {"ask_share": 1.0, "ask_hours": 20.0, "ask_lists": 1, "ask_holdout": 0.0}


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


Made = Callable[..., tuple[WorkspaceService, Clock]]


@pytest.fixture(scope="module")
def folder(untouched_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that deploying a proxy changes nothing for other tests."""
    return Path(shutil.copytree(untouched_workspace, tmp_path_factory.mktemp("live") / "workspace"))


def opened(folder: Path, **dials: Any) -> tuple[WorkspaceService, Clock]:
    clock, workspace = Clock(), Workspace.open(folder)
    return (
        WorkspaceService(replace(workspace, settings=replace(workspace.settings, **(ASKING | dials))), clock),
        clock,
    )


def wish(request_id: str, user_id: str | None, k: int = 6, history: tuple[str, ...] = ()) -> Query:
    return Query(user_id, history, k, request_id=request_id)


def shown(service: WorkspaceService, queries: list[Query]) -> list[Slate]:
    """Slates that reached whoever asked."""
    slates = service.recommend_many(queries)
    assert all(isinstance(slate, Slate) for slate in slates), slates
    service.delivered([slate.request_id for slate in slates])
    return slates


def played(
    event_id: str, user: str, item: str, request: str | None, kind: str = "play", value: float | None = 1.0
) -> Happened:
    return Happened(event_id, user, kind, item, value=value, request_id=request)


def test_a_question_follows_a_play_of_a_logged_slate_and_is_stored_with_its_probability(folder: Path) -> None:
    service, clock = opened(folder)
    (slate,) = shown(service, [wish("a1", "u001")])
    item = slate.rows[2].item_id
    events = [played("a-e1", "u001", item, slate.request_id)]
    survey = service.add_events(events)["survey"]
    assert survey["item_id"] == item and survey["text"] and survey["question_id"].startswith("q-")
    assert service.add_events(events)["survey"] == survey  # sent again: the same question, logged once
    rows = [row for row in Surveys(service.database).rows().to_pylist() if row["user_id"] == "u001"]
    assert [(row["asked_probability"], row["answer"], row["question"]) for row in rows] == [
        (1.0, None, "return")
    ]
    assert rows[0]["score"] == pytest.approx(slate.rows[2].score, abs=1e-5)
    assert rows[0]["place"] == pytest.approx(2.0) and np.isfinite(rows[0]["popularity"])
    clock.now += timedelta(seconds=30)
    question = survey["question_id"]
    assert service.answer_survey(question, "u002", 4) == "unknown"  # asked of someone else
    assert service.answer_survey("q-never", "u001", 4) == "unknown"
    assert service.answer_survey(question, "u001", 4) == "stored"
    assert service.answer_survey(question, "u001", 4) == "duplicate"
    assert service.answer_survey(question, "u001", None) == "conflict"
    assert service.answer_survey(question, "u001", 2) == "conflict"
    assert service.add_events(events)["survey"] is None  # answered: not shown again


@pytest.mark.parametrize(
    ("item", "request_id", "kind", "value"),
    [
        ("t000", None, "play", 1.0),
        ("t000", "never", "play", 1.0),
        ("shown", "b1", "play", 0.1),
        ("shown", "b1", "skip", None),
    ],
)
def test_nothing_is_asked_about_what_was_not_shown_heard_or_liked(
    folder: Path, item: str, request_id: str | None, kind: str, value: float | None
) -> None:
    service, _ = opened(folder)
    name = f"b-{kind}-{value}"  # every request has an id of its own
    (slate,) = shown(service, [wish(name, "u003")])
    about = slate.rows[0].item_id if item == "shown" else item
    from_slate = slate.request_id if request_id == "b1" else request_id
    event = played(f"b-{kind}-{request_id}-{value}", "u003", about, from_slate, kind, value)
    assert service.add_events([event])["survey"] is None


def test_limits_and_holdout_hold(folder: Path) -> None:
    service, clock = opened(folder, ask_lists=2)
    asked = []
    for step in range(30):
        clock.now = START + timedelta(days=30, hours=5 * step)
        name = f"c{step - step % 2}"
        if step % 2 == 0:
            (slate,) = shown(service, [wish(name, "u004")])
        item = slate.rows[step % 2].item_id
        if service.add_events([played(f"c-e{step}", "u004", item, slate.request_id)])["survey"]:
            asked.append(clock.now)
    gaps = np.diff([time.timestamp() for time in asked]) / 3600
    assert len(asked) >= 4 and gaps.min() >= 20
    never = Asker(
        replace(service.workspace, settings=replace(service.workspace.settings, ask_holdout=0.25)),
        service.database,
    )
    share = np.mean([never.never(f"someone-{number}") for number in range(4000)])
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)
    held = next(
        f"u{number:03d}" for number in range(USERS) if position(f"u{number:03d}", "never asked/0") < 0.25
    )
    strict, _ = opened(folder, ask_holdout=0.25)
    (slate,) = shown(strict, [wish("held", held)])
    event = played("held-e", held, slate.rows[0].item_id, slate.request_id)
    assert strict.add_events([event])["survey"] is None


def test_the_chance_of_being_asked_is_the_one_that_is_logged(folder: Path) -> None:
    service, _ = opened(folder, ask_share=0.3, ask_hours=0.0, ask_lists=0)
    users = [f"u{number:03d}" for number in range(20, USERS)]
    asked, occasions = 0, 0
    for part in range(3):
        slates = shown(service, [wish(f"d{part}-{user}", user) for user in users])
        for user, slate in zip(users, slates, strict=True):
            for row in slate.rows[:4]:
                event = played(
                    f"d{part}-{user}-{row.item_id}", user, row.item_id, slate.request_id, "like", None
                )
                occasions += 1
                asked += service.add_events([event])["survey"] is not None
    assert abs(asked - 0.3 * occasions) < 4 * np.sqrt(occasions * 0.3 * 0.7)
    rows = [row for row in Surveys(service.database).rows().to_pylist() if row["asked_probability"] == 0.3]
    assert len(rows) == asked


def test_nobody_can_choose_to_be_asked(folder: Path) -> None:
    """Another event id, another request id, the same event again: the draw belongs to the slate and item."""
    service, _ = opened(folder, ask_share=0.2, ask_hours=0.0, ask_lists=0)
    (slate,) = shown(service, [wish("chosen", "u005", 40)])
    questions: dict[str, set[str | None]] = {}
    for row in slate.rows:
        for attempt in range(5):
            event = played(f"try-{attempt}-{row.item_id}", "u005", row.item_id, slate.request_id)
            survey = service.add_events([event])["survey"]
            questions.setdefault(row.item_id, set()).add(survey and survey["question_id"])
    assert all(len(names) == 1 for names in questions.values())
    asked = sum(names != {None} for names in questions.values())
    assert 0 < asked < len(questions)
    stranger = played("stolen", "u006", slate.rows[0].item_id, slate.request_id)
    assert service.add_events([stranger])["survey"] is None


def gather(
    service: WorkspaceService,
    clock: Clock,
    days: int,
    answer: Callable[[str, np.random.Generator], int | None],
    first: int = 0,
) -> None:
    """Everybody asks, plays the first row and answers, once a day from day `first` on."""
    rng = np.random.default_rng(5)
    for day in range(first, first + days):
        clock.now = START + timedelta(days=100 + day)
        users = [f"u{number:03d}" for number in range(USERS)]
        slates = shown(service, [wish(f"g{day}-{user}", user) for user in users])
        for user, slate in zip(users, slates, strict=True):
            row = slate.rows[int(rng.integers(len(slate.rows)))]
            event = played(f"g{day}-{user}-e", user, row.item_id, slate.request_id)
            survey = service.add_events([event])["survey"]
            if survey:
                service.answer_survey(survey["question_id"], user, answer(row.item_id, rng))


def keys_matter(item: str, rng: np.random.Generator) -> int | None:
    """Tunes in D and G are returned for; one question in five is skipped."""
    if rng.random() < 0.2:
        return None
    good = int(item[1:]) // 4 % 4 < 2
    return int(
        rng.choice([1, 2, 3, 4, 5], p=[0.05, 0.05, 0.2, 0.3, 0.4] if good else [0.4, 0.3, 0.2, 0.05, 0.05])
    )


@pytest.fixture(scope="module")
def proxied(tiny_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose people answered for six days, with the proxy that this gave."""
    root = tmp_path_factory.mktemp("proxied") / "workspace"
    shutil.copytree(tiny_workspace, root, ignore=shutil.ignore_patterns("tastemaker.sqlite*"))
    service, clock = opened(root)
    gather(service, clock, 6, keys_matter)
    assert fit_live(root, quiet, least=200)["deployed"]
    return root


def test_from_answers_to_a_ranking_that_says_what_it_moved(folder: Path, tmp_path: Path) -> None:
    few = fit_live(folder, quiet, least=100_000)
    assert few["exit_code"] == 1 and not few["deployed"] and "more are needed" in few["text"]
    service, clock = opened(folder)
    assert shown(service, [wish("h0", "u010")])[0].rows[0].retention is None
    gather(service, clock, 6, keys_matter)
    done = fit_live(folder, quiet, least=200)
    assert done["exit_code"] == 0 and done["deployed"] and done["skill_low"] > 0, done["text"]
    assert "of those asked answered" in done["text"]
    again = fit_live(folder, quiet, least=200, deploy=False)
    assert again["proxy"] == done["proxy"]  # the same answers, the same proxy
    assert deployed(service.database) == done["proxy"]
    (slate,) = shown(service, [wish("h1", "u010")])  # the running server ranks by it at once
    moves = [row.retention for row in slate.rows]
    assert all(move and move.text and 0 <= move.p_pos + move.p_neg <= 1 for move in moves)
    assert all(move and abs(move.moved) <= 5 for move in moves)
    (bare,) = shown(service, [wish("h2", None, history=("t000", "t004", "t008"))])
    moved = Counter(int(np.sign(row.retention.moved)) for row in bare.rows if row.retention)
    assert moved[1] + moved[-1] > 0
    exported = export_surveys(folder, tmp_path / "surveys.parquet")
    table = read_table(tmp_path / "surveys.parquet")
    assert table.num_rows == exported["shown"] > exported["answered"] and "is key=D" in table.column_names


def test_the_live_proxy_is_watched_by_person_whatever_rule_ranks(proxied: Path, tmp_path: Path) -> None:
    def drift(root: Path) -> tuple[int, dict[str, Any]]:
        words = ["retention", "proxy", "drift", "-w", root, "--out", tmp_path / "drift", "--json", "-q"]
        result = CliRunner().invoke(app, [str(word) for word in words])
        return result.exit_code, json.loads(result.stdout)

    root = tmp_path / "workspace"
    shutil.copytree(proxied, root)
    code, silent = drift(root)
    assert code == 1 and "no answer since" in silent["reason"]
    service, clock = opened(root)
    gather(service, clock, 4, keys_matter, first=9000)  # after today: deployments bear the time of the day
    looked = dict[str, int]()
    quiet_look, again_look = (look_for_drift(service.workspace, looked) for _ in range(2))
    assert quiet_look is not None and not quiet_look.alarm and again_look is None  # nothing came since
    code, same = drift(root)
    assert code == 0 and same["verdict"] == "supported" and same["settings"]["adjust"] == "constrained"
    assert same["settings"]["people"] <= USERS < same["settings"]["answers"]
    gather(service, clock, 4, lambda item, rng: 6 - (keys_matter(item, rng) or 3), first=9100)
    rings = look_for_drift(service.workspace, looked)
    assert rings is not None and rings.alarm and "slope" in rings.text and rings.subject == same["proxy"]
    code, turned = drift(root)
    assert code == 1 and turned["verdict"] == "not supported" and "slope" in turned["because"]
    again = fit_live(root, quiet, least=200, deploy=False)
    assert "the proxy until now: not supported" in again["text"]
    assert again["fitted"] < again["answers"] and f"{again['fitted']:,} survey answers of" in again["text"]
    withdraw_proxy(root)
    code, nothing = drift(root)
    assert code == 1 and nothing["proxy"] is None and "nothing to watch" in nothing["reason"]


def test_answers_stand_for_everything_shown_though_only_what_is_played_is_asked_about(
    tiny_workspace: Path, tmp_path: Path
) -> None:
    root, out = tmp_path / "workspace", tmp_path / "weights"
    shutil.copytree(tiny_workspace, root, ignore=shutil.ignore_patterns("tastemaker.sqlite*"))
    service, clock = opened(root)
    rng = np.random.default_rng(1)
    for day in range(3):
        clock.now = START + timedelta(days=100 + day)
        users = [f"u{number:03d}" for number in range(USERS)]
        for user, slate in zip(users, shown(service, [wish(f"s{day}-{u}", u) for u in users]), strict=True):
            place = min(int(rng.geometric(0.4)) - 1, len(slate.rows) - 1)  # mostly from the top of the list
            event = played(f"s{day}-{user}-e", user, slate.rows[place].item_id, slate.request_id)
            survey = service.add_events([event])["survey"]
            if survey and rng.random() < 0.8:
                answer = 5 - place // 2 if rng.random() < 0.75 else 1
                service.answer_survey(survey["question_id"], user, answer)
    words = ["retention", "survey", "weigh", root, "--covariate", "place", "--covariate", "activity"]
    result = CliRunner().invoke(app, [*map(str, words), "--out", str(out), "--json", "-q"])
    report = json.loads(result.stdout)
    stages = {row[0]: row[1:] for row in report["tables"][0]["rows"]}
    assert stages["shown"][0] == 3 * USERS * 6 and stages["played"][0] == stages["asked"][0] == 3 * USERS
    assert stages["answered"][0] < stages["asked"][0] and stages["played"][2] > 0.3  # higher up than shown
    assert stages["played"][3] == "place"
    means = {
        row[0]: row[1] for row in next(t for t in report["tables"] if t["title"] == "Mean answer")["rows"]
    }
    # Over all six places three in four answers are 5, 5, 4, 4, 3, 3, the others 1: a mean of 3.25.
    raw = Surveys(service.database).rows()["answer"].drop_null().to_numpy().mean()
    assert raw > 3.45
    assert means["doubly robust"]["value"] == pytest.approx(3.25, abs=0.15)
    fitted = fit_live(root, quiet, least=40, deploy=False)
    assert f"{3 * USERS * 6:,} rows shown, {3 * USERS:,} played" in fitted["text"]


def test_a_proxy_of_pure_noise_does_not_rank(tiny_workspace: Path, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(tiny_workspace, root, ignore=shutil.ignore_patterns("tastemaker.sqlite*"))
    service, clock = opened(root)
    gather(service, clock, 4, lambda item, rng: int(rng.integers(1, 6)))
    noise = fit_live(root, quiet, least=100)
    assert noise["exit_code"] == 1 and not noise["deployed"] and noise["skill_low"] < 0
    assert "not shown to know more of unseen people's answers" in noise["text"]


def test_off_means_off_and_the_pool_is_the_models_own_order(proxied: Path) -> None:
    service, _ = opened(proxied)
    assert deployed(service.database)
    plain, _ = opened(proxied, adjust="off")
    ours = shown(service, [wish("i1", None, 8, ("t000", "t004"))])[0].rows
    theirs = shown(plain, [wish("i2", None, 8, ("t000", "t004"))])[0].rows
    assert all(row.retention is None for row in theirs)
    base = [row.item_id for row in theirs]
    for row in ours:
        if row.item_id in base:
            assert row.retention and row.retention.moved == base.index(row.item_id) - row.position


def test_the_command_line_ranks_as_the_server_does_and_says_so(proxied: Path) -> None:
    service, _ = opened(proxied)
    history = ("t000", "t004", "t008")
    (theirs,) = shown(service, [wish("c1", None, 8, history)])
    before = service.database.slates_table().num_rows
    ours = recommend_once(proxied, Query(history=history, k=8, logged=False))
    plain = theirs.public()
    for name in ("item_id", "score", "retention", "propensity", "source", "reasons"):
        assert [row[name] for row in ours["rows"]] == [row[name] for row in plain["rows"]], name
    assert all(ours[name] == plain[name] for name in plain if name not in ("request_id", "rows"))
    assert all(row["retention"]["text"] in ours["text"] for row in ours["rows"])
    assert service.database.slates_table().num_rows == before  # a bare history is nobody's list
    recommend_once(proxied, Query("u012", k=3))
    assert service.database.slates_table().num_rows == before + 3


def test_after_a_withdrawal_lists_are_as_if_there_had_been_no_proxy(proxied: Path) -> None:
    service, _ = opened(proxied)
    mark = deployed(service.database)
    wished = [wish("w", None, 8, ("t000", "t004")), wish("w-u", "u013", 8)]
    with_proxy = shown(service, wished)
    plain, _ = opened(proxied, adjust="off")
    done = withdraw_proxy(proxied)
    assert done["withdrawn"] == mark and done["exit_code"] == 0 and deployed(service.database) is None
    assert withdraw_proxy(proxied)["exit_code"] == 1  # nothing left to withdraw
    after = shown(service, [replace_id(query, "after") for query in wished])  # running, without a restart
    off = shown(plain, [replace_id(query, "off") for query in wished])
    for slate, other in zip(after, off, strict=True):
        assert slate.rows == other.rows and slate.policy_id == other.policy_id
        assert all(row.retention is None for row in slate.rows)
    with pytest.raises(InputError, match="none of the proxies deployed here"):
        withdraw_proxy(proxied, "zz")
    assert mark is not None and withdraw_proxy(proxied, mark[:8])["deployed"] == mark
    back = shown(service, [replace_id(query, "back") for query in wished])
    assert [slate.rows for slate in back] == [slate.rows for slate in with_proxy]
    acts = [("withdraw", "proxy withdrawn"), ("withdraw", ""), ("live --least 200 -q", "proxy deployed")]
    acts += [("live --least 200 -q --no-deploy", ""), (f"withdraw --to {mark[:8]}", "proxy put back")]
    expected = []
    for words, action in acts:
        done = CliRunner().invoke(app, ["retention", "proxy", *words.split(), "-w", str(proxied)])
        assert done.exit_code == (words == "withdraw" and not action), done.output
        expected += [(action, deployed(service.database) or mark)] if action else []
    noted = [entry for entry in service.keys.entries() if entry.action.startswith("proxy")]
    assert [(entry.action, entry.detail) for entry in noted] == expected


def replace_id(query: Query, tag: str) -> Query:
    """The same wish as another request."""
    return replace(query, request_id=f"{query.request_id}-{tag}")


def test_propensities_of_drawn_slates_are_those_of_the_order_after_the_proxy(proxied: Path) -> None:
    service, _ = opened(proxied, exploration=1.0)
    query, parts = wish("j", None, 5, ("t000", "t004")), service.parts
    rerank = parts.reranker.now()
    resolved, empty = begin(replace(query, request_id="j0"), parts)
    (searched,) = search([(resolved, empty)], parts, rerank.spare)
    ranked = rerank(resolved, searched)
    (slate,) = shown(service, [query])
    assert set(ranked.pool) == set(slate.pool) and ranked.pool != searched.pool
    order = [slate.pool.index(row.item_id) for row in slate.rows]
    expected = np.exp(plackett_luce(ranked.candidates.scores, order))
    assert [row.propensity for row in slate.rows] == pytest.approx(list(expected), rel=1e-4)
    assert "proxy-" in slate.policy_id
    assert tuple(Offers(service.database).pools()[slate.request_id]) == slate.pool


def test_a_test_splits_people_logs_exposures_and_exports_results(proxied: Path, tmp_path: Path) -> None:
    service, clock = opened(proxied, experiment="rr-1", ask_share=0.0)
    users = [f"u{number:03d}" for number in range(40)]
    slates = first_slates = []
    for day, coming in enumerate((users, users[:13], [])):
        clock.now = START + timedelta(days=300 + day)
        asking = [wish(f"k{day}-{user}", user) for user in coming]
        if asking:
            slates = shown(service, asking)
        first_slates = slates if day == 0 else first_slates
    shown(service, [wish("k-late", "u041")])  # on the last day of the log: what this person does is not known
    arms = {user: service.parts.reranker.arm(user) for user in users}
    assert set(arms.values()) == {"control", "treatment"}
    for user, slate in zip(users[:13], slates, strict=True):
        assert all((row.retention is not None) == (arms[user] == "treatment") for row in slate.rows)
    (bare,) = shown(service, [wish("k-bare", None)])  # nobody knows who that is: outside the test, unadjusted
    assert all(row.retention is None for row in bare.rows)
    with pytest.raises(InputError, match=r"nobody's 14 days are in the log.*give --days 2"):
        export_trial(proxied, tmp_path / "results.parquet", "rr-1")
    result = export_trial(proxied, tmp_path / "results.parquet", "rr-1", days=2)
    assert result["cut"] == 1 and "1 left out because their 2 days are not in the log" in result["text"]
    table = read_table(tmp_path / "results.parquet").to_pylist()
    assert {row["user_id"]: row["arm"] for row in table} == arms
    assert [row["returned"] for row in table] == [int(user in users[:13]) for user in sorted(users)]
    assert [row["lists"] for row in table] == [1 + int(user in users[:13]) for user in sorted(users)]
    assert sum(result["counts"].values()) == 40
    assert json.loads(json.dumps(result["counts"])) == result["counts"]
    differ = {row["user_id"]: row["would_differ"] for row in table}
    first = dict(zip(users, first_slates, strict=True))
    changed = {u for u in users if any(row.retention and row.retention.moved for row in first[u].rows)}
    assert {u for u in users if arms[u] == "treatment" and differ[u]} == changed
    assert (
        sum(differ[u] for u in users if arms[u] == "control") > 0
    )  # what would have been is known of them too
    mark = (deployed(service.database) or "")[:12]
    names = {
        row["user_id"]: row["policy_id"]
        for row in service.database.slates_table().to_pylist()
        if row["request_id"] in {slate.request_id for slate in slates}
    }
    assert {names[user] for user in users[:13]} == {
        f"greedy+proxy-{mark}@rr-1:treatment",
        "greedy@rr-1:control",
    }
    assert all(names[user].endswith(arms[user]) for user in users[:13])


def test_a_look_from_the_command_line_enrols_nobody_and_is_no_impression(proxied: Path) -> None:
    service, _ = opened(proxied, experiment="rr-9", ask_share=0.0)
    settings = proxied / "tastemaker.toml"
    text = settings.read_text()
    settings.write_text(re.sub(r"(?m)^experiment = .*$", 'experiment = "rr-9"', text))
    try:
        before = service.database.slates_table().num_rows
        for words in ((), ("--log",)):
            done = CliRunner().invoke(
                app, ["recommend", "-w", str(proxied), "--user", "u017", "--k", "3", *words]
            )
            assert done.exit_code == 0, done.output
            people = Surveys(service.database).exposures("rr-9")["unit"].to_pylist()
            assert people == (["u017"] if words else [])
            assert service.database.slates_table().num_rows == before + (3 if words else 0)
    finally:
        settings.write_text(text)


def test_fine_tuning_samples_its_targets_by_the_proxy(proxied: Path) -> None:
    opened_ = Workspace.open(proxied)
    mark = deployed(Database(opened_.database))
    assert mark
    plain, by_proxy = (
        Pipeline(replace(opened_, settings=replace(opened_.settings, reward=reward)), quiet)
        for reward in ("", mark)
    )
    assert plain.finished("sft") and not by_proxy.finished("sft")  # one that is not set changes no name
    train = plain.data.split.train
    rewards = event_rewards(by_proxy, train)
    assert rewards.shape == train.items.shape and 0 < rewards.min() < rewards.max() < 1
    good = np.array([int(plain.data.item_ids[item][1:]) // 4 % 4 < 2 for item in train.items])
    assert rewards[good].mean() > rewards[~good].mean() + 0.1  # the answers said so
    loss = [
        sum(len(read.items) if targets is None else targets.sum() for read, targets in passes(run, train, 0))
        for run in (plain, by_proxy)
    ]
    expected = rewards.mean() / rewards.max()
    assert expected - 0.1 < loss[1] / loss[0] < expected + 0.25  # the best of each person always stays
    gone = Pipeline(replace(opened_, settings=replace(opened_.settings, reward="0" * 32)), quiet)
    with pytest.raises(ArtifactError, match="tastemaker retention proxy live"):
        event_rewards(gone, train)


def test_a_test_in_which_nothing_happened_is_read_out_as_such(tmp_path: Path) -> None:
    rows = [{"user_id": f"u{n}", "arm": ("control", "treatment")[n % 2], "returned": 0} for n in range(40)]
    write_table(tmp_path / "results.parquet", pa.Table.from_pylist(rows))
    (tmp_path / "plan.toml").write_text(
        'id = "e"\nprimary = ["returned"]\nshares = { control = 0.5, treatment = 0.5 }\n[metrics.returned]\n'
    )
    read = read_experiment(tmp_path / "results.parquet", tmp_path / "plan.toml", tmp_path / "out", quiet)
    assert read["exit_code"] == 1 and (tmp_path / "out" / "report.html").exists()


def test_erasing_a_person_takes_their_answers_too(proxied: Path) -> None:
    service, _ = opened(proxied)
    before = Surveys(service.database).rows().num_rows
    answers = sum(user == "u001" for user in Surveys(service.database).rows()["user_id"].to_pylist())
    service.database.erase("u001")
    assert answers and Surveys(service.database).rows().num_rows == before - answers
