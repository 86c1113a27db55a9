"""What a text shows by itself: what no text may hold, what is no English, what was said before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tastemaker.converse.claims import FORBIDDEN, HIDDEN
from tastemaker.converse.reading.words import chat, stop_words

FORBIDDEN_KINDS = ("link", "markup", "personal", "injection")
LONG = 8  # words from which a text said again is an echo; shorter ones are common
LEAST_PLAIN = 0.1  # share of everyday words below which a sentence is no English
_SENTENCE = re.compile(r"(?<=[.!?…])[\"”]?\s+|\n+")
_QUOTED = re.compile(r"[“\"][^”\"]*[”\"]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_RUN = re.compile(r"[bcdfghjklmnpqrstvwxz]{5,}|^[bcdfghjklmnpqrstvwxz]{3,}$", re.IGNORECASE)
_SHORT = {"i'm", "i'd", "i'll", "it's", "that's", "let's", "don't", "you'd"}


def text_faults(text: str, language: str | None) -> Iterator[str]:
    """Names of faults: forbidden (once a kind), garbled. language: what the listener speaks, if known."""
    for kind, pattern in FORBIDDEN:
        if kind in FORBIDDEN_KINDS and pattern.search(text):
            yield "forbidden"
    if HIDDEN.search(text):
        yield "forbidden"
    if (language or "english").casefold() in ("en", "english") and garbled(text):
        yield "garbled"


def garbled(text: str) -> bool:
    """Whether a sentence (4 words or more) has next to no everyday word, or two nobody can pronounce."""
    everyday = stop_words() | chat() | _SHORT
    for sentence in _SENTENCE.split(_QUOTED.sub(" ", text)):
        words = [word.casefold().replace("’", "'") for word in _WORD.findall(sentence)]
        if len(words) < 4:
            continue
        plain = sum(word in everyday or word.split("'")[0] in everyday for word in words)
        if plain / len(words) < LEAST_PLAIN or sum(bool(_RUN.search(word)) for word in words) > 1:
            return True
    return False


@dataclass
class Copies:
    """What each side said so far in one conversation."""

    texts: set[tuple[str, str]] = field(default_factory=set)

    def seen(self, side: str, text: str) -> bool:
        """Whether a text stood before, or holds one sentence of four words twice; it counts as said."""
        sentences = [part.strip().casefold() for part in _SENTENCE.split(text)]
        long = [sentence for sentence in sentences if len(sentence.split()) >= 4]
        again = len(long) > len(set(long)) or (
            len(text.split()) >= LONG and (side, text.casefold()) in self.texts
        )
        self.texts.add((side, text.casefold()))
        return again and bool(text.strip())
