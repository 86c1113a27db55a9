"""A data set's conversations as what models learn from, split into train and test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tastemaker.chat import Media
from tastemaker.converse.record import MOVES, Conversation, Profile
from tastemaker.converse.views import profile_lines
from tastemaker.corpus.dialogue import Dialogue, DialogueSplit, Exchange, split_dialogues
from tastemaker.flows.converse.dataset import open_data_set, read_conversations
from tastemaker.flows.converse.env import ConversationEnv
from tastemaker.flows.converse.learn.settings import LearnSettings
from tastemaker.flows.converse.settings import RunFolder
from tastemaker.flows.pipeline import Report
from tastemaker.stats.random import generator


@dataclass(frozen=True, eq=False)
class Talk:
    """A data set read whole: its world, conversations, the same as dialogues, and the split."""

    setting: ConversationEnv
    place: RunFolder
    conversations: tuple[Conversation, ...]
    dialogues: tuple[Dialogue, ...]
    split: DialogueSplit


def open_talk(folder: object, name: str, settings: LearnSettings, report: Report) -> Talk:
    """Read a data set and split it; attachments are recognised as a listener's ears and eyes would."""
    setting, place = open_data_set(folder, name, report)  # type: ignore[arg-type]
    conversations = tuple(read_conversations(place))
    recognise = _recogniser(setting, place, settings.media)
    rows = setting.world.catalogue.row
    dialogues = []
    for done, one in enumerate(conversations, start=1):
        dialogues.append(as_dialogue(one, rows, recognise))
        if done % 50 == 0 or done == len(conversations):
            report("reading conversations", done, len(conversations), "")
    split = split_dialogues(
        dialogues, setting.world.catalogue.family_codes, settings.test, settings.cold, settings.seed
    )
    return Talk(setting, place, conversations, tuple(dialogues), split)


def as_dialogue(
    one: Conversation, rows: dict[str, int], recognise: Callable[[str, str], int | None]
) -> Dialogue:
    """What a model may learn from: words, recognised attachments, items, replies; labels only say which items
    to learn.
    """
    exchanges = []
    for turn in one.turns:
        shown = tuple(row for media in turn.media if (row := recognise(media.kind, media.sha256)) is not None)
        item = None if turn.item_id is None else rows[turn.item_id]
        exchanges.append(Exchange(turn.message, shown, item, one.label(turn.turn) == MOVES, turn.reply))
    return Dialogue(one.user_id, one.goal.seed, profile_text(one.profile), tuple(exchanges))


def profile_text(profile: Profile) -> str:
    """The profile as a line of text."""
    return "; ".join(f"{name}: {value}" for name, value in profile_lines(profile))


def _recogniser(setting: ConversationEnv, place: RunFolder, kinds: str) -> Callable[[str, str], int | None]:
    """An attachment's kind and hash -> the row it shows, None when it is not seen or not recognised."""
    endings = {"audio": ("wav", "audio/wav"), "image": ("png", "image/png")}

    def recognise(kind: str, sha256: str) -> int | None:
        if kind not in kinds or kind not in endings:
            return None
        ending, media_type = endings[kind]
        path = place.media / f"{sha256}.{ending}"
        return setting.artefacts.recognise(Media(path.read_bytes(), media_type)) if path.exists() else None

    return recognise


def relabelled(dialogues: tuple[Dialogue, ...], labels: str, seed: int) -> list[Dialogue]:
    """The training dialogues with the labels that `labels` asks for."""
    if labels == "checked":
        return list(dialogues)
    turns = [exchange for one in dialogues for exchange in one.exchanges if exchange.item is not None]
    known = [exchange.accepted for exchange in turns]
    drawn = iter(
        [True] * len(known) if labels == "raw" else generator(seed, "labels").permutation(known).tolist()
    )
    return [
        replace(
            one,
            exchanges=tuple(
                e if e.item is None else replace(e, accepted=bool(next(drawn))) for e in one.exchanges
            ),
        )
        for one in dialogues
    ]
