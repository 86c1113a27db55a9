from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.explore.estimate.weighting import fitted_propensities
from tastemaker.explore.table import ESTIMATED, Columns, Log, check_log, distinct, split

ACTIONS = ["a", "b", "c"]
GOOD = {
    "x": [0.5, 1.0, 2.0],
    "action": ["a", "b", "a"],
    "reward": [0.0, 1.0, 0.0],
    "propensity": [0.5, 0.25, 0.5],
}


def table(**changed: object) -> pa.Table:
    return pa.table({**GOOD, **changed})


def test_a_good_table_becomes_arrays() -> None:
    log = check_log(table(user_id=["u", "v", "u"], position=[1, 2, 3]), Columns(context=("x",)), ACTIONS)
    assert log.context.tolist() == [[0.5], [1.0], [2.0]] and log.action.tolist() == [0, 1, 0]
    assert len(log) == 3 and log.rewarded == 1 and log.n_actions == 3 and log.source == "logged"
    assert log.user is not None and log.user.tolist() == ["u", "v", "u"] and log.prefix_propensity is None


def test_list_columns_spread_over_several() -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 2)
    log = check_log(pa.table({**GOOD, "v": vectors}), Columns(context=("v", "x")), ACTIONS)
    assert log.context.tolist() == [[1.0, 2.0, 0.5], [3.0, 4.0, 1.0], [5.0, 6.0, 2.0]]
    assert check_log(pa.table({**GOOD, "v": vectors}).slice(1), Columns(context=("v",)), ACTIONS).context[
        0
    ].tolist() == [
        3.0,
        4.0,
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"propensity": [0.5, None, 0.5]}, r"row 2, column 'propensity' is empty; .*record the probability"),
        (
            {"propensity": [0.5, math.nan, 0.5]},
            r"row 2, column 'propensity' is 'nan', which is no finite number",
        ),
        ({"propensity": [0.5, 0.5, 0.0]}, r"row 3, column 'propensity': 0 is not above 0"),
        ({"propensity": [-0.5, 0.5, 0.1]}, r"row 1, column 'propensity': -0.5 is not above 0"),
        ({"propensity": [0.5, 1.5, 0.5]}, r"row 2, column 'propensity': 1.5 is above 1; give probabilities"),
        ({"reward": [0.0, None, 0.0]}, r"row 2, column 'reward' is empty; no reward is 0"),
        ({"reward": [0.0, 1.0, math.nan]}, r"row 3, column 'reward' is 'nan', which is no finite number"),
        ({"reward": ["ja", "nein", "ja"]}, r"row 1, column 'reward' is 'ja', .*; a yes or no is 1 or 0"),
        ({"reward": [0.0, -1.0, 0.0]}, r"row 2, column 'reward': -1 is negative; .* counted from 0"),
        ({"reward": [0.0, 2.0, 0.0]}, r"row 2, column 'reward': 2 is above r_max = 1; raise r_max"),
        (
            {"action": ["a", "d", "a"]},
            r"row 2, column 'action': 'd' is not in the known actions; add the item",
        ),
        ({"action": ["a", "b", None]}, r"row 3, column 'action'"),
        ({"x": [0.0, math.inf, 0.0]}, r"row 2, column 'x' is 'inf', which is no finite number"),
        ({"x": ["p", "q", "r"]}, r"row 1, column 'x' is 'p', which is no finite number"),
        ({"prefix_propensity": [0.5, 2.0, 0.5]}, r"row 2, column 'prefix_propensity': 2 is above 1"),
        ({"timestamp": ["yesterday", "today", "now"]}, r"column 'timestamp' is 'yesterday'"),
        ({"position": [1.5, 2.0, 3.0]}, r"row 1, column 'position' is '1.5', which is no whole number"),
        ({"user_id": ["u", None, "v"]}, r"row 2, column 'user_id' is empty; fill it"),
    ],
)
def test_bad_input_names_row_column_and_remedy(changed: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_log(table(**changed), Columns(context=("x",)), ACTIONS)


def test_missing_columns_and_rows() -> None:
    with pytest.raises(InputError, match="'reward' is missing; the table has"):
        check_log(table().drop_columns("reward"), Columns(), ACTIONS)
    with pytest.raises(InputError, match="no rows"):
        check_log(table().slice(0, 0), Columns(), ACTIONS)
    with pytest.raises(InputError, match="r_max is 0"):
        Columns(r_max=0.0)


def test_missing_propensities_are_refused_or_estimated() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=2_000)
    truth = 1 / (1 + np.exp(-x))
    action = np.where(rng.random(2_000) < truth, "a", "b")
    bare = pa.table({"x": x, "action": action, "reward": np.zeros(2_000)})
    with pytest.raises(InputError, match=r"'propensity' is missing; log the probability .* fitted logger"):
        check_log(bare, Columns(context=("x",)), ACTIONS)
    log = check_log(bare, Columns(context=("x",)), ACTIONS, logger=fitted_propensities)
    assert log.source == ESTIMATED
    # 2,000 rows fix two coefficients to about .05 each, so probabilities to a few hundredths.
    assert np.abs(log.propensity - np.where(action == "a", truth, 1 - truth)).max() < 0.1
    constant = check_log(bare.drop_columns("x"), Columns(), ACTIONS, logger=fitted_propensities)
    assert np.allclose(np.unique(constant.propensity[action == "a"]), (action == "a").mean(), atol=0.03)


def test_one_logger_of_all_rows_is_held_once_and_told_as_before() -> None:
    n = 70_000
    columns = {"action": ["a"] * n, "reward": np.arange(n) % 2.0, "propensity": np.full(n, 0.5)}
    log = check_log(pa.table({**columns, "policy_id": ["pi0"] * n}), Columns(), ACTIONS)
    held = np.array(["pi0"] * n)
    assert log.policy is not None and log.policy.base is not None and log.policy.base.nbytes < 100
    assert log.policy.tolist() == held.tolist() and distinct(log.policy) == {"pi0"}
    assert log.hash == replace(log, policy=held).hash != replace(log, policy=None).hash
    for rows in (np.arange(n) % 3 == 0, np.array([5, 3, 5])):
        part = log.take(rows)
        assert part.policy is not None and part.policy.tolist() == held[rows].tolist()
        assert part.hash == replace(log, policy=held).take(rows).hash
    two = check_log(pa.table({**columns, "policy_id": ["pi0", "pi"] * (n // 2)}), Columns(), ACTIONS)
    assert two.policy is not None and distinct(two.policy) == {"pi", "pi0"}
    assert two.take(np.array([1, 2])).policy.tolist() == ["pi", "pi0"]  # type: ignore[union-attr]


def make_log(users: list[int] | None, n: int = 0) -> Log:
    n = len(users) if users is not None else n
    user = None if users is None else np.array([f"u{item}" for item in users])
    return Log(np.zeros((n, 0)), np.zeros(n, int), np.arange(n) / n, np.ones(n), ["a"], user=user)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=200, max_size=300), st.integers(0, 99))
def test_a_split_keeps_users_together_and_loses_no_row(users: list[int], key: int) -> None:
    log = make_log([*users, *range(41)])
    *parts, digest = split(log, (0.4, 0.3, 0.3), key)
    names = [set(part.user.tolist()) for part in parts if part.user is not None]
    assert not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])
    assert sorted(np.concatenate([part.reward for part in parts])) == sorted(log.reward)
    assert digest == split(log, (0.4, 0.3, 0.3), key)[3] != split(log, (0.4, 0.3, 0.3), key + 1)[3]


def test_a_users_part_depends_on_key_and_name_alone() -> None:
    first = split(make_log(list(range(300))), key="k")[2].user
    rest = split(make_log(list(range(100, 300))), key="k")[2].user
    assert first is not None and rest is not None
    assert [item for item in first if int(item[1:]) >= 100] == rest.tolist()


def test_shares_are_met_and_bad_ones_refused() -> None:
    parts = split(make_log(None, 10_000))
    for part, share in zip(parts[:3], (0.5, 0.2, 0.3), strict=True):
        assert abs(len(part) / 10_000 - share) < 4 * math.sqrt(share * (1 - share) / 10_000)
    for shares in [(0.5, 0.5), (0.5, 0.5, 0.5), (1.0, 0.0, 0.0)]:
        with pytest.raises(InputError, match="three positive shares of sum 1"):
            split(make_log(None, 100), shares)
    with pytest.raises(InputError, match="one part has no row"):
        split(make_log([1, 1, 2]), key=0)


def test_the_hash_of_a_log_sees_every_column() -> None:
    log = make_log([1, 2, 3])
    assert log.hash == make_log([1, 2, 3]).hash
    assert log.hash != make_log([1, 2, 4]).hash != log.take(np.array([0, 1])).hash
