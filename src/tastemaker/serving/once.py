"""`tastemaker recommend`: one query, answered as the server answers it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tastemaker.errors import InputError, TastemakerError
from tastemaker.serving.load import Shared, load_parts, load_serving
from tastemaker.serving.query import Query, Slate
from tastemaker.serving.serve import serve
from tastemaker.store import Workspace


def recommend_once(workspace: Path, query: Query) -> dict[str, Any]:
    """The slate of a query as plain values, with the items' texts and the whole in words. For a user it is
    logged, and shown once this returns; a bare history is nobody's list, and is not.
    """
    if (query.user_id is None) == (not query.history):
        raise InputError("give either --user or --history (repeat it, oldest first)")
    opened = Workspace.open(workspace)
    shared = Shared.of(opened)
    try:
        parts = load_serving(opened, partial(load_parts, opened, shared))
        (slate,) = serve([query], parts)
        if isinstance(slate, TastemakerError):
            raise slate
        if query.logged:
            parts.offers.delivered([slate.request_id], parts.clock())
    finally:
        shared.database.close()
    plain = slate.public()
    for row in plain["rows"]:
        row["text"] = parts.explainer.texts[row["item_id"]]
    return plain | {"user_id": query.user_id, "text": _text(slate, parts.explainer.texts)}


def filters_of(where: list[str]) -> dict[str, tuple[str, ...]]:
    """`field=value` arguments by field."""
    filters: dict[str, tuple[str, ...]] = {}
    for pair in where:
        name, separator, value = pair.partition("=")
        if not separator:
            raise InputError(f"--where {pair}: write it as field=value")
        filters[name] = (*filters.get(name, ()), value)
    return filters


def _text(slate: Slate, texts: Mapping[str, str]) -> str:
    lines = [slate.notice] if slate.notice else []
    for row in slate.rows:
        lines.append(f"{row.position + 1:>2}. {texts[row.item_id][:150] or row.item_id}  [{row.item_id}]")
        lines += [f"      {reason.text}" for reason in row.reasons]
        lines += [f"      {row.retention.text}"] if row.retention else []
    return "\n".join(lines + ([slate.reason] if slate.reason else []))
