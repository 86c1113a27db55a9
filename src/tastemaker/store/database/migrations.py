"""The tables of the database, version by version."""

from __future__ import annotations

import re
from importlib.resources import files

_PARTS = re.split(
    r"^-- version \d+$", files(__package__).joinpath("migrations.sql").read_text("utf-8"), flags=re.M
)[1:]
# Each entry brings the database from version i to i + 1.
MIGRATIONS: tuple[tuple[str, ...], ...] = tuple(
    tuple(re.sub(r"^--.*\n", "", part, flags=re.M).strip().removesuffix(";").split(";\n")) for part in _PARTS
)
VERSION = len(MIGRATIONS)
# Tables that hold something about a person, and the column that names them: what erasing empties.
PERSONAL = {
    "events": "user_id",
    "slates": "user_id",
    "offers": "user_id",
    "surveys": "user_id",
    "impressions": "user_id",
    "exposures": "unit",
    "talks": "user_id",
}
