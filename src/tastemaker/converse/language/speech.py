"""A paraphrase grammar: who speaks, in what mood and why, and many ways to ask, refuse, correct and let go.

A text holds [one|of|these], <rules> of the data file and {slots}; every draw is keyed, so that the same turn
says the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np

from tastemaker.converse.constraints import Clause, Constraint
from tastemaker.converse.language.lexicon import Lexicon, listed, phrase
from tastemaker.converse.language.readers import read_changes
from tastemaker.converse.record import MOVES
from tastemaker.converse.views import ListenerView, Offered, RecommenderView

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{\w+\}")
_TRIES = 6
_RULE = re.compile(r"<(\w+)>")
_SHOWN = 3
Persona = Mapping[str, str]
ASIDE = 0.3  # how often a reply tells a fact that was not asked about
STYLES = ("terse", "plain", "chatty", "chatty")
"""How much a listener says beside its wishes."""


@lru_cache(maxsize=1)
def grammar() -> dict[str, list[str]]:
    """The rules of the data file, by name; single words stand there in one string."""
    text = files("tastemaker.converse.language").joinpath("speech.json").read_text("utf-8")
    rules: dict[str, str | list[str]] = json.loads(text)
    return {name: texts.split() if isinstance(texts, str) else texts for name, texts in rules.items()}


def say(
    name: str,
    rng: np.random.Generator,
    who: Persona = MappingProxyType({}),
    fillers: Mapping[str, str] = MappingProxyType({}),
    lexicon: Lexicon | None = None,
    **slots: str,
) -> str:
    """One of a rule's texts; `who` fixes what a rule stands for. KeyError for unknown rules.

    lexicon: the text, without what its slots hold, is drawn anew while a reader takes a wish out of it, or it
    names an item: who is called as a tune is ("my sister Petronella") would give that tune away.
    """
    text = _frame(name, rng, who)
    for _ in range(_TRIES if lexicon else 0):
        assert lexicon is not None
        frame = _SLOT.sub("it", text)
        if not lexicon.names_title(frame) and all(c.kind == "prefer" for c in read_changes(lexicon, frame)):
            break
        text = _frame(name, rng, who)
    for slot, words in {**fillers, **slots}.items():
        text = text.replace("{" + slot + "}", words)
    return _tidy(text)


def _frame(name: str, rng: np.random.Generator, who: Persona) -> str:
    text = _drawn(grammar()[name], rng)
    while match := _RULE.search(text) or _CHOICE.search(text):
        options = match[1].split("|")
        if text[match.start()] == "<":
            options = [who[match[1]]] if match[1] in who else grammar()[match[1]]
        text = text[: match.start()] + _drawn(options, rng) + text[match.end() :]
    while "{it}" in text:
        text = text.replace("{it}", _drawn(grammar()["it"], rng), 1)
    return text


def _drawn(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _tidy(text: str) -> str:
    """Single spaces, none before a mark, "an" before a vowel, a capital at the beginning."""
    text = re.sub(r"\s+([,.!?;:])", r"\1", re.sub(r"\s+", " ", text)).strip()
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return text[:1].upper() + text[1:]


def persona(rng: np.random.Generator, lexicon: Lexicon | None = None) -> dict[str, str]:
    """Who speaks throughout a conversation: a calling, a companion, and a style."""
    drawn = {name: _lower(say(name, rng, lexicon=lexicon)) for name in ("who", "with")}
    return drawn | {"style": _drawn(STYLES, rng)}


def listener_text(
    view: ListenerView, lexicon: Lexicon, rng: np.random.Generator, who: Persona = MappingProxyType({})
) -> str:
    """A message: how the last item was, why this, then the wishes, each in words that are read back."""
    names, parts, style = dict(view.names), [], who.get("style", "plain")
    if view.turn == 1:
        parts += [say("intro", rng, who, lexicon=lexicon)] if style != "terse" or rng.random() < 0.3 else []
    elif view.verdict is not None:
        parts.append(_reaction(view, lexicon, rng, who))
    changed = {change.clause.field for change in view.changes}
    if view.asked and view.asked not in changed and view.asked in lexicon.fields and rng.random() < 0.8:
        parts.append(
            say("answer", rng, who, lexicon=lexicon, noun=_drawn(lexicon.fields[view.asked].nouns, rng))
        )
    wishes = _wishes(view, lexicon, rng, names)
    likely = {"terse": 0.1, "plain": 0.5, "chatty": 0.85}[style]
    reason = [say("reason", rng, who, lexicon=lexicon)] if rng.random() < likely else []
    parts += [*reason, *wishes] if rng.random() < 0.3 else [*wishes, *reason]
    if rng.random() < likely / 2:
        parts.append(say("tail", rng, who, lexicon=lexicon))
    return " ".join(part for part in parts if part)


def _wishes(
    view: ListenerView, lexicon: Lexicon, rng: np.random.Generator, names: Mapping[str, str]
) -> list[str]:
    """The changes as sentences: what is let go, what is put right, what is wanted, what is not."""
    if not view.changes:
        if view.verdict == MOVES or view.verdict is None:
            return [say("again", rng, lexicon=lexicon)]
        return [say("insist", rng, lexicon=lexicon, x=_together(view.active, lexicon, rng, names))]
    sentences = []
    wanted: list[Constraint] = []
    for change in view.changes:
        words = lexicon.fields.get(change.clause.field)
        if change.op == "drop":
            rule = "drop" if words is not None else "drop_likeness"
            sentences.append(
                say(rule, rng, lexicon=lexicon, noun=_drawn(words.nouns, rng) if words is not None else "")
            )
        elif change.op == "replace":
            sentences.append(
                say("swap", rng, lexicon=lexicon, x=phrase(change.constraint, lexicon, rng, names))
            )
        elif change.kind == "must_not":
            wish = Constraint("must", change.clause, change.medium, change.reference)
            sentences.append(say("refuse", rng, lexicon=lexicon, x=phrase(wish, lexicon, rng, names)))
        else:
            wanted.append(change.constraint)
    if wanted:
        sentences.append(say("ask", rng, lexicon=lexicon, x=_together(wanted, lexicon, rng, names)))
    return sentences


def _together(
    constraints: Sequence[Constraint],
    lexicon: Lexicon,
    rng: np.random.Generator,
    names: Mapping[str, str],
) -> str:
    phrases = {
        kind: [phrase(line, lexicon, rng, names) for line in constraints if line.kind == kind]
        for kind in ("must", "must_not")
    }
    return listed(phrases["must"], phrases["must_not"]) or "of your own choice"


def _reaction(view: ListenerView, lexicon: Lexicon, rng: np.random.Generator, who: Persona) -> str:
    last = view.dialogue[-1].played
    slots = {"title": last.title if last else "that one"}
    for slot, known, name in (("praise", view.has, "has"), ("lack", view.lacks, "lack")):
        nouns = [_drawn(lexicon.fields[field].nouns, rng) for field in known if field in lexicon.fields]
        rule = slot if nouns else f"{slot}_none"
        slots[slot] = _lower(
            say(rule, rng, who, lexicon=lexicon, fillers={name: _drawn(nouns, rng) if nouns else ""})
        )
    return say("moves" if view.verdict == MOVES else "stays", rng, who, lexicon=lexicon, fillers=slots)


def _lower(text: str) -> str:
    return text if text.startswith(("I ", "I'")) else text[:1].lower() + text[1:]


def found_text(
    chosen: Offered, fields: Sequence[str], asks: str | None, lexicon: Lexicon, rng: np.random.Generator
) -> str:
    """The item's title, the facts that were asked about, one more, and a question about a field."""
    facts = [(name, value) for name, value in chosen.facts if name in lexicon.fields and value is not None]
    first = [fact for fact in facts if fact[0] in fields][:_SHOWN]
    spare = [fact for fact in facts if fact[0] not in fields]
    order = rng.permutation(len(spare))
    extra = [spare[int(place)] for place in order[: int(rng.random() < ASIDE) if first else 1]]
    head, tail = (first, extra) if first else (extra, [])
    if not head:
        return f"How about “{chosen.title}”?"
    parts = [say("found", rng, lexicon=lexicon, title=chosen.title, x=_facts(head, lexicon, rng))]
    if tail:
        parts.append(say("found_more", rng, lexicon=lexicon, x=_facts(tail, lexicon, rng)))
    parts.append(say("aside", rng, lexicon=lexicon))
    if asks is not None:
        parts.append(say("question", rng, lexicon=lexicon, noun=_drawn(lexicon.fields[asks].nouns, rng)))
    return " ".join(parts)


def _facts(facts: Sequence[tuple[str, object]], lexicon: Lexicon, rng: np.random.Generator) -> str:
    return listed([_fact(name, value, lexicon, rng) for name, value in facts], [])


def _fact(name: str, value: object, lexicon: Lexicon, rng: np.random.Generator) -> str:
    """A fact as the demand that it grants: its words, or its number with its unit."""
    words = lexicon.fields[name]
    if isinstance(value, float | int):
        return (
            f"of {value:g} {words.unit}" if words.unit else f"with a {_drawn(words.nouns, rng)} of {value:g}"
        )
    clause = Clause(name, "contains", value) if isinstance(value, tuple) else Clause(name, "eq", str(value))
    return phrase(Constraint("must", clause), lexicon, rng, {})


def nothing_text(view: RecommenderView, lexicon: Lexicon, rng: np.random.Generator) -> str:
    """That nothing fits, and what dropping one constraint would leave."""
    ways = []
    for field, n in view.relaxations[:_SHOWN]:
        noun = _drawn(lexicon.fields[field].nouns, rng) if field in lexicon.fields else "likeness"
        ways.append(f"without the {noun} there {'is' if n == 1 else 'are'} {n}")
    tail = (
        say("nothing_ways", rng, lexicon=lexicon, ways=", ".join(ways))
        if ways
        else say("nothing_else", rng, lexicon=lexicon)
    )
    return f"{say('nothing', rng, lexicon=lexicon)} {tail}"
