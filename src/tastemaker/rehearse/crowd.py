"""Simulated people and what is true of them: what they like and do with a list, whether they come back.

What is built in: liking follows the attributes of what a person's history holds, what people with like
histories had (a part that no attribute tells), and the quality of an item. In the world "item" the chance of
returning follows how much they liked what they met; in "person" it does not, so no order of a list can change
it and a survey answer says nothing about items; in "drift" tastes turn by and by; in "poison" one person in a
hundred is a program that plays and likes a few target items and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
WORLDS = ("item", "person", "drift", "poison")
FACTORS = 16
BEST = 20  # items that a person knows to ask for
TARGETS = 3  # items that the programs of the world "poison" push
FAKE_SHARE = 0.01


@dataclass(frozen=True)
class CrowdSettings:
    """What is built in. returning: a person's chance to come on a day after a visit of average liking. gain:
    how much the logit of it moves with a standard deviation of liking. visible: share of taste that
    attributes tell. quality: standard deviation of the part that all share. answering: who answers a
    question.
    """

    world: str = "item"
    returning: float = 0.45
    gain: float = 0.8
    visible: float = 0.6
    quality: float = 0.4
    answering: float = 0.7
    attention: float = 0.88  # chance to look at the next row after one
    turn: float = 0.05  # how far tastes turn a day in the world "drift", as a share of their variance


@dataclass(frozen=True)
class Deed:
    """What a person does with a row: the kind of event, the share of a play, and the row's place."""

    kind: str
    item_id: str
    position: int
    value: float | None = None


class Crowd:
    """People of a catalogue; one key draws the same crowd and answers to a list, whatever a world holds."""

    def __init__(
        self, items: pa.Table, interactions: pa.Table, people: int, seed: int, settings: CrowdSettings
    ) -> None:
        self.settings, self.seed = settings, seed
        self.item_ids: list[str] = items["item_id"].to_pylist()
        self.index = {item: place for place, item in enumerate(self.item_ids)}
        self.attributes: list[list[str]] = [words or [] for words in items["attributes"].to_pylist()]
        users, counts = np.unique(interactions["user_id"].to_numpy(zero_copy_only=False), return_counts=True)
        users = users[np.argsort(-counts, kind="stable")]
        picked = generator(seed, "crowd").permutation(len(users))[:people]
        self.people: list[str] = sorted(str(users[place]) for place in picked)
        self.liking = _liking(items, interactions, self.people, seed, settings)
        self.later = _liking(items, interactions, self.people[::-1], seed + 1, settings)  # where drift leads
        fakes = max(2, round(FAKE_SHARE * len(self.people))) if settings.world == "poison" else 0
        self.fakes = [f"fake-{number}" for number in range(fakes)]
        order = np.argsort(self.liking.mean(axis=0))
        self.targets = [self.item_ids[place] for place in order[:TARGETS]] if self.fakes else []

    def likes(self, person: str, item: str, day: int) -> float:
        """How much the person likes the item on a day, in standard deviations of their liking."""
        row, column = self.people.index(person), self.index[item]
        now = float(self.liking[row, column])
        if self.settings.world != "drift":
            return now
        share = min(1.0, self.settings.turn * day)
        return float(np.sqrt(1 - share) * now + np.sqrt(share) * self.later[row, column])

    def deeds(self, person: str, shown: Sequence[str], day: int, visit: int) -> tuple[list[Deed], float]:
        """What the person does with a list, in order, and how much they liked what they looked at."""
        rng = generator(self.seed, "deeds", person, day, visit)
        draws = rng.random((len(shown), 4))
        deeds, met = list[Deed](), list[float]()
        for place, item in enumerate(shown):
            if place and draws[place, 0] > self.settings.attention:
                break
            liking = self.likes(person, item, day)
            met.append(liking)
            if draws[place, 1] < self.wanted(person, item, day):
                deeds.append(Deed("play", item, place, float(np.clip(0.3 + 0.7 * draws[place, 2], 0, 1))))
                if liking > 1 and draws[place, 3] < 0.4:
                    deeds.append(Deed("like", item, place))
            elif liking < -1 and draws[place, 3] < 0.3:
                deeds.append(Deed("not_interested", item, place))
            elif draws[place, 3] < 0.15:
                deeds.append(Deed("skip", item, place))
        return deeds, float(np.mean(met)) if met else 0.0

    def wanted(self, person: str, item: str, day: int) -> float:
        """The chance that the person plays the item where they look at it."""
        return float(1 / (1 + np.exp(-1.6 * (self.likes(person, item, day) - 0.6))))

    def wish(self, person: str, day: int) -> str:
        """What the person asks for in words: an attribute of one of the items that they like most."""
        rng = generator(self.seed, "wish", person, day)
        row = self.liking[self.people.index(person)]
        words = self.attributes[int(rng.choice(np.argsort(-row)[:BEST]))]
        word = str(rng.choice(words)).partition("=")[2] if words else "anything"
        return f"something {word.replace('_', ' ')}"

    def expected(self, person: str, shown: Sequence[str], day: int) -> float:
        """The true chance that the person comes the next day after this list, by what they would look at."""
        looks = self.settings.attention ** np.arange(len(shown))
        liking = [self.likes(person, item, day) for item in shown]
        return self.returning(float(np.average(liking, weights=looks)) if len(shown) else 0.0)

    def returning(self, liked: float) -> float:
        """The chance to come on the next day after a visit that was liked so much."""
        moved = 0.0 if self.settings.world == "person" else self.settings.gain * liked
        base = np.log(self.settings.returning / (1 - self.settings.returning))
        return float(1 / (1 + np.exp(-(base + moved))))

    def comes(self, person: str, chance: float, day: int) -> bool:
        """Whether the person comes on a day."""
        return bool(generator(self.seed, "comes", person, day).random() < chance)

    def answer(self, person: str, item: str, day: int) -> int | None:
        """1 to 5 to the question whether they would come back for more like this, or None for no answer."""
        rng = generator(self.seed, "answer", person, item, day)
        if rng.random() > self.settings.answering:
            return None
        felt = rng.standard_normal() if self.settings.world == "person" else self.likes(person, item, day)
        return int(np.clip(np.floor(3.2 + 1.1 * felt + 0.6 * rng.standard_normal()), 1, 5))


def _liking(
    items: pa.Table, interactions: pa.Table, people: list[str], seed: int, settings: CrowdSettings
) -> Floats:
    """(P, N) liking of each person, mean 0 and deviation 1 over the catalogue."""
    lists = [words or [] for words in items["attributes"].to_pylist()]
    words = sorted({word for attributes in lists for word in attributes})
    column = {word: place for place, word in enumerate(words)}
    facts = np.zeros((len(lists), max(1, len(words))))
    for row, attributes in enumerate(lists):
        facts[row, [column[word] for word in attributes]] = 1
    facts = (facts - facts.mean(axis=0)) / np.sqrt(np.maximum(facts.var(axis=0), 1e-3))
    index = {item: place for place, item in enumerate(items["item_id"].to_pylist())}
    rows = {person: place for place, person in enumerate(people)}
    had = np.zeros((len(people), len(lists)))
    for user, item in zip(
        interactions["user_id"].to_pylist(), interactions["item_id"].to_pylist(), strict=True
    ):
        if user in rows:
            had[rows[user], index[item]] += 1
    visible = _standard(had @ facts @ facts.T)
    rng = generator(seed, "hidden")
    shared = np.linalg.svd(had - had.mean(axis=0), full_matrices=False)[2][:FACTORS]
    hidden = _standard(
        had @ shared.T @ shared + 0.5 * _standard(rng.standard_normal((len(people), len(lists))))
    )
    quality = settings.quality * generator(seed, "quality").standard_normal(len(lists))
    return _standard(np.sqrt(settings.visible) * visible + np.sqrt(1 - settings.visible) * hidden + quality)


def _standard(values: Floats) -> Floats:
    """Rows with mean 0 and deviation 1; constant ones become 0."""
    spread = values.std(axis=1, keepdims=True)
    return np.asarray((values - values.mean(axis=1, keepdims=True)) / np.where(spread > 1e-9, spread, 1.0))
