"""The 44 goal templates: 11 categories by 4 specificities, each with slots, need of media, and variants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from tastemaker.converse.catalogue import Field
from tastemaker.converse.constraints import Medium
from tastemaker.converse.language.lexicon import language_file

CATEGORIES = "ABCDEFGHIJK"
SPECIFICITIES = ("LL", "HL", "LH", "HH")
LEAST_COVERAGE = 0.3  # a field fewer items have is no basis for a request


@dataclass(frozen=True)
class Template:
    """One kind of goal. slots: name -> role of a field; extra: fewest and most further facts; media: what has
    to be attached.
    """

    category: str
    title: str
    specificity: str
    media: Medium | None
    slots: Mapping[str, str]
    extra: tuple[int, int]
    variants: tuple[str, ...]

    @property
    def name(self) -> str:
        """Category and specificity."""
        return f"{self.category}-{self.specificity}"

    def fill(self, variant: int, slots: Mapping[str, str], additions: Sequence[str]) -> str:
        """The goal's text; {, more} brings its own comma and vanishes when there is nothing more. A variant
        without a place for more gets a sentence for it.
        """
        text = self.variants[variant % len(self.variants)]
        further = ", ".join(additions)
        if further and "more}" not in text:
            text += f" It should also be right in this: {further}."
        for name, words in slots.items():
            text = text.replace("{" + name + "}", words)
        text = text.replace("{, more}", f", {further}" if further else "").replace("{more}", further)
        return text.replace(" ()", "").replace("(, ", "(")


@lru_cache(maxsize=1)
def templates() -> tuple[Template, ...]:
    """All templates of the data file, in its order."""
    data = json.loads(files("tastemaker.converse.goals").joinpath("templates.json").read_text("utf-8"))
    return tuple(
        Template(**{**template, "extra": tuple(template["extra"]), "variants": tuple(template["variants"])})
        for template in data["templates"]
    )


def fields_of_role(role: str, fields: Mapping[str, Field]) -> list[str]:
    """Fields that may fill a role, preferred first; "any": all, "fact": those without a role."""
    usable = [name for name, field in fields.items() if field.coverage >= LEAST_COVERAGE and varied(field)]
    roles = language_file()["roles"]
    if role == "any":
        return usable
    if role == "fact":
        reserved = {name for role in ("cover", "popularity", "maker", "words") for name in roles[role]}
        return [name for name in usable if name not in reserved]
    return [name for name in roles[role] if name in usable]


def varied(field: Field) -> bool:
    """Whether a field tells items apart."""
    return len(field.values) > 1 or field.low < field.high
