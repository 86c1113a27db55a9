"""Which of a file's columns plays which part: by name, and of item ids by how many are in the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

_ITEM = (
    "item",
    "asin",
    "parent_asin",
    "movie",
    "movie_id",
    "product",
    "product_id",
    "track_id",
    "song_id",
    "artist_id",
    "book_id",
    "video_id",
    "article_id",
    "news_id",
    "sku",
    "iid",
)
ITEM_NAMES: Mapping[str, tuple[str, ...]] = {
    "item_id": (*_ITEM, "id"),
    "title": (
        "name",
        "item_name",
        "item_title",
        "product_title",
        "product_name",
        "movie_title",
        "song_name",
        "book_title",
        "track_name",
        "headline",
    ),
    "text": ("body", "abstract", "overview", "summary"),
    "description": ("desc", "plot"),
    "attributes": ("attribute", "tags", "genres", "genre", "categories", "category", "keywords", "topics"),
    "creator": (
        "artist",
        "artists",
        "author",
        "authors",
        "brand",
        "director",
        "channel",
        "composer",
        "publisher",
    ),
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
    "when",
    "occurred_at",
    "event_timestamp",
)
RATINGS = ("rating", "stars", "score", "overall", "star_rating", "user_rating", "review_score", "ratings")
SHARES = (
    "watch_ratio",
    "play_ratio",
    "completion",
    "completion_rate",
    "progress",
    "percent",
    "percent_played",
    "percent_watched",
    "played_percent",
    "watched_percent",
)
INTERACTION_NAMES: Mapping[str, tuple[str, ...]] = {
    "user_id": (
        "user",
        "uid",
        "reviewer_id",
        "customer_id",
        "customer",
        "client_id",
        "shopper_id",
        "visitor_id",
        "listener_id",
        "member_id",
        "account_id",
        "session_id",
    ),
    "item_id": _ITEM,
    "position": ("pos", "order", "sequence", "event_index"),
    "timestamp": _TIMES,
    "kind": (
        "event",
        "event_type",
        "event_name",
        "action",
        "action_type",
        "behavior",
        "behaviour",
        "behavior_type",
        "behaviour_type",
        "interaction",
        "interaction_type",
        "feedback_type",
        "feedback",
        "reaction",
        "type",
    ),
    "value": (*RATINGS, *SHARES, "weight", "play_count"),
    "request_id": ("impression_id",),
}


def candidates(present: Iterable[str], legal: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Which of the `present` columns could play each part, best first: {part: [column, ...]}.

    Case, spaces, hyphens and underscores do not matter (`movieId` is `movie_id`); our own name comes before
    its aliases, and a column that bears one part's own name plays no other.
    """
    squeezed = {_squeeze(name): name for name in reversed(list(present))}
    own = {_squeeze(ours): ours for ours in legal}
    result: dict[str, list[str]] = {}
    for ours, aliases in legal.items():
        names = [_squeeze(alias) for alias in (ours, *aliases)]
        fit = [squeezed[name] for name in names if name in squeezed and own.get(name, ours) == ours]
        if fit:
            result[ours] = list(dict.fromkeys(fit))
    return result


def is_rating(column: str) -> bool:
    """Whether a column of this name holds ratings, rather than counts or shares."""
    return _squeeze(column) in {_squeeze(name) for name in RATINGS}


def is_share(column: str) -> bool:
    """Whether a column of this name holds how much of an item was played, as a share or in percent."""
    return _squeeze(column) in {_squeeze(name) for name in SHARES}


def matched(ids: pl.Series, known: pl.Series) -> pl.Series:
    """The ids, those that were floats once (12.0 for 12, or the other way round) as `known` has them; others
    stay.
    """
    ids = ids.rename("id")
    if ids.is_in(known.implode()).fill_null(False).all():
        return ids
    distinct = ids.unique().drop_nulls()
    other = distinct.filter(~distinct.is_in(known.implode()))
    bare = other.str.replace(r"\.0+$", "")
    forms = pl.DataFrame({"id": other, "bare": bare, "dotted": bare + ".0"})
    forms = forms.filter(forms["id"].str.contains(r"^-?\d+(\.0+)?$")).with_columns(
        form=pl.when(pl.col("bare").is_in(known.implode()))
        .then("bare")
        .when(pl.col("dotted").is_in(known.implode()))
        .then("dotted")
    )
    forms = forms.drop_nulls("form")
    if forms.is_empty():
        return ids
    return ids.replace(forms["id"], forms["form"])


def _squeeze(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
