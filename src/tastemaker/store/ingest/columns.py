"""Columns as people have them, made into the columns we need: names, ids, text, numbers, times, lists of
words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import polars as pl
import pyarrow as pa

from tastemaker.schema.values import as_text, series_of

_ITEM = (
    "item",
    "asin",
    "parent_asin",
    "movie",
    "movie_id",
    "product_id",
    "track_id",
    "song_id",
    "video_id",
    "article_id",
    "news_id",
    "sku",
)
ITEM_NAMES: Mapping[str, tuple[str, ...]] = {
    "item_id": (*_ITEM, "iid", "id"),
    "title": ("name", "item_name", "item_title", "product_title", "track_name", "headline"),
    "text": ("body", "abstract", "overview", "summary"),
    "description": ("desc", "plot"),
    "attributes": ("attribute", "tags", "genres", "genre", "categories", "category", "keywords", "topics"),
    "creator": ("artist", "author", "brand", "director", "channel", "composer", "publisher"),
    "audio": ("audio_path",),
    "image": ("image_path", "cover", "cover_path"),
    "created_at": (
        "created",
        "release_date",
        "released",
        "published_at",
        "published",
        "publication_date",
        "date",
        "year",
    ),
}
_TIMES = (
    "time",
    "ts",
    "datetime",
    "date",
    "unix_review_time",
    "event_time",
    "created_at",
    "rated_at",
    "played_at",
)
INTERACTION_NAMES: Mapping[str, tuple[str, ...]] = {
    "user_id": (
        "user",
        "uid",
        "reviewer_id",
        "customer_id",
        "visitor_id",
        "listener_id",
        "member_id",
        "account_id",
        "session_id",
    ),
    "item_id": (*_ITEM, "iid"),
    "position": ("pos", "order", "sequence", "event_index"),
    "timestamp": _TIMES,
    "kind": ("event", "event_type", "action", "type", "behavior", "behaviour", "interaction_type"),
    "value": ("rating", "score", "stars", "overall", "weight", "play_count"),
    "request_id": ("impression_id",),
}


def resolve_names(present: Iterable[str], legal: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Which of the `present` columns serves as each of ours: {our name: their name}.

    Case, spaces, hyphens and underscores do not matter (`movieId` is `movie_id`); our own name comes before
    its aliases.
    """
    squeezed = {_squeeze(name): name for name in reversed(list(present))}
    found: dict[str, str] = {}
    for ours, aliases in legal.items():
        for alias in (ours, *aliases):
            theirs = squeezed.get(_squeeze(alias))
            if theirs is not None and theirs not in found.values():
                found[ours] = theirs
                break
    return found


def as_words(column: pa.ChunkedArray, name: str) -> pl.Series:
    """Lists of words. Text is read as a JSON list, or split at the first of | ; , that occurs anywhere in the
    column.
    """
    series = series_of(column, name)
    if not isinstance(series.dtype, pl.List):
        series = _split(as_text(column, name))
    words = series.cast(pl.List(pl.String), strict=False)
    clean = words.list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))
    return clean.set(clean.list.len() == 0, None)


def _split(text: pl.Series) -> pl.Series:
    if text.str.starts_with("[").all() and text.str.ends_with("]").all() and text.is_not_null().any():
        lists = [_json_list(one) for one in text.to_list()]
        if None not in [made for made, one in zip(lists, text.to_list(), strict=True) if one is not None]:
            return pl.Series(lists, dtype=pl.List(pl.String))
    delimiter = next((one for one in "|;," if text.str.contains(one, literal=True).any()), "|")
    return text.str.split(delimiter)


def _json_list(text: str | None) -> list[str] | None:
    try:
        value = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return [str(one) for one in value if one is not None] if isinstance(value, list) else None


def _squeeze(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
