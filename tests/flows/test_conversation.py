"""Conversations from a workspace: same bytes whatever happens in between, forecast against what was used,
every command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recipes.converse.paraphraser import Server as Paraphraser
from recipes.converse.rehearsal import Rehearsal, Script
from typer.testing import CliRunner

from tastemaker import plugins
from tastemaker.assist.shelf import Shelf
from tastemaker.chat import (
    BudgetReached,
    CallError,
    Limits,
    Media,
    Reply,
    Request,
    StoppedEarly,
    system,
)
from tastemaker.chat import user as asking
from tastemaker.chat.endpoint import Endpoint, EndpointSettings
from tastemaker.cli.converse import app
from tastemaker.converse.agents.answers import GoalAnswer
from tastemaker.converse.audits.leaks import named_rows
from tastemaker.converse.constraints import Constraint
from tastemaker.converse.judges.rubric import ASPECTS
from tastemaker.converse.language.speech import grammar
from tastemaker.converse.record import MOVES, STAYS
from tastemaker.converse.rules import RuleChat
from tastemaker.errors import ArtifactError, InputError
from tastemaker.flows.converse import audit as audit_flow
from tastemaker.flows.converse.audit import audit_run, audit_shift, shift_text
from tastemaker.flows.converse.catalogue import build_catalogue
from tastemaker.flows.converse.dataset import open_data_set, read_conversations
from tastemaker.flows.converse.env import open_env
from tastemaker.flows.converse.export import FORMATS, export_run, read_json, read_predictions
from tastemaker.flows.converse.generate import Session, generate, plan_run, status
from tastemaker.flows.converse.judge import judge_run
from tastemaker.flows.converse.settings import RunFolder, RunSettings
from tastemaker.flows.data import load_data
from tastemaker.flows.ingest import ingest_files
from tastemaker.stats.random import generator
from tastemaker.store import Workspace

SETTINGS = RunSettings(n=8)


def quiet(task: str, done: float, total: float, note: str) -> None:
    """Progress nobody looks at."""


@pytest.fixture(scope="module")
def workspace(make_tunes: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Invented tunes with random logs, and the data set "whole"."""
    folder = make_tunes(tmp_path_factory.mktemp("conversations"))
    generate(folder, "whole", SETTINGS, Session(), quiet)
    return folder


def test_small_talk_names_no_item(make_tunes: Callable[[Path], Path], tmp_path: Path) -> None:
    """Tunes that are called as the friends of listeners are: what a message names is not played, and here it
    may be all that fits.
    """
    folder, names = make_tunes(tmp_path), grammar()["name"]
    items = pq.read_table(tmp_path / "items.parquet")
    titles = [*names[:120], *(f"Miss {name}" for name in names[120:160])]
    place = items.column_names.index("title")
    pq.write_table(items.set_column(place, "title", pa.array(titles)), tmp_path / "called.parquet")
    run = ["--name", "called", "--n", "40", "--media", "none", "-q"]
    ingest_files(folder, tmp_path / "called.parquet", tmp_path / "interactions.parquet")
    for command in (["run", *run, "-w", str(folder)], ["audit", "--name", "called", "-q", "-w", str(folder)]):
        result = CliRunner().invoke(app, command)
    assert "40 conversations" in result.output and "turns: no fault" in result.output, result.output
    env, where = open_data_set(folder, "called", quiet)
    row = env.world.catalogue.row
    for talk in read_conversations(where):
        for place, turn in enumerate(talk.turns):
            played = {row[before.item_id] for before in talk.turns[:place] if before.item_id is not None}
            named = named_rows(turn.message, env.world.catalogue, env.world.lexicon)
            assert named <= played, turn.message


def _bytes(workspace: Path, name: str) -> bytes:
    return RunFolder.of(Workspace.open(workspace), name).table.read_bytes()


class Dying:
    """The rules, until call number `last`."""

    model = RuleChat.model

    def __init__(self, workspace: Path, last: int, error: BaseException) -> None:
        self.chat = RuleChat(open_env(workspace, SETTINGS, quiet).world.lexicon)
        self.calls, self.last, self.error = 0, last, error

    def complete(self, request: Any) -> Any:
        self.calls += 1
        if self.calls > self.last:
            raise self.error
        return self.chat.complete(request)


@pytest.mark.parametrize("last", [1, 47, 130])
def test_a_run_cut_off_anywhere_ends_in_the_same_bytes(workspace: Path, last: int) -> None:
    name = f"cut-{last}"
    with pytest.raises(KeyboardInterrupt):
        generate(
            workspace,
            name,
            SETTINGS,
            Session(chat=Dying(workspace, last, KeyboardInterrupt())),
            quiet,
        )
    with pytest.raises(InputError, match="already holds a run"):
        generate(workspace, name, SETTINGS, Session(), quiet)
    done = generate(workspace, name, SETTINGS, Session(resume="same"), quiet)
    assert done["conversations"] == 8
    assert _bytes(workspace, name) == _bytes(workspace, "whole")


def test_failures_wait_for_retry_and_only_they_are_tried(workspace: Path) -> None:
    broken = Dying(workspace, 60, CallError("refused", "the endpoint refused the request"))
    stopped = generate(workspace, "failing", SETTINGS, Session(chat=broken), quiet)
    assert all("refused" in why for why in stopped["failed"].values())
    again = generate(workspace, "failing", SETTINGS, Session(resume="same"), quiet)
    assert set(again["failed"]) == set(stopped["failed"])
    assert status(workspace, "failing")["failed"]
    retried = generate(workspace, "failing", SETTINGS, Session(resume="same", retry=["all"]), quiet)
    assert retried["failed"] == {}
    assert _bytes(workspace, "failing") == _bytes(workspace, "whole")


def test_more_conversations_leave_the_first_as_they_are(workspace: Path) -> None:
    generate(workspace, "more", RunSettings(n=3), Session(), quiet)
    generate(workspace, "more", SETTINGS, Session(resume="same"), quiet)
    assert _bytes(workspace, "more") == _bytes(workspace, "whole")


def test_changed_settings_are_refused_by_name(workspace: Path) -> None:
    with pytest.raises(InputError, match="seed: 0 -> 5"):
        generate(workspace, "whole", RunSettings(n=8, seed=5), Session(resume="same"), quiet)


def test_the_forecast_is_within_a_fifth(workspace: Path) -> None:
    forecast = plan_run(workspace, SETTINGS, Session(), quiet)["forecast"]
    done = generate(workspace, "counted", SETTINGS, Session(), quiet)
    assert forecast["calls"] == pytest.approx(done["calls"], rel=0.2)
    for kind in ("input", "output"):
        assert forecast["usage"][kind] == pytest.approx(done["usage"][kind], rel=0.2)


def test_a_plan_says_how_far_the_limits_reach(workspace: Path) -> None:
    for calls, said in [(5, "smaller than one conversation"), (45, "about 2 of 8 conversations"), (152, "")]:
        text = plan_run(workspace, SETTINGS, Session(Limits(calls=calls)), quiet)["text"]
        assert said in text and ("limits:" in text) is bool(said)


def test_a_budget_is_never_passed(workspace: Path) -> None:
    with pytest.raises(BudgetReached, match="smaller than one conversation"):
        generate(workspace, "poor", SETTINGS, Session(Limits(calls=5)), quiet)
    assert status(workspace, "poor")["finished"] == 0
    chat = Dying(workspace, 1000, AssertionError())
    with pytest.raises(BudgetReached):
        generate(workspace, "poorer", SETTINGS, Session(Limits(calls=45), chat=chat), quiet)
    assert (status(workspace, "poorer")["finished"], chat.calls) == (
        2,
        45,
    )  # 19 calls a conversation, one after the other


@pytest.mark.parametrize(
    ("answer", "plan", "reason"),
    [
        ("Sure! Here is what you asked for: {", (), "not_json"),
        ("", (), "not_json"),
        ("{}", (), "schema"),
        ("", ("echo_key",), "answers HTTP 401.*check the API key"),
    ],
)
def test_a_run_of_which_nothing_is_finished_is_no_success_and_no_data_set(
    workspace: Path, answer: str, plan: tuple[str, ...], reason: str
) -> None:
    name, runner = f"none-{len(answer)}-{len(plan)}", CliRunner()
    with Rehearsal(Script(lambda body: answer, plan=plan)) as server:
        where = ["-q", "-w", str(workspace), "--name", name]
        model = ["--model", f"m@{server.base_url}", "--media", "none", "--turns", "3", "--at-once", "1"]
        first = runner.invoke(app, ["run", *where, "--n", "3", *model])
        asked = server.asked.total()
        again = runner.invoke(app, ["retry", *where]) if not plan else first
    for result in (first, again):
        assert isinstance(result.exception, StoppedEarly) and result.exception.exit_code == 3
        assert re.search(reason, str(result.exception)) and "\n" not in str(result.exception)
    assert asked == (1 if plan else 9)
    folder = RunFolder.of(Workspace.open(workspace), name)
    assert not folder.table.exists()
    with pytest.raises(ArtifactError, match="holds no conversations"):
        audit_run(workspace, name, quiet)


def test_audits_pass_and_exports_are_read_back(workspace: Path) -> None:
    found = audit_run(workspace, "whole", quiet)
    assert not any(times for _, times in found["turns"]["faults"].values())
    for kind in FORMATS:
        made = export_run(workspace, "whole", kind)
        assert len(read_json(Path(made["file"]))) == made["rows"]
    users = {one.user_id for one in read_conversations(RunFolder.of(Workspace.open(workspace), "whole"))}
    for kind in FORMATS:
        text = Path(export_run(workspace, "whole", kind)["file"]).read_text()
        assert not any(f'"{user}"' in text for user in users)


@pytest.mark.parametrize("shifted", [False, True])
def test_a_shift_of_labels_between_learnt_and_asked_is_caught(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, shifted: bool
) -> None:
    """Many users with the published rates of acceptance: the same on both sides, or 44 % of 87 % against 77
    %.
    """
    env, place = open_data_set(workspace, "whole", quiet)
    some = list(read_conversations(place))  # one alone may begin with an item that is held out
    users = [f"u{number:03d}" for number in range(150)]
    asked = generator(0, "test users").random(len(users)) < audit_flow.TEST_SHARE
    rng, made = np.random.default_rng(0), []
    for number, (user, is_asked) in enumerate(zip(users, asked, strict=True)):
        one, share = some[number % len(some)], 0.77 / 0.87 if shifted and is_asked else 0.44 / 0.87
        labels = [MOVES if rng.random() < share else STAYS for _ in one.progress]
        progress = tuple(replace(line, label=label) for line, label in zip(one.progress, labels, strict=True))
        made.append(replace(one, user_id=user, goal=replace(one.goal, seed=number), progress=progress))
    monkeypatch.setattr(audit_flow, "read_conversations", lambda place: iter(made))
    found = audit_shift(env, place)
    assert found is not None and found.ok is not shifted
    assert ("p 0.001" in shift_text(found)) is shifted


def test_predictions_are_scored_and_bad_files_are_named(workspace: Path, tmp_path: Path) -> None:
    targets = read_json(Path(export_run(workspace, "whole", "crs")["file"]))
    answers = [
        row | {"predicted_track_ids": [row["item_id"]], "predicted_response": "Here you are."}
        for row in targets
    ]
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(answers))
    found = read_predictions(workspace, "whole", path)["metrics"]
    assert found["ndcg@1"] == found["ndcg@20"] == 1.0
    unknown = answers[0] | {"predicted_track_ids": ["no such item"]}
    for rows, said in [
        (answers[:-1], "has no prediction"),
        ([*answers, answers[0]], "answered twice"),
        ([unknown], "record 1: item .* is not in the catalogue"),
        ([7], "record 1: is no JSON object"),
        (
            [answers[0] | {"predicted_track_ids": None}],
            "predicted_track_ids' is 'None'; give a list",
        ),
        (
            [answers[0] | {"predicted_track_ids": "t1"}],
            "predicted_track_ids' is 't1'; give a list",
        ),
        ([answers[0] | {"turn_number": "x"}], "record 1: 'turn_number' is 'x'; give a whole number"),
        ([answers[0] | {"session_id": []}], "record 1: 'session_id' is .* give text"),
        ([answers[0] | {"predicted_response": 5}], "record 1: 'predicted_response' is '5'; give text"),
    ]:
        path.write_text(json.dumps(rows))
        with pytest.raises(InputError, match=f"predictions.json, .*{said}"):
            read_predictions(workspace, "whole", path)
    path.write_bytes(json.dumps(answers).encode("utf-16"))
    with pytest.raises(InputError, match=r"predictions.json: is not UTF-8"):
        read_predictions(workspace, "whole", path)
    path.write_text(json.dumps(answers), "utf-8-sig")  # as some editors begin a file
    assert read_predictions(workspace, "whole", path)["metrics"]["ndcg@1"] == 1.0
    with pytest.raises(InputError, match="no such file"):
        read_predictions(workspace, "whole", tmp_path / "missing.json")


def test_judging_needs_two_of_another_family(workspace: Path) -> None:
    with pytest.raises(InputError, match="at least two judges"):
        judge_run(workspace, "whole", ["facts"], Session(), quiet)
    with pytest.raises(InputError, match="same family"):
        judge_run(workspace, "whole", ["facts", "rules"], Session(), quiet)
    found = judge_run(workspace, "whole", ["facts", "overlap"], Session(), quiet, (8, 1))
    assert found["faults_by_check"] == 0
    assert {row["aspect"] for row in found["means"]} >= {"item_fits", "statements_true"}
    assert {row["judge"]: row["consistent"] for row in found["pairs"]} == {"facts@2": 1.0, "overlap@2": 1.0}
    twice = judge_run(workspace, "whole", ["facts", "overlap"], Session(), quiet, (2, 2))
    own = [row for row in twice["agreement"] if row["second"] == f"{row['first']} again" and row["n"]]
    assert {row["first"] for row in own} == {"facts@2", "overlap@2"} and all(
        row["value"] in (1.0, None) for row in own
    )
    asked = {
        judge: {row["asked"] for row in twice["means"] if row["judge"] == judge}
        for judge in ("facts@2", "overlap@2")
    }
    assert asked["facts@2"] == {4} and asked["overlap@2"] <= {2, 4}  # words say nothing where none is named


def test_bad_input_is_named(workspace: Path, tmp_path: Path) -> None:
    for bad, said in [
        ({"turns": "2"}, "3 to 12"),
        ({"turns": "x"}, "give a number"),
        ({"media": "smell"}, "choose from audio"),
    ]:
        with pytest.raises(InputError, match=said):
            RunSettings(**bad)
    with pytest.raises(InputError, match="give rules, NAME@URL"):
        generate(workspace, "nobody", RunSettings(n=1, model="nobody"), Session(), quiet)
    with pytest.raises(ArtifactError, match="holds no"):
        status(workspace, "missing")
    with pytest.raises(InputError, match="format 'xml'"):
        export_run(workspace, "whole", "xml")
    with pytest.raises(InputError, match="use letters"):
        RunFolder.of(Workspace.open(workspace), "../away")


def test_titles_and_texts_alone_are_enough(tmp_path: Path) -> None:
    """Conversations about topics: the words that some texts share."""
    from tastemaker.flows.ingest import ingest_files

    subjects = [
        "gardens",
        "rivers",
        "castles",
        "violins",
        "weather",
        "bakery",
        "sailing",
        "mountains",
        "trains",
        "poetry",
    ]
    rng = np.random.default_rng(0)
    rows = []
    for row in range(120):
        about = [subjects[int(at)] for at in rng.permutation(len(subjects))[:3]]
        text = f"A book on {about[0]} and {about[1]}, with a chapter on {about[2]}."
        rows.append({"item_id": f"i{row}", "title": f"Volume {row}", "text": text})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    logs = [
        {"user_id": f"u{row % 6}", "item_id": f"i{int(rng.integers(120))}", "position": row // 6}
        for row in range(60)
    ]
    pq.write_table(pa.Table.from_pylist(logs), tmp_path / "interactions.parquet")
    Workspace.create(tmp_path / "w")
    ingest_files(tmp_path / "w", tmp_path / "items.parquet", tmp_path / "interactions.parquet")
    where = ["-q", "-w", str(tmp_path / "w")]
    done = CliRunner().invoke(app, ["run", *where, "--n", "6", "--media", "none"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    folder = RunFolder.of(Workspace.open(tmp_path / "w"), "first")
    talks = list(read_conversations(folder))
    fields = {change.clause.field for talk in talks for turn in talk.turns for change in turn.delta}
    assert "topic" in fields
    found = audit_run(tmp_path / "w", "first", quiet)
    assert not any(times for _, times in found["turns"]["faults"].values()), found["text"]


def test_what_a_shop_exports_can_be_asked_for(tmp_path: Path) -> None:
    """Flags, numbers with a unit, words: from columns of a plain table to what the assistant shows."""
    lines = ["recipe_id,name,cuisine,prep_time,vegetarian"]
    lines += [
        f"{n},Dish {n},{('Thai', 'Greek')[n % 2]},{10 + n % 5 * 5} min,{('yes', 'no')[n % 3 > 0]}"
        for n in range(60)
    ]
    (tmp_path / "items.csv").write_text("\n".join(lines) + "\n")
    workspace = Workspace.create(tmp_path / "w")
    log = "user,item,position\n" + "".join(f"u{n % 5},{n % 60},{n}\n" for n in range(40))
    (tmp_path / "log.csv").write_text(log)
    ingest_files(workspace.root, tmp_path / "items.csv", tmp_path / "log.csv")
    catalogue = build_catalogue(workspace, load_data(workspace))
    shelf = Shelf.of(catalogue, catalogue.titles, lambda said: np.zeros((len(said), 2), np.float32))

    def fitting(message: str) -> int:
        changes = shelf.wishes.read(message).changes
        return shelf.fits([Constraint(change.kind, change.clause) for change in changes])

    assert fitting("something vegetarian") == 20 and fitting("not vegetarian") == 40
    assert fitting("under 15 minutes") == 24
    assert fitting("vegetarian and Greek") == 10


def test_an_endpoint_that_speaks_naturally_is_understood(workspace: Path) -> None:
    with Paraphraser(refuse=("max_tokens", "seed")) as server:
        settings = RunSettings(n=6, model=f"double@{server.url}", media="none")
        done = generate(workspace, "natural", settings, Session(at_once=4), quiet)
    assert done["conversations"] == 6 and not done["failed"]
    found = audit_run(workspace, "natural", quiet)["turns"]["faults"]
    assert {name for name, (_, times) in found.items() if times} <= {"echo"}


def test_a_model_searches_by_tool_calls_and_every_role_may_have_its_own(workspace: Path) -> None:
    with Paraphraser() as server:
        cast = f"listener=a@{server.url},recommender=b@{server.url}"
        settings = RunSettings(n=3, model=cast, media="none", tools=True)
        done = generate(workspace, "searching", settings, Session(at_once=1), quiet)
    assert not done["failed"]
    assert server.seen["tools"] == 24  # once a turn
    assert not any(role.startswith("You reword") for role in server.seen)  # rules play the rest
    talks = list(read_conversations(RunFolder.of(Workspace.open(workspace), "searching")))
    assert {turn.tool.by for talk in talks for turn in talk.turns} == {"model"}
    with pytest.raises(InputError, match="needs a --model that makes tool calls"):
        RunSettings(tools=True)


def test_an_endpoint_without_ears_gets_text(workspace: Path) -> None:
    with Paraphraser(refuse=("media",)) as server:
        chat = Endpoint(EndpointSettings(base_url=server.url, model="m"))
        sound = Media(b"RIFF", "audio/wav")
        request = Request((system("You reword."), asking('Goal: "x"', "T1, audio:", sound)), GoalAnswer)
        assert "make me happy" in chat.complete(request).text
        assert "make me happy" in chat.complete(request).text
        assert server.seen["You reword"] == 2 and server.seen["media"] == 0


def test_a_catalogue_without_facts_is_refused(tmp_path: Path) -> None:
    from tastemaker.flows.ingest import ingest_files

    rows = [{"item_id": f"i{row}", "title": f"Thing {row}"} for row in range(30)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    logs = [{"user_id": f"u{row % 5}", "item_id": f"i{row}", "position": row // 5} for row in range(30)]
    pq.write_table(pa.Table.from_pylist(logs), tmp_path / "interactions.parquet")
    Workspace.create(tmp_path / "w")
    ingest_files(tmp_path / "w", tmp_path / "items.parquet", tmp_path / "interactions.parquet")
    with pytest.raises(InputError, match="no item has an attribute as field=value"):
        plan_run(tmp_path / "w", SETTINGS, Session(), quiet)


def test_the_commands_answer_in_json(workspace: Path) -> None:
    runner, where = CliRunner(), ["-w", str(workspace), "--json"]
    dry = runner.invoke(app, ["plan", *where, "-q", "--n", "5", "--price", "0.15,0.6,2026-01-31"])
    assert json.loads(dry.stdout)["forecast"]["units"] == 5
    assert json.loads(runner.invoke(app, ["status", *where, "--name", "whole"]).stdout)["finished"] == 8
    made = runner.invoke(app, ["export", *where, "--name", "whole", "--format", "tools"])
    assert json.loads(made.stdout)["rows"] == 8


def test_the_same_in_python(workspace: Path, tmp_path: Path) -> None:
    from tastemaker import converse

    data = converse.generate(str(workspace), SETTINGS, "face")
    assert _bytes(workspace, "face") == _bytes(workspace, "whole")
    assert len(data) == 8 == len(converse.generate(workspace, SETTINGS, "face"))  # what is finished stays
    assert [one.turns[0].message for one in data] == [
        one.turns[0].message for one in converse.open_dataset(workspace, "whole")
    ]
    audit = data.audit()
    assert audit.values["turns"]["conversations"] == 8 and audit.text.startswith("8 conversations, 64 turns")
    rows = data.export("chat", tmp_path / "chat.jsonl").read_text().splitlines()
    assert [len(json.loads(row)["messages"]) for row in rows] == [16] * 8
    assert data.judge(size=(2, 1)).ok
    with pytest.raises(ArtifactError, match="holds no data set"):
        converse.open_dataset(workspace, "nothing")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = converse.nothing


class _Loud:
    """A back end of another package: what the rules say, a word louder."""

    model = "loud@1"

    def __init__(self, workspace: Path) -> None:
        self.rules = RuleChat(open_env(workspace, SETTINGS, quiet).world.lexicon)

    def complete(self, request: Any) -> Any:
        reply = self.rules.complete(request)
        return replace(reply, text=reply.text.replace('"message": "', '"message": "A most lovely day! '))


class _Kind:
    """A judge of another package, who likes everything."""

    model = "kind@1"

    def complete(self, request: Any) -> Reply:
        good = {"score": 4, "reason": "good"}
        answer = {"choice": "equal", "reason": ""} if request.kind == "pair" else dict.fromkeys(ASPECTS, good)
        return Reply(json.dumps(answer))


def test_plugins_play_roles_and_judge(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"chat": {"loud": lambda name: _Loud(workspace)}, "judges": {"kind": _Kind}}
    points = [
        EntryPoint(name, f"{__name__}:{name}", f"tastemaker.{group}")
        for group, made in parts.items()
        for name in made
    ]
    monkeypatch.setattr(EntryPoint, "load", lambda self: parts[self.group.split(".")[1]][self.name])
    monkeypatch.setattr(plugins, "_installed", lambda group: {p.name: p for p in points if group in p.group})
    runner, where = CliRunner(), ["-q", "-w", str(workspace), "--name", "loud"]
    done = runner.invoke(
        app, ["run", *where, "--n", "8", "--media", "none", "--model", "loud"], catch_exceptions=False
    )
    assert done.exit_code == 0
    folder = RunFolder.of(Workspace.open(workspace), "loud")
    words = [turn.message for one in read_conversations(folder) for turn in one.turns]
    assert any("most lovely" in message for message in words)
    found = judge_run(workspace, "loud", ["facts", "kind"], Session(), quiet, (4, 1))
    assert {row["mean"] for row in found["means"] if row["judge"] == "kind@1"} == {4.0}
    with pytest.raises(InputError, match="installed plugin \\(loud\\)"):
        generate(workspace, "nobody", RunSettings(n=1, model="lout"), Session(), quiet)
