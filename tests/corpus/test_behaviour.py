"""Behaviour sequences against loops; each event learnt once; serving prompts equal training prefixes; no
leaks.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.corpus import (
    BehaviourSettings,
    Histories,
    behaviour_examples,
    context_tokens,
    cooccurring_pairs,
    fit_buckets,
    hours_since_previous,
    leave_one_out,
    sft_examples,
)
from tastemaker.corpus.behaviour import thinned
from tastemaker.errors import InputError
from tastemaker.lm.vocabulary import build_small
from tastemaker.schema import EXAMPLES

V = build_small((6, 4, 3), {"hours": 4})
CODES = np.stack([np.random.default_rng(5).integers(0, k, 10) for k in V.sizes], axis=1).astype(np.int32)
BOS, SEP, PAD = (V.special(n) for n in ("bos", "sep", "pad"))

lists = st.lists(st.lists(st.integers(0, 9), max_size=11), min_size=1, max_size=5)
dials = st.tuples(st.integers(1, 6), st.integers(1, 6), st.booleans()).map(
    lambda d: BehaviourSettings(max_items=d[0], stride=min(d[1], d[0]), separator=d[2])
)


def packed(rows: list[list[int]], times: list[list[float]] | None = None) -> Histories:
    return Histories.of_lists(rows, times=times)


def sid(item: int) -> list[int]:
    return V.sid_tokens(CODES[item]).tolist()


def feature(h: Histories) -> dict[str, np.ndarray]:
    return {"hours": np.arange(len(h.items)) % 5 - 1}


@given(lists, dials)
@settings(max_examples=80)
def test_windows_learn_every_event_once_with_at_least_the_past_promised(
    rows: list[list[int]], dial: BehaviourSettings
) -> None:
    # Items numbered through, so that each event can be recognised by its item.
    wide = build_small((200,))
    numbered, n = [], 0
    for r in rows:
        numbered.append(list(range(n, n + len(r))))
        n += len(r)
    table = behaviour_examples(packed(numbered), np.arange(200)[:, None], wide, dial)
    learnt: list[int] = []
    for tokens, mask in zip(table["tokens"].to_pylist(), table["loss_mask"].to_pylist(), strict=True):
        assert tokens[0] == wide.special("bos") and mask[0] == 0
        items = (np.array(tokens[1:]) - wide.sid_starts[0]).tolist()
        assert len(items) <= dial.max_items and items == list(range(items[0], items[-1] + 1))
        for place, (item, learn) in enumerate(zip(items, mask[1:], strict=True)):
            first = next(r[0] for r in numbered if item in r)
            if learn:
                learnt.append(item)
                assert place >= min(item - first, dial.max_items - dial.step)
    assert sorted(learnt) == list(range(n))


@given(lists, dials)
@settings(max_examples=60)
def test_fine_tuning_equals_the_loop(rows: list[list[int]], dial: BehaviourSettings) -> None:
    h = packed(rows)
    hours = feature(h)["hours"]
    table = sft_examples(h, CODES, V, dial, feature(h))
    expected, start = [], 0
    for r in rows:
        for t in range(1, len(r)):
            low = max(0, t - dial.max_items)
            tokens = [BOS]
            for place in range(low, t):
                tokens += [*sid(r[place]), V.bucket_token("hours", int(hours[start + place]))]
            tokens += [SEP] * dial.separator
            expected.append((tokens + sid(r[t]), [0] * len(tokens) + [1] * 3))
        start += len(r)
    assert list(zip(table["tokens"].to_pylist(), table["loss_mask"].to_pylist(), strict=True)) == expected
    assert table.schema.equals(EXAMPLES) and set(table["source"].to_pylist()) <= {"sft"}


def test_targets_may_be_chosen_and_repeated() -> None:
    h = packed([[1, 2, 3], [4, 5]])
    everything = sft_examples(h, CODES, V)
    drawn = sft_examples(h, CODES, V, events=np.array([4, 1, 1]))
    assert drawn["tokens"].to_pylist() == [everything["tokens"][i].as_py() for i in (2, 0, 0)]
    with pytest.raises(InputError, match="outside the 5"):
        sft_examples(h, CODES, V, events=np.array([5]))


@given(lists, dials)
@settings(max_examples=60)
def test_serving_asks_what_training_learnt(rows: list[list[int]], dial: BehaviourSettings) -> None:
    """The prompt of a history is the part of its fine-tuning example before the target."""
    h = packed([r for r in rows if len(r) > 1] or [[1, 2]])
    last = h.offsets[1:] - 1
    trained = sft_examples(h, CODES, V, dial, feature(h), events=last)["tokens"].to_pylist()
    context = h.keep_events(h.from_end >= 1)
    kept = {"hours": feature(h)["hours"][h.from_end >= 1]}
    tokens, lengths = context_tokens(context, CODES, V, dial, kept)
    assert tokens.dtype == np.int64
    for row, length, example in zip(tokens, lengths, trained, strict=True):
        assert row[:length].tolist() == example[:-3]
        assert (row[length:] == PAD).all()


def test_an_empty_history_is_a_prompt_too() -> None:
    tokens, lengths = context_tokens(packed([[], [3]]), CODES, V)
    assert tokens.tolist() == [[BOS, PAD, PAD, PAD], [BOS, *sid(3)]] and lengths.tolist() == [1, 4]
    assert context_tokens(packed([]), CODES, V)[0].shape == (0, 0)


def test_most_recent_keeps_one_window_a_user_and_learns_all_of_it() -> None:
    table = behaviour_examples(
        packed([[0, 1, 2, 3, 4], [], [5]]), CODES, V, BehaviourSettings(max_items=2, most_recent=True)
    )
    assert table["tokens"].to_pylist() == [[BOS, *sid(3), *sid(4)], [BOS, *sid(5)]]
    assert table["loss_mask"].to_pylist() == [[0, *[1] * 6], [0, *[1] * 3]]


def test_editing_held_out_events_changes_no_byte_of_what_is_fitted() -> None:
    """Acceptance check 11: pairs, buckets and examples depend on the training part alone."""
    rng = np.random.default_rng(9)
    rows = [rng.integers(0, 10, rng.integers(3, 9)).tolist() for _ in range(40)]
    edited = [[*r[:-2], (r[-2] + 1) % 10, (r[-1] + 3) % 10] for r in rows]
    times = [np.cumsum(rng.random(len(r)) * 1e5).tolist() for r in rows]
    late = [[*t[:-2], t[-2] + 10, t[-1] + 1e6] for t in times]

    def fitted(rows: list[list[int]], times: list[list[float]]) -> bytes:
        train = leave_one_out(packed(rows, times)).train
        pairs, weights = cooccurring_pairs(train)
        hours = hours_since_previous(train)
        buckets = fit_buckets(hours, 4)
        features = {"hours": buckets.index(hours)}
        tables = [f(train, CODES, V, None, features) for f in (behaviour_examples, sft_examples)]
        parts = [pairs.tobytes(), weights.tobytes(), repr(buckets).encode()]
        return b"|".join(parts + [repr(t.to_pydict()).encode() for t in tables])

    assert fitted(rows, times) == fitted(edited, late)
    earlier = [[(r[0] + 1) % 10, *r[1:]] for r in rows]
    assert fitted(rows, times) != fitted(earlier, times)  # the comparison can tell


def test_behaviour_holds_no_text() -> None:
    """Trap 8: a behaviour task that shows its target's title gives the answer away."""
    h = packed([[1, 2, 3, 4]])
    for table in (behaviour_examples(h, CODES, V), sft_examples(h, CODES, V)):
        assert min(table["tokens"].combine_chunks().flatten().to_pylist()) >= V.base_size


def test_hours_since_the_previous_event() -> None:
    h = packed([[1, 2], [], [3, 4]], [[0.0, 7200.0], [], [3600.0, 3600.0]])
    assert np.array_equal(hours_since_previous(h), [np.nan, 2.0, np.nan, 0.0], equal_nan=True)
    assert np.isnan(hours_since_previous(packed([[1, 2]]))).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: behaviour_examples(packed([[10]]), CODES, V), "item index 10 has no Semantic ID"),
        (
            lambda: behaviour_examples(packed([[1]]), CODES, V, features={"hours": np.zeros(2, dtype=int)}),
            "2 values for 1 events",
        ),
        (lambda: BehaviourSettings(max_items=0), "max_items is 0"),
        (lambda: BehaviourSettings(max_items=3, stride=4), "stride at most"),
    ],
)
def test_bad_behaviour_input_is_refused_in_words(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


def test_thinned_copies_leave_out_a_share_and_differ() -> None:
    rows = [list(range(20)) for _ in range(300)] + [[1, 2, 3], [4, 5]]
    whole = Histories.of_lists(rows)
    one, again, other = (thinned(whole, 0.4, 0, copy) for copy in (1, 1, 2))
    np.testing.assert_array_equal(one.items, again.items)
    assert not np.array_equal(one.items, other.items)
    # Rates are uniform in [0, .4]: a fifth is left out, give or take four standard errors of 300 users.
    assert abs(1 - one.lengths[:300].sum() / 6000 - 0.2) < 4 * 0.15 / np.sqrt(300)
    assert one.of(300).tolist() == [1, 2, 3] and one.of(301).tolist() == [4, 5]
    assert all(np.all(np.diff(one.of(row)) > 0) for row in range(300))
    np.testing.assert_array_equal(thinned(whole, 0.0, 0, 0).items, whole.items)
    with pytest.raises(InputError, match="leave out is 1"):
        thinned(whole, 1.0, 0, 0)


@given(lists, dials, st.integers(0, 99))
@settings(max_examples=40)
def test_only_targets_have_loss_and_their_context_stays(
    rows: list[list[int]], dial: BehaviourSettings, seed: int
) -> None:
    train = packed(rows)
    targets = np.random.default_rng(seed).random(len(train.items)) < 0.5
    every, some = (behaviour_examples(train, CODES, V, dial, targets=one) for one in (None, targets))
    per_event = len(V.sizes)
    assert sum(map(sum, some["loss_mask"].to_pylist())) == per_event * int(targets.sum())
    assert all(map(any, some["loss_mask"].to_pylist()))  # a window without a target is left out
    whole = every["tokens"].to_pylist()
    assert all(tokens in whole for tokens in some["tokens"].to_pylist())
    assert behaviour_examples(train, CODES, V, dial, targets=np.ones(len(train.items), bool)).equals(every)
