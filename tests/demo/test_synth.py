"""Sound: pitch, onsets, level, band and edges, measured on the samples."""

from __future__ import annotations

import io
import subprocess
import sys
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.demo.synth import PEAK, RATE, TIMBRES, frequency, render, wav_bytes
from tastemaker.errors import InputError


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
        hertz = pitch(part, frequency(midi))
        assert abs(1200 * np.log2(hertz / frequency(midi))) < 10


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
    """Whatever is loud is a multiple of the pitch: a partial beyond half the rate would fold back between
    them.
    """
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
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            assert shapes[name] @ shapes[other] < 0.99


def test_samples_and_bytes_are_stable_and_a_clip_is_at_most_its_seconds() -> None:
    notes = np.array([[0.25 * place, 0.25, 60.0 + place % 12] for place in range(100)])
    sound = render(notes, "whistle", seconds=3.0)
    assert sound.shape == (3 * RATE,)
    assert sound.dtype == np.float32
    assert wav_bytes(sound) == wav_bytes(render(notes, "whistle", seconds=3.0))
    with wave.open(io.BytesIO(wav_bytes(sound))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (
            1,
            2,
            RATE,
            3 * RATE,
        )
        read = np.frombuffer(file.readframes(3 * RATE), dtype="<i2") / 32767.0
    assert np.abs(read - sound).max() < 1e-4


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1.5), st.floats(0.01, 1.0), st.integers(40, 100)), min_size=1, max_size=8
    ),
    st.sampled_from(list(TIMBRES)),
)
def test_any_notes_give_finite_sound_at_the_peak(tune: list[tuple[float, float, int]], timbre: str) -> None:
    sound = render(np.array(tune, dtype=np.float64), timbre, seconds=2.0)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() == pytest.approx(PEAK, rel=1e-5)
    assert len(sound) <= 2 * RATE


def test_what_cannot_sound_is_refused() -> None:
    with pytest.raises(InputError, match="no note starts"):
        render(np.zeros((0, 3)), "organ")


@pytest.mark.parametrize("timbre", sorted(TIMBRES))
def test_a_note_that_starts_at_the_very_end_is_left_out(timbre: str) -> None:
    """Rounded to samples, such a note would sound for none."""
    notes = np.array([[0.0, 0.5, 60.0], [1.0 - 0.2 / RATE, 0.5, 62.0]])
    np.testing.assert_array_equal(render(notes, timbre, seconds=1.0), render(notes[:1], timbre, seconds=1.0))


def heard_alone(notes: np.ndarray, place: int, timbre: str) -> np.ndarray:
    """What note `place` adds to the clip: the clip less the clip without it, at one gain (what sounds before
    it is equal).
    """
    full = render(notes, timbre).astype(np.float64)
    without = np.zeros_like(full)
    rest = render(np.delete(notes, place, axis=0), timbre).astype(np.float64)[: len(full)]
    without[: len(rest)] = rest
    before = slice(0, round(notes[place, 0] * RATE))
    return full - without * ((full[before] @ without[before]) / (without[before] @ without[before]))


JIG = np.array(
    [62, 66, 69, 74, 74, 73, 71, 71, 67, 64, 57, 86, 81, 62], dtype=float
)  # repeated notes, leaps, both ends


@pytest.mark.parametrize("timbre", TIMBRES)
def test_every_pitch_is_heard_within_ten_cents(timbre: str) -> None:
    """All semitones from C3 to C7, with rests between, lest the ring of one be taken for the next."""
    pitches = np.arange(48, 97)
    sound = render(
        np.array([[0.8 * place, 0.3, midi] for place, midi in enumerate(pitches)]), timbre, seconds=40.0
    )
    for place, midi in enumerate(pitches):
        part = sound[int((0.8 * place + 0.06) * RATE) : int((0.8 * place + 0.28) * RATE)]
        equal_tempered = 440.0 * 2 ** (
            (midi - 69) / 12
        )  # written out here: the module's own would agree with itself
        assert abs(1200 * np.log2(pitch(part, equal_tempered) / equal_tempered)) < 10


@pytest.mark.parametrize("timbre", TIMBRES)
def test_every_note_of_a_melody_starts_within_five_milliseconds_and_has_no_step_at_its_edges(
    timbre: str,
) -> None:
    """Note by note within a melody whose notes ring into the next, the room's echo included."""
    onsets = np.cumsum([0.0, 0.2, 0.1, 0.3, 0.15, 0.07, 0.23, 0.2, 0.11, 0.4, 0.13, 0.2, 0.2, 0.3])
    notes = np.stack([onsets, np.append(np.diff(onsets), 0.4), JIG], axis=1)
    for place in range(1, len(notes) - 1):
        alone = heard_alone(notes, place, timbre)
        first = np.flatnonzero(np.abs(alone) > 0.01 * np.abs(alone).max())[0] / RATE
        assert abs(first - notes[place, 0]) < 0.005
        sounding = max(notes[place, 1] * (1.0 - TIMBRES[timbre].gap), 0.03) + TIMBRES[timbre].ring
        for edge in (notes[place, 0], notes[place, 0] + sounding + TIMBRES[timbre].release):
            assert np.abs(np.diff(alone[round(edge * RATE) - 16 : round(edge * RATE) + 16])).max() < 0.2


@pytest.mark.parametrize("timbre", TIMBRES)
def test_no_note_steps_at_the_clip_s_ends_however_short_or_high(timbre: str) -> None:
    for midi in range(48, 97, 4):
        for duration in (0.02, 0.1, 1.0):
            sound = render(
                np.array([[0.1, duration, midi]]), timbre, seconds=0.5
            )  # the longest is cut by the clip's end
            start = round(0.1 * RATE)
            assert np.abs(np.diff(sound[start - 16 : start + 16])).max() < 0.2
            assert np.abs(np.diff(sound[-16:])).max(initial=abs(sound[-1])) < 0.2


def test_another_process_makes_the_same_bytes() -> None:
    """Every timbre's clip and every shape's cover, hashed here and in a new interpreter."""
    code = (
        "import hashlib, numpy as np\nfrom tastemaker.demo.covers import PALETTES, SHAPES, CoverSpec,"
        " draw, png_bytes\nfrom tastemaker.demo.synth import TIMBRES, render, wav_bytes\nnotes ="
        " np.array([[0.2 * k, 0.2, 60.0 + 5 * k % 13] for k in range(12)])\nmade = [wav_bytes(render(notes,"
        " one)) for one in TIMBRES]\nmade += [png_bytes(draw(CoverSpec(palette, shape, seed=3), 64)) for"
        " palette in PALETTES for shape in SHAPES]\nfound = [hashlib.sha256(one).hexdigest() for one in"
        " made]\n"
    )
    here: dict[str, list[str]] = {}
    exec(code, here)
    there = subprocess.run(
        [sys.executable, "-c", code + "print(*found)"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(set(there)) == len(TIMBRES) + 64
    assert here["found"] == there
