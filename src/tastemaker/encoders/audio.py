"""Sound -> vectors without a network: timbre, pitch classes, rhythm, level, by numpy and scipy."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.fft import dct

from tastemaker.arrays import Float32, Floats
from tastemaker.errors import InputError

MELS = 40
CEPSTRA = 13
TEMPI = np.geomspace(50.0, 210.0, 30)
_FRAME_SECONDS, _HOP_SECONDS = 0.093, 0.0232
_SILENCE = 1e-4  # root mean square, full scale 1; -80 dB

# Name and width of each block of an audio vector, in order.
BLOCKS: tuple[tuple[str, int], ...] = (
    ("mel_mean", MELS),
    ("mel_spread", MELS),
    ("cepstrum_mean", CEPSTRA),
    ("cepstrum_spread", CEPSTRA),
    ("chroma_mean", 12),
    ("chroma_spread", 12),
    ("interval", 6),
    ("spectrum", 8),
    ("onsets", 3),
    ("tempogram", len(TEMPI)),
    ("level", 2),
)
DIMENSIONS = sum(width for _, width in BLOCKS)


def audio_vectors(waves: Iterable[Float32 | None], rate: int) -> Float32:
    """(N, 179) float32 features of mono waveforms in [-1, 1] at `rate` samples a second.

    Blocks (`BLOCKS` names their widths): mean and spread over frames of 40 log-mel bands and of 13 cepstral
    coefficients (timbre); mean and spread of the 12 pitch classes, C first, and how much sound lies 1..6
    semitones apart (mode and harmony whatever the key); mean and spread of spectral centroid, width, flatness
    and 85 % roll-off; onsets a second, mean and spread of onset strength; autocorrelation of onset strength
    at 30 tempi from 50 to 210 beats a minute; level and its spread in decibels. Level apart, features do not
    depend on loudness. Standardise before use.

    A wave that is None, shorter than half a second or silent (below -80 dB) is a NaN row: a missing view. One
    wave is held at a time, so `waves` may be a generator.

    Raises InputError naming the item row, for a wave that is not one-dimensional or holds NaN or infinity;
    for a rate below 4,000.
    """
    if rate < 4000:
        raise InputError(f"audio at {rate} samples a second is too coarse to describe; use at least 4000")
    rows = [_features(wave, rate, row) for row, wave in enumerate(waves)]
    return np.stack(rows) if rows else np.empty((0, DIMENSIONS), np.float32)


def _features(wave: Float32 | None, rate: int, row: int) -> Float32:
    missing = np.full(DIMENSIONS, np.nan, np.float32)
    if wave is None:
        return missing
    wave = np.asarray(wave, np.float32)
    if wave.ndim != 1 or not np.isfinite(wave).all():
        raise InputError(
            f"audio of item row {row + 1}: shape {wave.shape}, NaN or infinity inside; give finite mono"
            " samples"
        )
    if len(wave) < rate // 2 or float(np.sqrt(np.square(wave, dtype=np.float64).mean())) < _SILENCE:
        return missing
    size = 1 << round(np.log2(_FRAME_SECONDS * rate))
    hop = round(_HOP_SECONDS * rate)
    from scipy.signal import stft  # takes half a second to load

    frequency, _, spectrum = stft(wave, rate, nperseg=size, noverlap=size - hop, padded=False)
    power = np.square(np.abs(spectrum)).T.astype(np.float64) + 1e-14  # (frames, bins)
    loud = 10 * np.log10(power.sum(axis=1))
    audible = loud > loud.max() - 60
    mel = 10 * np.log10(power @ _mel_bank(frequency).T)
    floor = mel.max() - 80
    mel = np.maximum(mel, floor) - mel[audible].mean()  # relative to the piece's own level
    cepstrum = dct(mel[audible], norm="ortho", axis=1)[:, 1 : CEPSTRA + 1]
    parts = [
        *_mean_spread(mel[audible]),
        *_mean_spread(cepstrum),
        *_harmony(power[audible], frequency),
        np.concatenate(_mean_spread(_shape(power[audible], frequency))),
        *_rhythm(mel, rate / hop),
        np.array([loud[audible].mean(), loud[audible].std()]),
    ]
    return np.concatenate(parts).astype(np.float32)


def _mean_spread(x: Floats) -> list[Floats]:
    return [x.mean(axis=0), x.std(axis=0)]


def _mel_bank(frequency: Floats) -> Floats:
    """(40, bins) triangles even in mel = 2595 log10(1 + f / 700), from 40 Hz to the top frequency."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (40.0, frequency[-1]))
    edges = 700 * (10 ** (np.linspace(low, high, MELS + 2) / 2595) - 1)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.minimum((frequency - left) / (middle - left), (right - frequency) / (right - middle)).clip(0)
    # A triangle narrower than a bin may hold none: it then takes the bin nearest its middle.
    empty = np.flatnonzero(bank.sum(axis=1) == 0)
    bank[empty, np.abs(frequency - middle[empty]).argmin(axis=1)] = 1
    return np.asarray(bank / bank.sum(axis=1, keepdims=True))


def _harmony(power: Floats, frequency: Floats) -> list[Floats]:
    """Mean and spread of pitch-class shares (12 each), mean share of sound 1..6 semitones apart (6)."""
    low, high = np.searchsorted(frequency, (55.0, 2000.0))
    left, middle, right = (power[:, low + step : high + step] for step in (-1, 0, 1))
    # Peaks only: the skirts of a partial would spill over neighbouring pitch classes at low frequencies.
    strength = np.where((middle >= left) & (middle > right), np.sqrt(middle), 0)
    left, middle, right = np.log(left), np.log(middle), np.log(right)
    curve = left - 2 * middle + right
    # The top of the parabola through a bin and its neighbours is far closer to the partial than the bin's
    # middle.
    shift = np.where(curve < 0, 0.5 * (left - right) / np.where(curve < 0, curve, -1), 0).clip(-0.5, 0.5)
    semitone = 69 + 12 * np.log2((frequency[low:high] + shift * frequency[1]) / 440)
    classes = np.round(semitone).astype(np.int64) % 12
    frames = len(power)
    flat = np.bincount((classes + 12 * np.arange(frames)[:, None]).ravel(), strength.ravel(), 12 * frames)
    chroma = flat.reshape(frames, 12).astype(np.float64)
    chroma = np.asarray(chroma / np.maximum(chroma.sum(axis=1, keepdims=True), 1e-12), np.float64)
    together = chroma.mean(axis=0)
    intervals = np.array([(together * np.roll(together, -step)).sum() for step in range(1, 7)])
    return [*_mean_spread(chroma), intervals / np.square(together).sum()]


def _shape(power: Floats, frequency: Floats) -> Floats:
    """(frames, 4) centroid, width, 85 % roll-off as shares of the top frequency, flatness in nepers."""
    share = power / power.sum(axis=1, keepdims=True)
    centre = share @ frequency
    width = np.sqrt(np.maximum(share @ np.square(frequency) - np.square(centre), 0))
    rolloff = frequency[(np.cumsum(share, axis=1) >= 0.85).argmax(axis=1)]
    flatness = np.log(power).mean(axis=1) - np.log(power.mean(axis=1))
    return np.stack(
        [centre / frequency[-1], width / frequency[-1], rolloff / frequency[-1], flatness], axis=1
    )


def _rhythm(mel: Floats, frame_rate: float) -> list[Floats]:
    """(3,) onsets a second, mean and spread of onset strength; (30,) its autocorrelation at the tempi."""
    strength = np.maximum(np.diff(mel, axis=0), 0).mean(axis=1)
    around = np.ones(round(0.4 * frame_rate))
    local = np.convolve(strength, around / len(around), mode="same")
    inner = strength[1:-1]
    peaks = (inner > strength[:-2]) & (inner >= strength[2:]) & (inner > 1.5 * local[1:-1] + 0.5)
    centred = strength - strength.mean()
    size = 1 << (2 * len(centred) - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    correlation = np.fft.irfft(np.square(np.abs(spectrum)), size)[: len(centred)]
    correlation /= max(float(correlation[0]), 1e-12)
    lags = 60 * frame_rate / TEMPI
    tempogram = np.interp(lags, np.arange(len(correlation)), correlation, right=0.0)
    onsets = np.array([peaks.sum() * frame_rate / len(strength), strength.mean(), strength.std()])
    return [onsets, tempogram]
