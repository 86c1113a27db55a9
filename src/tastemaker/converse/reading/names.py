"""Titles and creators as people write them: without accents or punctuation, run together, misspelt."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process

from tastemaker.converse.reading.words import chat, fold, stop_words

Role = Literal["title", "creator"]
LONGEST = 8  # words of a name that are looked up
REACH = 40  # letters before a name in which something announces it
FUZZY_WORDS = 4  # words in which typing errors are sought
COMMON = 0.004  # share of items from which a word of their names is an everyday word
ALIKE = 84.0  # per cent of letters that agree in a misspelt name
SHORT = 5  # letters below which a misspelling is another word
_BRACKETS = re.compile(r"[(\[].*?[)\]]|\s[-–]\s.*$|\b(?:feat|ft)\b\.?.*$", re.IGNORECASE)
_PARTS = re.compile(r"\s*(?:,|;|/|\bfeat\b\.?|\bft\b\.?|\bwith\b)\s*", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_CUE = re.compile(
    r"(?:\b(?:by|from|of|like|artists?|band|singer|called|named|titled|play|songs?|some|heard?|add|more|love"
    r"|like|and|or|about|title|author|director|brand)|[,:&\"“])\s*[\"“]?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Named:
    """A name found in a message: whose it is (rows), how sure (0 to 1), and where it stands."""

    role: Role
    name: str
    rows: tuple[int, ...]
    sure: float
    start: int
    end: int


@dataclass(frozen=True)
class _Span:
    words: tuple[str, ...]
    start: int
    end: int
    telling: bool  # capitals inside a sentence, quotes, words that announce a name, or all of the message
    announced: bool = False  # "by ..."
    proper: bool = False  # capitals that do not open a sentence

    @property
    def joined(self) -> str:
        return "".join(self.words)


class Names:
    """The names of a catalogue, row by row; `aliases` are further titles, `creators` may hold None."""

    def __init__(
        self,
        titles: Sequence[str],
        creators: Sequence[str | None],
        aliases: Sequence[Sequence[str]] = (),
        ordinary: Iterable[str] = (),
    ) -> None:
        self._rows: dict[Role, dict[str, list[int]]] = {
            "title": defaultdict(list),
            "creator": defaultdict(list),
        }
        self._shown: dict[str, str] = {}
        for the in (False, True):  # "Heat" before "The Heat"
            for row, title in enumerate(titles):
                own = [title, _BRACKETS.sub(" ", title), *(aliases[row] if aliases else ())]
                self._keep("title", own, row, the)
        for row, creator in enumerate(creators):
            if creator:
                self._keep("creator", [creator, *_PARTS.split(creator), *_leaders(creator)], row)
        counts = Counter(word for title in titles for word in set(fold(title).split()))
        often = {word for word, count in counts.items() if count > max(8, COMMON * len(titles))}
        self.everyday = frozenset(often | stop_words() | chat() | {fold(word) for word in ordinary})
        self._choices = {
            role: {name.replace(" ", ""): name for name in names if len(name) >= SHORT}
            for role, names in self._rows.items()
        }
        surnames: dict[str, list[int]] = defaultdict(list)
        for name, rows in self._rows["creator"].items():
            for word in name.split() if " " in name else ():
                if len(word) >= SHORT and word not in self.everyday:
                    surnames[word] += rows
        whole = self._rows["creator"]
        self._surnames = {
            word: tuple(dict.fromkeys(rows)) for word, rows in surnames.items() if word not in whole
        }

    def _keep(self, role: Role, names: Iterable[str], row: int, the: bool = True) -> None:
        for shown in dict.fromkeys(names):
            name = fold(shown)
            for form in {name, name.removeprefix("the ") if the else name} - {""}:
                rows = self._rows[role][form]
                if not rows or (rows[-1] != row and (form != name or not the or role == "creator")):
                    rows.append(row)
                self._shown.setdefault(form, " ".join(shown.split()))

    def rows(self, role: Role, name: str) -> tuple[int, ...]:
        """The rows that have exactly this name, folded."""
        return tuple(self._rows[role].get(fold(name), ()))

    def find(self, text: str) -> list[Named]:
        """The names in a message, left to right: whole ones first, then misspelt ones in the rest."""
        spans = _spans(text)
        taken: list[tuple[int, int]] = []
        names: list[Named] = []
        for span in sorted(spans, key=lambda span: -len(span.words)):
            if any(span.start < end and start < span.end for start, end in taken):
                continue
            here = [named for role in ("creator", "title") if (named := self._exact(span, role))]
            if here:
                names += here
                taken.append((span.start, span.end))
        left = [
            span
            for span in spans
            if len(span.words) <= FUZZY_WORDS
            and len(span.joined) >= SHORT
            and not any(span.start < end and start < span.end for start, end in taken)
            and any(word not in self.everyday and len(word) > 2 for word in span.words)
            and span.words[0] not in stop_words()
            and span.words[-1] not in stop_words()
        ]
        return sorted(names + self._misspelt(left), key=lambda named: named.start)

    def _exact(self, span: _Span, role: Role) -> Named | None:
        name = " ".join(span.words)
        rows = self._rows[role].get(name)
        if rows is None and len(span.words) > 1 and len(span.joined) >= SHORT:  # "take off" for Takeoff
            name = self._choices[role].get(span.joined, "")
            rows = self._rows[role].get(name)
        if not rows and role == "creator" and span.telling and (rows := list(self._surnames.get(name, ()))):
            return Named(role, span.words[0].title(), tuple(rows), 0.6, span.start, span.end)
        if not rows or all(word in stop_words() for word in span.words):
            return None
        rare = sum(word not in self.everyday for word in span.words)
        sure = (
            1.0
            if rare >= 2
            else 0.9
            if rare and (span.telling or len(span.words) > 1)
            else 0.75
            if rare
            else 0.0
        )
        if not rare and (span.telling if role == "title" else span.telling or span.announced):
            sure = 0.7 if span.announced and role == "creator" else 0.6 if len(span.words) > 1 else 0.4
        if role == "title" and len(span.words) == 1:
            sure *= 0.7 if span.proper and rare else 0.6
        if len(span.joined) < 3 or sure < 0.25:
            return None
        return Named(role, self._shown[name], tuple(rows), sure, span.start, span.end)

    def _misspelt(self, spans: list[_Span]) -> list[Named]:
        """The best of the names that a span's letters nearly are; of spans that overlap, the surest."""
        candidates: list[Named] = []
        for role, choices in self._choices.items():
            if not spans or not choices:
                continue
            keys = list(choices)
            queries = [span.joined for span in spans]
            scores = process.cdist(queries, keys, scorer=fuzz.ratio, score_cutoff=ALIKE, dtype=np.float32)
            for span, row in zip(spans, scores, strict=True):
                best = int(row.argmax())
                needed = ALIKE if role == "creator" or span.telling else ALIKE + 6
                if row[best] < needed or (role == "title" and len(span.words) < 2):
                    continue
                name = choices[keys[best]]
                if abs(len(name.split()) - len(span.words)) > 1:
                    continue
                sure = (0.55 + 0.4 * (float(row[best]) - ALIKE) / (100 - ALIKE)) * (
                    1.0 if span.telling else 0.8
                )
                candidates.append(
                    Named(role, self._shown[name], tuple(self._rows[role][name]), sure, span.start, span.end)
                )
        names: list[Named] = []
        for named in sorted(candidates, key=lambda named: (-named.sure, named.start)):
            if not any(named.start < other.end and other.start < named.end for other in names):
                names.append(named)
        return names


def _spans(text: str) -> list[_Span]:
    """Every run of up to `LONGEST` words within one clause."""
    words = [(match.group(), match.start(), match.end()) for match in _WORD.finditer(text[:4000])]
    spans = []
    for first in range(len(words)):
        run: list[str] = []
        begin = words[first][1]
        before = text[max(0, begin - REACH) : begin]
        opens = begin == 0 or bool(re.search(r"[.!?]\s*$", before))
        cued = bool(_CUE.search(before))
        by = bool(re.search(r"\b(?:by|from)\s+[\"“]?$", before, re.IGNORECASE))
        for last in range(first, min(first + LONGEST, len(words))):
            if last > first and re.search(r"[.!?;:,\n]", text[words[last - 1][2] : words[last][1]]):
                break
            run += fold(words[last][0]).split()
            if not run:
                break
            start, end = words[first][1], words[last][2]
            capital = all(w[:1].isupper() for w, s, _ in words[first : last + 1] if len(w) > 3) and any(
                w[:1].isupper() for w, s, _ in words[first : last + 1]
            )
            alone = 0 == first < last == len(words) - 1 and not set(run) <= chat() | stop_words()
            telling = (capital and not (opens and first == last)) or cued or alone
            announced = capital and by
            forms = [tuple(run)]
            if re.search(r"['’]s$", text[start:end]) and len(run[-1]) > 2:
                forms.append((*run[:-1], run[-1][:-1]))
            proper = capital and not opens
            spans += [_Span(form, start, end, telling, announced, proper) for form in forms]
    return spans


def _leaders(creator: str) -> list[str]:
    """The first of "Bob Marley & The Wailers": who leads where the name has two words or more."""
    first = re.split(r"\s+(?:&|and)\s+", creator, maxsplit=1, flags=re.IGNORECASE)
    return first[:1] if len(first) > 1 and " " in first[0] and "," not in first[0] else []


def shares(names: Sequence[Named], size: int, role: Role) -> npt.NDArray[np.float32]:
    """(size,) how surely each row is of a name of that role."""
    values = np.zeros(size, np.float32)
    for named in names:
        if named.role == role:
            rows = np.array(named.rows, np.int64)
            values[rows] = np.maximum(values[rows], named.sure)
    return values
