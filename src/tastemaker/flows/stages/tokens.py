"""Vectors -> Semantic IDs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import tastemaker.plugins as plugins
import tastemaker.schema as schema
from tastemaker.corpus.pairs import cooccurring_pairs
from tastemaker.engine import mapped
from tastemaker.errors import InputError
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.stages.vectors import load_views
from tastemaker.semantic_ids.codebook import Codebook, encode
from tastemaker.semantic_ids.collisions import check_codes, encode_unique, with_suffix
from tastemaker.semantic_ids.report import sid_report
from tastemaker.semantic_ids.rkmeans import RkmeansSettings, fit_rkmeans
from tastemaker.semantic_ids.sizes import codebook_sizes, three_level_sizes, two_level_sizes
from tastemaker.store import read_arrays, read_table, write_arrays, write_json, write_table
from tastemaker.store.settings import Settings

Floats = npt.NDArray[np.float32]
# Of a first code at most so many times the items of an even share: a few crowded codes would carry no
# information.
BALANCE = 1.5
ROWS = 65_536  # items whose codes are one part
OTHER_VIEW = 0.5  # weight of a view that a plugin adds


def build_tokens(pipeline: Pipeline, folder: Path) -> None:
    """The codebook, every item's Semantic ID, and a report of how well the codes are used."""
    book, views, codes, sizes = assigned(pipeline, pipeline.workspace.settings)
    content = {name: vectors for name, vectors in views.items() if name != "behaviour"}
    warm = pipeline.data.training_counts > 0
    report = sid_report(
        codes,
        sizes,
        _labels(pipeline),
        encode(book, content)[:, : codes.shape[1]] if 0 < len(content) < len(views) else None,
    )
    write_codes(folder, pipeline.data.item_ids, book, codes, sizes)
    says = (
        f"{'/'.join(map(str, sizes))} codes, {report.distinct_share:.1%} of Semantic IDs distinct,"
        f" {int(warm.sum()):,} warm items"
    )
    write_json(folder / "summary.json", {"says": says, "version": book.version, "report": report})


def assigned(
    pipeline: Pipeline, settings: Settings
) -> tuple[Codebook, dict[str, Floats], npt.NDArray[np.int32], tuple[int, ...]]:
    """A codebook fitted by the settings, its views, the Semantic IDs (N, L) it gives, sizes of levels."""
    views = load_views(pipeline.path("vectors"))
    if settings.ids == "semantic" and len(views) > 1:
        views.pop("behaviour", None)
    n = len(pipeline.data.item_ids)
    if settings.levels == "halving":
        sizes = codebook_sizes(n)
    else:
        listed = tuple(int(size) for size in settings.levels.split("/") if size)
        sizes = listed or (three_level_sizes if settings.ids == "semantic" else two_level_sizes)(n)
    book = _fit(pipeline, settings, views, sizes)
    views = {view.name: views[view.name] for view in book.views if view.name in views}
    return book, views, *_resolve(pipeline, settings.collisions, book, views)


def write_codes(
    folder: Path,
    item_ids: Sequence[str],
    book: Codebook,
    codes: npt.NDArray[np.int32],
    sizes: tuple[int, ...],
) -> None:
    """Keep a codebook and the Semantic IDs (N, L) of the items: what `load_codebook` and `codes_in` read."""
    write_arrays(folder / "codebook.safetensors", book.arrays())
    write_json(folder / "codebook.json", book.settings() | {"resolved_sizes": list(sizes)})
    versions = [book.version] * len(item_ids)
    table = pa.table({"item_id": item_ids, "codes": _codes_column(codes), "version": versions})
    checked = schema.check(table, schema.item_tokens_schema(codes.shape[1]), "item tokens")
    write_table(folder / "item_tokens.parquet", checked)


def _fit(
    pipeline: Pipeline, settings: Settings, views: Mapping[str, Floats], sizes: tuple[int, ...]
) -> Codebook:
    pipeline.report("Semantic IDs", 0, 1, str(settings.tokenizer))
    if settings.tokenizer == "rkmeans":
        weights = {"text": 0.5, "audio": 0.5, "image": 0.25, "behaviour": 1.0}
        chosen = {name: weights.get(name, OTHER_VIEW) for name in views}
        book = fit_rkmeans(
            views,
            sizes,
            settings.seed,
            chosen,
            RkmeansSettings(
                scaling="view", start="rows", balance=BALANCE if settings.collisions == "unique" else None
            ),
        )
    elif settings.tokenizer != "rqvae":
        book = plugins.call("tokenizers", settings.tokenizer, views, sizes, settings.seed)
        if not isinstance(book, Codebook):
            raise InputError(
                f"tokenizer plugin '{settings.tokenizer}' gave back {type(book).__name__}, not a Codebook of"
                " tastemaker.semantic_ids; mend or uninstall it"
            )
    else:
        from tastemaker.semantic_ids.rqvae import RqvaeSettings, fit_rqvae

        pairs, weights_of_pairs = cooccurring_pairs(pipeline.data.split.train)
        switches = RqvaeSettings(masking=settings.rqvae_masking, contrastive=settings.rqvae_contrastive)
        book = fit_rqvae(
            views,
            sizes,
            pairs if len(pairs) else None,
            switches,
            settings.seed,
            weights_of_pairs,
            lambda epoch, epochs, _: pipeline.report("Semantic IDs", epoch, epochs, "rqvae"),
        )
    pipeline.report("Semantic IDs", 1, 1, "")
    return book


def _resolve(
    pipeline: Pipeline, policy: str, book: Codebook, views: Mapping[str, Floats]
) -> tuple[npt.NDArray[np.int32], tuple[int, ...]]:
    """Codes and sizes of all items. Those of "unique" depend on one another; others are a map over items."""
    if policy == "unique":
        return encode_unique(book, views, balance=BALANCE), book.sizes
    count = len(pipeline.data.item_ids)
    parts = [
        {name: vectors[start : start + ROWS] for name, vectors in views.items()}
        for start in range(0, count, ROWS)
    ]
    key = f"{book.version} {pipeline.fingerprint('vectors')}"
    tables = mapped(Coded(book), parts, pipeline.workspace, "codes", key, pipeline.report)
    codes = np.concatenate([codes_of(table) for table in tables])
    return (
        with_suffix(codes, book.sizes) if policy == "suffix" else (check_codes(codes, book.sizes), book.sizes)
    )


@dataclass(frozen=True)
class Coded:
    """The batch function: views of some items -> their codes."""

    book: Codebook

    def __call__(self, views: Mapping[str, Floats]) -> pa.Table:
        """A column `codes`."""
        return pa.table({"codes": _codes_column(encode(self.book, views))})


def _codes_column(codes: npt.NDArray[np.int32]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel(), pa.int32()), codes.shape[1])


def codes_of(table: pa.Table) -> npt.NDArray[np.int32]:
    """(N, L) what the column `codes` holds."""
    column = table["codes"].combine_chunks()
    codes: npt.NDArray[np.int32] = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return codes


def _labels(pipeline: Pipeline) -> list[str | None]:
    """The most telling single attribute of each item, for prefix purity: its last, else nothing."""
    return [
        attributes[0] if attributes else None for attributes in pipeline.data.items["attributes"].to_pylist()
    ]


def load_codes(pipeline: Pipeline) -> tuple[npt.NDArray[np.int32], tuple[int, ...]]:
    """(N, L) Semantic IDs in item order and the sizes of the levels."""
    return codes_in(pipeline.path("tokens"))[1:]


def codes_in(folder: Path) -> tuple[list[str], npt.NDArray[np.int32], tuple[int, ...]]:
    """Item ids (N), their Semantic IDs (N, L) and the sizes of the levels, from a `tokens` artifact."""
    table = read_table(folder / "item_tokens.parquet")
    sizes = json.loads((folder / "codebook.json").read_text())["resolved_sizes"]
    return table["item_id"].to_pylist(), codes_of(table), tuple(sizes)


def load_codebook(folder: Path) -> Codebook:
    """The frozen codebook of a `tokens` artifact."""
    return Codebook.load(
        read_arrays(folder / "codebook.safetensors"), json.loads((folder / "codebook.json").read_text())
    )
