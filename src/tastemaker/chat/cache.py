"""Validated answers by content: the key of a call, and a folder that one subject's erasure empties."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from tastemaker.chat.protocol import Media, Request, schema_of

PROTOCOL = 1
"""Part of every key: raised when requests are put to a model in another way, so that old answers no longer
count."""


def canonical(value: Any) -> bytes:
    """The one byte string of a JSON value: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


@lru_cache(maxsize=256)
def _schema_hash(answer: Callable[..., Any]) -> str | None:
    schema = schema_of(answer)
    return None if schema is None else hashlib.sha256(canonical(schema)).hexdigest()


def call_key(model: str, request: Request[Any]) -> str:
    """SHA-256 of what decides it: protocol, model with revision, sampling, messages, schema, sample index.

    Media enter by their own sha256. Subject, unit, kind, view, keys, addresses and time do not enter.
    """
    messages = [
        [
            message.role,
            [[part.media_type, part.sha256] if isinstance(part, Media) else part for part in message.parts],
        ]
        for message in request.messages
    ]
    sampling = request.sampling
    content = {
        "protocol": PROTOCOL,
        "model": model,
        "sampling": [sampling.temperature, sampling.top_p, sampling.max_tokens],
        "messages": messages,
        "schema": _schema_hash(request.answer),  # type: ignore[arg-type]
        "sample": request.sample,
    }
    return hashlib.sha256(canonical(content)).hexdigest()


def subject_tag(subject: str) -> str:
    """How a subject is named on disk: a digest, never the name itself."""
    return hashlib.sha256(f"subject:{subject}".encode()).hexdigest()[:24]


class Cache:
    """One JSON file an entry, under the folder of its subject: erasing a person removes one folder.

    Equal questions about two subjects are two entries, so that erasing one never touches, and never reveals,
    the other's.
    write: replaces a file by bytes, atomically (`tastemaker.store.write_bytes`).
    """

    def __init__(self, folder: Path, write: Callable[[Path, bytes], None]) -> None:
        self._folder, self._write = folder, write

    def _path(self, subject: str, key: str) -> Path:
        return self._folder / subject_tag(subject) / key[:2] / f"{key}.json"

    def get(self, subject: str, key: str) -> Any | None:
        """The entry, or None when it is absent or damaged (it is then asked for again)."""
        try:
            return json.loads(self._path(subject, key).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def put(self, subject: str, key: str, value: Any) -> None:
        """Keep a JSON value; when this returns it survives a kill."""
        self._write(self._path(subject, key), canonical(value))

    def count_of(self, subject: str) -> int:
        """How many entries are kept for a subject."""
        return sum(1 for _ in (self._folder / subject_tag(subject)).rglob("*.json"))

    def erase(self, subject: str) -> int:
        """Remove everything kept for a subject; returns the number of entries."""
        count = self.count_of(subject)
        shutil.rmtree(self._folder / subject_tag(subject), ignore_errors=True)
        return count
