"""Goals by keyed draws: a template, a seed item, and clauses that leave as many items as the letters ask."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection
from copy import copy
from dataclasses import dataclass

import numpy as np

from tastemaker.converse.catalogue import FAMILY, Catalogue
from tastemaker.converse.constraints import Change, Clause, Constraint, Match, count_fits, feasible
from tastemaker.converse.goals.templates import Template, fields_of_role, templates
from tastemaker.converse.language.lexicon import Lexicon, fact_words
from tastemaker.converse.record import value_json
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

ATTEMPTS = 80
Recognises = Callable[[str, int], bool]


@dataclass(frozen=True)
class Draft:
    """A goal before an agent rewords it: its template, text, demands (delta), the part of them that the first
    message tells (opening), how many items fit all, and the item it was drawn from.
    """

    template: Template
    text: str
    delta: tuple[Change, ...]
    opening: tuple[Change, ...]
    n_first: int
    item: int
    seed: int
    expertise: str


def clause_about(catalogue: Catalogue, field: str, row: int, rng: np.random.Generator) -> Clause | None:
    """A clause that item `row` satisfies: its word, one of its words, or a range of a tenth of the span
    around its number.
    """
    value = catalogue.columns[field][row]
    if value is None:
        return None
    if isinstance(value, tuple):
        return Clause(field, "contains", value[int(rng.integers(len(value)))]) if value else None
    if isinstance(value, str):
        return Clause(field, "eq", value)
    about = catalogue.fields[field]
    margin = max((about.high - about.low) / 10.0, 1.0)
    low, high = float(np.floor(value - margin / 2)), float(np.ceil(value + margin / 2))
    return (Clause(field, "between", (low, high)), Clause(field, "ge", low), Clause(field, "le", high))[
        int(rng.integers(3))
    ]


class Sampler:
    """Draws goals for a catalogue. skipped: template name -> why no goal of it is drawn."""

    def __init__(
        self,
        catalogue: Catalogue,
        match: Match,
        lexicon: Lexicon,
        seed: int,
        media: Collection[str] = (),
        recognises: Recognises | None = None,
    ) -> None:
        self.catalogue, self.match, self.lexicon, self.seed = catalogue, match, lexicon, seed
        self.recognises, self.media = recognises, frozenset(media)
        self.rows = np.arange(len(catalogue))
        self.skipped: dict[str, str] = {}
        self.redrawn: Counter[str] = Counter()
        self.feasible = tuple(template for template in templates() if self._possible(template))

    def restricted(self, rows: Collection[int]) -> Sampler:
        """The same sampler with goals about these rows alone; which templates can be filled stays as it
        is.
        """
        narrowed = copy(self)
        narrowed.rows = np.array(sorted(rows), np.int64)
        return narrowed

    def _possible(self, template: Template) -> bool:
        """Whether the template can be filled at all; the reason is kept when it cannot."""
        for role in template.slots.values():
            if not fields_of_role(role, self.catalogue.fields):
                self.skipped[template.name] = f"the catalogue has no field for '{role}'"
                return False
        if template.media and template.media not in self.media:
            self.skipped[template.name] = f"the model or the catalogue has no {template.media}"
            return False
        if self._fill(template, generator(self.seed, "goal feasible", template.name)) is None:
            self.skipped[template.name] = (
                f"no request with the wanted number of fitting items in {ATTEMPTS} draws"
            )
            return False
        return True

    def draw(self, index: int) -> Draft:
        """Goal number `index`. A template whose draws all fail this time is counted in `redrawn` and another
        takes its place.

        Raises InputError when no template at all can be filled, with the reasons.
        """
        if not self.feasible:
            reasons = "; ".join(sorted(set(self.skipped.values())))
            raise InputError(
                f"no conversation goal can be drawn from this catalogue: {reasons}; give the items attributes"
                " field=value"
            )
        rng = generator(self.seed, "goal", index)
        for place in rng.permutation(len(self.feasible)):
            template = self.feasible[int(place)]
            if (draft := self._fill(template, rng)) is not None:
                return draft
            self.redrawn[template.name] += 1
        raise InputError(
            f"goal {index}: no template could be filled; the catalogue has too few items that share"
            " attributes"
        )

    def _fill(self, template: Template, rng: np.random.Generator) -> Draft | None:
        for _ in range(ATTEMPTS):
            row = int(self.rows[int(rng.integers(len(self.rows)))])
            constraints, slots = self._constraints(template, row, rng)
            if constraints is None:
                continue
            n_first = self._fits(constraints)
            if feasible(template.specificity, n_first):
                return self._draft(template, row, constraints, slots, n_first, rng)
        return None

    def _fits(self, constraints: tuple[Constraint, ...]) -> int:
        return count_fits(constraints, self.match, self.catalogue.family_codes, ())

    def _constraints(
        self, template: Template, row: int, rng: np.random.Generator
    ) -> tuple[tuple[Constraint, ...] | None, dict[str, Clause]]:
        """Constraints about item `row`: one a slot, then further facts until the letters are met or the
        template's most is reached.
        """
        slots: dict[str, Clause] = {}
        shown: tuple[Constraint, ...] = ()
        if template.media:
            if self.recognises is not None and not self.recognises(template.media, row):
                return None, {}
            about = Clause(FAMILY, "same_group", self.catalogue.item_ids[row])
            shown = (Constraint("must", about, template.media),)
        for name, role in template.slots.items():
            options = [
                field
                for field in fields_of_role(role, self.catalogue.fields)
                if field not in {c.field for c in slots.values()}
            ]
            clause = (
                clause_about(self.catalogue, options[int(rng.integers(len(options)))], row, rng)
                if options
                else None
            )
            if clause is None:
                return None, {}
            slots[name] = clause
        constraints = (*shown, *(Constraint("must", clause) for clause in slots.values()))
        most = (
            int(rng.integers(template.extra[0], template.extra[1] + 1))
            if template.specificity[1] == "L"
            else template.extra[1]
        )
        first = len(constraints)
        others = [
            name
            for name in fields_of_role("any", self.catalogue.fields)
            if name not in {c.field for c in slots.values()}
        ]
        for place in rng.permutation(len(others)):
            added = len(constraints) - first
            enough = added >= template.extra[0] and feasible(template.specificity, self._fits(constraints))
            if added >= most or (enough and template.specificity[1] == "H"):
                break
            if (clause := clause_about(self.catalogue, others[int(place)], row, rng)) is not None:
                constraints = (*constraints, Constraint("must", clause))
        return (constraints, slots) if len(constraints) - first >= template.extra[0] else (None, {})

    def _draft(
        self,
        template: Template,
        row: int,
        constraints: tuple[Constraint, ...],
        slots: dict[str, Clause],
        n: int,
        rng: np.random.Generator,
    ) -> Draft:
        words = {name: fact_words(clause, self.lexicon) for name, clause in slots.items()}
        first = len(slots) + bool(template.media)
        additions = [fact_words(constraint.clause, self.lexicon) for constraint in constraints[first:]]
        text = template.fill(int(rng.integers(len(template.variants))), words, additions)
        delta = tuple(
            Change("add", constraint.kind, constraint.clause, constraint.reference, constraint.medium)
            for constraint in constraints
        )
        key = "\n".join(
            [
                template.name,
                *sorted(f"{w.clause.field} {w.clause.cmp} {value_json(w.clause.value)}" for w in constraints),
            ]
        )
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
        expertise = ("novice", "expert")[int(rng.integers(2))]
        return Draft(template, text, delta, _opening(template, delta), n, row, seed, expertise)


def _opening(template: Template, delta: tuple[Change, ...]) -> tuple[Change, ...]:
    """What is told first of a goal: one wish of it where the first letter is L (vague), more where it is H:
    all but one, or half of them where only a few items satisfy all. What an attachment shows comes later.
    """
    words = tuple(change for change in delta if not change.attached)
    if template.specificity[0] == "L":
        return words[:1]
    most = len(delta) - 1 if template.specificity[1] == "L" else len(delta) // 2
    return words[: max(1, most)]


def sample(sampler: Sampler, n: int) -> list[Draft]:
    """Goals 0..n-1 of a sampler."""
    return [sampler.draw(index) for index in range(n)]
