"""A workspace's items as a catalogue with typed facts, and its users as listeners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from itertools import pairwise
from typing import Any

import numpy as np

from tastemaker.converse.agents.plan import Listeners
from tastemaker.converse.catalogue import FAMILY, Catalogue, Day, Value
from tastemaker.converse.record import Profile
from tastemaker.errors import InputError
from tastemaker.flows.data import BARE, Data, Names, item_texts
from tastemaker.flows.media import FACTS_FILE
from tastemaker.store import Workspace, read_table
from tastemaker.store.recorded import Recorded

FAMILY_FIELDS = ("family_id", "family")
POPULARITY = ("little known", "middling known", "well known")
PROFILES_FILE = "listener_profiles.parquet"
FEWEST_SHARE, FEWEST_TOPICS, TOPICS = 3, 8, 6  # items a topic has, topics there must be, topics of an item
SHOWN_VALUES = 400  # a field of more values than this is a name, not a fact one asks by


def build_catalogue(workspace: Workspace, data: Data, days: bool = False) -> Catalogue:
    """Items in the order of `data`, their attributes typed, with families, further names and popularity.
    days: with the days that are known of them, beside their years.

    Raises InputError when no item has an attribute field=value, so that nothing could be asked for.
    """
    items = data.items
    facts = _facts(workspace)
    words = [_attribute_words(attributes, data.names) for attributes in items["attributes"].to_pylist()]
    names = list(
        dict.fromkeys(name for attributes in words for name in attributes if name not in FAMILY_FIELDS)
    )
    columns: dict[str, tuple[Value, ...]] = {
        name: _column([attributes.get(name) for attributes in words]) for name in names
    }
    for name in {BARE, data.names.bare} & set(columns):
        columns[name] = _bare([attributes.get(name) for attributes in words], [bool(each) for each in words])
    dated = {name: days_of for name, column in columns.items() if (days_of := _days(column)) is not None}
    columns = {name: column for name, column in columns.items() if name not in dated}
    creators = items["creator"].to_pylist()
    columns |= _derived(creators, columns, data)
    columns = {name: column for name, column in columns.items() if _askable(column)}
    if days:
        columns |= _appeared(data, {*columns, *dated}) | dated
    if not set(columns) - {"popularity", "decade", data.names.year} and (topics := _topics(data)) is not None:
        columns["topic"] = topics  # titles and texts are all there is
    if not set(columns) - {"popularity"}:
        raise InputError(
            f"{workspace.root}: no item has an attribute as field=value that others share, and titles and"
            " texts share no words to ask by, so no request can be made; add attributes or texts and ingest"
            " again"
        )
    pairs = zip(data.item_ids, items["title"].to_pylist(), strict=True)
    titles = [title or f"item {item}" for item, title in pairs]
    families = [
        str(
            facts.get(item, {}).get("family_id")
            or next((attributes[name][0] for name in FAMILY_FIELDS if name in attributes), item)
        )
        for item, attributes in zip(data.item_ids, words, strict=True)
    ]
    aliases = [tuple(facts.get(item, {}).get("aliases") or ()) for item in data.item_ids]
    columns[FAMILY] = tuple(families)
    return Catalogue(
        tuple(data.item_ids),
        tuple(titles),
        tuple(aliases),
        tuple(creators),
        tuple(families),
        columns,
        np.asarray(data.training_counts, np.int64),
    )


def _topics(data: Data) -> tuple[Value, ...] | None:
    """What items without attributes are about: for each, the words of its title and text that tell most (by
    TF-IDF) among words that some items share and most do not. None when too few words are shared.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [text or "" for text in item_texts(data.items)]
    rarest = max(FEWEST_SHARE, round(0.01 * len(texts)))
    reader = TfidfVectorizer(
        stop_words="english", token_pattern=r"(?u)\b[^\W\d_]{4,}\b", min_df=rarest, max_df=0.5
    )
    try:
        weights = reader.fit_transform(texts)
    except ValueError:  # no word is shared as it should be
        return None
    words = reader.get_feature_names_out()
    if len(words) < FEWEST_TOPICS:
        return None
    topics: list[Value] = []
    for row in range(len(texts)):
        here = weights[row]
        best = here.indices[np.argsort(-here.data, kind="stable")][:TOPICS]
        topics.append(tuple(str(words[place]) for place in best) or None)
    return tuple(topics)


def _days(column: tuple[Value, ...]) -> tuple[Day | None, ...] | None:
    """A column of nothing but days, 2024-03-05, as such; None for any other."""
    try:
        days = tuple(None if value is None else Day.of(str(value)) for value in column)
    except ValueError:
        return None
    return days if any(days) else None


def _appeared(data: Data, known: Set[str]) -> dict[str, tuple[Value, ...]]:
    """The days on which items appeared, where more than their years is known."""
    times = data.items["created_at"].to_pylist()
    if data.names.date in known or all((time.month, time.day) == (1, 1) for time in times if time):
        return {}
    return {data.names.date: tuple(time and Day(time.date().toordinal()) for time in times)}


def _facts(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """Families and further names of the demo's tunes, which the item table has no column for."""
    path = workspace.data / FACTS_FILE
    if not path.exists():
        return {}
    return {
        row["item_id"]: row
        for row in (
            read_table(Recorded(workspace).check(path, "facts of tunes"))
            .select(["item_id", "family_id", "aliases"])
            .to_pylist()
        )
    }


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _bare(values: list[list[str] | None], described: Sequence[bool]) -> tuple[Value, ...]:
    """Attributes without a field: where they are flags or several, other items are known to lack them."""
    column = _column(values)
    words = {word for value in values for word in value or ()}
    if len(words) > 1 and not any(isinstance(value, tuple) for value in column):
        return column
    return tuple(
        tuple(value) if value else () if known else None
        for value, known in zip(values, described, strict=True)
    )


def _column(values: list[list[str] | None]) -> tuple[Value, ...]:
    """Several words where any item has several, numbers where all are, else one word."""
    if any(value and len(value) > 1 for value in values):
        return tuple(tuple(value) if value else None for value in values)
    numbers = [_number(value[0]) if value else None for value in values]
    if all(number is not None for number, value in zip(numbers, values, strict=True) if value):
        return tuple(numbers)
    return tuple(value[0] if value else None for value in values)


def _derived(
    creators: list[str | None], columns: dict[str, tuple[Value, ...]], data: Data
) -> dict[str, tuple[Value, ...]]:
    """Creator unless another field says it; how well known an item is; decade and year it appeared in."""
    derived: dict[str, tuple[Value, ...]] = {}
    if any(creators) and tuple(creators) not in columns.values():
        derived[data.names.creator] = tuple(creators)
    counts = data.training_counts
    if counts.sum() > 0:
        low, high = np.quantile(counts, [1 / 3, 2 / 3])
        if low < high:
            derived["popularity"] = tuple(
                POPULARITY[int(count > low) + int(count > high)] for count in counts
            )
    times = data.items["created_at"].to_pylist()
    if any(times) and not {"year", "decade", data.names.year} & set(columns):
        derived["decade"] = tuple(f"{time.year // 10 * 10}s" if time else None for time in times)
        derived[data.names.year] = tuple(float(time.year) if time else None for time in times)
    return derived


def _askable(column: tuple[Value, ...]) -> bool:
    """Whether some value is shared by items, and there are few enough to speak of."""
    known = [
        word
        for value in column
        if value is not None
        for word in (value if isinstance(value, tuple) else (value,))
    ]
    if known and isinstance(known[0], float):
        return len(set(known)) > 1
    fewest = 1 if len(known) < len(column) else 2  # one value tells those that have it from the others
    return fewest <= len(set(known)) < min(SHOWN_VALUES, max(len(known), 2))


def build_listeners(workspace: Workspace, data: Data) -> Listeners:
    """The logs' users with what the data say of them; without logs, listeners without a past."""
    users = [str(user) for user in data.histories.users]
    if not users:
        return Listeners(("listener-1",), (Profile(),), (np.empty(0, np.int64),))
    known: dict[str, dict[str, Any]] = defaultdict(dict)
    path = workspace.data / PROFILES_FILE
    if path.exists():
        fields = set(Profile.__dataclass_fields__) - {"culture", "top_creator", "top_genre"}
        known |= {
            row["user_id"]: {k: v for k, v in row.items() if k in fields}
            for row in read_table(path).to_pylist()
        }
    bounds = data.histories.offsets
    rows = tuple(data.histories.items[start:stop] for start, stop in pairwise(bounds))
    return Listeners(tuple(users), tuple(Profile(**known[user]) for user in users), rows)


def _attribute_words(attributes: list[str] | None, names: Names) -> Mapping[str, list[str]]:
    """The values of attributes by field."""
    fields: dict[str, list[str]] = {}
    for name, value in map(names.field, attributes or ()):
        fields.setdefault(name, []).append(value)
    return fields
