"""Text vectors: the TF-IDF oracle, new items in the old space, texts that are missing."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.encoders import TfidfEncoder, fit_tfidf, sentence_vectors
from tastemaker.encoders.text import terms
from tastemaker.errors import ArtifactError, InputError

TEXTS = [
    "OPI; Makeup; Nails; Nail Polish",
    "OPI; Makeup; Nails; Nail File",
    "Acme; Skin Care; Face; Creams",
    "Acme; Skin Care; Face; Masks",
    "Zed; Hair Care; Shampoo",
    "Zed; Hair Care; Conditioner; hair hair",
]


def test_terms_are_words_and_pairs_inside_a_phrase() -> None:
    assert terms("Nail Polish; Red<br/>") == ["nail", "polish", "nail polish", "red"]


def test_idf_by_hand() -> None:
    encoder = fit_tfidf(TEXTS, 2, 0)[0]
    frequency = Counter(term for text in TEXTS for term in set(terms(text)))
    for term, idf in zip(encoder.vocabulary, encoder.idf, strict=True):
        assert idf == pytest.approx(math.log(7 / (1 + frequency[term])) + 1, rel=1e-6)


def test_like_texts_are_near_and_rows_unit_length() -> None:
    x = fit_tfidf(TEXTS, 4, 0)[1]
    assert x.shape == (6, 4) and x.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    cosine = x @ x.T
    assert min(cosine[0, 1], cosine[2, 3], cosine[4, 5]) > max(
        abs(cosine[0, 2]), abs(cosine[1, 4]), abs(cosine[3, 5])
    )


def test_a_text_without_known_words_is_missing_not_zero() -> None:
    x = fit_tfidf([*TEXTS, "", "?!"], 4, 0)[1]
    assert np.isnan(x[6:]).all() and np.isfinite(x[:6]).all()
    assert np.isnan(fit_tfidf(TEXTS, 4, 0)[0].transform(["unheard of"])).all()


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)))
def test_vectors_follow_their_items(order: list[int]) -> None:
    """Permuting items permutes rows: cosines between items do not depend on where they stand."""
    x, y = fit_tfidf(TEXTS, 3, 0)[1], fit_tfidf([TEXTS[i] for i in order], 3, 0)[1]
    np.testing.assert_allclose((x @ x.T)[np.ix_(order, order)], y @ y.T, atol=1e-4)


def test_encoder_survives_storage_and_encodes_new_items_alike() -> None:
    encoder, vectors = fit_tfidf(TEXTS, 3, 0)
    again = TfidfEncoder.load(encoder.arrays(), encoder.settings())
    np.testing.assert_array_equal(again.transform(TEXTS), vectors)
    new = again.transform(["OPI; Makeup; Nails; Nail Glitter"])
    assert int((new @ encoder.transform(TEXTS).T).argmax()) in (0, 1)
    with pytest.raises(ArtifactError, match="vocabulary"):
        TfidfEncoder.load(encoder.arrays(), encoder.settings() | {"vocabulary": ["a"]})


def test_small_catalogues_get_fewer_dimensions_and_bad_ones_an_error() -> None:
    assert fit_tfidf(["red ball", "red box"], 64, 0)[1].shape == (2, 1)
    with pytest.raises(InputError, match="no item has a word"):
        fit_tfidf(["", "..."], 8, 0)[1]


def test_sentence_vectors_embed_each_distinct_text_once() -> None:
    seen: list[list[str]] = []

    def embed(texts: list[str]) -> np.ndarray:
        seen.append(texts)
        return np.array([[len(text), 1.0] for text in texts])

    x = sentence_vectors(["ab", "", "abc", "ab"], embed)
    assert seen == [["ab", "abc"]]
    np.testing.assert_array_equal(x[[0, 2, 3]], [[2, 1], [3, 1], [2, 1]])
    assert np.isnan(x[1]).all() and x.dtype == np.float32
    with pytest.raises(InputError, match="must be"):
        sentence_vectors(["a", "b"], lambda texts: np.zeros(3))
    with pytest.raises(InputError, match="every item's text is empty"):
        sentence_vectors(["", " "], embed)


def test_a_label_counts_as_one_term() -> None:
    texts = ["red ball", "blue cup", "red cup", "blue ball"]
    labels = [["brand=A B"], ["brand=A C"], ["brand=A B"], ["brand=A C"]]
    encoder, x = fit_tfidf(texts, 3, 0, labels)
    plain = fit_tfidf(texts, 3, 0)[1]
    assert "=brand=a b" in encoder.vocabulary
    assert x[0] @ x[2] > plain[0] @ plain[2] + 0.1
    np.testing.assert_allclose(encoder.transform(["red ball"], [["brand=a b"]])[0], x[0], atol=1e-5)
    with pytest.raises(ValueError, match="zip"):
        fit_tfidf(texts, 3, 0, labels[:3])
