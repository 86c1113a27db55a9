"""Texts -> vectors: TF-IDF by a truncated SVD (scikit-learn), or any sentence encoder's function."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Float32
from tastemaker.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Labels = Sequence[Sequence[str]]
Document = tuple[str, Sequence[str]]

_PHRASE_BREAK = re.compile(r"[\n;|,.!?]+")
_WORD = re.compile(r"[^\W_]+")
_TAG = re.compile(r"<[^<>]*>")
MAX_TERMS = 50_000


def terms(text: str, labels: Sequence[str] = ()) -> list[str]:
    """Words and adjacent pairs of words of `text`, lower case, and each label whole; HTML tags are dropped.

    Pairs keep category words such as "nail polish" apart from "nail file" and never cross a phrase break.
    Whole labels (brand, category) say more than their words where a catalogue has no titles.
    """
    listed = [f"={label.lower()}" for label in labels]
    for phrase in _PHRASE_BREAK.split(_TAG.sub(" ", text.lower())):
        words = _WORD.findall(phrase)
        listed += words
        listed += [f"{a} {b}" for a, b in itertools.pairwise(words)]
    return listed


@dataclass(frozen=True, eq=False)
class TfidfEncoder:
    """A fitted TF-IDF + SVD projection, kept so that new items land in the space of the old ones.

    vocabulary: T terms, sorted; idf: (T,); components: (d, T). Stored as arrays and JSON, never pickled.
    """

    vocabulary: tuple[str, ...]
    idf: Float32
    components: Float32

    @cached_property
    def _vectorizer(self) -> TfidfVectorizer:
        vectorizer = _vectorizer(vocabulary=list(self.vocabulary))
        vectorizer.idf_ = self.idf
        return vectorizer

    def transform(self, texts: Sequence[str], labels: Labels | None = None) -> Float32:
        """(N, d) unit-length rows; a text without any known term is a NaN row (missing view)."""
        if not len(texts):
            return np.empty((0, len(self.components)), np.float32)
        x = np.asarray(self._vectorizer.transform(_documents(texts, labels)) @ self.components.T, np.float32)
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        return np.where(norms > 1e-6, x / np.maximum(norms, 1e-6), np.float32(np.nan)).astype(np.float32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays to store; `load` reads them back with `settings()`."""
        return {"idf": self.idf, "components": self.components}

    def settings(self) -> dict[str, Any]:
        """JSON-ready part of the encoder: its kind and its vocabulary in column order."""
        return {"kind": "tfidf", "vocabulary": list(self.vocabulary)}

    @classmethod
    def load(cls, arrays: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> TfidfEncoder:
        """The encoder that `arrays()` and `settings()` came from; ArtifactError where these differ."""
        vocabulary = tuple(settings.get("vocabulary", ()))
        components, idf = arrays.get("components"), arrays.get("idf")
        width = (len(vocabulary),)
        if components is None or idf is None or components.shape[1:] != width or idf.shape != width:
            raise ArtifactError(
                "text encoder: its arrays do not match its vocabulary; run the encode stage again"
            )
        return cls(vocabulary, idf.astype(np.float32), components.astype(np.float32))


def fit_tfidf(
    texts: Sequence[str], dimensions: int = 64, seed: int = 0, labels: Labels | None = None
) -> tuple[TfidfEncoder, Float32]:
    """Fit TF-IDF (sub-linear counts, smoothed idf) and its truncated SVD on `texts`, and encode them.

    labels: what each item is filed under, e.g. its attributes. Terms of a single text are left out unless
    nothing else remains; at most 50,000 terms, the most frequent first. Deterministic for a seed and a thread
    count.

    Returns encoder, to be kept for items that come later; min(dimensions, texts - 1, terms - 1) columns, at
    least one; vectors, (N, d) float32 unit-length rows; a text without words is a NaN row.

    Raises InputError when no text has a word.
    """
    documents = _documents(texts, labels)
    try:
        vectorizer = _vectorizer(min_df=2, max_features=MAX_TERMS)
        matrix = vectorizer.fit_transform(documents)
    except ValueError:  # no term stands in two texts
        vectorizer, matrix = _of_single_texts(documents)
    vocabulary = tuple(str(term) for term in vectorizer.get_feature_names_out())
    components = np.ones((1, 1), np.float32)  # of a single term; scikit-learn reduces two or more
    if len(vocabulary) > 1:
        from sklearn.decomposition import TruncatedSVD

        rank = max(1, min(dimensions, len(documents) - 1, len(vocabulary) - 1))
        with np.errstate(invalid="ignore"):  # texts that are all alike explain no variance
            components = TruncatedSVD(rank, n_iter=4, random_state=seed).fit(matrix).components_
    encoder = TfidfEncoder(vocabulary, vectorizer.idf_.astype(np.float32), components.astype(np.float32))
    return encoder, encoder.transform(texts, labels)


def word_rows(texts: Sequence[str], labels: Labels) -> Any:
    """(N, T) sparse unit rows of TF-IDF, no projection, zeros without a word; None where all lack one."""
    try:
        return _vectorizer().fit_transform(_documents(texts, labels)).tocsr()
    except ValueError:
        return None


def _of_single_texts(documents: list[Document]) -> tuple[TfidfVectorizer, Any]:
    vectorizer = _vectorizer(max_features=MAX_TERMS)
    try:
        return vectorizer, vectorizer.fit_transform(documents)
    except ValueError:
        raise InputError(
            "text view: no item has a word in its title, text or attributes; drop the view or add texts"
        ) from None


def _vectorizer(**options: Any) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second to load

    return TfidfVectorizer(
        analyzer=lambda document: terms(*document), sublinear_tf=True, dtype=np.float32, **options
    )


def _documents(texts: Sequence[str], labels: Labels | None) -> list[Document]:
    return [(text, ()) for text in texts] if labels is None else list(zip(texts, labels, strict=True))


def sentence_vectors(texts: Sequence[str], embed: Callable[[list[str]], npt.NDArray[Any]]) -> Float32:
    """(N, d) float32 vectors of `embed`, which maps n texts to (n, d); empty texts are NaN rows.

    Equal texts are embedded once (catalogues repeat themselves: Beauty has 3,116 distinct texts for 12,101
    items). InputError when `embed` returns another number of rows, or when every text is empty.
    """
    distinct = {text: None for text in texts if text.strip()}
    if not distinct:
        raise InputError("text view: every item's text is empty; drop the view or add texts")
    unique = list(distinct)
    vectors = np.asarray(embed(unique), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(unique):
        raise InputError(
            f"sentence encoder: {len(unique)} texts gave an array of shape {vectors.shape}; it must be"
            " (texts, d)"
        )
    row = {text: i for i, text in enumerate(unique)}
    out = np.full((len(texts), vectors.shape[1]), np.nan, np.float32)
    for i, text in enumerate(texts):
        if text in row:
            out[i] = vectors[row[text]]
    return out
