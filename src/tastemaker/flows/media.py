"""Sound and covers of items: files inside the workspace, or, for the demo's tunes, rendered when first asked
for.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.demo.covers import draw, png_bytes
from tastemaker.demo.synth import RATE, render, wav_bytes
from tastemaker.demo.tunes import cover_of, notes_of
from tastemaker.encoders.audio import audio_vectors
from tastemaker.encoders.image import image_vectors
from tastemaker.errors import InputError
from tastemaker.flows.pipeline import Pipeline
from tastemaker.store import Workspace, read_table, write_bytes

Floats = npt.NDArray[np.float32]
FACTS_FILE = "tune_facts.parquet"
MEDIA_TYPES = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".flac": "audio/flac"}
MEDIA_TYPES |= {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


class Media:
    """Reads or renders the audio and cover of items."""

    def __init__(self, workspace: Workspace, items: pa.Table) -> None:
        self.root = workspace.root
        columns = (items[name].to_pylist() for name in ("item_id", "audio", "image"))
        self.paths = {
            item: {"audio": audio, "cover": image} for item, audio, image in zip(*columns, strict=True)
        }
        facts = workspace.data / FACTS_FILE
        self.facts: dict[str, Any] = (
            {row["item_id"]: row for row in read_table(facts).to_pylist()} if facts.exists() else {}
        )

    def get(self, item_id: str, kind: str) -> tuple[bytes, str] | None:
        """Bytes and media type of the 'audio' or 'cover'; None when the item has none. What is rendered is
        kept by name.

        Raises
        ------
        InputError
            for a path that leaves the workspace or a file that is not there.
        """
        relative = self.paths.get(item_id, {}).get(kind)
        if relative is None:
            return None
        path = (self.root / relative).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise InputError(
                f"item {item_id}: {kind} path '{relative}' leaves the workspace; use a path inside it"
            )
        if not path.exists():
            if item_id not in self.facts:
                raise InputError(
                    f"item {item_id}: {kind} file '{relative}' is not in the workspace; copy it there"
                )
            fact = self.facts[item_id]
            write_bytes(
                path, wav_bytes(self.wave(item_id)) if kind == "audio" else png_bytes(draw(cover_of(fact)))
            )
        return path.read_bytes(), MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")

    def wave(self, item_id: str) -> Floats:
        """Samples at `RATE` of the item's audio: rendered from its notes, or read from a WAV file."""
        if item_id in self.facts:
            return render(notes_of(self.facts[item_id]), self.facts[item_id]["timbre"])
        found = self.get(item_id, "audio")
        assert found is not None
        return _read_wav(found[0], item_id)

    def pixels(self, item_id: str) -> npt.NDArray[np.uint8]:
        """(h, w, 3) of the item's cover."""
        if item_id in self.facts:
            return draw(cover_of(self.facts[item_id]), 96)
        from PIL import Image, UnidentifiedImageError

        found = self.get(item_id, "cover")
        assert found is not None
        try:
            with Image.open(io.BytesIO(found[0])) as image:
                return np.asarray(image.convert("RGB").resize((96, 96)))
        except (UnidentifiedImageError, OSError) as error:
            raise InputError(
                f"item {item_id}: its cover is not an image that can be read ({error}); replace the file"
            ) from None


def _read_wav(data: bytes, item_id: str) -> Floats:
    """Mono samples in [-1, 1] at `RATE`."""
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    try:
        rate, samples = wavfile.read(io.BytesIO(data))
    except ValueError as error:
        raise InputError(
            f"item {item_id}: its audio is not a WAV file that can be read ({error}); convert it to WAV"
        ) from None
    scale = float(np.iinfo(samples.dtype).max) if np.issubdtype(samples.dtype, np.integer) else 1.0
    mono = samples.astype(np.float32).reshape(len(samples), -1).mean(axis=1) / np.float32(scale)
    return np.asarray(resample_poly(mono, RATE, rate) if rate != RATE else mono, np.float32)


@lru_cache(maxsize=1)
def _media(root: Path, pipeline: Pipeline) -> Media:
    return Media(pipeline.workspace, pipeline.data.items)


def audio_view(pipeline: Pipeline) -> Floats | None:
    """(N, d) audio vectors, NaN rows for items without; None when no item has audio."""
    return _view(
        pipeline, "audio", lambda media, item: media.wave(item), lambda waves: audio_vectors(waves, RATE)
    )


def image_view(pipeline: Pipeline) -> Floats | None:
    """(N, d) cover vectors, NaN rows for items without; None when no item has a cover."""
    return _view(pipeline, "cover", lambda media, item: media.pixels(item), image_vectors)


def _view(pipeline: Pipeline, kind: str, read: Any, vectors: Any) -> Floats | None:
    media = _media(pipeline.workspace.root, pipeline)
    having = [row for row, item in enumerate(pipeline.data.item_ids) if media.paths[item][kind] is not None]
    if not having:
        return None
    parts = []
    for done in range(0, len(having), 50):
        batch = [read(media, pipeline.data.item_ids[row]) for row in having[done : done + 50]]
        parts.append(np.asarray(vectors(batch), np.float32))
        pipeline.report(f"{kind} features", min(done + 50, len(having)), len(having), "")
    found = np.concatenate(parts)
    out = np.full((len(pipeline.data.item_ids), found.shape[1]), np.nan, np.float32)
    out[having] = found
    return out
