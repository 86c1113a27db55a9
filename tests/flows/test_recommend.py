"""Recommendations of a trained chain: allowed items only, evidence, events, slates."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import USERS, quiet

import tastemaker.flows.search as search
from tastemaker.errors import InputError
from tastemaker.flows.data import last_snapshot, load_data, passing, rows_by_field
from tastemaker.flows.deploy import in_service
from tastemaker.flows.evaluation.evaluate import _control, evaluate_workspace, ours
from tastemaker.flows.evaluation.sections import HABIT, LATE
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Searcher
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.retrieve.candidates import nothing
from tastemaker.retrieve.evaluation import Sequences
from tastemaker.retrieve.memory import fit_memory
from tastemaker.serving.explain import Explainer
from tastemaker.serving.history import People
from tastemaker.serving.once import recommend_once
from tastemaker.serving.pages import Pages
from tastemaker.serving.query import Happened, Query, Slate, Unknown
from tastemaker.serving.service import WorkspaceService, open_service
from tastemaker.store import Database, Workspace, read_arrays


@pytest.fixture(scope="module")
def service(tiny_workspace: Path) -> WorkspaceService:
    return open_service(tiny_workspace)


def ask(service: WorkspaceService, *queries: Query) -> list[Slate]:
    slates = service.recommend_many(queries)
    assert all(isinstance(slate, Slate) for slate in slates), slates
    return slates


def items(slate: Slate) -> list[str]:
    return [row.item_id for row in slate.rows]


def test_only_allowed_items_are_ever_returned(tiny_workspace: Path) -> None:
    searcher = Searcher.of(in_service(Workspace.open(tiny_workspace)))
    ids = searcher.data.item_ids
    rng = np.random.default_rng(1)
    wishes = []
    for _ in range(40):
        history = tuple(rng.choice(ids, rng.integers(0, 8), replace=False))
        filters = {"type": ("reel", "jig")} if rng.random() < 0.5 else {}
        wishes.append(Query(None, history, int(rng.integers(1, 12)), filters, frozenset(rng.choice(ids, 10))))
    for wish, found in zip(wishes, searcher.answer(wishes), strict=True):
        chosen = [ids[item] for item in found.items]
        assert len(chosen) == len(set(chosen)) == wish.k or found.reason
        assert not set(chosen) & (set(wish.history) | wish.exclude)
        if wish.filters:
            assert {int(item[1:]) % 4 for item in chosen} <= {0, 1}


def test_who_has_done_nothing_since_is_not_scored_again(
    tiny_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = Searcher.of(in_service(Workspace.open(tiny_workspace)))
    ids, score, scored = searcher.data.item_ids, searcher.score, []
    assert score is not None
    monkeypatch.setattr(search, "CACHED", 4 * len(ids))
    monkeypatch.setattr(searcher, "score", lambda some: (scored.append(len(some)), score(some))[1])
    wishes = [Query(None, (item,), 5) for item in ids[:4]]
    first = searcher.answer([*wishes, wishes[0]])
    again = searcher.answer(wishes[::-1])[::-1]
    assert scored == [4]
    for one, two in zip(first, [*again, again[0]], strict=True):
        assert one.items.tolist() == two.items.tolist() and one.scores.tolist() == two.scores.tolist()
    searcher.answer([Query(None, (ids[0], ids[9]), 5), Query(None, (ids[0],), 5, {"type": ("reel",)})])
    searcher.answer([Query(None, (ids[0],), 5, marks=(3,))])  # the same item, otherwise wanted
    assert scored == [4, 1, 1]
    searcher.answer(wishes[:2])
    assert scored == [4, 1, 1]
    searcher.answer([wishes[3]])  # asked for longest ago
    assert scored == [4, 1, 1, 1]


def test_kept_scores_may_go_while_others_are_worked_out(
    tiny_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = Searcher.of(in_service(Workspace.open(tiny_workspace)))
    ids, score = searcher.data.item_ids, searcher.score
    assert score is not None
    monkeypatch.setattr(search, "CACHED", len(ids))  # one person
    wishes = [Query(None, (item,), 5) for item in ids[:3]]
    expected = [searcher.answer([wish])[0].items.tolist() for wish in wishes]
    searcher.answer(wishes[:1])
    between = iter(wishes[2:])

    def interrupted(some: Any) -> Any:
        for wish in between:  # as a turn of the assistant would in a thread of its own
            searcher.answer([wish])
        return score(some)

    monkeypatch.setattr(searcher, "score", interrupted)
    assert [one.items.tolist() for one in searcher.answer(wishes[:2])] == expected[:2]


def test_the_model_has_learnt_the_cycle(tiny_workspace: Path) -> None:
    result = evaluate_workspace(tiny_workspace, ["popularity", "cooccurrence"], "test", 0, quiet)
    found = {one["name"]: one["values"]["R@10"]["value"] for one in result["metrics"]["methods"]}
    ours = found["Tastemaker"]
    assert min(ours, found["Tastemaker, model alone"]) > found["popularity"] + 0.2
    assert LATE not in found and HABIT not in found  # no times, and nothing is shown again
    ranks = read_arrays(Path(result["run"]) / "ranks.safetensors")
    assert float(np.mean((ranks["Tastemaker"] > 0) & (ranks["Tastemaker"] <= 10))) == pytest.approx(ours)
    assert (Path(result["run"]) / "report.html").read_text().startswith("<!doctype html>")


def test_a_command_line_answer_is_logged_with_its_propensities(
    tiny_workspace: Path, service: WorkspaceService
) -> None:
    answer = recommend_once(tiny_workspace, Query("u001", k=4, filters={"type": ("jig",)}))
    rows = [
        row
        for row in service.database.slates_table().to_pylist()
        if row["request_id"] == answer["request_id"]
    ]
    assert [row["item_id"] for row in rows] == [row["item_id"] for row in answer["rows"]]
    assert [row["propensity"] for row in rows] == [1.0] * 4
    assert all(int(row["item_id"][1:]) % 4 == 1 for row in rows)


def test_likes_and_dislikes_change_the_next_list_and_undo_restores_it(service: WorkspaceService) -> None:
    def event(name: str, kind: str, item: str | None = None, target: str | None = None) -> Happened:
        return Happened(name, "fresh", kind, item, target)

    service.add_events([event("e1", "like", "t000"), event("e2", "like", "t004")])
    (before,) = ask(service, Query("fresh", k=5))
    first = items(before)[0]
    assert service.add_events([event("e3", "not_interested", first)])["accepted"] == 1
    assert service.add_events([event("e3", "not_interested", first)]) == {
        "accepted": 0,
        "duplicates": 1,
        "conflicts": [],
        "survey": None,
    }
    assert service.add_events([event("e3", "like", first)])["conflicts"] == ["e3"]
    assert first not in items(*ask(service, Query("fresh", k=5)))
    service.add_events([event("e4", "undo", target="e3")])
    assert items(*ask(service, Query("fresh", k=5))) == items(before)


def test_not_interested_in_what_was_played_takes_it_out_of_the_taste_and_undo_brings_it_back(
    service: WorkspaceService,
) -> None:
    (before,) = ask(service, Query("u002", k=8))
    played = [event["item_id"] for event in service.history("u002")]
    gone = before.rows[0].reasons[0].item_id
    assert gone in played
    service.add_events([Happened("n1", "u002", "not_interested", gone)])
    (after,) = ask(service, Query("u002", k=8))
    assert gone not in items(after)
    assert gone not in {reason.item_id for row in after.rows for reason in row.reasons}
    assert gone not in service.parts.people.profile("u002").history and items(after) != items(before)
    assert service.history("u002")[-1]["kind"] == "not_interested"
    service.add_events([Happened("n2", "u002", "undo", target="n1")])
    assert ask(service, Query("u002", k=8))[0].rows == before.rows


def test_an_undo_takes_back_what_is_there_and_ones_own(service: WorkspaceService) -> None:
    service.add_events([Happened("o1", "u003", "like", "t001")])
    with pytest.raises(Unknown, match="no event 'nothing'"):
        service.add_events([Happened("o2", "u003", "undo", target="nothing")])
    with pytest.raises(Unknown, match="no event 'o1'"):
        service.add_events([Happened("o2", "u004", "undo", target="o1")])
    both = [Happened("o3", "u003", "like", "t002"), Happened("o4", "u003", "undo", target="o3")]
    assert service.add_events(both)["accepted"] == 2
    assert service.add_events(both)["duplicates"] == 2
    within = [Happened("o5", "u003", "like", "t002"), Happened("o6", "u004", "undo", target="o5")]
    with pytest.raises(Unknown, match="no event 'o5'"):
        service.add_events(within)


YEAR_0 = "0001-01-01T00:00:00+14:00"  # a moment that no calendar of UTC has


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Happened("w1", "u003", "play", "t001", value=1.5), "outside 0 to 1"),
        (Happened("w1", "u003", "play", "t001", value=-5.0), "outside 0 to 1"),
        (Happened("w1", "u003", "rating", "t001", value=1e308), "outside 1 to 5"),
        (Happened("w1", "u003", "play", "t999"), "not in the catalogue"),
        (
            Happened("w1", "u003", "play", "t001", timestamp=datetime.now(UTC) + timedelta(hours=1)),
            "lies in the future",
        ),
        (Happened("w1", "u003", "like", "t001", timestamp=datetime.min.replace(tzinfo=UTC)), "before 1970"),
        (Happened("w1", "u003", "like", "t001", timestamp=datetime.fromisoformat(YEAR_0)), "before 1970"),
    ],
)
def test_an_event_that_cannot_be_is_refused(service: WorkspaceService, event: Happened, said: str) -> None:
    with pytest.raises(InputError, match=said):
        service.add_events([event])


def test_an_event_keeps_the_time_that_its_client_says(service: WorkspaceService) -> None:
    then = datetime(2026, 1, 2, 3, tzinfo=UTC)
    event = Happened("t1", "timed", "play", "t001", timestamp=then)
    assert service.add_events([event])["accepted"] == 1 and service.add_events([event])["duplicates"] == 1
    assert service.history("timed")[0]["timestamp"] == then.timestamp()


def test_each_request_of_a_batch_gets_its_own_answer_or_error(service: WorkspaceService) -> None:
    stranger, one, unknown, two, again = service.recommend_many(
        [
            Query("nobody"),
            Query(history=("t001",), k=5),
            Query(history=("t999",)),
            Query(k=3, request_id="d"),
            Query(k=3, request_id="d"),
        ]
    )
    assert isinstance(unknown, InputError) and "t999" in str(unknown)
    assert len(one.rows) == 5 and len(two.rows) == 3 and again.request_id == two.request_id
    assert "nobody knows 'nobody' yet" in stranger.notice and one.notice is None
    (anybody,) = ask(service, Query())
    assert items(stranger) == items(anybody)  # like an empty history
    (alone,) = ask(service, Query(history=("t001",), k=5))
    assert items(alone) == items(one)
    assert alone.rows[0].score == pytest.approx(one.rows[0].score, abs=1e-4)


@pytest.mark.parametrize(
    ("filters", "said"),
    [({"mood": ("sad",)}, "the catalogue has: .*type"), ({"type": ("x",)}, "no item has type 'x'; .*reel")],
)
def test_an_unknown_filter_names_the_known_ones(
    service: WorkspaceService, filters: dict[str, tuple[str, ...]], said: str
) -> None:
    (answer,) = service.recommend_many([Query(history=("t001",), filters=filters)])
    assert isinstance(answer, InputError) and re.search(said, str(answer))


def test_reasons_rest_on_the_history(service: WorkspaceService) -> None:
    (slate,) = ask(service, Query(history=("t000", "t004", "t008")))
    reasons = [reason for row in slate.rows for reason in row.reasons]
    assert reasons
    assert {reason.item_id for reason in reasons} <= {"t000", "t004", "t008"}


def test_a_list_names_what_it_is_valid_for(service: WorkspaceService) -> None:
    (slate,) = ask(service, Query(history=("t000",)))
    assert (
        slate.deployment
        and slate.versions["model"]
        and service.info()["versions"]["deployment"] == slate.deployment
    )


def test_people_of_the_table_come_first_then_those_who_came_by(service: WorkspaceService) -> None:
    service.add_events(
        [Happened("p1", "passer-by", "like", "t001"), Happened("p2", "passer-by", "like", "t002")]
    )
    rows, total = service.users(200, 0)
    ids = [row["user_id"] for row in rows]
    assert total == len(rows) == len(set(ids)) and ids[:2] == ["u000", "u001"]
    assert rows[ids.index("passer-by")]["events"] == 2 and ids.index("passer-by") >= USERS
    assert service.users(3, total - 1)[0][0]["user_id"] == ids[-1] and service.users(3, total)[0] == []


def test_a_history_shows_the_true_kind_of_each_event(tiny_workspace: Path) -> None:
    data = open_service(tiny_workspace).parts.searcher.data
    rows = [("u1", "t003", "rating", 2.0, 2), ("u0", "t001", "like", None, 1), ("u1", "t001", "play", 0.5, 0)]
    rows += [
        ("u1", "t002", None, None, 1),
        ("12", "t002", None, None, 0),
        ("u1", "t004", "teleport", None, 3),
    ]
    names = ("user_id", "item_id", "kind", "value", "position")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    table = table.append_column("timestamp", pa.nulls(len(rows), pa.timestamp("us", tz="UTC")))
    database = Database(tiny_workspace / "tastemaker.sqlite")
    people = People(data, table, database, lambda user: user == "u0")
    past = people.past("u1")
    assert past is not None
    assert [(event["item_id"], event["kind"], event["value"]) for event in past] == [
        ("t001", "play", 0.5),
        ("t002", None, None),
        ("t003", "rating", 2.0),
        ("t004", "teleport", None),  # a kind that nobody knows is shown, and says nothing
    ]
    assert [event["sign"] for event in past] == [1, 1, -1, 0]
    assert people.profile("12.0").known and not people.profile("1.2").known
    assert people.past("u0") is None and not people.profile("u0").known  # erased


def test_a_catalogue_without_attributes_has_no_fields() -> None:
    kind = pa.list_(pa.string())
    for lists in ([[], []], [["a", "b=c"], []]):
        fields = rows_by_field(pa.table({"attributes": pa.array(lists, kind)}))
        assert sorted(fields) == (["attribute", "b"] if lists[0] else [])


def test_a_field_of_many_numbers_is_listed_by_its_range_and_filtered_by_one() -> None:
    cells = [[f"price={10 + row / 4:g}", f"sku=x{row}", f"size={row % 3}"] for row in range(300)]
    fields = rows_by_field(pa.table({"attributes": pa.array(cells, pa.list_(pa.string()))}))
    pages = SimpleNamespace(parts=SimpleNamespace(searcher=SimpleNamespace(fields=fields)))
    price, size = sorted(Pages.fields(pages), key=lambda field: field["name"])  # type: ignore[arg-type]
    assert (price["name"], price["low"], price["high"], price["values"]) == ("price", 10.0, 84.75, [])
    assert (size["name"], len(size["values"]), size["high"]) == ("size", 3, 2.0)
    assert sorted(passing(fields["price"], "20..21")) == list(range(40, 45))
    assert len(passing(fields["price"], "..10")) == 1 and len(passing(fields["price"], "84..")) == 4
    assert len(passing(fields["sku"], "1..2")) == len(passing(fields["price"], "9..")) - 300 == 0
    assert passing(fields["sku"], "x7").tolist() == [7]


def test_fields_search_and_history(service: WorkspaceService) -> None:
    assert {one["name"]: len(one["values"]) for one in service.fields()} == {"type": 4, "key": 4}
    found, total = service.search("number 7 waltz", 5, 0)
    assert found[0]["item_id"] in {"t007", "t002"} and total >= len(found)
    (parts, many), (typo, as_many) = service.search("walt", 5, 0), service.search("watlz", 5, 0)
    assert all("waltz" in item["title"].lower() for item in parts + typo)
    assert len(parts) == len(typo) == 5 and many == as_many > 5
    assert service.search("t007", 5, 0)[0][0]["item_id"] == "t007"
    assert len(service.search("", 10, 60)[0]) == 4 and service.search("", 10, 60)[1] == 64
    with pytest.raises(Unknown, match=r"is unknown; .*GET /users"):
        service.history("nobody")


def test_evaluation_compares_with_every_baseline_counting_first(tiny_workspace: Path) -> None:
    result = evaluate_workspace(tiny_workspace, ["popularity", "content", "cooccurrence"], "test", 0, quiet)
    against = [one["against"] for one in result["metrics"]["comparisons"]]
    assert against == ["item co-occurrence", "popularity", "content neighbours"]
    values = {one["name"]: one["values"]["N@10"]["value"] for one in result["metrics"]["methods"]}
    for one in result["metrics"]["comparisons"]:
        difference = one["differences"]["N@10"]
        assert difference["value"] == pytest.approx(values["Tastemaker"] - values[one["against"]])
        assert difference["low"] <= difference["value"] <= difference["high"]
    assert "minus the other" in result["text"] and result["exit_code"] == 0
    alarms = {one["name"]: one for one in result["alarms"]}
    beaten = alarms["best simple baseline"]
    best = max(("item co-occurrence", "popularity", "content neighbours"), key=values.__getitem__)
    assert f"'{best}'" in beaten["text"] and beaten["ok"] == ("is beaten" in beaten["text"])
    assert "events in order of time" in result["subtitle"] or "no time confirms" in result["subtitle"]
    assert alarms["order of events"]["ok"] and "repeated items" in alarms
    page = (Path(result["run"]) / "report.html").read_text()
    assert all(f"{name}</span>" in page for name in against)


def test_an_evaluation_in_which_nothing_was_found_says_so_and_fails(
    tiny_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Searcher,
        "search_all",
        lambda self, contexts, tick=None, weights=(0.0,): [[nothing("")] * len(contexts) for _ in weights],
    )
    result = evaluate_workspace(tiny_workspace, ["popularity"], "test", 0, quiet)
    assert result["exit_code"] == 1 and "every metric is 0" in result["text"]


def test_a_control_is_given_the_memory_as_ours_is(tiny_workspace: Path) -> None:
    """Two systems with the same scores end in the same lists: the memory is added to all items of both."""
    opened = Workspace.open(tiny_workspace)
    pipeline = Pipeline(opened, quiet, last_snapshot(opened))
    n, train = len(pipeline.data.item_ids), pipeline.data.split.train

    def by_index(contexts: Sequences) -> np.ndarray:
        return np.tile(-np.arange(n, dtype=np.float32), (len(contexts.offsets) - 1, 1))

    targets, memory = pipeline.data.split.test, fit_memory(train, n)
    control = _control(pipeline, by_index, memory, targets)
    weight = float(control.name.removeprefix("SASRec with the same memory, weight "))
    parts = replace(trained_parts(pipeline), score=by_index, memory=memory, weight=weight)
    other = Searcher(parts)
    same = ours(
        other,
        targets,
        lambda: [
            [one.items for one in own]
            for own in other.search_all(targets.context, weights=(other.weight, 0.0))
        ],
    )[0]
    assert weight > 0
    for mine, other in zip(same.lists, control.lists, strict=True):
        assert mine.tolist() == other.tolist()


def test_what_few_people_did_is_no_reason(service: WorkspaceService) -> None:
    parts = service.parts
    histories, ids = parts.searcher.data.histories, parts.searcher.data.item_ids
    people: dict[frozenset[str], set[str]] = {}
    past = {
        str(user): [ids[item] for item in histories.items[low:high]]
        for user, low, high in zip(histories.users, histories.offsets, histories.offsets[1:], strict=False)
    }
    for user, items in past.items():
        for place, item in enumerate(items):
            for other in items[place + 1 : place + 4]:
                people.setdefault(frozenset((item, other)), set()).add(user)
    assert min(map(len, people.values())) < 5
    found = 0
    for item in ids:
        for history in (items for items in past.values() if item not in items):
            for reason in parts.explainer.evidence([item], history)[0]:
                number = re.search(r"\d+ people", reason.text)
                if number:
                    count = len(people[frozenset((item, str(reason.item_id)))])
                    assert number[0] == f"{count} people" and count >= 5
                    found += 1
                assert "times" not in reason.text
    assert found > 0


def test_a_number_in_a_reason_says_of_what_it_is(tmp_path: Path) -> None:
    items, log = tmp_path / "items.csv", tmp_path / "log.csv"
    items.write_text(
        "item_id,title,colour,pages\n"
        + "".join(f"i{n},Book {n},{('red', 'blue')[n % 2]},{300 + n % 2}\n" for n in range(9))
    )
    log.write_text("user_id,item_id,timestamp\nu,i0,1\nu,i1,2\nv,i2,1\n")
    workspace = Workspace.create(tmp_path / "shop")
    ingest_files(workspace.root, items, log)
    ((reason,),) = Explainer(load_data(Workspace.open(workspace.root))).evidence(["i4"], ["i0"])
    assert reason.text.startswith("like “Book 0”: ") and {*reason.text[15:].split(", ")} == {
        "red",
        "pages 300",
    }
