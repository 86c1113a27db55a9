"""A rehearsal through its command, and what is true of its crowd."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import tiny_interactions, tiny_items

from tastemaker.cli.main import main
from tastemaker.errors import InputError
from tastemaker.rehearse.crowd import WORLDS, Crowd, CrowdSettings
from tastemaker.rehearse.rehearse import ALL, NONE, RehearsalSettings, differences, mean_of
from tastemaker.rehearse.rehearse import rehearse as live
from tastemaker.rehearse.town import START, Schedule
from tastemaker.store import Database


def crowd(world: str = "item", people: int = 40) -> Crowd:
    return Crowd(tiny_items(), tiny_interactions(), people, 0, CrowdSettings(world=world))


def test_the_crowd_likes_what_its_history_says_and_returns_for_it() -> None:
    people = crowd()
    kinds = dict(
        zip(tiny_items()["item_id"].to_pylist(), tiny_items()["attributes"].to_pylist(), strict=True)
    )
    table = tiny_interactions()
    had = dict(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))
    same, other = [], []
    for person in people.people:
        for item, words in kinds.items():
            (same if words[0] == kinds[had[person]][0] else other).append(people.likes(person, item, 0))
    assert np.mean(same) > np.mean(other) + 0.5
    person = people.people[0]
    best = sorted(people.item_ids, key=lambda item: -people.likes(person, item, 0))
    assert people.expected(person, best[:10], 0) > people.expected(person, best[-10:], 0) + 0.2
    assert people.deeds(person, best[:10], 3, 0) == crowd().deeds(person, best[:10], 3, 0)
    deeds, liked = people.deeds(person, best[:10], 3, 0)
    assert liked > 0 and {deed.kind for deed in deeds} <= {"play", "like", "skip", "not_interested"}


def test_each_world_has_built_in_what_it_says() -> None:
    person = crowd().people[0]
    shown = crowd().item_ids[:5]
    assert len({crowd("person").expected(person, [item], 0) for item in shown}) == 1
    assert len({crowd("item").expected(person, [item], 0) for item in shown}) == 5
    early, late = crowd("drift").likes(person, shown[0], 0), crowd("drift").likes(person, shown[0], 15)
    assert early == crowd().likes(person, shown[0], 0) != late
    poisoned = crowd("poison")
    assert poisoned.fakes and not crowd().fakes
    pushed = np.mean(
        [[poisoned.likes(person, item, 0) for item in poisoned.targets] for person in poisoned.people]
    )
    assert pushed < -0.3  # what is pushed is what people like least
    assert set(WORLDS) == {"item", "person", "drift", "poison"}


def test_the_difference_is_paired_by_person() -> None:
    base = [{"person": f"p{n}", "returning": n / 100} for n in range(30)]
    better = [visit | {"returning": visit["returning"] + 0.01} for visit in base]
    effect = mean_of([differences({"visits": better}, {"visits": base})], 0)
    assert effect.low == pytest.approx(0.01) and effect.high == pytest.approx(0.01) and effect.n == 30


def test_a_rehearsal_says_what_the_parts_did_and_goes_on_where_it_was(
    untouched_workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "rehearsal"
    words = ["rehearse", "-w", str(untouched_workspace), "--days", "2", "--people", "20", "--out", str(out)]
    words += ["--night", "1", "--arrivals", "2", "--without", "none", "--jobs", "1", "--json", "-q"]
    monkeypatch.setattr("sys.argv", ["tastemaker", *words])
    main()
    result = json.loads(capsys.readouterr().out)
    tables = {table["title"]: table for table in result["tables"]}
    worlds = {row[0]: row for row in tables["The same crowd in each world"]["rows"]}
    assert set(worlds) == {ALL, NONE}
    assert all(row[1] > 8 and row[-1] == 0 for row in worlds.values())  # lists, and no refused request
    columns = tables["The same crowd in each world"]["columns"]
    whole = dict(zip(columns, worlds[ALL], strict=True))
    assert whole["conversations"] > 0 and whole["that showed items"] != "0%"
    assert 0 < whole["chance to return after them"] < 1
    nights = tables["What the nights said"]["rows"]
    assert {row[2] for row in nights if row[0] == ALL} >= {"train", "proxy", "certificate"}
    diary = json.loads((out / "everything.json").read_text())
    train = next(night for night in diary["nights"] if night["what"] == "train")
    assert train["code"] == 0 and train["deployment"]["name"]
    assert any(night["what"] == "catalogue" and night["new"] for night in diary["nights"])
    assert sum(visit["new"] for visit in diary["visits"]) > 0  # items that arrived were shown
    assert (out / "report.html").exists() and (out / "figures" / "figure-1.png").exists()
    database = Database(out / "everything" / "tastemaker.sqlite")
    at = database.newest_deployment("serving")  # by night, when it is night in the rehearsal
    database.close()
    assert at is not None and START < at.timestamp < START + timedelta(days=2)
    diary_before = (out / "everything.json").read_bytes()
    (out / "nothing.json").unlink()
    settings = RehearsalSettings(20, 0, "item", (), Schedule(2, 1, 2), 1)
    live(untouched_workspace, out, settings, lambda *_: None)
    assert (out / "everything.json").read_bytes() == diary_before and (out / "nothing.json").exists()
    with pytest.raises(InputError, match="other settings"):
        live(untouched_workspace, out, replace(settings, seed=1), lambda *_: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--world", "mars"), "choose item, person, drift, poison"),
        (("--without", "luck"), "choose learning, exploration, proxy"),
        (("--people", "5000"), "90 people, fewer than --people 5000"),
    ],
)
def test_rehearsals_that_make_no_sense_are_refused(
    untouched_workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    words = [
        "tastemaker",
        "rehearse",
        "-w",
        str(untouched_workspace),
        "--out",
        str(tmp_path / "out"),
        *options,
    ]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code not in (0, None) and message in capsys.readouterr().err
