"""Everything a conversation needs, wired once: catalogue, sources, media, goals, listeners, models."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

import tastemaker.plugins as plugins
from tastemaker.chat import Chat, Media, Reply, Request
from tastemaker.converse.agents.dialogue import World
from tastemaker.converse.agents.plan import Listeners, Plan, make_plan
from tastemaker.converse.audits.turns import Known
from tastemaker.converse.candidates import Query, Search, Tools
from tastemaker.converse.goals import Sampler
from tastemaker.converse.language.lexicon import Lexicon, build
from tastemaker.converse.record import Turn
from tastemaker.converse.rules import RuleChat
from tastemaker.encoders.text import fit_tfidf
from tastemaker.errors import InputError
from tastemaker.flows.converse.catalogue import build_catalogue, build_listeners
from tastemaker.flows.converse.media import Artefacts
from tastemaker.flows.converse.settings import RULES, RunSettings
from tastemaker.flows.data import Data, item_texts
from tastemaker.flows.pipeline import Pipeline, Report
from tastemaker.retrieve.baselines import Lexical, cooccurrence
from tastemaker.retrieve.evaluation import Lists
from tastemaker.retrieve.facts import Matcher, Near, top
from tastemaker.store import Workspace, fingerprint

KEY_VARIABLE = "TASTEMAKER_API_KEY"


@dataclass(frozen=True, eq=False)
class ConversationEnv:
    """One data set's environment: the plan of conversation i is `plan(i)`."""

    workspace: Workspace
    pipeline: Pipeline
    settings: RunSettings
    world: World
    sampler: Sampler
    listeners: Listeners
    artefacts: Artefacts
    identity: Mapping[str, object]

    @property
    def settings_hash(self) -> str:
        """Names the data set, whatever its size."""
        return fingerprint("conversations", {}, self.identity)

    @property
    def known(self) -> Known:
        """What audits and judges compare with."""
        world, listeners = self.world, self.listeners
        profiles = dict(zip(listeners.user_ids, listeners.profiles, strict=True))
        return Known(
            world.catalogue,
            world.tools.match,
            world.lexicon,
            self.settings.plan().turns,
            profiles,
            self._media,
        )

    def _media(self, turn: Turn) -> tuple[tuple[str, tuple[Media, ...]], ...]:
        """What a turn attaches and plays, as sound and picture, for judges that take them."""
        row = self.world.catalogue.row
        if not self.settings.kinds or turn.item_id not in row:
            return ()
        wanted = [(each.medium, row.get(str(each.clause.value))) for each in turn.delta if each.attached]
        media_or_none = [self.artefacts.attach(kind, item) for kind, item in wanted if item is not None]
        attachments = [media for media in media_or_none if media is not None]
        playable = [
            media
            for media in self.artefacts.show(row[str(turn.item_id)])
            if media.medium in self.settings.kinds
        ]
        return ("Attached to the message", tuple(attachments)), ("The item played", tuple(playable))

    def plan(self, index: int) -> Plan:
        """The plan of one conversation."""
        return make_plan(index, self.sampler, self.listeners, self.world.settings, self.settings_hash)


def open_env(folder: Path, settings: RunSettings, report: Report) -> ConversationEnv:
    """Wire the environment of a workspace.

    Raises InputError when the catalogue lacks what conversations need.
    """
    pipeline = Pipeline(Workspace.open(folder), report)
    report("catalogue", 0, 3, "facts")
    data = pipeline.data
    catalogue = build_catalogue(pipeline.workspace, data)
    artefacts = Artefacts(pipeline, settings.seed)
    report("catalogue", 1, 3, "search")
    lexicon = build(catalogue.fields, (name for name, _ in catalogue.folded_names))
    match = Matcher(catalogue.item_ids, catalogue.columns, artefacts.similar)
    shows = settings.model != RULES and settings.kinds
    tools = Tools(
        match=match,
        sources=sources(data, settings.seed),
        recognise=artefacts.recognise,
        attach=artefacts.attach,
        show=partial(_shown, artefacts, settings.kinds) if shows else lambda row: (),
    )
    report("catalogue", 2, 3, "goals")
    kinds = [kind for kind in settings.kinds if kind in artefacts.kinds]
    sampler = Sampler(catalogue, match, lexicon, settings.seed, kinds, artefacts.recognises)
    report("catalogue", 3, 3, "")
    vectors = pipeline.fingerprint("vectors") if pipeline.finished("vectors") else ""
    return ConversationEnv(
        workspace=pipeline.workspace,
        pipeline=pipeline,
        settings=settings,
        world=World(catalogue, lexicon, tools, settings.plan()),
        sampler=sampler,
        listeners=build_listeners(pipeline.workspace, data),
        artefacts=artefacts,
        identity=settings.identity(pipeline.tables, vectors),
    )


def _shown(artefacts: Artefacts, kinds: Sequence[str], row: int) -> tuple[Media, ...]:
    """An item's sound and picture, of the kinds that the model takes."""
    return tuple(media for media in artefacts.show(row) if media.medium in kinds)


def sources(data: Data, seed: int) -> dict[str, Search]:
    """Where candidates come from beside the match: words, meaning, co-occurrence, popularity."""
    texts = [text or "?" for text in item_texts(data.items)]
    lexical = Lexical(texts)
    encoder, vectors = fit_tfidf(texts, seed=seed)
    near = Near(vectors)
    related = cooccurrence(data.split.train, len(texts))
    popular = top(data.training_counts.astype(np.float64), len(texts))

    def together(query: Query, k: int) -> Sequence[int]:
        if not query.played:
            return ()
        context = Lists(np.array([0, len(query.played)]), np.array(query.played, np.int64))
        return list(top(related(context)[0], k))

    return {
        "bm25": lambda query, k: list(top(lexical.search([query.text])[0], k)),
        "dense": lambda query, k: list(near.ranked(encoder.transform([query.text])[0], k)),
        "cooccurrence": together,
        "popularity": lambda query, k: list(popular[:k]),
    }


ROLES = ("profile", "goal", "listener", "recommender")


@dataclass(frozen=True, eq=False)
class Cast:
    """A model a role; "" stands for every role that has none of its own."""

    chats: Mapping[str, Chat]

    @property
    def model(self) -> str:
        """All of them, with what they play."""
        return ",".join(f"{role or 'rest'}={chat.model}" for role, chat in sorted(self.chats.items()))

    def complete(self, request: Request[Any]) -> Reply:
        """The answer of the model that plays the request's role."""
        return self.chats.get(request.kind, self.chats[""]).complete(request)


def by_role(model: str) -> dict[str, str]:
    """ "listener=a@http://...,b@http://..." as role -> model; "" is every other role, by default rules."""
    parts = [part.strip() for part in model.split(",") if part.strip()]
    pairs = [part.partition("=") for part in parts]
    cast = {head: name for head, sign, name in pairs if sign and head in ROLES}
    defaults = [part for part in parts if part.partition("=")[0] not in ROLES]
    return {"": defaults[0] if defaults else RULES} | cast


def open_chat(model: str, lexicon: Lexicon, seed: int) -> Chat:
    """The back end that a model's name stands for, or one for each role of "role=NAME,...". An endpoint's key
    comes from TASTEMAKER_API_KEY, if that is set.

    Raises InputError for a name that is none of the three.
    """
    cast = by_role(model)
    if set(cast) == {""}:
        return _open(cast[""], lexicon, seed)
    return Cast({role: _open(name, lexicon, seed) for role, name in cast.items()})


def _open(model: str, lexicon: Lexicon, seed: int) -> Chat:
    if model == RULES:
        return RuleChat(lexicon, seed)
    name, _, url = model.partition("@")
    if url.startswith(("http://", "https://")):
        from tastemaker.chat.endpoint import Endpoint, EndpointSettings

        variable = KEY_VARIABLE if os.environ.get(KEY_VARIABLE) else None
        return Endpoint(EndpointSettings(base_url=url, model=name, key_variable=variable))
    if model in plugins.names("chat"):
        return cast(Chat, plugins.call("chat", model, model))
    raise InputError(
        f"model '{model}': give rules, NAME@URL, such as qwen3@http://localhost:8000/v1, or the name of an"
        f" installed plugin ({', '.join(plugins.names('chat')) or 'none is installed'}); one for a role as"
        f" listener=NAME@URL, of {', '.join(ROLES)}"
    )


def families(model: str) -> set[str]:
    """The families of all models of a cast."""
    return {family(name) for name in by_role(model).values()}


def family(model: str) -> str:
    """A model's family: its name up to a digit or one of `-/:@`. Judges must not be of the generator's."""
    name = model.split("@")[0].rstrip("/").rsplit("/", 1)[-1].casefold()
    letters = next((at for at, letter in enumerate(name) if not letter.isalpha()), len(name))
    return name[:letters] or name
