"""Sound: pitch, onsets, level, band and edges, measured on the samples."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.simulate.synth import PEAK, RATE, TIMBRES, Timbre, frequency, render, wav_bytes


def spectrum(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = 1 << 18
    return np.fft.rfftfreq(size, 1 / RATE), np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size))


def pitch(sound: np.ndarray, near: float) -> float:
    """The strongest frequency within a semitone of `near`."""
    frequencies, levels = spectrum(sound.astype(np.float64))
    band = (frequencies > near * 0.945) & (frequencies < near * 1.058)
    return float(frequencies[band][levels[band].argmax()])


@pytest.mark.parametrize("timbre", TIMBRES)
def test_a_scale_is_heard_at_its_frequencies_within_ten_cents(timbre: str) -> None:
    scale = [62, 64, 66, 67, 69, 71, 73, 74]
    notes = np.array([[0.5 * place, 0.5, midi] for place, midi in enumerate(scale)])
    sound = render(notes, timbre)
    for place, midi in enumerate(scale):
        part = sound[int((0.5 * place + 0.08) * RATE) : int((0.5 * place + 0.45) * RATE)]
        heard = pitch(part, frequency(midi))
        assert abs(1200 * np.log2(heard / frequency(midi))) < 10


@pytest.mark.parametrize("timbre", TIMBRES)
def test_level_silence_before_and_smooth_edges(timbre: str) -> None:
    sound = render(np.array([[0.5, 0.8, 69.0]]), timbre)
    assert np.abs(sound).max() == pytest.approx(PEAK, rel=1e-6)
    start = RATE // 2
    assert not sound[: start - RATE // 1000].any() or np.abs(sound[: start - RATE // 1000]).max() < 1e-6
    assert np.abs(sound[start : start + RATE // 200]).max() > 0.01  # onset within 5 ms
    assert np.abs(np.diff(sound[start - 8 : start + 8])).max() < 0.2
    assert np.abs(sound[-8:]).max() < 1e-3


def test_partials_are_the_stated_ones() -> None:
    sound = render(np.array([[0.0, 2.0, 57.0]]), "organ", room=0.0)[RATE // 4 : RATE]
    frequencies, levels = spectrum(sound.astype(np.float64))
    at = [levels[np.abs(frequencies - 220.0 * k).argmin()] for k in range(1, 9)]
    assert np.allclose(np.array(at) / at[0], TIMBRES["organ"].partials, atol=0.02)


def test_partials_beyond_the_band_are_dropped() -> None:
    """Whatever is loud is a multiple of the pitch: a partial beyond half the rate would fold back between them."""
    for timbre in TIMBRES:
        for midi in (86.0, 91.0, 93.0):
            sound = render(np.array([[0.0, 1.0, midi]]), timbre, room=0.0)
            frequencies, levels = spectrum(sound.astype(np.float64))
            loud = frequencies[levels > levels.max() * 0.03] / frequency(midi)
            assert np.abs(loud - np.round(loud)).max() < 0.06
            assert loud.max() * frequency(midi) < 0.46 * RATE


def test_timbres_sound_different() -> None:
    notes = np.array([[0.0, 0.6, 62.0], [0.6, 0.6, 66.0]])
    shapes = {}
    for timbre in TIMBRES:
        levels = spectrum(render(notes, timbre).astype(np.float64))[1]
        shapes[timbre] = levels / np.linalg.norm(levels)
    names = list(shapes)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            assert shapes[one] @ shapes[other] < 0.99


def test_samples_and_bytes_are_stable_and_a_clip_is_at_most_its_seconds() -> None:
    notes = np.array([[0.25 * place, 0.25, 60.0 + place % 12] for place in range(100)])
    sound = render(notes, "whistle", seconds=3.0)
    assert sound.shape == (3 * RATE,)
    assert sound.dtype == np.float32
    assert wav_bytes(sound) == wav_bytes(render(notes, "whistle", seconds=3.0))
    with wave.open(io.BytesIO(wav_bytes(sound))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (1, 2, RATE, 3 * RATE)
        read = np.frombuffer(file.readframes(3 * RATE), dtype="<i2") / 32767.0
    assert np.abs(read - sound).max() < 1e-4


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1.5), st.floats(0.01, 1.0), st.integers(40, 100)), min_size=1, max_size=8),
    st.sampled_from(list(TIMBRES)),
)
def test_any_notes_give_finite_sound_at_the_peak(tune: list[tuple[float, float, int]], timbre: str) -> None:
    sound = render(np.array(tune, dtype=np.float64), timbre, seconds=2.0)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() == pytest.approx(PEAK, rel=1e-5)
    assert len(sound) <= 2 * RATE


def test_what_cannot_sound_is_refused() -> None:
    with pytest.raises(InputError, match="choose from plucked"):
        render(np.array([[0.0, 1.0, 60.0]]), "kazoo")
    with pytest.raises(InputError, match="no note starts"):
        render(np.zeros((0, 3)), "organ")
    with pytest.raises(InputError, match="click"):
        Timbre((1.0,), attack=0.001)


@pytest.mark.parametrize("timbre", sorted(TIMBRES))
def test_a_note_that_starts_at_the_very_end_is_left_out(timbre: str) -> None:
    """Rounded to samples, such a note would sound for none."""
    notes = np.array([[0.0, 0.5, 60.0], [1.0 - 0.2 / RATE, 0.5, 62.0]])
    np.testing.assert_array_equal(render(notes, timbre, seconds=1.0), render(notes[:1], timbre, seconds=1.0))
