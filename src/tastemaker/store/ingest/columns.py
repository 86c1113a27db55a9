"""Which of a file's columns plays which part: by name, and of item ids by how many are in the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
    "text": ("body", "abstract", "overview", "summary", "synopsis", "blurb", "long_description"),
    "description": ("desc", "plot", "short_description", "product_description", "storyline"),
    "attributes": ("attribute", "tags", "genres", "genre", "categories", "category", "keywords", "topics"),
    "creator": (
        "artist",
        "artists",
        "author",
        "authors",
        "brand",
        "director",
        "directors",
        "writer",
        "performer",
        "singer",
        "band",
        "developer",
        "developers",
        "manufacturer",
        "channel",
        "composer",
        "publisher",
        "store",
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
        "publish_date",
        "date",
        "year",
        "release_year",
        "publication_year",
        "publish_year",
        "year_published",
        "year_released",
        "year_of_publication",
        "year_of_release",
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
_RATED = ("rating", "ratings")  # how the names of such columns end (Book-Rating)
_SUMMED = ("average", "avg", "mean", "num", "total", "count", "sum")  # what all people said together
_ENDS = {"value": _RATED, "creator": ("author", "artist", "brand")}  # Book-Author, before the publisher
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
        "behavior_name",
        "behaviour_name",
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
    theirs = {squeezed(name): name for name in reversed(list(present))}
    own = {squeezed(ours): ours for ours in legal}
    result: dict[str, list[str]] = {}
    for ours, aliases in legal.items():
        names = [squeezed(alias) for alias in (ours, *aliases)]
        if ours in _ENDS:
            ending = [name for name in theirs if name.endswith(_ENDS[ours]) and not name.startswith(_SUMMED)]
            names = names + ending if ours == "value" else names[:1] + ending + names[1:]
        fit = [theirs[name] for name in names if name in theirs and own.get(name, ours) == ours]
        if fit:
            result[ours] = list(dict.fromkeys(fit))
    return result


def is_rating(column: str) -> bool:
    """Whether a column of this name holds ratings, rather than counts or shares."""
    name = squeezed(column)
    return name.endswith(_RATED) or name in {squeezed(alias) for alias in RATINGS}


def is_share(column: str) -> bool:
    """Whether a column of this name holds how much of an item was played, as a share or in percent."""
    return squeezed(column) in {squeezed(name) for name in SHARES}


def squeezed(name: str) -> str:
    """A column's name without case, spaces, hyphens and underscores."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
