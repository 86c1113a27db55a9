"""What a model needs to talk: pieces of words in place of bytes, tokens for its turns, and replies word by
word.
"""

from tastemaker.lm.dialogue.reply import reply
from tastemaker.lm.dialogue.speak import speak

__all__ = ["reply", "speak"]
