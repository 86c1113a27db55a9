"""Every table that crosses a folder: its Arrow schema, and `check`, the one way in.

pyarrow does not enforce non-null fields when a table is built, so `check` casts and verifies.
"""

from __future__ import annotations

import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.schema.columns import complete, present
from tastemaker.schema.values import plainly


def _field(name: str, kind: pa.DataType) -> pa.Field:
    """A field that may not be null."""
    return pa.field(name, kind, nullable=False)


ITEMS = pa.schema(
    [
        _field("item_id", pa.string()),
        pa.field("title", pa.string()),
        pa.field("text", pa.string()),
        pa.field("attributes", pa.list_(pa.string())),
        pa.field("creator", pa.string()),
        pa.field("audio", pa.string()),
        pa.field("image", pa.string()),
        pa.field("created_at", pa.timestamp("us", tz="UTC")),
    ]
)

# `position` orders events inside a user; a table with timestamps alone gets its positions at ingest.
INTERACTIONS = pa.schema(
    [
        _field("user_id", pa.string()),
        _field("item_id", pa.string()),
        _field("position", pa.int64()),
        pa.field("timestamp", pa.timestamp("us", tz="UTC")),
        pa.field("kind", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("request_id", pa.string()),
    ]
)

ANONYMOUS = "(bare history)"  # who a slate is made for when nobody said who asks


def check_person(user_id: str) -> None:
    """Raises InputError on the one name that stands for nobody."""
    if user_id.strip() == ANONYMOUS:
        raise InputError(f"'{ANONYMOUS}' is no person: it stands for whoever gives no id; choose another id")


# The last two are filled where a certified policy was served beside pi0: what either of them gave the shown
# item there.
SLATES = pa.schema(
    [
        _field("request_id", pa.string()),
        _field("user_id", pa.string()),
        _field("timestamp", pa.timestamp("us", tz="UTC")),
        _field("position", pa.int32()),
        _field("item_id", pa.string()),
        _field("propensity", pa.float64()),
        pa.field("prefix_propensity", pa.float64()),
        _field("policy_id", pa.string()),
        pa.field("policy_propensity", pa.float64()),
        pa.field("reference_propensity", pa.float64()),
    ]
)

# One row a question shown; a null answer: shown, not answered. `question`: "return", "worth", "interest" or
# the user's own.
SURVEYS = pa.schema(
    [
        _field("user_id", pa.string()),
        _field("item_id", pa.string()),
        _field("question", pa.string()),
        _field("asked_probability", pa.float64()),
        pa.field("answer", pa.int64()),
        pa.field("timestamp", pa.timestamp("us", tz="UTC")),
    ]
)

# Fixed-size lists have a size only a table knows, so the schemas of vectors and codes are functions of it.


def item_vectors_schema(dimensions: int) -> pa.Schema:
    """`item_vectors`: one row an item and modality; a missing view is a null vector, never zeros."""
    return pa.schema(
        [
            _field("item_id", pa.string()),
            _field("modality", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), dimensions)),
        ]
    )


def item_tokens_schema(levels: int) -> pa.Schema:
    """`item_tokens`: the Semantic ID of each item, `levels` codes, and its codebook's version."""
    return pa.schema(
        [
            _field("item_id", pa.string()),
            _field("codes", pa.list_(pa.int32(), levels)),
            _field("version", pa.string()),
        ]
    )


# `loss_mask[t]` is above 0 where token t is to be predicted from the tokens before it: its weight beside the
# others', mostly 1.
EXAMPLES = pa.schema(
    [
        _field("tokens", pa.list_(pa.int32())),
        _field("loss_mask", pa.list_(pa.int8())),
        _field("weight", pa.float32()),
        _field("source", pa.string()),
    ]
)


def _struct(**fields: pa.DataType) -> pa.DataType:
    """A struct whose fields may be null: only tables say what may not."""
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])


_CLAUSE = _struct(
    field=pa.string(), cmp=pa.string(), value=pa.string()
)  # the value as JSON: text, number or list
_WISH = {"kind": pa.string(), "clause": _CLAUSE, "reference": pa.string(), "medium": pa.string()}
_CANDIDATE = _struct(
    handle=pa.string(), item_id=pa.string(), sources=pa.list_(pa.string()), violates=pa.string()
)
_TOOL = _struct(
    text=pa.string(),
    wishes=pa.list_(_struct(**_WISH)),
    handles=pa.list_(pa.string()),
    count=pa.int64(),
    tries=pa.int32(),
    by=pa.string(),
)
_TURN = _struct(
    turn=pa.int32(),
    message=pa.string(),
    delta=pa.list_(_struct(op=pa.string(), **_WISH)),
    media=pa.list_(_struct(kind=pa.string(), sha256=pa.string())),
    handle=pa.string(),
    item_id=pa.string(),
    nothing_fits=pa.bool_(),
    relaxations=pa.list_(_struct(field=pa.string(), n_fit=pa.int64())),
    candidates=pa.list_(_CANDIDATE),
    candidates_hash=pa.string(),
    n_fit=pa.int64(),
    reply=pa.string(),
    listener_thought=pa.string(),
    recommender_thought=pa.string(),
    tool=_TOOL,
    asks=pa.string(),
)
_PROFILE = _struct(
    age=pa.int32(),
    age_group=pa.string(),
    country_code=pa.string(),
    country_name=pa.string(),
    gender=pa.string(),
    preferred_language=pa.string(),
    culture=pa.string(),
    top_creator=pa.string(),
    top_genre=pa.string(),
)
_GOAL = _struct(
    category=pa.string(),
    specificity=pa.string(),
    text=pa.string(),
    expertise=pa.string(),
    seed=pa.int64(),
    demands=pa.list_(_struct(**_WISH)),
)

# One row a conversation. A turn whose item is null had nothing to offer; `progress` is keyed by the turn of
# the judged item.
CONVERSATIONS = pa.schema(
    [
        _field("conversation_id", pa.string()),
        _field("user_id", pa.string()),
        _field("profile", _PROFILE),
        _field("goal", _GOAL),
        _field("turns", pa.list_(_TURN)),
        _field("progress", pa.list_(_struct(item_turn=pa.int32(), label=pa.string(), overruled=pa.bool_()))),
        _field("checks", pa.list_(_struct(name=pa.string(), value=pa.float64(), ok=pa.bool_()))),
        _field("settings_hash", pa.string()),
    ]
)


def _first_unread(column: pa.ChunkedArray, kind: pa.DataType) -> int:
    """The first row that cannot be cast; 0 where no single one is to blame."""
    low, high = 0, len(column)
    while high - low > 1:  # the first lies in the first half that cannot be cast
        middle = (low + high) // 2
        try:
            column.slice(low, middle - low).cast(kind)
            low = middle
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            high = middle
    return low


def check(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """Cast `table` to `schema` and verify it: columns present, types convertible, no null where none may be.

    Optional columns that are absent are added as nulls; columns the schema does not know are dropped.

    Raises InputError naming the table, the column and the first offending row.
    """
    columns = []
    for field in schema:
        if field.nullable and field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        try:
            column = present(table, field.name, name).cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            row = _first_unread(table[field.name], field.type)
            why = str(error) + plainly(table[field.name][row]) * pa.types.is_floating(field.type)
            raise InputError(
                f"{name}: row {row + 1}, column '{field.name}' cannot be read as {field.type}: {why}"
            ) from None
        if not field.nullable:
            complete(column, field.name, name)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)
