"""Conversations as training sequences and prompts, and their split into what is learnt from and what is
asked.
"""

from tastemaker.corpus.dialogue.reversal import reversed_examples
from tastemaker.corpus.dialogue.sequences import (
    SPECIALS,
    Dialogue,
    DialogueSettings,
    Exchange,
    dialogue_examples,
    prompts,
)
from tastemaker.corpus.dialogue.split import DialogueSplit, split_dialogues

__all__ = [
    "SPECIALS",
    "Dialogue",
    "DialogueSettings",
    "DialogueSplit",
    "Exchange",
    "dialogue_examples",
    "prompts",
    "reversed_examples",
    "split_dialogues",
]
