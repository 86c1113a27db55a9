"""Residual k-means and the frozen codebook: oracles, missing views, storage, determinism."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from tests.semantic_ids.residuals import reconstruction_errors

from tastemaker.errors import ArtifactError, InputError
from tastemaker.semantic_ids.codebook import Codebook, encode
from tastemaker.semantic_ids.collisions import encode_unique
from tastemaker.semantic_ids.report import sid_report
from tastemaker.semantic_ids.rkmeans import RkmeansSettings, _lloyd, assign, fit_rkmeans, kmeans


def _clusters(n: int = 600, d: int = 8, k: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 3, (k, d))[rng.integers(0, k, n)] + rng.normal(0, 0.7, (n, d))).astype(np.float32)


def _views(n: int = 600) -> dict[str, np.ndarray]:
    text, audio = _clusters(n), _clusters(n, 5, 9, 1)
    audio[::7] = np.nan
    return {"text": text, "heard": audio}


def _slow_encode(book: Codebook, views: dict[str, np.ndarray]) -> np.ndarray:
    """Item by item, view by view, straight from the definition with masked distances."""
    n = len(next(iter(views.values())))
    out = np.zeros((n, len(book.sizes)), int)
    for i in range(n):
        parts, known = [], []
        for view in book.views:
            row = views.get(view.name, np.full((n, view.dimensions), np.nan))[i].astype(np.float64)
            there = not np.isnan(row).any()
            x = (
                (row - view.mean) * view.scale * view.weight / np.sqrt(view.dimensions)
                if there
                else 0 * view.mean
            )
            parts.append(x)
            known += [there] * view.dimensions
        r, mask = np.concatenate(parts), np.array(known)
        for level, words in enumerate(book.codewords):
            out[i, level] = np.square((r - words)[:, mask]).sum(axis=1).argmin()
            r = r - words[out[i, level]]
    return out


def test_encode_equals_the_slow_definition() -> None:
    views = _views(120)
    book = fit_rkmeans(views, (16, 8, 4), 0, {"heard": 0.5})
    np.testing.assert_array_equal(encode(book, views), _slow_encode(book, views))
    cold = {"text": views["text"]}
    np.testing.assert_array_equal(encode(book, cold), _slow_encode(book, cold))


def test_kmeans_is_as_good_as_scikit_learn() -> None:
    x = _clusters()
    whole = np.ones((len(x), 1), np.float32)
    words = kmeans(x, whole, (slice(0, 8),), 24, ("test",), RkmeansSettings())
    ours = float(assign(x, whole, words, (slice(0, 8),))[1].sum())
    assert ours < 1.03 * KMeans(24, n_init=3, random_state=0).fit(x).inertia_


def test_empty_clusters_are_given_the_worst_served_rows() -> None:
    x = _clusters(200)
    whole, blocks = np.ones((200, 1), np.float32), (slice(0, 8),)
    far = np.concatenate(
        [x[:1], np.full((11, 8), 1e3, np.float32)]
    )  # codes nobody is near: Lloyd alone never moves them
    words = _lloyd(x, whole, blocks, far)
    assert len(np.unique(assign(x, whole, words, blocks)[0])) == 12
    two_kinds = np.repeat(x[:2], 50, axis=0)
    words = _lloyd(two_kinds, whole[:100], blocks, x[:12].copy())
    assert assign(two_kinds, whole[:100], words, blocks)[1].max() < 1e-4


def test_all_codes_of_level_one_are_used_even_from_a_bad_start() -> None:
    """One far outlier and many near-duplicates: k-means++ alone leaves clusters empty after Lloyd steps now
    and then.
    """
    x = np.concatenate([_clusters(300, 3, 3), np.full((1, 3), 500, np.float32)])
    book = fit_rkmeans({"text": x}, (64, 8), 1)
    assert sid_report(encode(book, {"text": x}), book.sizes).use[0] >= 0.9


@pytest.mark.parametrize("scaling", ["dimension", "view"])
def test_each_level_lowers_the_reconstruction_error(scaling: str) -> None:
    views = _views()
    errors = reconstruction_errors(
        fit_rkmeans(views, (32, 16, 8, 4), 0, settings=RkmeansSettings(scaling=scaling)),
        views,
    )
    assert (np.diff(errors) < 0).all()


def test_same_seed_same_codes_other_seed_other_codes() -> None:
    views = _views()
    first, two, three = (fit_rkmeans(views, (32, 16), seed) for seed in (5, 5, 6))
    assert first.version == two.version != three.version
    np.testing.assert_array_equal(encode(first, views), encode(two, views))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_an_item_is_encoded_the_same_alone_and_in_company(seed: int, k: int) -> None:
    views = _views(200)
    book = fit_rkmeans(views, (16, 8), 0)
    rows = np.random.default_rng(seed).choice(200, k, replace=False)
    np.testing.assert_array_equal(
        encode(book, {n: x[rows] for n, x in views.items()}), encode(book, views)[rows]
    )


def test_a_masked_view_does_not_pull_towards_its_mean() -> None:
    """Cold items keep their first code more often when distances skip the missing view than when it is filled
    in with its mean.
    """
    n = 2000
    rng = np.random.default_rng(0)
    text = _clusters(n, 8, 16)
    audio = (text[:, :5] + rng.normal(0, 2, (n, 5))).astype(np.float32)
    book = fit_rkmeans({"text": text, "heard": audio}, (32, 16), 0)
    filled = np.broadcast_to(audio.mean(axis=0), audio.shape)
    warm, cold, mean = (
        encode(book, {"text": text} | other) for other in ({"heard": audio}, {}, {"heard": filled})
    )
    masked, pulled = (
        sid_report(warm, book.sizes, without_view=view).first_agreement for view in (cold, mean)
    )
    assert masked > pulled > 0.2


def test_weights_shift_what_the_first_code_follows() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, (2, 800))
    views = {
        n: np.eye(8, dtype=np.float32)[group] + rng.normal(0, 0.05, (800, 8)).astype(np.float32)
        for n, group in zip("ab", labels, strict=True)
    }
    for name, label in zip("ab", labels, strict=False):
        book = fit_rkmeans(views, (8, 8), 0, {name: 3.0})
        report = sid_report(encode(book, views), book.sizes, attributes=[str(value) for value in label])
        assert report.purity is not None and report.purity[0] > 0.95


def test_an_item_without_any_view_gets_the_average_items_code() -> None:
    views = _views()
    book = fit_rkmeans(views, (16, 8), 0)
    nothing = encode(book, {"text": np.full((1, 8), np.nan, np.float32)})
    average = {view.name: view.mean[None] for view in book.views}
    np.testing.assert_array_equal(nothing, encode(book, average))


def test_storage_round_trip_and_damage() -> None:
    views = _views()
    book = fit_rkmeans(views, (16, 8), 0, {"heard": 0.5})
    again = Codebook.load(book.arrays(), book.settings())
    assert again.version == book.version and again.sizes == (16, 8)
    np.testing.assert_array_equal(encode(again, views), encode(book, views))
    damaged = {name: array.copy() for name, array in book.arrays().items()}
    damaged["level.0"][0, 0] += 1
    with pytest.raises(ArtifactError, match=f"settings say {book.version}"):
        Codebook.load(damaged, book.settings())
    with pytest.raises(ArtifactError, match=r"level\.1"):
        Codebook.load({n: a for n, a in book.arrays().items() if n != "level.1"}, book.settings())
    with pytest.raises(ArtifactError, match="format"):
        Codebook.load(book.arrays(), book.settings() | {"format": 99})


def test_bad_views_are_named() -> None:
    views = _views()
    book = fit_rkmeans(views, (16, 8), 0)
    broken = views["text"].copy()
    broken[3, 2] = np.nan
    cases = [
        (lambda: fit_rkmeans({"text": broken}, (16,), 0), "view 'text': item row 4 holds a NaN"),
        (lambda: fit_rkmeans({"text": np.ones((50, 3))}, (16,), 0), "all its vectors are equal"),
        (lambda: fit_rkmeans({"text": np.full((50, 3), np.nan)}, (16,), 0), "every item's vector is missing"),
        (lambda: fit_rkmeans({"text": _clusters(10)}, (16,), 0), "10 items but 16 codes"),
        (lambda: fit_rkmeans(views, (16, 1), 0), "at least 2 codes"),
        (lambda: fit_rkmeans(views | {"text": _clusters(9)}, (4,), 0), "differ in their number of items"),
        (lambda: fit_rkmeans({}, (4,), 0), "at least one view"),
        (lambda: encode(book, {"audio": views["text"]}), "view 'audio' is unknown"),
        (lambda: encode(book, {"text": views["heard"]}), "view 'text': shape"),
        (lambda: encode(book, {}), "at least one view"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message):
            call()


def test_later_levels_fit_what_the_balanced_first_level_leaves() -> None:
    """Crowded clusters: fitted on the residuals that balancing leaves, the second level serves those items
    better.
    """
    rng = np.random.default_rng(2)
    crowd = rng.choice(8, 600, p=[0.6, 0.2, 0.05, 0.05, 0.03, 0.03, 0.02, 0.02])
    views = {"text": (rng.normal(0, 4, (8, 6))[crowd] + rng.normal(0, 0.5, (600, 6))).astype(np.float32)}
    errors = []
    for balance in (None, 1.5):
        book = fit_rkmeans(views, (16, 64), 0, settings=RkmeansSettings(start="rows", balance=balance))
        codes = encode_unique(book, views, balance=1.5)
        assert np.bincount(codes[:, 0]).max() <= np.ceil(1.5 * 600 / 16)
        z = book.latent(views)[0]
        left = z - book.codewords[0][codes[:, 0]]
        # The nearest second word, before uniqueness moves anyone.
        errors.append(float(np.square(left[:, None] - book.codewords[1][None]).sum(2).min(1).mean()))
    assert errors[1] < 0.8 * errors[0]
