"""Sound from notes: additive synthesis in five timbres whose partials and envelopes are known exactly."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tastemaker.arrays import Float32, Floats
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

RATE = 16_000
PEAK = 10.0 ** (-3.0 / 20.0)  # -3 dBFS
_BAND = 0.45  # partials above this share of the rate are dropped
_ROOM_SECONDS = 0.22


@dataclass(frozen=True)
class Timbre:
    """Weights of the partials 1, 2, ... and an envelope; times in seconds.

    `decay` (None = sustained) is the fundamental's time constant, and partial k's is decay / (1 + .6(k - 1));
    `ring` is how long a note sounds on after its written end; vibrato is `depth` cents at `speed` Hz, once a
    note has lasted a while; `breath` is the level of noise, `gap` the share of the written duration left
    silent.
    """

    partials: tuple[float, ...]
    attack: float = 0.02
    release: float = 0.04
    decay: float | None = None
    ring: float = 0.0
    depth: float = 0.0
    speed: float = 5.5
    breath: float = 0.0
    gap: float = 0.05


TIMBRES: dict[str, Timbre] = {
    "plucked": Timbre(
        (1.0, 0.62, 0.42, 0.28, 0.2, 0.14, 0.1, 0.07, 0.05, 0.03), 0.005, 0.09, decay=0.55, ring=0.25, gap=0.0
    ),
    "bowed": Timbre(
        (1.0, 0.72, 0.58, 0.46, 0.42, 0.3, 0.22, 0.16, 0.11, 0.08, 0.05, 0.03),
        0.035,
        0.06,
        depth=7.0,
        gap=0.03,
    ),
    "whistle": Timbre((1.0, 0.16, 0.07, 0.02), 0.02, 0.04, depth=5.0, speed=4.8, breath=0.02, gap=0.07),
    "reed": Timbre((1.0, 0.25, 0.75, 0.2, 0.55, 0.15, 0.35, 0.1, 0.2, 0.06, 0.1), 0.015, 0.03, gap=0.08),
    "organ": Timbre((1.0, 0.8, 0.35, 0.6, 0.0, 0.3, 0.0, 0.35), 0.012, 0.08, gap=0.02),
}


def frequency(midi: float) -> float:
    """Hertz of a MIDI number, equal temperament, A4 (69) = 440."""
    return float(440.0 * 2.0 ** ((midi - 69.0) / 12.0))


def _envelope(time: Floats, sounding: float, timbre: Timbre) -> Floats:
    """Raised-cosine attack and release, smooth at both ends; the attack yields when the note is shorter."""
    attack = min(timbre.attack, max(sounding, 0.005))
    rise = np.clip(time / attack, 0.0, 1.0)
    fall = np.clip((sounding + timbre.release - time) / timbre.release, 0.0, 1.0)
    shape: Floats = 0.25 * (1.0 - np.cos(np.pi * rise)) * (1.0 - np.cos(np.pi * fall))
    return shape


def _note(midi: float, duration: float, timbre: Timbre, rate: int) -> Floats:
    """One note; partials by sin kθ = 2 cos θ sin (k-1)θ - sin (k-2)θ: two calls to a sine in all."""
    pitch = frequency(midi)
    sounding = max(duration * (1.0 - timbre.gap), 0.03) + timbre.ring
    time = np.arange(int((sounding + timbre.release) * rate) + 1) / rate
    angle = 2.0 * np.pi * pitch * time
    if timbre.depth:
        cents = timbre.depth / 1200.0 * np.log(2.0) * np.clip((time - 0.15) / 0.2, 0.0, 1.0)
        angle -= pitch / timbre.speed * cents * np.cos(2.0 * np.pi * timbre.speed * time)
    double, before, current = 2.0 * np.cos(angle), np.zeros_like(time), np.sin(angle)
    fade = np.exp(-time / timbre.decay) if timbre.decay else None
    step = np.exp(-0.6 * time / timbre.decay) if timbre.decay else None
    sound = np.zeros_like(time)
    for number, weight in enumerate(timbre.partials, start=1):
        if pitch * number > _BAND * rate:
            break
        sound += weight * current if fade is None else weight * current * fade
        before, current = current, double * current - before
        if fade is not None:
            fade = fade * step
    return sound * _envelope(time, sounding, timbre)


@lru_cache(maxsize=4)
def _noise(size: int, rate: int) -> Floats:
    """Breath noise: white noise, differenced to take the rumble out."""
    return np.asarray(np.diff(generator("breath", size, rate).standard_normal(size + 1)) / np.sqrt(2.0))


@lru_cache(maxsize=4)
def _room(rate: int) -> Floats:
    """The tail of a small room: exponentially fading noise from 8 ms on, unit energy."""
    size = int(_ROOM_SECONDS * rate)
    tail = generator("room", rate).standard_normal(size) * np.exp(-5.0 * np.arange(size) / size)
    tail[: int(0.008 * rate)] = 0.0
    return np.asarray(tail / np.sqrt(np.sum(tail**2)))


def render(notes: Floats, timbre: str, rate: int = RATE, seconds: float = 12.0, room: float = 0.1) -> Float32:
    """Play `notes` (n, 3) [onset s, duration s, MIDI] for `seconds` at most; (samples,) float32, -3 dBFS.

    `room` is the level of a small room's echo; 0: partials alone. The same notes give the same samples.

    Raises InputError when no note starts within `seconds`.
    """
    notes = np.asarray(notes, dtype=np.float64).reshape(-1, 3)
    notes = notes[
        (np.rint(notes[:, 0] * rate) < int(seconds * rate)) & (notes[:, 1] > 0)
    ]  # each sounds for a sample at least
    if not len(notes):
        raise InputError(f"no note starts within the first {seconds:g} seconds; there is nothing to render")
    settings = TIMBRES[timbre]
    tail = settings.ring + settings.release + (_ROOM_SECONDS if room else 0.0)
    length = min(int(seconds * rate), int((np.max(notes[:, 0] + notes[:, 1]) + tail) * rate) + 1)
    sound = np.zeros(length)
    for onset, duration, midi in notes:
        start = round(onset * rate)
        wave_form = _note(midi, min(duration, seconds - onset), settings, rate)[: length - start]
        if settings.breath:
            wave_form = wave_form + settings.breath * np.abs(wave_form).max() * _breathed(
                wave_form, duration, settings, rate
            )
        sound[start : start + len(wave_form)] += wave_form
    if room:
        size = (
            1 << int(length + _ROOM_SECONDS * rate).bit_length()
        )  # long enough that the echo does not wrap round
        sound += room * np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(_room(rate), size), size)[:length]
    fade = min(int(0.05 * rate), length)
    sound[length - fade :] *= 0.5 * (1.0 + np.cos(np.pi * np.arange(1, fade + 1) / fade))
    peak = np.abs(sound).max()
    return (sound * (PEAK / peak if peak else 0.0)).astype(np.float32)


def _breathed(wave_form: Floats, duration: float, timbre: Timbre, rate: int) -> Floats:
    """Breath under one note, shaped by the note's own envelope."""
    time = np.arange(len(wave_form)) / rate
    noise = _noise(1 << 16, rate)
    return np.resize(noise, len(wave_form)) * _envelope(time, duration * (1.0 - timbre.gap), timbre)


def wav_bytes(samples: Float32, rate: int = RATE) -> bytes:
    """A 16-bit mono WAV file; the same samples give the same bytes."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
    return buffer.getvalue()
