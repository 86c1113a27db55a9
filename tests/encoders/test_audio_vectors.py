"""Audio features against sounds whose pitch, tempo, timbre and level are known."""

import numpy as np
import pytest

from tastemaker.encoders import audio_vectors
from tastemaker.encoders.audio import BLOCKS, DIMENSIONS, TEMPI
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

RATE = 16_000


def _block(x: np.ndarray, name: str) -> np.ndarray:
    start = 0
    for block, width in BLOCKS:
        if block == name:
            return x[..., start : start + width]
        start += width
    raise KeyError(name)


def _tone(*midi: float, seconds: float = 2.0, partials: int = 4, level: float = 0.2) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    wave = sum(
        np.sin(2 * np.pi * k * 440 * 2 ** ((m - 69) / 12) * time) / k
        for m in midi
        for k in range(1, partials + 1)
    )
    return (level * wave / len(midi)).astype(np.float32)


def _clicks(beats_a_minute: float, seconds: float = 10.0) -> np.ndarray:
    wave = generator("clicks").normal(0, 1e-3, int(seconds * RATE))
    for beat in np.arange(0, seconds - 0.1, 60 / beats_a_minute):
        start = int(beat * RATE)
        wave[start : start + 800] += generator("click").normal(0, 0.3, 800) * np.exp(-np.arange(800) / 150)
    return wave.astype(np.float32)


@pytest.mark.parametrize("midi", [57, 60, 64, 69, 73, 83])
def test_the_pitch_class_of_a_tone_is_the_strongest(midi: int) -> None:
    chroma = _block(audio_vectors([_tone(midi, partials=1)], RATE)[0], "chroma_mean")
    assert chroma.argmax() == midi % 12 and chroma.max() > 0.9


def test_octaves_share_a_pitch_class_and_semitones_do_not() -> None:
    chroma = _block(
        audio_vectors([_tone(60, partials=1), _tone(72, partials=1), _tone(61, partials=1)], RATE),
        "chroma_mean",
    )
    assert chroma[0] @ chroma[1] > 0.8 > 0.1 > chroma[0] @ chroma[2]


def test_intervals_do_not_depend_on_the_key_but_on_the_mode() -> None:
    major, higher, minor = (
        _block(audio_vectors([_tone(*chord, partials=1)], RATE)[0], "interval")
        for chord in ((60, 64, 67), (65, 69, 72), (60, 63, 67))
    )
    # The intervals of a triad are unordered: major and minor both have 3, 4 and 5; a tritone pair has 6.
    np.testing.assert_allclose(major, higher, atol=0.1)
    np.testing.assert_allclose(major, minor, atol=0.1)
    assert major[[2, 3, 4]].min() > 5 * major[[0, 1, 5]].max()
    tritone = _block(audio_vectors([_tone(60, 66, partials=1)], RATE)[0], "interval")
    assert tritone.argmax() == 5


@pytest.mark.parametrize("tempo", [70, 100, 140, 190])
def test_tempo_shows_as_a_peak_of_the_tempogram(tempo: int) -> None:
    tempogram = _block(audio_vectors([_clicks(tempo)], RATE)[0], "tempogram")
    nearest = int(np.abs(np.log(TEMPI / tempo)).argmin())
    peaks = [i for i in range(1, 29) if tempogram[i] >= tempogram[i - 1] and tempogram[i] >= tempogram[i + 1]]
    strong = [i for i in [*peaks, 0, 29] if tempogram[i] > 0.5 * tempogram.max()]
    assert min(abs(i - nearest) for i in strong) <= 1
    onsets = _block(audio_vectors([_clicks(tempo)], RATE)[0], "onsets")[0]
    assert onsets == pytest.approx(tempo / 60, rel=0.15)


def test_brightness_and_noise_show_in_the_spectrum() -> None:
    dull, bright, noise = audio_vectors(
        [
            _tone(60, partials=1),
            _tone(60, partials=12),
            generator("noise").normal(0, 0.1, 2 * RATE).astype(np.float32),
        ],
        RATE,
    )
    assert _block(dull, "spectrum")[0] < _block(bright, "spectrum")[0] < _block(noise, "spectrum")[0]
    assert _block(noise, "spectrum")[3] > _block(bright, "spectrum")[3] + 3  # flatness, in nepers


def test_loudness_changes_the_level_and_nothing_else() -> None:
    soft, loud = audio_vectors(
        [0.1 * _clicks(100) + _tone(60, seconds=10)] * 1 + [5 * (0.1 * _clicks(100) + _tone(60, seconds=10))],
        RATE,
    )
    assert _block(loud, "level")[0] - _block(soft, "level")[0] == pytest.approx(20 * np.log10(5), abs=0.05)
    np.testing.assert_allclose(soft[:-2], loud[:-2], atol=0.02)


def test_silence_missing_and_short_sounds_are_missing_views() -> None:
    silence, hiss = np.zeros(RATE, np.float32), generator("hiss").normal(0, 1e-6, RATE).astype(np.float32)
    x = audio_vectors([silence, None, _tone(60, seconds=0.3), hiss, np.empty(0, np.float32), _tone(60)], RATE)
    assert x.shape == (6, DIMENSIONS) and x.dtype == np.float32
    assert np.isnan(x[:5]).all() and np.isfinite(x[5]).all()
    assert audio_vectors([], RATE).shape == (0, DIMENSIONS)


def test_silence_around_a_sound_hardly_matters() -> None:
    tone = _tone(60, 64, 67)
    padded = np.concatenate([np.zeros(RATE, np.float32), tone, np.zeros(RATE, np.float32)])
    plain, framed = audio_vectors([tone, padded], RATE)
    assert np.isfinite(framed).all()
    np.testing.assert_allclose(_block(plain, "chroma_mean"), _block(framed, "chroma_mean"), atol=0.05)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_other_rates(rate: int) -> None:
    time = np.arange(2 * rate) / rate
    x = audio_vectors([np.sin(2 * np.pi * 440 * time).astype(np.float32)], rate)
    assert _block(x[0], "chroma_mean").argmax() == 9


def test_bad_sound_names_the_row() -> None:
    with pytest.raises(InputError, match="item row 2"):
        audio_vectors([_tone(60), np.zeros((2, RATE), np.float32)], RATE)
    with pytest.raises(InputError, match="item row 1"):
        audio_vectors([np.full(RATE, np.nan, np.float32)], RATE)
    with pytest.raises(InputError, match="too coarse"):
        audio_vectors([_tone(60)], 1000)
