"""Sound and covers of items: files in the workspace, or, for the demo's tunes, rendered when asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.demo.covers import draw, png_bytes
from tastemaker.demo.synth import RATE, render, wav_bytes
from tastemaker.demo.tunes import cover_of, notes_of
from tastemaker.encoders.audio import audio_vectors
from tastemaker.encoders.image import image_vectors
from tastemaker.errors import InputError, TastemakerError
from tastemaker.flows.pipeline import Report
from tastemaker.store import Workspace, read_table, write_bytes
from tastemaker.store.files import sha256_bytes, sha256_file
from tastemaker.store.recorded import Recorded

Floats = npt.NDArray[np.float32]
FACTS_FILE = "tune_facts.parquet"
MEDIA_TYPES = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".flac": "audio/flac"}
MEDIA_TYPES |= {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


# What one file may ask for: a sound is described by its first minutes, larger files and pictures are refused.
MAX_BYTES = 1 << 28
MAX_PIXELS = 64_000_000
MAX_SIDE = 1 << 15  # shrinking a line of pixels takes memory by its length
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # those that run no program
MAX_SAMPLES = 1 << 26  # of all channels together
PLACEHOLDER = (
    0.25  # of the items that have a sound or a picture: a file that more of them share tells nothing
)
LISTENED_SECONDS = 180
SIDE = 96


class Media:
    """Reads or renders the audio and cover of items."""

    def __init__(self, workspace: Workspace, items: pa.Table) -> None:
        self.root = workspace.root
        having = items.filter(pc.or_(items["audio"].is_valid(), items["image"].is_valid()))
        columns = (having[name].to_pylist() for name in ("item_id", "audio", "image"))
        self.paths = {
            item: {"audio": audio, "cover": image} for item, audio, image in zip(*columns, strict=True)
        }
        self._recorded = Recorded(workspace)
        facts = workspace.data / FACTS_FILE
        self.facts: dict[str, Any] = {}
        if facts.exists():
            table = read_table(self._recorded.check(facts, "facts of tunes"))
            self.facts = {row["item_id"]: row for row in table.to_pylist()}

    def path(self, item_id: str, kind: str) -> Path | None:
        """The file of the 'audio' or 'cover'; None when the item has none. What is rendered is kept by name.

        Raises InputError for a path that leaves the workspace or a file that is not there; ArtifactError when
        the file is not what ingest recorded.
        """
        relative = self.paths.get(item_id, {}).get(kind)
        if relative is None:
            return None
        path = Path(self.root / relative).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise InputError(
                f"item {item_id}: {kind} path '{relative}' leaves the workspace; use a path inside it"
            )
        if item_id in self.facts and not _as_rendered(path):
            cover = cover_of(self.facts[item_id])
            content = wav_bytes(self.wave(item_id)) if kind == "audio" else png_bytes(draw(cover))
            write_bytes(path, content)
            write_bytes(_sum_of(path), sha256_bytes(content).encode())
        if not path.is_file():
            raise InputError(
                f"item {item_id}: {kind} file '{relative}' is not in the workspace; copy it there"
            )
        return path if item_id in self.facts else self._recorded.check(path, f"item {item_id}: its {kind}")

    def get(self, item_id: str, kind: str) -> tuple[bytes, str] | None:
        """Bytes and media type of the 'audio' or 'cover'; None when the item has none."""
        path = self.path(item_id, kind)
        return None if path is None else (path.read_bytes(), media_type(path))

    def wave(self, item_id: str) -> Floats:
        """Samples at `RATE` of the item's audio: rendered from its notes, or read from its file."""
        if item_id in self.facts:
            return render(notes_of(self.facts[item_id]), self.facts[item_id]["timbre"])
        return read_sound(self._file(item_id, "audio"), f"item {item_id}: its audio")

    def pixels(self, item_id: str) -> npt.NDArray[np.uint8]:
        """(96, 96, 3) of the item's cover."""
        if item_id in self.facts:
            return draw(cover_of(self.facts[item_id]), SIDE)
        return read_picture(self._file(item_id, "cover"), f"item {item_id}: its cover")

    def _file(self, item_id: str, kind: str) -> Path:
        path = self.path(item_id, kind)
        if path is None:
            raise InputError(f"item {item_id} has no {kind}")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"item {item_id}: its {kind} has {path.stat().st_size >> 20} MB, at most {MAX_BYTES >> 20}"
                " are read; give a smaller file"
            )
        return path


def _sum_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _as_rendered(path: Path) -> bool:
    """Whether a rendered file is there, as it was written; each is looked at whenever it is asked for."""
    try:
        return sha256_file(path) == _sum_of(path).read_text()
    except (OSError, ValueError):
        return False


def media_type(path: Path) -> str:
    """What the file is, by its ending."""
    return MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")


def read_sound(path: Path, label: str) -> Floats:
    """The first three minutes of a WAV, FLAC, Ogg or MP3 file as mono samples in [-1, 1] at `RATE`.

    Raises InputError beginning with `label`, for a file that cannot be read as sound.
    """
    import soundfile
    from scipy.signal import resample_poly

    try:
        with soundfile.SoundFile(path) as file:
            rate, channels = file.samplerate, file.channels
            if not 1 <= channels <= 32 or not 1000 <= rate <= 768_000:
                raise InputError(f"{label} has {channels} channels of {rate} samples a second; convert it")
            most = min(rate * LISTENED_SECONDS, MAX_SAMPLES // channels)
            samples = file.read(most, dtype="float32", always_2d=True)
    except (RuntimeError, ValueError, OSError) as error:  # soundfile's own errors are RuntimeErrors
        raise InputError(
            f"{label} is not sound that can be read ({_reason(error)}); give WAV, FLAC, Ogg or MP3"
        ) from None
    mono = samples.mean(axis=1)
    steps = Fraction(RATE, rate).limit_denominator(1000)  # a filter as long as an odd rate would take minutes
    resampled = resample_poly(mono, *steps.as_integer_ratio()) if rate != RATE and len(mono) else mono
    return np.asarray(resampled, np.float32)


def read_picture(file: Path | BytesIO, label: str) -> npt.NDArray[np.uint8]:
    """(96, 96, 3) sRGB pixels of a picture file.

    Raises InputError beginning with `label`, for a file that is no picture or has too many pixels.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise InputError(
                    f"{label} has {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} and"
                    f" {MAX_SIDE:,} a side are read; give a smaller picture"
                )
            return np.asarray(image.convert("RGB").resize((SIDE, SIDE)))
    except InputError:
        raise
    except Exception as error:  # every decoder of Pillow raises its own kinds
        raise InputError(
            f"{label} is not a picture that can be read ({_reason(error)}); give PNG, JPEG or WebP"
        ) from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def audio_view(workspace: Workspace, items: pa.Table, report: Report, notes: list[str]) -> Floats | None:
    """(N, d) audio vectors, NaN rows for items without; None when no item has audio that can be told from
    others'. What had to be left out is added to `notes`.
    """
    media = Media(workspace, items)
    return _view(items, "audio", media, media.wave, lambda waves: audio_vectors(waves, RATE), report, notes)


def image_view(workspace: Workspace, items: pa.Table, report: Report, notes: list[str]) -> Floats | None:
    """(N, d) cover vectors, NaN rows for items without; None when no item has a cover that can be told from
    others'. What had to be left out is added to `notes`.
    """
    media = Media(workspace, items)
    return _view(items, "cover", media, media.pixels, image_vectors, report, notes)


def _view(
    items: pa.Table,
    kind: str,
    media: Media,
    load: Callable[[str], npt.NDArray[Any]],
    vectors: Callable[[Iterable[npt.NDArray[Any]]], Floats],
    report: Report,
    notes: list[str],
) -> Floats | None:
    item_ids = items["item_id"].to_pylist()
    having = [row for row, item in enumerate(item_ids) if media.paths.get(item, {}).get(kind)]
    rows: dict[str, list[int]] = {}
    parts, order, faults = list[Floats](), list[int](), list[str]()

    def readable(batch: list[int]) -> Iterator[npt.NDArray[Any]]:
        for row in batch:
            try:
                content = load(item_ids[row])
            except TastemakerError as error:
                faults.append(str(error))
                continue
            order.append(row)
            rows.setdefault(sha256_bytes(np.ascontiguousarray(content).tobytes()), []).append(row)
            yield content

    for start in range(0, len(having), 50):
        parts.append(np.asarray(vectors(readable(having[start : start + 50])), np.float32))
        report(f"{kind} features", min(start + 50, len(having)), len(having), "")
    if faults:
        notes.append(f"{len(faults)} of {len(having)} items learn without their {kind}: {_first(faults)}")
    if not order:
        return None
    features = np.concatenate(parts)
    out = np.full((len(item_ids), features.shape[1]), np.nan, np.float32)
    out[order] = features
    for same in rows.values():
        if len(same) > max(2, PLACEHOLDER * len(order)):
            out[same] = np.nan
            names = ", ".join(item_ids[row] for row in same[:3])
            notes.append(
                f"{len(same)} items share one {kind}, a placeholder, and learn without it: {names} ..."
            )
    return out if np.isfinite(out).all(axis=1).any() else None


def _first(faults: list[str]) -> str:
    return faults[0] + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")
