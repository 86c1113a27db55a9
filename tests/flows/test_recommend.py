"""Recommendations of a trained chain: allowed items only, evidence, events, slates."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.conftest import quiet

from tastemaker.errors import InputError
from tastemaker.flows.evaluation.evaluate import evaluate_workspace
from tastemaker.flows.recommend import Recommender, Wish, recommend_once
from tastemaker.flows.service import WorkspaceService, open_service
from tastemaker.store import Workspace, read_arrays


@pytest.fixture(scope="module")
def service(tiny_workspace: Path) -> WorkspaceService:
    return open_service(tiny_workspace)


def _ask(
    request_id: str, user_id: str | None = None, history: tuple[str, ...] = (), **other: object
) -> SimpleNamespace:
    plain = {"k": 5, "filters": {}, "exclude": frozenset(), "deadline": None}
    return SimpleNamespace(request_id=request_id, user_id=user_id, history=history, **(plain | other))


def test_only_allowed_items_are_ever_returned(tiny_workspace: Path) -> None:
    recommender = Recommender(Workspace.open(tiny_workspace))
    ids = recommender.data.item_ids
    rng = np.random.default_rng(1)
    wishes = []
    for _ in range(40):
        history = tuple(rng.choice(ids, rng.integers(0, 8), replace=False))
        filters = {"type": ["reel", "jig"]} if rng.random() < 0.5 else {}
        wishes.append(Wish(history, int(rng.integers(1, 12)), filters, frozenset(rng.choice(ids, 10))))
    for wish, found in zip(wishes, recommender.answer(wishes), strict=True):
        chosen = [ids[item] for item in found.items]
        assert len(chosen) == len(set(chosen)) == wish.k or found.reason
        assert not set(chosen) & (set(wish.history) | wish.exclude)
        if wish.filters:
            assert {int(item[1:]) % 4 for item in chosen} <= {0, 1}


def test_the_model_has_learnt_the_cycle(tiny_workspace: Path) -> None:
    result = evaluate_workspace(tiny_workspace, ["popularity", "cooccurrence"], "test", 0, quiet)
    found = {one["name"]: one["values"]["R@10"]["value"] for one in result["metrics"]["methods"]}
    ours = found["Tastemaker"]
    assert min(ours, found["Tastemaker, language model alone"]) > found["popularity"] + 0.2
    ranks = read_arrays(Path(result["run"]) / "ranks.safetensors")
    assert float(np.mean((ranks["Tastemaker"] > 0) & (ranks["Tastemaker"] <= 10))) == pytest.approx(ours)
    assert (Path(result["run"]) / "report.html").read_text().startswith("<!doctype html>")


def test_a_command_line_answer_is_logged_with_its_propensities(
    tiny_workspace: Path, service: WorkspaceService
) -> None:
    answer = recommend_once(tiny_workspace, "u001", [], 4, ["type=jig"], [])
    rows = [
        row
        for row in service.database.slates_table().to_pylist()
        if row["request_id"] == answer["request_id"]
    ]
    assert [row["item_id"] for row in rows] == [row["item_id"] for row in answer["rows"]]
    assert [row["propensity"] for row in rows] == [1.0] * 4
    assert all(int(row["item_id"][1:]) % 4 == 1 for row in rows)


def test_likes_and_dislikes_change_the_next_list_and_undo_restores_it(service: WorkspaceService) -> None:
    def event(
        event_id: str, kind: str, item: str | None = None, target: str | None = None
    ) -> SimpleNamespace:
        return SimpleNamespace(
            event_id=event_id,
            user_id="fresh",
            kind=kind,
            item_id=item,
            value=None,
            request_id=None,
            target=target,
        )

    service.add_events([event("e1", "like", "t000"), event("e2", "like", "t004")])
    before = service.recommend_many([_ask("r1", "fresh")])[0]
    first = before["rows"][0]["item_id"]
    assert service.add_events([event("e3", "not_interested", first)])["accepted"] == 1
    assert service.add_events([event("e3", "not_interested", first)]) == {
        "accepted": 0,
        "duplicates": 1,
        "conflicts": [],
        "survey": None,
    }
    assert service.add_events([event("e3", "like", first)])["conflicts"] == ["e3"]
    after = service.recommend_many([_ask("r2", "fresh")])[0]
    assert first not in [row["item_id"] for row in after["rows"]]
    service.add_events([event("e4", "undo", target="e3")])
    restored = service.recommend_many([_ask("r3", "fresh")])[0]
    assert [row["item_id"] for row in restored["rows"]] == [row["item_id"] for row in before["rows"]]


def test_each_request_of_a_batch_gets_its_own_answer_or_error(service: WorkspaceService) -> None:
    wishes = [
        _ask("a", "nobody"),
        _ask("b", history=("t001",)),
        _ask("c", history=("t999",)),
        _ask("d", history=(), k=3),
    ]
    found = service.recommend_many(wishes)
    assert isinstance(found[0], InputError) and "nobody" in str(found[0])
    assert isinstance(found[2], InputError) and "t999" in str(found[2])
    assert len(found[1]["rows"]) == 5
    assert len(found[3]["rows"]) == 3
    alone = service.recommend_many([_ask("b2", history=("t001",))])[0]
    assert [row["item_id"] for row in alone["rows"]] == [row["item_id"] for row in found[1]["rows"]]
    assert alone["rows"][0]["score"] == pytest.approx(found[1]["rows"][0]["score"], abs=1e-4)


def test_an_unknown_filter_field_names_the_known_ones_and_an_unknown_value_gives_a_reason(
    service: WorkspaceService,
) -> None:
    wrong, empty = service.recommend_many(
        [_ask("f", history=("t001",), filters={"mood": ("sad",)}), _ask("g", filters={"type": ("x",)})]
    )
    assert isinstance(wrong, InputError) and "type" in str(wrong)
    assert empty["rows"] == [] and empty["reason"]


def test_reasons_rest_on_the_history(service: WorkspaceService) -> None:
    slate = service.recommend_many([_ask("w", history=("t000", "t004", "t008"))])[0]
    reasons = [reason for row in slate["rows"] for reason in row["reasons"]]
    assert reasons
    assert {reason["item_id"] for reason in reasons} <= {"t000", "t004", "t008"}


def test_fields_search_and_history(service: WorkspaceService) -> None:
    assert {one["name"]: len(one["values"]) for one in service.fields()} == {"type": 4, "key": 4}
    assert service.search("number 7 waltz", 5, 0)[0]["item_id"] in {"t007", "t002"}
    assert all(
        "waltz" in item["title"].lower()
        for item in service.search("walt", 5, 0) + service.search("watlz", 5, 0)
    )
    assert len(service.search("walt", 5, 0)) == len(service.search("watlz", 5, 0)) == 5
    assert service.search("t007", 5, 0)[0]["item_id"] == "t007"
    assert len(service.search("", 10, 60)) == 4
    with pytest.raises(InputError, match="not known"):
        service.history("nobody")
    assert next(row["kind"] for row in service.history("u002")) == "play"
