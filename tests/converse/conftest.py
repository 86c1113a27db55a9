"""A world of invented tunes for every test of conversations, and some conversations of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tastemaker.chat import Engine, EngineSettings, Media, PaceSettings, Request
from tastemaker.converse.agents import prompts
from tastemaker.converse.agents.dialogue import World, converse
from tastemaker.converse.agents.plan import Listeners, PlanSettings, make_plan
from tastemaker.converse.audits.turns import Known, check
from tastemaker.converse.candidates import Tools
from tastemaker.converse.catalogue import FAMILY, Catalogue
from tastemaker.converse.goals import Sampler
from tastemaker.converse.language.lexicon import build
from tastemaker.converse.record import Conversation, Profile
from tastemaker.converse.rules import RuleChat
from tastemaker.demo.tunes import catalogue as tune_catalogue
from tastemaker.retrieve.baselines import Lexical
from tastemaker.retrieve.facts import Matcher, top

N = 240


def make_catalogue(n: int = N) -> Catalogue:
    """Invented tunes with typed facts."""
    items, facts = tune_catalogue(n, books=("procedural",))
    columns: dict[str, dict[int, Any]] = defaultdict(dict)
    for row, attributes in enumerate(items["attributes"].to_pylist()):
        for attribute in attributes:
            name, _, value = attribute.partition("=")
            columns[name][row] = float(value) if name == "tempo_bpm" else value
    full = {
        name: tuple(values.get(row) for row in range(n))
        for name, values in columns.items()
        if len(set(values.values())) > 1
    }
    ids, families = tuple(items["item_id"].to_pylist()), tuple(facts["family_id"].to_pylist())
    full[FAMILY] = families
    titles = tuple(items["title"].to_pylist())
    aliases = tuple(tuple(names) for names in facts["aliases"].to_pylist())
    return Catalogue(ids, titles, aliases, (None,) * n, families, full, np.arange(n, dtype=np.int64) % 17)


class Small:
    """A world, its sampler and listeners, and a way to play conversation i; `prompts` keeps every view and
    rendered prompt.
    """

    def __init__(
        self,
        pool: str = "catalogue",
        turns: tuple[int, int] = (8, 8),
        seed: int = 0,
        catalogue: Catalogue | None = None,
    ):
        self.catalogue = catalogue or make_catalogue()
        n = len(self.catalogue)
        self.lexicon = build(self.catalogue.fields)
        self.pictures = {row: Media(f"picture of row {row}".encode(), "image/png") for row in range(n)}
        by_hash = {media.sha256: row for row, media in self.pictures.items()}
        near = lambda field, row: np.arange(n) % 7 == row % 7 if field == "audio" else None  # noqa: E731
        self.match = Matcher(self.catalogue.item_ids, self.catalogue.columns, near)
        lexical = Lexical(
            [
                " ".join([title, *(str(v) for _, v in self.catalogue.facts(r))])
                for r, title in enumerate(self.catalogue.titles)
            ]
        )
        tools = Tools(
            match=self.match,
            sources={
                "bm25": lambda query, k: list(top(lexical.search([query.text])[0], k)),
                "popularity": lambda query, k: list(np.argsort(-self.catalogue.played, kind="stable")[:k]),
            },
            recognise=lambda media: by_hash.get(media.sha256),
            attach=lambda kind, row: self.pictures[row] if kind == "image" else None,
            show=lambda row: (),
        )
        settings = PlanSettings(seed=seed, turns=turns, pool=pool)
        self.world = World(self.catalogue, self.lexicon, tools, settings)
        self.sampler = Sampler(
            self.catalogue, self.match, self.lexicon, seed, ("image",), lambda kind, row: kind == "image"
        )
        rng = np.random.default_rng(seed)
        histories = tuple(rng.permutation(n)[:36] for _ in range(40))
        profiles = tuple(Profile(age_group=f"age {u}", country_name=f"Land {u}") for u in range(40))
        self.listeners = Listeners(tuple(f"user-{u}" for u in range(40)), profiles, histories)
        self.known = Known(self.catalogue, self.match, self.lexicon)
        self.chat = RuleChat(self.lexicon, seed)
        self.asked: list[tuple[str, Any, tuple[Any, ...]]] = []

    def play(self, index: int, chat: Any = None) -> Conversation:
        """Conversation `index`."""
        plan = make_plan(index, self.sampler, self.listeners, self.world.settings, "test")
        engine = Engine(
            chat or self.chat, settings=EngineSettings(pace=PaceSettings(most=1), keep_calls=False)
        )

        def ask(role: str, view: Any, answer: Any, checked: Callable[[Any], str | None]) -> Any:
            messages = prompts.render(view)
            self.asked.append((role, view, messages))
            return engine.call(
                Request(messages, answer, unit=plan.conversation_id, kind=role, view=view), checked
            )

        return converse(plan, self.world, ask)  # type: ignore[arg-type]

    def faults(self, talk: Conversation) -> set[str]:
        """Names of the checks that fail."""
        return {line.name for line in check(talk, self.known) if not line.ok}


@pytest.fixture(scope="session")
def small() -> Small:
    """The default world."""
    return Small()


@pytest.fixture(scope="session")
def played(small: Small) -> list[Conversation]:
    """Sixteen conversations of eight turns."""
    return [small.play(index) for index in range(16)]
