"""A second model reads what the listener said: which of several wishes does the message ask for? Among them
are two that were not meant, so that a model which says yes to everything agrees with nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tastemaker.converse.agents.answers import ListenerAnswer, ReaderAnswer
from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Change
from tastemaker.converse.goals.draw import clause_about
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.language.readers import Utterance, evident
from tastemaker.converse.views import ListenerView, ReaderView

AGREES, SAID_AGAIN, DIFFERS = "agrees", "agrees, said again", "differs"
DECOYS = 2
_TRIES = 12
Say = Callable[[ListenerView], ListenerAnswer]
Read = Callable[[ReaderView, Callable[[ReaderAnswer], str | None]], ReaderAnswer]


def heard_twice(
    view: ListenerView, say: Say, read: Read, decoys: Callable[[str], Sequence[Change]]
) -> tuple[ListenerAnswer, str]:
    """The listener's message, said once more where the second reader takes it otherwise than it was meant,
    and one of `AGREES`, `SAID_AGAIN`, `DIFFERS`.
    """
    verdicts = (AGREES, SAID_AGAIN)
    for verdict in verdicts:
        answer = say(view)
        meant = [(change, True) for change in view.changes]
        asked = [*meant, *((change, False) for change in decoys(answer.message))]
        asked.sort(key=lambda pair: repr(pair[0]))  # an order that tells nothing
        wishes = tuple(change for change, _ in asked)
        heard = read(ReaderView(answer.message, wishes, view.names), _shape(len(wishes))).asked
        wrong = tuple(change for (change, truth), yes in zip(asked, heard, strict=True) if yes != truth)
        if not wrong:
            return answer, verdict
        view = replace(view, misheard=(answer.message, wrong))
    return answer, DIFFERS


def _shape(count: int) -> Callable[[ReaderAnswer], str | None]:
    return lambda answer: (
        None if len(answer.asked) == count else f"asked has {len(answer.asked)} values, not {count}"
    )


def decoys(
    view: ListenerView, catalogue: Catalogue, lexicon: Lexicon, rng: np.random.Generator
) -> Callable[[str], tuple[Change, ...]]:
    """For a message, wishes that it does not make: about other fields than it is about, and not in its
    words.
    """
    taken = {change.clause.field for change in view.changes} | {line.clause.field for line in view.active}
    fields = [name for name, about in catalogue.fields.items() if about.kind == "word" and name not in taken]

    def drawn(message: str) -> tuple[Change, ...]:
        wishes: dict[str, Change] = {}
        for _ in range(_TRIES if fields else 0):
            name = fields[int(rng.integers(len(fields)))]
            clause = clause_about(catalogue, name, int(rng.integers(len(catalogue))), rng)
            change = None if clause is None else Change("add", "must", clause)
            if change is not None and not evident(change, Utterance(message), lexicon):
                wishes.setdefault(name, change)
        return tuple(wishes.values())[:DECOYS]

    return drawn
