"""The one table of event kinds: spellings, signs, scales, shares, against rules written out here."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.flows.data import positive
from tastemaker.schema import KINDS, EventRules, kind_named, kind_of
from tastemaker.store import Event

RULES = EventRules()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("play", "play"),
        (" Not Interested ", "not_interested"),
        ("not-interested", "not_interested"),
        ("notInterested", "not_interested"),
        ("SKIP", "skip"),
        ("thumbs_down", "dislike"),
        ("Thumbs Up", "like"),
        ("addToCart", "save"),
        ("Purchased", "purchase"),
        ("reviewed", "rating"),
        ("THUMBSDOWN", "dislike"),
        ("thumb down", "dislike"),
        ("Don't like", "dislike"),
        ("NOTINTERESTED", "not_interested"),
        ("Not interested!", "not_interested"),
        ("Add to wish list", "save"),
        ("pv", "view"),
        ("fav", "like"),
        ("remove_from_cart", "undo"),
    ],
)
def test_spellings_do_not_matter(text: str, name: str) -> None:
    kind = kind_named(text)
    assert kind is not None and kind.name == name


def test_nobody_knows_a_kind_that_is_not_in_the_table() -> None:
    assert kind_named("teleport") is None
    assert RULES.signs(["teleport"], [None]).tolist() == [0] and RULES.weight("teleport") == 0.0
    assert RULES.sign("teleport") == 0 and RULES.reward("teleport") == 0.0
    with pytest.raises(InputError, match="kind 'teleport' is unknown; the kinds are view, click"):
        kind_of("teleport")


def test_signs_of_every_kind_without_a_value() -> None:
    wanted = {name for name in KINDS if RULES.sign(name) == 1}
    unwanted = {name for name in KINDS if RULES.sign(name) == -1}
    assert wanted == {"click", "play", "like", "save", "purchase"}
    assert unwanted == {"dislike", "skip", "not_interested"}
    assert RULES.sign(None) == 1


@pytest.mark.parametrize(
    ("scale", "signs"),
    [
        ((1.0, 5.0), {1: -1, 2: -1, 3: 0, 3.5: 1, 4: 1, 5: 1}),
        ((0.5, 5.0), {0.5: -1, 2: -1, 2.5: 0, 3: 0, 3.5: 1, 5: 1}),
        ((0.0, 10.0), {0: -1, 4: -1, 5: 0, 6: 1, 10: 1}),
        ((0.0, 1.0), {0: -1, 1: 1}),
    ],
)
def test_ratings_are_read_against_their_scale(scale: tuple[float, float], signs: dict[float, int]) -> None:
    rules = EventRules(scale)
    assert {value: rules.sign("rating", value) for value in signs} == signs


def test_a_play_counts_by_its_share() -> None:
    assert [RULES.sign("play", share) for share in (0.01, 0.1, 0.7)] == [0, 1, 1]
    assert [RULES.weight("play", share) for share in (0.01, 0.5, 3.0)] == [0.0, 0.5, 1.0]
    assert RULES.reward("play", 0.25) == 0.25 and RULES.reward("skip") == 0.0 == RULES.reward("rating", 1)


def test_the_users_own_list_of_wanted_kinds() -> None:
    rules = EventRules(wanted=frozenset({"purchase"}))
    assert [rules.sign(kind) for kind in ("purchase", "like", "view", "dislike")] == [1, 0, 0, -1]
    rules = EventRules(wanted=frozenset({"rating", "view"}))
    assert [rules.sign("rating", value) for value in (1, 3, 5, None)] == [-1, 0, 1, 1]
    assert [rules.sign("view"), rules.sign("like"), rules.sign("play", 1.0)] == [1, 0, 0]
    assert EventRules(wanted=frozenset({"like"})).signs(["rating"] * 3, [1, 3, 5]).tolist() == [-1, 0, 0]
    with pytest.raises(InputError, match="kind 'lke' is unknown"):
        EventRules(wanted=frozenset({"lke"}))
    with pytest.raises(InputError, match="from low to high"):
        EventRules((5.0, 1.0))


values = st.one_of(st.none(), st.floats(-1, 6))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([None, *KINDS, "Thumbs Down", "teleport"]), values)))
def test_columns_equal_one_by_one(rows: list[tuple[str | None, float | None]]) -> None:
    signs = RULES.signs([kind for kind, _ in rows], [value for _, value in rows])
    alone = [0 if kind == "teleport" else RULES.sign(kind, value) for kind, value in rows]
    assert signs.tolist() == alone and signs.dtype == np.int8


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([None, *KINDS, "Thumbs Down", "teleport"]), values)))
def test_rewards_and_likes_of_columns(rows: list[tuple[str | None, float | None]]) -> None:
    kinds, numbers = [kind for kind, _ in rows], [value for _, value in rows]
    signs, rewards, liked = (read(kinds, numbers) for read in (RULES.signs, RULES.rewards, RULES.liked))
    for (kind, value), sign, reward, like in zip(rows, signs, rewards, liked, strict=True):
        share = min(1.0, value) if kind == "play" and value is not None else 1.0
        assert reward == (share if sign == 1 else 0.0) == RULES.reward(kind, value)
        assert like == (sign == 1 and kind in ("like", "save", "purchase", "rating"))


def test_the_database_takes_every_kind_in_every_spelling() -> None:
    for spelling, name in [*((kind, kind) for kind in KINDS), (" Thumbs-Up", "like")]:
        about = {"refers_to": "e0"} if name == "undo" else {"item_id": "i"}
        event = Event("e1", "u", spelling, datetime(2026, 1, 1, tzinfo=UTC), **about)
        assert event.kind == name


def test_positive_keeps_what_is_wanted() -> None:
    rows = {
        "user_id": ["u"] * 3,
        "item_id": ["a", "b", "c"],
        "position": [0, 1, 2],
        "kind": ["like", "Skip", None],
    }
    assert positive(pa.table(rows))["item_id"].to_pylist() == ["a", "c"]
