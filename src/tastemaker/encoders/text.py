"""Texts -> vectors: TF-IDF projected by a truncated SVD, or any sentence encoder handed in as a function."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from sklearn.utils.extmath import randomized_svd

from tastemaker.errors import ArtifactError, InputError

Float32 = npt.NDArray[np.float32]
Labels = Sequence[Sequence[str]]

_PHRASE_BREAK = re.compile(r"[\n;|,.!?]+")
_WORD = re.compile(r"[^\W_]+")
_TAG = re.compile(r"<[^<>]*>")
MAX_TERMS = 50_000


def terms(text: str, labels: Sequence[str] = ()) -> list[str]:
    """Words and adjacent pairs of words of `text`, lower case, and each label whole; HTML tags are dropped.

    Pairs keep category words such as "nail polish" apart from "nail file" and never cross a phrase break.
    Whole labels (brand, category) say more than their words where a catalogue has no titles.
    """
    found = [f"={label.lower()}" for label in labels]
    for phrase in _PHRASE_BREAK.split(_TAG.sub(" ", text.lower())):
        words = _WORD.findall(phrase)
        found += words
        found += [f"{a} {b}" for a, b in itertools.pairwise(words)]
    return found


@dataclass(frozen=True)
class TfidfEncoder:
    """A fitted TF-IDF + SVD projection, kept so that new items land in the space of the old ones.

    vocabulary: T terms, sorted; idf: (T,); components: (d, T).
    """

    vocabulary: tuple[str, ...]
    idf: Float32
    components: Float32

    def vectors(self, texts: Sequence[str], labels: Labels | None = None) -> Float32:
        """(N, d) unit-length rows; a text without any known term is a NaN row (missing view)."""
        return _project(_tfidf(_documents(texts, labels), self.vocabulary, self.idf), self.components)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays to store; `load` reads them back with `settings()`."""
        return {"idf": self.idf, "components": self.components}

    def settings(self) -> dict[str, Any]:
        """JSON-ready part of the encoder: its kind and its vocabulary in column order."""
        return {"kind": "tfidf", "vocabulary": list(self.vocabulary)}

    @classmethod
    def load(cls, arrays: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> TfidfEncoder:
        """The encoder that `arrays()` and `settings()` came from; ArtifactError when they do not fit each
        other.
        """
        vocabulary = tuple(settings.get("vocabulary", ()))
        components, idf = arrays.get("components"), arrays.get("idf")
        if (
            components is None
            or idf is None
            or components.shape[1:] != (len(vocabulary),)
            or idf.shape != (len(vocabulary),)
        ):
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

    Returns
    -------
    encoder
        to be kept for items that come later; min(dimensions, texts - 1, terms - 1) columns, at least one.
    vectors
        (N, d) float32 unit-length rows; a text without words is a NaN row.

    Raises
    ------
    InputError
        when no text has a word.
    """
    encoder, matrix = _fit(_documents(texts, labels), dimensions, seed)
    return encoder, _project(matrix, encoder.components)


def _documents(texts: Sequence[str], labels: Labels | None) -> list[list[str]]:
    if labels is None:
        return [terms(text) for text in texts]
    return [terms(text, one) for text, one in zip(texts, labels, strict=True)]


def _fit(documents: list[list[str]], dimensions: int, seed: int) -> tuple[TfidfEncoder, sparse.csr_array]:
    if dimensions < 1:
        raise InputError(
            f"text vectors need at least 1 dimension, not {dimensions}; raise it in the settings"
        )
    frequency: Counter[str] = Counter()
    for document in documents:
        frequency.update(set(document))
    kept = [term for term, count in frequency.items() if count > 1] or list(frequency)
    if not kept:
        raise InputError(
            "text view: no item has a word in its title, text or attributes; drop the view or add texts"
        )
    kept = sorted(sorted(kept, key=lambda term: (-frequency[term], term))[:MAX_TERMS])
    idf = (np.log((1 + len(documents)) / (1 + np.array([frequency[term] for term in kept]))) + 1).astype(
        np.float32
    )
    matrix = _tfidf(documents, kept, idf)
    rank = max(1, min(dimensions, matrix.shape[0] - 1, matrix.shape[1] - 1))
    _, _, components = randomized_svd(matrix, rank, n_iter=4, random_state=seed)
    return TfidfEncoder(tuple(kept), idf, components.astype(np.float32)), matrix


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


def _tfidf(documents: list[list[str]], vocabulary: Sequence[str], idf: Float32) -> sparse.csr_array:
    """(documents, terms): (1 + log count) idf, rows of unit length."""
    column = {term: i for i, term in enumerate(vocabulary)}
    indices: list[int] = []
    data: list[float] = []
    starts = [0]
    for document in documents:
        counted = Counter(column[term] for term in document if term in column)
        for one in sorted(counted):
            indices.append(one)
            data.append(1.0 + math.log(counted[one]))
        starts.append(len(indices))
    at, lengths = np.array(indices, np.int64), np.diff(starts)
    values = np.array(data, np.float32) * idf[at]
    squares = np.bincount(np.repeat(np.arange(len(documents)), lengths), values**2, minlength=len(documents))
    values /= np.sqrt(np.repeat(squares, lengths)).astype(np.float32)
    return sparse.csr_array((values, at, np.array(starts, np.int64)), shape=(len(documents), len(column)))


def _project(matrix: sparse.csr_array, components: Float32) -> Float32:
    x = (matrix @ components.T).astype(np.float32)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.where(norms > 1e-6, x / np.maximum(norms, 1e-6), np.float32(np.nan)).astype(np.float32)
