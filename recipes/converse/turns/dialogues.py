"""A data set's conversations as what models learn from, split into train and test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from recipes.converse.turns.sequences import Dialogue, DialogueSplit, Exchange, split_dialogues
from recipes.converse.turns.settings import LearnSettings
from tastemaker.chat import Media
from tastemaker.converse.record import MOVES, Conversation, Profile
from tastemaker.converse.views import profile_lines
from tastemaker.flows.converse.dataset import open_data_set, read_conversations
from tastemaker.flows.converse.env import ConversationEnv
from tastemaker.flows.converse.settings import ATTACHED, RunFolder
from tastemaker.flows.pipeline import Report
from tastemaker.stats.random import generator

Recognise = Callable[[str, str], int | None]


@dataclass(frozen=True, eq=False)
class DialogueDataset:
    """A data set read whole: its environment, conversations, the same as dialogues, and the split."""

    env: ConversationEnv
    folder: RunFolder
    conversations: tuple[Conversation, ...]
    dialogues: tuple[Dialogue, ...]
    split: DialogueSplit


def open_dialogues(workspace: Path, name: str, settings: LearnSettings, report: Report) -> DialogueDataset:
    """Read a data set and split it; attachments are recognised as a listener's ears and eyes would."""
    env, folder = open_data_set(workspace, name, report)
    conversations = tuple(read_conversations(folder))
    recognise = _recogniser(env, folder, settings.media)
    rows, families = env.world.catalogue.row, env.world.catalogue.family_codes
    dialogues = []
    for done, conversation in enumerate(conversations, start=1):
        dialogues.append(as_dialogue(conversation, rows, recognise))
        if done % 50 == 0 or done == len(conversations):
            report("reading conversations", done, len(conversations), "")
    split = split_dialogues(dialogues, families, settings.test, settings.cold, settings.seed)
    return DialogueDataset(env, folder, conversations, tuple(dialogues), split)


def as_dialogue(conversation: Conversation, rows: dict[str, int], recognise: Recognise) -> Dialogue:
    """What a model may learn from: words, recognised attachments, items, replies; labels only say which items
    to learn.
    """
    exchanges = []
    for turn in conversation.turns:
        shown = tuple(row for media in turn.media if (row := recognise(media.kind, media.sha256)) is not None)
        item = None if turn.item_id is None else rows[turn.item_id]
        accepted = conversation.label(turn.turn) == MOVES
        exchanges.append(Exchange(turn.message, shown, item, accepted, turn.reply))
    profile = profile_text(conversation.profile)
    return Dialogue(conversation.user_id, conversation.goal.seed, profile, tuple(exchanges))


def profile_text(profile: Profile) -> str:
    """The profile as a line of text."""
    return "; ".join(f"{name}: {value}" for name, value in profile_lines(profile))


def _recogniser(env: ConversationEnv, folder: RunFolder, kinds: str) -> Recognise:
    """An attachment's kind and hash -> the row it shows, None when it is not seen or not recognised."""

    def recognise(kind: str, sha256: str) -> int | None:
        if kind not in kinds or kind not in ATTACHED:
            return None
        path = folder.attachment(kind, sha256)
        if not path.exists():
            return None
        return env.artefacts.recognise(Media(path.read_bytes(), ATTACHED[kind][1]))

    return recognise


def relabelled(dialogues: tuple[Dialogue, ...], labels: str, seed: int) -> list[Dialogue]:
    """The training dialogues with the labels that `labels` asks for."""
    if labels == "checked":
        return list(dialogues)
    exchanges = [exchange for dialogue in dialogues for exchange in dialogue.exchanges]
    known = [exchange.accepted for exchange in exchanges if exchange.item is not None]
    drawn = iter(
        [True] * len(known) if labels == "raw" else generator(seed, "labels").permutation(known).tolist()
    )

    def relabel(exchange: Exchange) -> Exchange:
        return exchange if exchange.item is None else replace(exchange, accepted=bool(next(drawn)))

    return [replace(dialogue, exchanges=tuple(map(relabel, dialogue.exchanges))) for dialogue in dialogues]
