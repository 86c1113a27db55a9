"""What the assistant knows of one version of a catalogue: facts, names, words, meaning; shared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from tastemaker.assist.parts import item_line
from tastemaker.converse.catalogue import TITLE, Catalogue, Value
from tastemaker.converse.claims import Claims, safe
from tastemaker.converse.constraints import Adherence, Constraint, adhere, demands
from tastemaker.converse.derived import derived
from tastemaker.converse.reading.names import Names
from tastemaker.converse.reading.plain import in_words, spoken
from tastemaker.converse.reading.vocabulary import Vocabulary
from tastemaker.converse.reading.wishes import Wishes
from tastemaker.converse.reading.words import fold, stop_words
from tastemaker.encoders.text import fit_tfidf
from tastemaker.flows.deploy import in_service
from tastemaker.retrieve.baselines import Lexical
from tastemaker.retrieve.facts import Matcher
from tastemaker.store import Workspace

Floats = npt.NDArray[np.float32]
UNNAMED = ("attribute", "topic", TITLE)  # fields that nobody gave a name
LISTED = 20  # values that are named in one answer
SENTENCE = 384  # width of the sentence encoder's vectors
Embed = Callable[[Sequence[str]], Floats]
REMARK = re.compile(r"[(\[].*|\s[-–]\s.*")
STAND_IN = re.compile(
    r"karaoke|tribute|made famous|in the style of|backing track|cover version|originally performed|made"
    r" popular"
    r"|instrumental version|lullab|renditions?\b|ringtone|8.bit|workout|piano version|\bcovers?\b",
    re.IGNORECASE,
)
VARIANT = re.compile(
    r"\b(?:live|remix(?:e?d)?|take \d|version|edit|demo|acoustic|rehearsal|commentary|mix|instrumental|sped"
    r" up|slowed"
    r"|reverb|extended|intro|interlude|skit|session)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class Shelf:
    """N items. texts: what each says of itself. embed: texts -> unit vectors; vectors (N, d): the items'.

    catalogue: typed facts; without any the assistant works by words, names and likeness.
    """

    catalogue: Catalogue
    texts: tuple[str, ...]
    embed: Embed
    vectors: Floats

    @classmethod
    def of(
        cls, catalogue: Catalogue, texts: Sequence[str], embed: Embed, vectors: Floats | None = None
    ) -> Shelf:
        """A shelf; `vectors` are made of the texts where they are not given."""
        catalogue = replace(catalogue, columns=derived(catalogue.columns, catalogue.titles))
        own = [text.strip() or title for text, title in zip(texts, catalogue.titles, strict=True)]
        known = embed(own) if vectors is None else vectors
        return cls(catalogue, tuple(own), embed, np.nan_to_num(np.asarray(known, np.float32)))

    def __len__(self) -> int:
        return len(self.catalogue)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Words of fields and values."""
        return Vocabulary(self.catalogue.fields)

    @cached_property
    def names(self) -> Names:
        """Titles and creators."""
        values = [
            v
            for known in self.catalogue.fields.values()
            for value in known.values
            for v in spoken(value).split()
        ]
        pairs = zip(self.catalogue.titles, self.catalogue.item_ids, strict=True)
        titles = [title if title != f"item {item}" else "" for title, item in pairs]
        return Names(titles, self.catalogue.creators, self.catalogue.aliases, values)

    @cached_property
    def claims(self) -> Claims:
        """The scanner, strict: everyday words count as claims too."""
        return Claims(self.catalogue, self.vocabulary, self.names, strict=True)

    @cached_property
    def wishes(self) -> Wishes:
        """The reader of messages."""
        return Wishes(self.vocabulary, lambda row, name: self.catalogue.columns[name][row])

    @cached_property
    def match(self) -> Matcher:
        """Clauses over the facts."""
        return Matcher(self.catalogue.item_ids, self.catalogue.columns, most=256)

    def adherence(self, active: Sequence[Constraint]) -> Adherence:
        """Every item against the demands among constraints."""
        return self._adherence(tuple(demands(active)))

    @cached_property
    def _adherence(self) -> Callable[[tuple[Constraint, ...]], Adherence]:
        return lru_cache(maxsize=64)(lambda asked: adhere(asked, self.match, len(self)))

    def fits(self, active: Sequence[Constraint]) -> int:
        """How many items meet the demands."""
        return int(self.adherence(active).holds.sum())

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Field -> kind."""
        return {name: known.kind for name, known in self.catalogue.fields.items()}

    @cached_property
    def maker(self) -> str:
        """The field that says who made the items; "creator" where that is none."""
        fields = self.catalogue.columns.items()
        return next((name for name, column in fields if column == self.catalogue.creators), "creator")

    @cached_property
    def value_names(self) -> frozenset[str]:
        """All values, folded."""
        return frozenset(fold(value) for known in self.catalogue.fields.values() for value in known.values)

    @cached_property
    def popular(self) -> npt.NDArray[np.bool_]:
        """(N,) the tenth that is played most."""
        return np.asarray(self.catalogue.played >= np.quantile(self.catalogue.played, 0.9))

    @cached_property
    def lexical(self) -> Lexical:
        """BM25 over titles, creators and texts."""
        creators = self.catalogue.creators
        return Lexical(
            [
                f"{title} {creator or ''} {text}"
                for title, creator, text in zip(self.catalogue.titles, creators, self.texts, strict=True)
            ]
        )

    def saying(self, words: Sequence[str]) -> npt.NDArray[np.bool_]:
        """(N,) which items have all the words, in any form, in title, maker or text."""
        holds = np.ones(len(self), bool)
        for word in words:
            forms = {word, f"{word}s", word.removesuffix("ing")}
            if not word.endswith("ss"):  # "chess" is no plural
                forms |= {word.removesuffix("s"), word.removesuffix("es")}
            holds &= self.lexical.search([" ".join(forms)])[0] > 0
        return holds

    @cached_property
    def makers(self) -> tuple[Floats, npt.NDArray[np.int64]]:
        """(M, d) vectors of the creators' names, the last of zeros, and (N,) which of them made each item."""
        names = sorted({creator for creator in self.catalogue.creators if creator})
        table = np.zeros((len(names) + 1, self.vectors.shape[1]), np.float32)
        if names:
            table[:-1] = np.nan_to_num(self.embed(names))
        rows = {name: row for row, name in enumerate(names)}
        return table, np.array([rows.get(c or "", len(names)) for c in self.catalogue.creators], np.int64)

    @cached_property
    def priors(self) -> Floats:
        """(N,) what speaks for an item from the first: no stand-in for another, known maker, often made."""
        titles, creators = self.catalogue.titles, self.catalogue.creators
        stems = [fold(REMARK.sub("", title)) for title in titles]
        versions, works = (
            Counter(stems),
            Counter(maker for creator in creators for maker in makers_of(creator)),
        )
        values = np.zeros(len(titles), np.float32)
        for row, (title, creator, text) in enumerate(zip(titles, creators, self.texts, strict=True)):
            prior = 0.1 * np.log(min(versions[stems[row]], 50))
            prior += 0.15 * np.log(max((works[maker] for maker in makers_of(creator)), default=1))
            prior -= bool(STAND_IN.search(f"{title} {creator} {text[:200]}")) + 0.3 * bool(
                VARIANT.search(title)
            )
            values[row] = prior
        if self.catalogue.played.any():
            values += 0.3 * np.log1p(self.catalogue.played) / np.log1p(self.catalogue.played.max())
        return values

    @cached_property
    def values(self) -> tuple[Floats, tuple[tuple[tuple[str, str], ...], ...]]:
        """(V, d) vectors of what word fields' values and moods are called, and what each means."""
        named: list[tuple[str, tuple[tuple[str, str], ...]]] = [
            (spoken(value), ((known.name, value),))
            for known in self.catalogue.fields.values()
            if len(known.values) <= 200
            for value in known.values
            if len(value) > 2 and fold(value) not in stop_words()
        ]
        named += self.vocabulary.moods.items()
        if not named:
            return np.zeros((0, self.vectors.shape[1]), np.float32), ()
        return np.nan_to_num(self.embed([name for name, _ in named])), tuple(pairs for _, pairs in named)

    @cached_property
    def stems(self) -> npt.NDArray[np.int64]:
        """(N,) a number for each title without remarks, and family: equal for versions of one thing."""
        codes: dict[tuple[str, str], int] = {}
        pairs = zip(self.catalogue.titles, self.catalogue.families, self.catalogue.item_ids, strict=True)
        keys = [
            ("f", family) if family != item else ("t", fold(REMARK.sub("", title)))
            for title, family, item in pairs
        ]
        return np.array([codes.setdefault(key, len(codes)) for key in keys], np.int64)

    def title(self, row: int) -> str:
        """The title as it may be shown."""
        return safe(self.catalogue.titles[row])[:160] or "untitled"

    def quoted(self, *rows: int, link: str = ", ") -> str:
        """Titles as a sentence names them."""
        return link.join(dict.fromkeys(f"“{self.title(row)}”" for row in rows))

    def about(self, row: int) -> str:
        """What the item's text says beside its title and the facts at its end, without the last stop."""
        text, title = safe(self.texts[row]), self.title(row)
        text = re.split(r"\b\w+=", text)[0].removeprefix(title).replace("..", ".").strip(" .,;:")
        return text if len(text) <= 300 else f"{text[:300].rpartition(' ')[0]} …"

    @cached_property
    def lines(self) -> dict[str, int]:
        """The row of each item whose line in an answer is no other's; -1 for a line that several have."""
        rows: dict[str, int] = {}
        for row in range(len(self)):
            line = self.line(row)
            rows[line] = -1 if line in rows else row
        return rows

    def line(self, row: int) -> str:
        """The item as a line of an answer in words; empty for no row (-1)."""
        return item_line(self.title(row), safe(self.catalogue.creators[row] or "")) if row >= 0 else ""

    def listing(self, name: str, rows: npt.NDArray[np.bool_] | None = None, of: str = "") -> str:
        """The values of a field, the commonest first, or its range, as a sentence.

        rows (N,): the items that count; of: what they are called.
        """
        known, noun = self.catalogue.fields[name], self.vocabulary.called(name)
        of = f" of what is {of}" if of else ""
        noun = f"there are{of and f', {of.strip()},'}" if name in UNNAMED else f"{noun}{of}:"
        noun, cells = f"{noun[0].upper()}{noun[1:]}", self.catalogue.columns[name]
        column = [v for row, v in enumerate(cells) if v is not None and (rows is None or rows[row])]
        if not column:
            return f"{noun.rstrip(':')}: nothing is known."
        if known.kind == "number":
            numbers = [float(value) for value in column if isinstance(value, int | float)]
            mean = in_words(round(sum(numbers) / len(numbers), 2))
            return f"{noun} {in_words(min(numbers))} to {in_words(max(numbers))}. On average {mean}."
        counts = Counter(v for value in column for v in (value if isinstance(value, tuple) else (value,)))
        first = ", ".join(f"{spoken(str(value))} ({n:,})" for value, n in counts.most_common(LISTED))
        rest = f", and {len(counts) - LISTED:,} more" if len(counts) > LISTED else ""
        return f"{noun} {first}{rest}."

    def fact(self, row: int, name: str) -> Value:
        """What is known of an item."""
        return self.catalogue.columns[name][row]


def makers_of(creator: str | None) -> list[str]:
    """Each maker of "A, B"."""
    return [name for part in (creator or "").split(",") if (name := fold(part))]


def encoder(workspace: Workspace, texts: Sequence[str]) -> tuple[Embed, Floats | None]:
    """The sentence encoder with the deployment's own vectors, or TF-IDF where there is none."""
    from tastemaker.lm.sentences import sentence_encoder

    vectors = in_service(workspace).text_vectors()
    embed = sentence_encoder()
    if embed is not None and vectors.shape[1] == SENTENCE:
        missing = np.flatnonzero(~vectors.any(axis=1))
        if 0 < len(missing) <= 256:  # items that came after training
            vectors[missing] = embed([texts[row] or "?" for row in missing.tolist()])
        return embed, np.asarray(vectors, np.float32)
    own = [text or f"item {row + 1}" for row, text in enumerate(texts)]  # as titles name what has none
    tfidf, rows = fit_tfidf(own, seed=workspace.settings.seed)
    return tfidf.transform, np.asarray(rows, np.float32)
