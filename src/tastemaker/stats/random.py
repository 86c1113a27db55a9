"""Keyed random generators: the same key gives the same draws, in any process and on any machine."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def _digest(key: tuple[str | int, ...]) -> bytes:
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def generator(*key: str | int) -> np.random.Generator:
    """A generator seeded by the hash of `key`: pass the seed first, then what the draws are for."""
    return np.random.default_rng(int.from_bytes(_digest(key), "little"))


def hashed_order(ids: list[str], key: str | int) -> npt.NDArray[np.int64]:
    """Positions of `ids` sorted by a keyed hash, so that no order that leaks information survives.

    Catalogue numbers often follow time or similarity (measured on Amazon data: the ten ids after the last one
    reach R@10 .031); sorting by hash removes that.
    """
    digests = [_digest((key, one)) for one in ids]
    return np.array(sorted(range(len(ids)), key=digests.__getitem__), dtype=np.int64)
