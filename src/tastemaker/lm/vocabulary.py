"""Where each token lives: text first, then Semantic IDs level by level, then specials. No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError, ModelError

Ints = npt.NDArray[np.int64]
TextEncoder = Callable[[str], list[int]]

BYTES = 256
# Separators and tags that every corpus of this project may use; appended once, so that ids never move.
SPECIALS = (
    "pad",
    "bos",
    "eos",
    "sep",
    "item",
    "text",
    "behaviour",
    "user",
    "attributes",
    "positive",
    "negative",
    "unknown",
)


@dataclass(frozen=True)
class Vocabulary:
    """The token ids of one model: `base_size` text tokens, the SID rows level by level, specials.

    base_size: number of text tokens in front: the tokenizer's rows; 256 for `kind="bytes"`, which version 0.1
        trained.
    sizes: codes K_l of each Semantic-ID level; level l is one contiguous slice, so its head is one slice of
        the matrix.
    specials: names of separators and tags; `aliases` may place some of them on rows that the base model
        already has.
    """

    base_size: int
    sizes: tuple[int, ...]
    specials: tuple[str, ...] = SPECIALS
    kind: Literal["bytes", "tokenizer"] = "bytes"
    aliases: tuple[tuple[str, int], ...] = ()

    @property
    def levels(self) -> int:
        """Number of Semantic-ID levels L."""
        return len(self.sizes)

    @property
    def sid_starts(self) -> tuple[int, ...]:
        """First token of each level, and the token after the last level: (L + 1,)."""
        return tuple(self.base_size + sum(self.sizes[:level]) for level in range(self.levels + 1))

    @property
    def size(self) -> int:
        """Number of tokens in all."""
        return self.base_size + len(self.added())

    def sid_slice(self, level: int) -> slice:
        """The rows of level `level` (counted from 0)."""
        starts = self.sid_starts
        return slice(starts[level], starts[level + 1])

    def sid_tokens(self, codes: npt.ArrayLike) -> Ints:
        """Token ids (n, L) of codes (n, L); one item's codes (L,) give (L,).

        Raises InputError naming the first row and level whose code the codebook does not have.
        """
        values = np.asarray(codes, dtype=np.int64)
        bad = (values < 0) | (values >= np.asarray(self.sizes))
        if bad.any():
            row, level = (int(part) for part in np.argwhere(np.atleast_2d(bad))[0])
            code = int(np.atleast_2d(values)[row, level])
            raise InputError(
                f"codes: row {row + 1} has code {code} at level {level + 1}, which has codes 0 to"
                f" {self.sizes[level] - 1}; encode the items with the codebook this model was built with"
            )
        return values + np.asarray(self.sid_starts[:-1], dtype=np.int64)

    def level_of(self, tokens: npt.ArrayLike) -> Ints:
        """Level (0 .. L-1) of each token, -1 where it is no SID token; same shape as `tokens`."""
        values = np.asarray(tokens, dtype=np.int64)
        level = np.searchsorted(np.asarray(self.sid_starts), values, side="right") - 1
        return np.where(level < self.levels, level, -1).astype(np.int64)

    def special(self, name: str) -> int:
        """Token of the separator or tag `name`, for example `sep`."""
        aliases = dict(self.aliases)
        if name in aliases:
            return aliases[name]
        return self.sid_starts[-1] + [row for row in self.specials if row not in aliases].index(name)

    def added(self) -> list[str]:
        """Names of all tokens after the text tokens, in id order: `<sid_l_c>`, `<|name|>`."""
        names = [f"<sid_{level}_{code}>" for level, size in enumerate(self.sizes) for code in range(size)]
        aliases = dict(self.aliases)
        return names + [f"<|{name}|>" for name in self.specials if name not in aliases]

    def to_json(self) -> str:
        """The vocabulary as JSON text, the same bytes for the same vocabulary as of version 0.1."""
        return json.dumps(asdict(self) | {"buckets": []}, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Read what `to_json` wrote.

        Raises ModelError when the text is not a vocabulary.
        """
        try:
            raw = json.loads(text)
            if raw["buckets"]:
                raise ValueError("it has tokens for numbers, which this version does not know")
            return cls(
                base_size=int(raw["base_size"]),
                sizes=tuple(int(size) for size in raw["sizes"]),
                specials=tuple(str(name) for name in raw["specials"]),
                kind=raw["kind"],
                aliases=tuple((str(name), int(row)) for name, row in raw["aliases"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"vocabulary.json cannot be read ({error}); build the model again") from None

    def fingerprint(self) -> str:
        """Hash of the vocabulary: 32 hexadecimal digits."""
        return hashlib.blake2b(self.to_json().encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
