"""Behaviour sequences against loops; each event learnt once; serving prompts equal training prefixes; no
leaks.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from recipes.small import build_small, encode_bytes

from tastemaker.corpus.behaviour import Words, behaviour_examples, context_tokens, thinned
from tastemaker.corpus.events import Histories
from tastemaker.corpus.pairs import cooccurring_pairs
from tastemaker.corpus.splits import leave_one_out

V = build_small((6, 4, 3))
CODES = np.stack([np.random.default_rng(5).integers(0, k, 10) for k in V.sizes], axis=1).astype(np.int32)
BOS, PAD = (V.special(n) for n in ("bos", "pad"))

lists = st.lists(st.lists(st.integers(0, 9), max_size=11), min_size=1, max_size=5)
lengths = st.integers(1, 6)


def packed(rows: list[list[int]], times: list[list[float]] | None = None) -> Histories:
    return Histories.of_lists(rows, times=times)


def sid(item: int) -> list[int]:
    return V.sid_tokens(CODES[item]).tolist()


@given(lists, lengths)
@settings(max_examples=80, deadline=None)
def test_windows_learn_every_event_once_with_at_least_the_past_promised(
    rows: list[list[int]], most: int
) -> None:
    # Items numbered through, so that each event can be recognised by its item.
    wide = build_small((200,))
    numbered, n = [], 0
    for r in rows:
        numbered.append(list(range(n, n + len(r))))
        n += len(r)
    table = behaviour_examples(packed(numbered), np.arange(200)[:, None], wide, most)
    learnt: list[int] = []
    for tokens, mask in zip(table["tokens"].to_pylist(), table["loss_mask"].to_pylist(), strict=True):
        assert tokens[0] == wide.special("bos") and mask[0] == 0
        items = (np.array(tokens[1:]) - wide.sid_starts[0]).tolist()
        assert len(items) <= most and items == list(range(items[0], items[-1] + 1))
        for place, (item, learn) in enumerate(zip(items, mask[1:], strict=True)):
            first = next(r[0] for r in numbered if item in r)
            if learn:
                learnt.append(item)
                assert place >= min(item - first, most - max(1, most // 2))
    assert sorted(learnt) == list(range(n))


@given(lists, lengths)
@settings(max_examples=60, deadline=None)
def test_serving_asks_what_training_learnt(rows: list[list[int]], most: int) -> None:
    """A prompt is the last events of a history, laid out as the training sequence that begins with them."""
    tokens, sizes = context_tokens(packed(rows), CODES, V, most)
    assert tokens.dtype == np.int64
    for row, size, history in zip(tokens, sizes, rows, strict=True):
        recent = history[-most:]
        learnt = behaviour_examples(packed([[*recent, 0]]), CODES, V, most + 1)["tokens"][0].as_py()
        assert row[:size].tolist() == [BOS, *(t for item in recent for t in sid(item))] == learnt[:-3]
        assert (row[size:] == PAD).all()


def test_an_empty_history_is_a_prompt_too() -> None:
    tokens, lengths = context_tokens(packed([[], [3]]), CODES, V)
    assert tokens.tolist() == [[BOS, PAD, PAD, PAD], [BOS, *sid(3)]] and lengths.tolist() == [1, 4]
    assert context_tokens(packed([]), CODES, V)[0].shape == (0, 0)


def test_editing_held_out_events_changes_no_byte_of_what_is_fitted() -> None:
    """Acceptance check 11: pairs and examples depend on the training part alone."""
    rng = np.random.default_rng(9)
    rows = [rng.integers(0, 10, rng.integers(3, 9)).tolist() for _ in range(40)]
    edited = [[*r[:-2], (r[-2] + 1) % 10, (r[-1] + 3) % 10] for r in rows]
    times = [np.cumsum(rng.random(len(r)) * 1e5).tolist() for r in rows]
    late = [[*t[:-2], t[-2] + 10, t[-1] + 1e6] for t in times]

    def fitted(rows: list[list[int]], times: list[list[float]]) -> bytes:
        train = leave_one_out(packed(rows, times)).train
        pairs, weights = cooccurring_pairs(train)
        table = behaviour_examples(train, CODES, V)
        return b"|".join([pairs.tobytes(), weights.tobytes(), repr(table.to_pydict()).encode()])

    assert fitted(rows, times) == fitted(edited, late)
    earlier = [[(r[0] + 1) % 10, *r[1:]] for r in rows]
    assert fitted(rows, times) != fitted(earlier, times)  # the comparison can tell


def test_behaviour_holds_no_text() -> None:
    """Trap 8: a behaviour task that shows its target's title gives the answer away."""
    h = packed([[1, 2, 3, 4]])
    assert (
        min(behaviour_examples(h, CODES, V)["tokens"].combine_chunks().flatten().to_pylist()) >= V.base_size
    )


def test_thinned_copies_leave_out_a_share_and_differ() -> None:
    rows = [list(range(20)) for _ in range(300)] + [[1, 2, 3], [4, 5]]
    whole = Histories.of_lists(rows)
    first, again, other = (thinned(whole, 0.4, 0, copy) for copy in (1, 1, 2))
    np.testing.assert_array_equal(first.items, again.items)
    assert not np.array_equal(first.items, other.items)
    # Rates are uniform in [0, .4]: a fifth is left out, give or take four standard errors of 300 users.
    assert abs(1 - first.lengths[:300].sum() / 6000 - 0.2) < 4 * 0.15 / np.sqrt(300)
    assert first.of(300).tolist() == [1, 2, 3] and first.of(301).tolist() == [4, 5]
    assert all(np.all(np.diff(first.of(row)) > 0) for row in range(300))
    np.testing.assert_array_equal(thinned(whole, 0.0, 0, 0).items, whole.items)


@given(lists, lengths, st.integers(0, 99))
@settings(max_examples=40)
def test_only_targets_have_loss_and_their_context_stays(rows: list[list[int]], most: int, seed: int) -> None:
    train = packed(rows)
    targets = np.random.default_rng(seed).random(len(train.items)) < 0.5
    every, few = (behaviour_examples(train, CODES, V, most, chosen) for chosen in (None, targets))
    per_event = len(V.sizes)
    assert sum(map(sum, few["loss_mask"].to_pylist())) == per_event * int(targets.sum())
    assert all(map(any, few["loss_mask"].to_pylist()))  # a window without a target is left out
    whole = every["tokens"].to_pylist()
    assert all(tokens in whole for tokens in few["tokens"].to_pylist())
    assert behaviour_examples(train, CODES, V, most, targets=np.ones(len(train.items), bool)).equals(every)


def test_titles_and_a_line_stand_beside_semantic_ids_and_are_never_learnt() -> None:
    titles = ["ab", None, "c"] + [""] * (len(CODES) - 3)
    words = Words.of("Then:", titles, 2, lambda text: list(text.encode()))
    assert words is not None and Words.of("", titles, 0, encode_bytes) is None
    row = [0, 1, 2, 0]
    (example,) = behaviour_examples(packed([row]), CODES, V, words=words).to_pylist()
    codes = V.sid_tokens(CODES).tolist()
    line, names = [V.special("bos"), *b"Then:"], {0: list(b" a"), 1: [], 2: list(b" c")}
    assert example["tokens"] == line + [token for item in row for token in codes[item] + names[item]]
    learnt = [token for token, loss in zip(example["tokens"], example["loss_mask"], strict=True) if loss]
    assert learnt == [token for item in row for token in codes[item]]
    tokens, lengths = context_tokens(packed([row, []]), CODES, V, words=words)
    assert tokens[0].tolist() == example["tokens"] and lengths.tolist() == [len(example["tokens"]), len(line)]
    few, _ = context_tokens(packed([row]), CODES, V, 2, words)
    assert few[0].tolist() == line + codes[2] + names[2] + codes[0] + names[0]
