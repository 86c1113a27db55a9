"""What a deployment serves of the tables in use: items, Semantic IDs, and what is known of later items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.encoders.text import fit_tfidf, word_rows
from tastemaker.errors import InputError, TastemakerError
from tastemaker.flows.data import ORDER_KEY, item_texts
from tastemaker.flows.deployment import Base, Deployment
from tastemaker.flows.pipeline import Report
from tastemaker.flows.search import item_scorer
from tastemaker.flows.stages.tokens import codes_in, load_codebook
from tastemaker.flows.stages.vectors import encode_new, load_views
from tastemaker.retrieve.new_items import NewItems, composed, likeness
from tastemaker.semantic_ids.collisions import encode_beside
from tastemaker.stats.random import hashed_order
from tastemaker.store import Workspace, read_manifest

Arrays = dict[str, npt.NDArray[Any]]
Views = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Catalogue:
    """What is served of the tables: items in the order of their indices, codes (N, L), and what happened.

    new: arrays of `NewItems`, empty where none came after training.
    """

    items: pa.Table
    codes: Any
    sizes: tuple[int, ...]
    new: Arrays = field(default_factory=dict)
    added: int = 0
    removed: int = 0
    left_out: str = ""


def coded(
    workspace: Workspace, base: Base, previous: Deployment | None, report: Report, tables: str
) -> Catalogue:
    """The items of the tables with the Semantic IDs they have, and free ones for the new."""
    tokens = workspace.artifacts.get("tokens", base.tokens)
    trained, codes, sizes = codes_in(tokens)
    order, known = trained, dict(zip(trained, codes, strict=True))
    if previous is not None and previous.base.tokens == base.tokens:
        order = previous.catalogue_items()["item_id"].to_pylist()
        known |= dict(zip(order, np.asarray(previous.arrays()["codes"], np.int32), strict=True))
    items = workspace.table("items", tables=tables)
    ids = items["item_id"].to_pylist()
    row = {item: place for place, item in enumerate(ids)}
    stays = [item for item in order if item in row]
    comes = sorted(set(ids) - set(stays))
    comes = [comes[place] for place in hashed_order(comes, ORDER_KEY)]
    since, left_out = sorted(set(ids) - set(trained)), ""
    views = dict[str, npt.NDArray[np.float32]]()
    if since:
        try:
            views = encode_new(workspace, _vectors_of(workspace, base), _rows(items, row, since), report)
            known |= _new_codes(workspace, base, known, since, views)
        except TastemakerError as error:  # taking items down must not wait for the new ones
            waits = [item for item in comes if item not in known]
            left_out = f"{len(waits)} new items wait for the next training ({error})" if waits else ""
            comes, since = [item for item in comes if item in known], []
    served = stays + comes
    if not served:
        raise InputError(f"{workspace.root}: no item of the tables can be served; run `tastemaker train`")
    table, removed = _rows(items, row, served), len(order) - len(stays)
    rows = np.stack([known[item] for item in served])
    catalogue = Catalogue(table, rows, sizes, {}, len(comes), removed, left_out)
    shown = _shown(workspace, base, trained, since, views) if since else []
    if not since:
        return catalogue
    counted = workspace.table("interactions", tables=tables)["item_id"].value_counts()
    return replace(catalogue, new=_new_items(workspace, base, catalogue, set(trained), shown, counted))


def _rows(items: pa.Table, row: Mapping[str, int], ids: Sequence[str]) -> pa.Table:
    return items.take(pa.array([row[item] for item in ids], pa.int64()))


def _vectors_of(workspace: Workspace, base: Base) -> Path:
    """The folder of the views that the model's Semantic IDs were made from."""
    about = read_manifest(workspace.artifacts.get("tokens", base.tokens))["about"]
    return workspace.artifacts.get("vectors", about["inputs"]["vectors"])


def _new_codes(
    workspace: Workspace, base: Base, known: Mapping[str, Any], since: Sequence[str], views: Views
) -> dict[str, Any]:
    """Free Semantic IDs for those of the items `since` training that have none, by the codebook as it is."""
    place = [place for place, item in enumerate(since) if item not in known]
    if not place:
        return {}
    folder = workspace.artifacts.get("tokens", base.tokens)
    policy = read_manifest(folder)["about"]["settings"]["collisions"]
    existing, sizes = np.stack(list(known.values())), codes_in(folder)[2]
    book = load_codebook(folder)
    new_views = {name: vectors[place] for name, vectors in views.items()}
    if not new_views:  # nothing is known of them but that they are there: any free code will do
        new_views = {
            view.name: np.full((len(place), len(view.mean)), np.nan, np.float32) for view in book.views[:1]
        }
    codes = encode_beside(book, new_views, existing, sizes, policy)
    return dict(zip((since[row] for row in place), codes, strict=True))


def _shown(
    workspace: Workspace, base: Base, trained: Sequence[str], since: Sequence[str], views: Views
) -> list[dict[str, npt.NDArray[Any]]]:
    """For each view of sound and pictures (and sentences) of new items, each item's unit vector."""
    folder, vectors = _vectors_of(workspace, base), []
    words = (folder / "text_encoder.json").exists()
    stored = load_views(folder) if set(views) - {"text"} or not words else {}
    for name in sorted(set(views) & set(stored)):
        if name == "text" and words:
            continue
        table = np.nan_to_num(np.concatenate([stored[name], views[name]]))
        unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
        vectors.append(dict(zip((*trained, *since), unit.astype(np.float32), strict=True)))
    return vectors


def _new_items(
    workspace: Workspace,
    base: Base,
    served: Catalogue,
    trained: Set[str],
    views: Sequence[Mapping[str, Any]],
    counted: pa.StructArray,
) -> Arrays:
    """Arrays of `NewItems` of the items served that training did not know; counted: events of each item."""
    table = served.items
    ids = table["item_id"].to_pylist()
    new = np.array([item not in trained for item in ids])
    if not new.any():
        return {}
    rows: list[Any] = [np.stack([view[item] for item in ids]) for view in views]
    words = word_rows(item_texts(table), [values or [] for values in table["attributes"].to_pylist()])
    vectors = np.zeros((int(new.sum()), 0), np.float32)
    learnt = None if words is None else _learnt(workspace, base, served)
    if learnt is not None:
        events = dict(
            zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
        )
        vectors = composed(words, learnt, np.array([events.get(item, 0) for item in ids]), new)
    like = likeness(rows if words is None else [words, *rows], new)
    return NewItems(np.flatnonzero(new), vectors, like).arrays()


def _learnt(workspace: Workspace, base: Base, served: Catalogue) -> npt.NDArray[np.float32] | None:
    """(N, d) what the small model learnt each item served to be; None of a pretrained base."""
    from tastemaker.lm.items import FILE

    folder = workspace.artifacts.get(base.kind, base.model) / "model"
    if not (folder / FILE).exists():
        return None
    scorer = item_scorer(folder, served.items["item_id"].to_pylist(), served.codes, served.sizes)
    return np.asarray(scorer.vectors.numpy(), np.float32)


def in_order(workspace: Workspace, tables: str) -> Catalogue:
    """The items in the order of the table, numbered: what serves where no model could be trained."""
    items = workspace.table("items", tables=tables)
    n = items.num_rows
    return Catalogue(items, np.arange(n, dtype=np.int32)[:, None], (max(n, 2),))


def text_vectors(items: pa.Table) -> Arrays:
    """Text vectors of the items; nothing where no item has a word."""
    try:
        labels = [values or [] for values in items["attributes"].to_pylist()]
        return {"vectors": fit_tfidf(item_texts(items), labels=labels)[1]}
    except InputError:
        return {}
