"""Sound and pictures in conversations: artefacts for media goals, and what recognises them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from tastemaker.chat import Media
from tastemaker.demo.covers import draw, png_bytes
from tastemaker.demo.synth import RATE, render, wav_bytes
from tastemaker.demo.tunes import CLIP_SECONDS, cover_of, notes_of
from tastemaker.encoders.audio import BLOCKS, audio_vectors
from tastemaker.encoders.image import image_vectors
from tastemaker.flows.media import Media as ItemMedia
from tastemaker.flows.media import read_picture
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.stages.vectors import load_views
from tastemaker.retrieve.facts import Near, same_melody
from tastemaker.stats.random import generator

SPEEDS = (0.85, 0.9, 1.12, 1.2)
STEPS = (-4, -3, -2, 2, 3, 4)
SIZES = (96, 128, 192, 320)


class Artefacts:
    """Clips at another tempo or transposition, covers at another size, both without metadata; and their
    recognition by vectors.

    Only items whose notes and cover are known exactly (the demo's) can be rendered; others have no artefact.
    """

    def __init__(self, pipeline: Pipeline, seed: int) -> None:
        self.items = ItemMedia(pipeline.workspace, pipeline.data.items)
        self.item_ids, self.seed = pipeline.data.item_ids, seed
        self.views = load_views(pipeline.path("vectors")) if pipeline.finished("vectors") else {}
        self.near = {name: Near(self.views[name]) for name in ("audio", "image") if name in self.views}
        self._cache: dict[tuple[str, int], Media | None] = {}
        self._recognised: dict[str, int | None] = {}
        self._melody = self._melody_finder()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Media that can both be rendered anew and recognised."""
        return tuple(name for name in ("audio", "image") if self.items.facts and name in self.near)

    def similar(self, field: str, row: int) -> Any:
        """(N,) what is near to an item in sound or cover; None when that is not known."""
        return self.near[field].like(row) if field in self.near else None

    def attach(self, kind: str, row: int) -> Media | None:
        """The artefact of an item: the same for every conversation, so that it is stored once."""
        if (kind, row) not in self._cache:
            if len(self._cache) > 256:
                self._cache.clear()
            fact = self.items.facts.get(self.item_ids[row])
            render = self._clip if kind == "audio" else self._picture
            self._cache[kind, row] = None if fact is None else render(fact, row)
        return self._cache[kind, row]

    def _clip(self, fact: dict[str, Any], row: int) -> Media:
        rng = generator(self.seed, "clip", self.item_ids[row])
        notes = notes_of(fact).copy()
        if rng.random() < 0.5:
            notes[:, :2] /= SPEEDS[int(rng.integers(len(SPEEDS)))]
        else:
            notes[:, 2] += STEPS[int(rng.integers(len(STEPS)))]
        samples = render(notes[notes[:, 0] < CLIP_SECONDS - 0.5], fact["timbre"])
        return Media(wav_bytes(samples), "audio/wav", len(samples) / RATE)

    def _picture(self, fact: dict[str, Any], row: int) -> Media:
        rng = generator(self.seed, "picture", self.item_ids[row])
        return Media(png_bytes(draw(cover_of(fact), SIZES[int(rng.integers(len(SIZES)))])), "image/png")

    def _melody_finder(self) -> Callable[[Any], int] | None:
        if "audio" not in self.views:
            return None
        return same_melody(self._chroma(self.views["audio"]))

    @staticmethod
    def _chroma(vectors: Any) -> Any:
        """The two blocks of pitch classes of audio vectors, (N, 2, 12)."""
        ends = dict(zip([name for name, _ in BLOCKS], np.cumsum([width for _, width in BLOCKS]), strict=True))
        return np.stack(
            [vectors[:, ends[name] - 12 : ends[name]] for name in ("chroma_mean", "chroma_spread")], axis=1
        )

    def recognise(self, media: Media) -> int | None:
        """The item a clip or picture shows, by its vector; None when there is nothing to compare with."""
        if media.sha256 not in self._recognised:
            if len(self._recognised) > 4096:
                self._recognised.clear()
            self._recognised[media.sha256] = self._find(media)
        return self._recognised[media.sha256]

    def _find(self, media: Media) -> int | None:
        if media.medium == "audio":
            if self._melody is None:
                return None
            from scipy.io import wavfile

            rate, samples = wavfile.read(io.BytesIO(media.data))
            return self._melody(self._chroma(audio_vectors([samples.astype(np.float32) / 32768.0], rate))[0])
        if "image" not in self.near:
            return None
        pixels = read_picture(io.BytesIO(media.data), "it")
        return int(self.near["image"].ranked(image_vectors([pixels])[0], 1)[0])

    def recognises(self, kind: str, row: int) -> bool:
        """Whether an item's artefact is recognised as that item: else no request by it could be answered."""
        artefact = self.attach(kind, row)
        return artefact is not None and self.recognise(artefact) == row

    def show(self, row: int) -> tuple[Media, ...]:
        """An item's own sound and cover, for models that hear and see."""
        files = [self.items.get(self.item_ids[row], kind) for kind in ("audio", "cover")]
        return tuple(Media(*file) for file in files if file is not None)
