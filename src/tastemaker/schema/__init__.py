"""What crosses a folder: every table with its Arrow schema, and the one table of event kinds."""

import tastemaker.schema.columns as columns
from tastemaker.schema.events import KINDS, EventKind, EventRules, kind_named, kind_of
from tastemaker.schema.tables import (
    ANONYMOUS,
    CONVERSATIONS,
    EXAMPLES,
    INTERACTIONS,
    ITEMS,
    SLATES,
    SURVEYS,
    check,
    check_person,
    item_tokens_schema,
    item_vectors_schema,
)

__all__ = [
    "ANONYMOUS",
    "CONVERSATIONS",
    "EXAMPLES",
    "INTERACTIONS",
    "ITEMS",
    "KINDS",
    "SLATES",
    "SURVEYS",
    "EventKind",
    "EventRules",
    "check",
    "check_person",
    "columns",
    "item_tokens_schema",
    "item_vectors_schema",
    "kind_named",
    "kind_of",
]
