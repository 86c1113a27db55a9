"""What a message must not give away: titles, ids, handles, the goal's sentences, media not attached."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.language.lexicon import Lexicon, plain

GOAL_RUN = 8
_HANDLE = re.compile(r"(?<![\w'])T\d+\b")
_ONLY_SAID = re.compile(r"\[[^\]]*(?:upload|attach|image|audio|clip|cover|recording)[^\]]*\]", re.IGNORECASE)
_FILE = re.compile(r"\b[\w-]+\.(?:wav|mp3|ogg|flac|png|jpe?g|webp)\b", re.IGNORECASE)
_WORD = re.compile(r"\w+")


def names_item(text: str, names: Sequence[str]) -> str | None:
    """The first of an item's names that the text holds; a name of one word counts only when it is quoted or
    capitalised inside a sentence, since such words are common.
    """
    text = plain(text)
    for name in names:
        plain_name = plain(name)
        if not plain_name:
            continue
        if len(_WORD.findall(plain_name)) > 1:
            if re.search(rf"(?<!\w){re.escape(plain_name)}(?!\w)", text, re.IGNORECASE):
                return name
        elif re.search(rf'"{re.escape(plain_name)}"', text, re.IGNORECASE) or (
            plain_name[:1].isupper() and re.search(rf"(?<=[a-z,;] ){re.escape(plain_name)}(?!\w)", text)
        ):
            return name
    return None


def copies_goal(text: str, goal: str) -> bool:
    """Whether GOAL_RUN or more consecutive words of the goal stand in the text."""
    words, haystack = _WORD.findall(goal.casefold()), " ".join(_WORD.findall(text.casefold()))
    haystack = f" {haystack} "
    runs = (words[start : start + GOAL_RUN] for start in range(len(words) - GOAL_RUN + 1))
    return any(f" {' '.join(run)} " in haystack for run in runs)


def message_faults(text: str, goal: str, item_ids: Sequence[str] = ()) -> list[str]:
    """Faults that a message alone shows, each named: handle, id, goal, upload, file."""
    faults = []
    if _HANDLE.search(text):
        faults.append("handle")
    if any(item in text for item in item_ids):
        faults.append("id")
    if copies_goal(text, goal):
        faults.append("goal")
    if _ONLY_SAID.search(text):
        faults.append("upload")
    if _FILE.search(text):
        faults.append("file")
    return faults


def scrubbed(text: str, lexicon: Lexicon) -> str:
    """The text without values of the catalogue: "Music of Ireland", a book, names no tune Ireland."""
    return lexicon.values.sub("\x00", plain(text))


def named_rows(text: str, catalogue: Catalogue, lexicon: Lexicon) -> set[int]:
    """Rows of items that the text names."""
    text = scrubbed(text, lexicon)
    folded = text.casefold()
    likely = {row for name, row in catalogue.folded_names if name in folded}
    return {row for row in likely if names_item(text, catalogue.names(row))}
