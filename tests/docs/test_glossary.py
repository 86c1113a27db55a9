"""docs/glossary.md names each term of art once, in order, and in the field's words."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
GLOSSARY = (DOCS / "glossary.md").read_text()
TERMS = re.findall(r"^\| \*\*(.+?)\*\* \|", GLOSSARY, flags=re.M)
HOUSEHOLD = re.compile(r"\b(dials?|heat|wish|fame|ladder|sitting|standing wishes)\b", re.I)


def test_each_term_once_and_in_order() -> None:
    names = [name.strip() for term in TERMS for name in term.split(",")]
    assert len(names) == len(set(names)) > 80
    assert sorted(map(str.casefold, TERMS)) == list(map(str.casefold, TERMS))


def test_the_terms_that_the_commands_print_are_explained() -> None:
    named = " ".join(TERMS).casefold()
    for term in [
        "semantic id",
        "slate",
        "query",
        "propensity",
        "pool",
        "deployment",
        "certificate",
        "ledger",
        "proxy",
        "policy",
        "temperature",
        "tombstone",
        "artifact",
        "catalogue",
        "stage",
        "memory",
        "candidate sequence",
        "comparison",
        "codebook",
        "trie",
    ]:
        assert term in named, term


def test_pages_for_everybody_use_no_household_words() -> None:
    for name in ("glossary", "for-listeners", "quickstart", "architecture"):
        assert HOUSEHOLD.findall((DOCS / f"{name}.md").read_text()) == [], name
