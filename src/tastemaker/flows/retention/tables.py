"""Tables as the retention commands read them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pyarrow as pa

from tastemaker.retention.weights.design import far_values
from tastemaker.store.tables import IDS, read_typed

__all__ = ["IDS", "read_typed", "warn_of_slips"]


def warn_of_slips(table: pa.Table, features: Sequence[str], name: str) -> None:
    """Name on stderr what looks like a code for "missing" or a slip among the features."""
    for text in far_values(table, features, name):
        logging.getLogger("tastemaker").warning("%s: %s", name, text)
