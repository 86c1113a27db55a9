"""Conversations in the shapes that others read, and back; and the official per-turn metrics, from their
definitions. Names that leave the workspace are keyed pseudonyms that lead to no user and no date.
"""

import hashlib


def pseudonym(kind: str, name: str, key: str) -> str:
    """A name of 24 hexadecimal digits; the same for the same key, and not to be undone without it."""
    return hashlib.blake2b(f"{kind}\n{name}".encode(), key=key.encode()[:64], digest_size=12).hexdigest()
