"""A model without a model: a `Chat` that plays every role by rules and a grammar from the view alone."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tastemaker.chat import Reply, Request, Usage
from tastemaker.chat.budget import estimated_input, estimated_output
from tastemaker.converse.agents.answers import (
    GoalAnswer,
    ListenerAnswer,
    ProfileAnswer,
    RecommenderAnswer,
)
from tastemaker.converse.audits.leaks import message_faults
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.language.readers import Mention, Readers, Utterance
from tastemaker.converse.language.speech import found_text, listener_text, nothing_text, persona
from tastemaker.converse.record import MOVES
from tastemaker.converse.views import GoalView, ListenerView, ProfileView, RecommenderView
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

DRAWS = 8  # messages drawn until one is read back as it was meant
ASKS = 0.45  # how often a reply ends with a question, where many items match
MANY = 6


class RuleChat:
    """Plays all four roles from their views: free of charge, no network, same view same answer."""

    model = "rules@2"

    def __init__(self, lexicon: Lexicon, seed: int = 0) -> None:
        self.lexicon, self.seed, self.readers = lexicon, seed, Readers(lexicon)

    def complete(self, request: Request[Any]) -> Reply:
        """Answer as the role whose view it is. Raises InputError for a view of no role of conversations."""
        answer = self._answer(request)
        text = json.dumps(answer.model_dump(), ensure_ascii=False)
        return Reply(text, Usage(estimated_input(request), estimated_output(text)))

    def _answer(self, request: Request[Any]) -> Any:
        view = request.view
        if isinstance(view, ProfileView):
            return self._profile(view)
        if isinstance(view, GoalView):
            return GoalAnswer(goal=view.text)
        if isinstance(view, ListenerView):
            return self._listen(view, request)
        if isinstance(view, RecommenderView):
            return self._recommend(view, request)
        raise InputError(
            f"the rule-based model plays the roles of conversations only; it got a view {type(view).__name__}"
        )

    def _profile(self, view: ProfileView) -> ProfileAnswer:
        """The creator that most tracks share; culture and genre are not to be told from names."""
        counts = Counter(track.creator for track in view.tracks if track.creator)
        best = max(sorted(counts), key=lambda name: counts[name]) if counts else None
        return ProfileAnswer(culture=None, top_creator=best, top_genre=None)

    def _listen(self, view: ListenerView, request: Request[Any]) -> ListenerAnswer:
        """The first drawn message that is read back as it was meant; the last one when none is."""
        who = persona(generator(self.seed, "persona", request.unit), self.lexicon)
        played = [turn.played.title for turn in view.dialogue if turn.played is not None]
        mentions = tuple(
            Mention(handle, handle, (title,)) for (handle, _), title in zip(view.names, played, strict=False)
        )
        for draw in range(DRAWS):
            key: tuple[str | int, ...] = (
                request.unit,
                view.turn,
                request.sample,
                len(request.messages),
                draw,
            )
            message = listener_text(view, self.lexicon, generator(self.seed, "listener", *key), who)
            misread = self.readers.misread(Utterance(message, mentions), view.changes, view.active)
            new = all(message != turn.message for turn in view.dialogue)
            if new and not any(misread) and not message_faults(message, view.goal):
                break
        lacks = f"the {view.lacks[0]} is not right yet" if view.lacks else "nothing is missing"
        why = {None: "I begin with what matters most.", MOVES: "That took me closer to what I am after."}
        return ListenerAnswer(thought=why.get(view.verdict, f"Not closer: {lacks}."), message=message)

    def _recommend(self, view: RecommenderView, request: Request[Any]) -> RecommenderAnswer:
        """The first candidate found; nothing_fits when there is none in the whole catalogue."""
        rng = generator(self.seed, "rules", request.unit, view.turn, request.sample, len(request.messages))
        if not view.candidates or not (view.count or view.must_choose):
            return RecommenderAnswer(
                thought="The search matches nothing; I say so and offer a way out.",
                handle=None,
                nothing_fits=True,
                message=nothing_text(view, self.lexicon, rng),
            )
        open_ = [item for item in view.candidates if item.handle not in view.played]
        fitting = [item for item in open_ if item.handle in view.matches]
        chosen = (fitting or open_)[0]
        fields = {change.clause.field for change in self.readers.read(Utterance(view.message))}
        earlier = [Utterance(turn.message) for turn in view.dialogue]
        known = fields | {change.clause.field for text in earlier for change in self.readers.read(text)}
        unasked = [name for name, _ in chosen.facts if name in self.lexicon.fields and name not in known]
        asks = None
        if unasked and view.count >= MANY and rng.random() < ASKS:
            asks = unasked[int(rng.integers(len(unasked)))]
        return RecommenderAnswer(
            thought=f"{view.count} items match what was said; {chosen.handle} is one of them.",
            handle=chosen.handle,
            nothing_fits=False,
            message=found_text(chosen, tuple(fields), asks, self.lexicon, rng),
            asks=asks,
        )
