"""How a model is fine-tuned on dialogues: the settings of its corpus and training."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from recipes.converse.turns.sequences import DialogueSettings
from tastemaker.errors import InputError

LABELS = ("checked", "raw", "shuffled")


@dataclass(frozen=True)
class LearnSettings:
    """Settings of dialogue fine-tuning. seed, test, cold: the split; passes: over the dialogues; behaviour,
    metadata, reversed: shares of tokens, the last one of replies learnt backwards, from what is said of an
    item to the item.

    pieces: of words for a byte model; weight: the item's share of the loss; media: whether attachments are
    seen, comma-separated kinds; labels: learn accepted items (checked), all items (raw), or a random as many
    (shuffled).
    """

    seed: int = 0
    test: float = 0.2
    cold: float = 0.05
    passes: float = 4.0
    behaviour: float = 0.05
    metadata: float = 0.05
    reversed: float = 0.3
    pieces: int = 1200
    weight: float = 0.5
    learning_rate: float = 2e-3
    dropout: float = 0.1
    batch: int = 16
    media: str = "audio,image"
    labels: str = "checked"

    def __post_init__(self) -> None:
        """Shares that leave room for dialogues; known media and labels."""
        shares = (self.behaviour, self.metadata, self.reversed)
        if min(shares) < 0 or sum(shares) > 0.9 or self.passes <= 0:
            raise InputError(
                "behaviour, metadata and reversed are shares of the tokens that leave at least .1 to"
                " dialogues; passes above 0"
            )
        if self.labels not in LABELS:
            raise InputError(f"labels '{self.labels}' are not known; choose from {', '.join(LABELS)}")

    @property
    def sequences(self) -> DialogueSettings:
        """The settings of sequences."""
        return DialogueSettings(weight=self.weight)

    def identity(self) -> dict[str, object]:
        """What the trained model follows from."""
        return asdict(self)
