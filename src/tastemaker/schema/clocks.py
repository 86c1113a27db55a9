"""Times as programs and people spell them, in the spelling of ISO 8601."""

from __future__ import annotations

import polars as pl

# Hours from UTC of zones whose letters stand for one alone (CST, IST and BST do not)
_ZONES = {"CEST": 2, "CET": 1, "EEST": 3, "EET": 2, "WEST": 1, "WET": 0, "MSK": 3, "JST": 9, "KST": 9}
_ZONES |= {
    "EST": -5,
    "EDT": -4,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "AEST": 10,
    "AEDT": 11,
}


def iso(text: pl.Series) -> pl.Series:
    """Times as PostgreSQL (+02), Go (+0000 UTC), Java (seconds,123), JavaScript (GMT+0200), DB2 and Oracle
    (10.13.20) write them, with / or 年月日 in the date or without any marks (20230510T112003Z), as ISO 8601
    has them.
    """
    return (
        text.str.replace(r" ?\+0000 UTC$", "+00:00")
        .str.replace(r" \([^)]*\)$", "")
        .str.replace(r" ?(?:GMT|UTC) ?([+-])(\d)(:?\d\d)?$", "${1}0${2}:00")
        .str.replace(r" ?(?:GMT|UTC) ?([+-]\d\d):?(\d\d)?$", "${1}:${2}")
        .str.replace(r"([+-]\d\d):$", "${1}:00")
        .str.replace(r"(?i)([ap])\.m\.$", "${1}m")
        .str.replace(r"(\d{4})\s*[年년]\s*(\d\d?)\s*[月월]\s*(\d\d?)\s*[日일]", "${1}-${2}-${3}")
        .str.replace(r"^(\d{4}-\d\d-\d\d)[-_ ]+(\d\d)[.:-](\d\d)[.:-](\d\d)", "${1}T${2}:${3}:${4}")
        .str.replace(r"^(\S+) (\d\d?)\.(\d\d)\.(\d\d)(?:\.\d+)?( |$)", "${1} ${2}:${3}:${4}${5}")
        .str.replace(r"^(\d\d?[./-]\S+) (\d\d?)\.(\d\d)$", "${1} ${2}:${3}")
        .str.replace_many([f" {name}" for name in _ZONES], [f"{hours:+03d}:00" for hours in _ZONES.values()])
        .str.replace(r"(:\d\d(?:\.\d+)?) ?([+-]\d\d)$", "${1}${2}:00")
        .str.replace(r"(:\d\d),(\d{1,9})(\D|$)", "${1}.${2}${3}")
        .str.replace(r"^(\d{4})[/.](\d\d?)[/.](\d\d?)(\D|$)", "${1}-${2}-${3}${4}")
        .str.replace(r"^(\d{4})(\d\d)(\d\d)[T ](\d\d):?(\d\d):?(\d\d)", "${1}-${2}-${3}T${4}:${5}:${6}")
    )
