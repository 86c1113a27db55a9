"""What a script hands to `tm.retention`, `tm.experiment` and `tm.converse` is refused in one line that says
what it must be: never a traceback, a number of other data, or silence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tastemaker as tm
from tastemaker.converse import RunSettings, Session
from tastemaker.experiment import Metric

RNG = np.random.default_rng(0)
PEOPLE = 300
ITEMS = tuple(f"q{place}" for place in range(6))
BLOCKS = {"value": [0, 1, 2], "joy": [3, 4, 5]}
TASTES = np.repeat(RNG.normal(3, 1, (PEOPLE, 2)), 3, axis=1)
ANSWERS = np.clip(np.round(TASTES + RNG.normal(0, 0.7, (PEOPLE, 6))), 1, 5)
COVARIANCE = np.cov(ANSWERS.T, bias=True)
MEANS = ANSWERS.mean(axis=0)
SURVEYS = pa.table(
    {
        "user_id": [f"u{person}" for person in range(PEOPLE)],
        "asked_probability": np.ones(PEOPLE),
        "activity": RNG.normal(size=PEOPLE),
        "answer": [None if person % 3 == 0 else row[0] for person, row in enumerate(ANSWERS)],
    }
)
COMPLETE = pa.table(dict(zip(ITEMS, ANSWERS.T, strict=True)))
TEST = pa.table(
    {"user_id": SURVEYS["user_id"], "arm": ["control", "treatment"] * (PEOPLE // 2)}
    | {name: RNG.normal(5, 1, PEOPLE) for name in ("m", "other")}
)


def battery(covariance: Any = COVARIANCE, blocks: Any = BLOCKS, groups: Any = None) -> object:
    return tm.retention.battery_claim(covariance, PEOPLE, blocks, groups=groups)


def two_groups(covariance: Any, means: Any) -> dict[str, Any]:
    return {"a": (COVARIANCE, MEANS, PEOPLE), "b": (covariance, means, PEOPLE)}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: battery(COVARIANCE[:5]), r"symmetric covariance of the items; got shape \(5, 6\)"),
        (lambda: battery(COVARIANCE[0]), "finite symmetric covariance"),
        (lambda: battery(np.where(COVARIANCE > 0.9, np.nan, COVARIANCE)), "finite symmetric covariance"),
        (lambda: battery(COVARIANCE + np.triu(np.ones((6, 6)), 1)), "finite symmetric covariance"),
        (lambda: battery(blocks={"value": [0, 1, 2], "joy": [3, 4, 9]}), "factor 'joy': .* does not exist"),
        (lambda: battery(blocks={"value": [0, 1, 2], "joy": [3, 4, -1]}), "item -1 does not exist"),
        (lambda: battery(blocks={"value": ["q0"]}), "item q0 does not exist"),
        (lambda: battery(blocks={"value": [0, 1, 2], "joy": [3, 4]}), "is in no block"),
        (
            lambda: battery(groups=two_groups(COVARIANCE, MEANS[:3])),
            "the covariance and the means of the same",
        ),
        (
            lambda: battery(groups=two_groups(COVARIANCE[:5, :5], MEANS[:5])),
            "the covariance and the means of",
        ),
        (
            lambda: tm.retention.battery(COMPLETE, {"a": ITEMS[:3], "b": ITEMS[3:]}, resamples=0),
            "resamples is 0; a bootstrap needs at least 1",
        ),
        (lambda: tm.retention.aipw_mean(SURVEYS, ["activity"], folds=1), "folds is 1; .* at least 2 folds"),
        (lambda: tm.retention.aipw_mean(SURVEYS, ["activity"], folds=0), "folds is 0; .* at least 2 folds"),
    ],
)
def test_surveys(call: Callable[[], object], words: str) -> None:
    with pytest.raises(tm.InputError, match=words) as failure:
        call()
    assert "\n" not in str(failure.value)


def test_validity_with_no_resample() -> None:
    table = pa.table({"user_id": SURVEYS["user_id"], "return": ANSWERS[:, 0], "worth": ANSWERS[:, 1]})
    settings = tm.retention.ValiditySettings(("return", "worth"), resamples=0)
    with pytest.raises(tm.InputError, match="resamples is 0"):
        tm.retention.validity_claim(table, settings)


def test_experiments() -> None:
    read = tm.experiment.moments(TEST, Metric("m"))
    for metric in (Metric("other"), Metric("m", covariate="other")):
        with pytest.raises(tm.InputError, match="hold no column 'other'; they were taken of m"):
            tm.experiment.effects(read, [metric], "control", "treatment")
    with pytest.raises(tm.InputError, match="moments of different columns do not add"):
        read["control"] + tm.experiment.moments(TEST, Metric("other"))["control"]
    effect = tm.experiment.effect(read["treatment"], read["control"], Metric("m"))
    history = RNG.normal(size=(50, 2))
    index = tm.experiment.fit_index(history, history @ [1.0, 2.0], ["a", "b"], 0)
    for alpha in (0.0, 0.95, -1.0, float("nan")):
        with pytest.raises(tm.InputError, match="the chance of a false alarm"):
            tm.experiment.non_inferior(effect, 0.1, alpha)
        with pytest.raises(tm.InputError, match="the chance of a false alarm"):
            tm.experiment.index_effect(index, history[:25], history[25:], alpha=alpha)


@pytest.mark.parametrize("nothing", [-0.1, 0.5, 0.7, float("nan")])
def test_conversations_that_nothing_fits(nothing: float) -> None:
    with pytest.raises(tm.InputError, match="share of turns that nothing fits, below"):
        RunSettings(nothing=nothing)


@pytest.mark.parametrize("given", [{"temperature": -1.0}, {"temperature": float("nan")}, {"max_tokens": 0}])
def test_conversations_of_a_model(given: dict[str, Any]) -> None:
    with pytest.raises(tm.InputError, match="give 0 or more, and 1 or more"):
        RunSettings(**given)
    with pytest.raises(tm.InputError, match="let one call at least be under way"):
        Session(at_once=0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_conversations_of_a_seed_that_is_none(seed: int) -> None:
    with pytest.raises(tm.InputError, match="give a whole number from 0 to 4294967295"):
        RunSettings(seed=seed)


TABLES: dict[str, Any] = {
    "items": {"item_id": ["a", "b"], "title": ["A", "B"]},
    "interactions": {
        "user_id": ["u", "v"],
        "item_id": ["a", "b"],
        "timestamp": [1_700_000_000] * 2,
    },
}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"items": ""}, "the path is empty"),
        ({"columns": {"item_id": 5}}, "give a mapping"),
        ({"positive": 5}, "give kinds"),
    ],
)
def test_what_ingest_cannot_take(tmp_path: Path, given: dict[str, Any], says: str) -> None:
    shop = tm.Workspace.create(tmp_path / "shop", quiet=True)
    with pytest.raises(tm.InputError, match=says):
        shop.ingest(**(TABLES | given))


def test_a_folder_with_a_link_to_nowhere_is_refused_by_name(tmp_path: Path) -> None:
    shop = tm.Workspace.create(tmp_path / "shop", quiet=True)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").symlink_to(tmp_path / "gone.csv")
    (tmp_path / "logs" / "b.csv").write_text("user_id,item_id,timestamp\nu,a,1700000000\n")
    with pytest.raises(tm.InputError, match=r"a\.csv"):
        shop.ingest(interactions=tmp_path / "logs")


@pytest.mark.parametrize("settings", [5, {5: 1}, ["beam"]])
def test_settings_that_are_none(tmp_path: Path, settings: Any) -> None:
    with pytest.raises(tm.InputError, match="give a mapping of names and values"):
        tm.Workspace.create(tmp_path / "shop", settings)


def test_settings_may_be_numbers_of_numpy(tmp_path: Path) -> None:
    shop = tm.Workspace.create(tmp_path / "shop", {"seed": np.int64(5), "exploration": np.float64(0.5)})
    text = (shop.folder / "tastemaker.toml").read_text()
    assert "\nseed = 5\n" in text and "\nexploration = 0.5\n" in text


def test_a_place_that_takes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(tm.InputError, match="choose another folder"):
        tm.Workspace.create("/proc/nowhere")
