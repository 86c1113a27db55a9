"""Everyday English, as data; and text folded so that spellings compare."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any


@lru_cache(maxsize=1)
def english() -> dict[str, Any]:
    """Everyday words for fields and values; they count where a catalogue has such a field or value."""
    data: dict[str, Any] = json.loads(
        files("tastemaker.converse.reading").joinpath("words.json").read_text("utf-8")
    )
    return data


@lru_cache(maxsize=1)
def compared() -> dict[str, tuple[str, list[str]]]:
    """Comparatives -> (way, stems of fields): "slower", and as it is also said, "more slow", "less fast"."""
    table: dict[str, tuple[str, list[str]]] = {
        w: (way, stems) for w, (way, stems) in english()["comparatives"].items()
    }
    for word, opposite in english()["too"].items():
        way, stems = table[opposite]
        table.setdefault(f"less {word}", (way, stems))
        table.setdefault(f"more {word}", ("up" if way == "down" else "down", stems))
    return table


@lru_cache(maxsize=1)
def chat() -> frozenset[str]:
    """Words of talk about wishes, which name nothing."""
    return frozenset(english()["chat"].split())


@lru_cache(maxsize=1)
def stop_words() -> frozenset[str]:
    """English words that name nothing, as scikit-learn has them; that takes a second to load, once needed."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)


def fold(text: str) -> str:
    """Small letters without accents; "&" is "and"; anything but letters and digits is one space."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("&", " and ").replace("’", "'"))
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[^\w]|_", " ", letters.replace("'", "")).split())


def singular(phrase: str, others: Mapping[str, int]) -> str:
    """One of a value in the plural as a pattern: "boot" for boots; empty where that is another word, or
    one of `others`.
    """
    hit = re.fullmatch(r"(.*[^\W\d]{2})(?:(ie)s|((?:s|sh|ch|x|z)e)s|(?<![su])s)", phrase, re.IGNORECASE)
    if hit is None or len(phrase) < 4:
        return ""
    noun = hit[1] + ("y" if hit[2] else hit[3][:-1] if hit[3] else "")
    own = fold(noun)
    known = others.get(own) or own in english()["too"] or own in english()["synonyms"]
    if known or {own, fold(phrase)} & (chat() | stop_words()):
        return ""
    return re.escape(hit[1]) + "(?:y|ie)" if hit[2] else re.escape(noun)
