"""Items of a list that are told apart by what they are: "the red one"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tastemaker.assist.ranking import telling
from tastemaker.assist.shelf import Shelf
from tastemaker.converse.reading.plain import ORDINALS

_VALUED = re.compile(r"\b(?:the|that|this) ((?:[\w'-]+ ){1,3}?)one\b", re.IGNORECASE)


def placed(message: str, shown: Sequence[int], shelf: Shelf) -> str:
    """A message with places for values that one item alone of the list has: "the second one" for "the red
    one".
    """
    for hit in reversed(list(_VALUED.finditer(message)) if shown else []):
        wishes = shelf.wishes.read(hit[1])
        if not wishes.changes or telling(wishes.left) or any(c.op != "add" for c in wishes.changes):
            continue
        holds = shelf.adherence([change.constraint for change in wishes.changes]).holds
        places = [place for place, row in enumerate(shown) if holds[row]]
        if len(places) == 1 and places[0] < len(ORDINALS):
            message = f"{message[: hit.start()]}the {ORDINALS[places[0]]} one{message[hit.end() :]}"
    return message
