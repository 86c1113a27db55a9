"""Sound and pictures of a catalogue in every format that is taken, and files that are none of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from PIL import Image
from tests.conftest import run_command

from tastemaker.demo.synth import RATE
from tastemaker.errors import InputError
from tastemaker.flows import media
from tastemaker.flows.media import read_picture, read_sound
from tastemaker.flows.stages.vectors import load_views
from tastemaker.store import Workspace


def tone(rate: int, seconds: float = 3.0, channels: int = 2) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("suffix", "rate", "kind"),
    [
        (".wav", 44_100, "PCM_16"),
        (".wav", 22_050, "FLOAT"),
        (".flac", 48_000, "PCM_24"),
        (".ogg", 44_100, "VORBIS"),
        (".mp3", 44_100, "MPEG_LAYER_III"),
    ],
)
def test_a_sound_is_read_at_the_common_rate(tmp_path: Path, suffix: str, rate: int, kind: str) -> None:
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, tone(rate), rate, subtype=kind)
    wave = read_sound(path, "a")
    assert wave.ndim == 1 and len(wave) == pytest.approx(3 * RATE, rel=0.05)
    spectrum = np.abs(np.fft.rfft(wave[: 2 * RATE]))
    assert spectrum.argmax() / 2 == pytest.approx(440, abs=1)
    assert np.abs(wave).max() == pytest.approx(0.3, abs=0.05)


def test_an_odd_rate_costs_no_more_than_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ratios: list[tuple[int, int]] = []
    resample = scipy.signal.resample_poly
    monkeypatch.setattr(
        scipy.signal, "resample_poly", lambda x, up, down: ratios.append((up, down)) or resample(x, up, down)
    )
    for rate in (767_957, 1009):  # a filter of as many taps took 16 s and 0.8 GB
        soundfile.write(tmp_path / "a.wav", tone(rate, 2.0), rate)
        wave = read_sound(tmp_path / "a.wav", "a")
        assert len(wave) == pytest.approx(2 * RATE, rel=0.001) and max(ratios[-1]) < 20_000


def test_a_long_sound_is_described_by_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "LISTENED_SECONDS", 2)
    soundfile.write(tmp_path / "a.flac", tone(8000, 9.0), 8000)
    assert len(read_sound(tmp_path / "a.flac", "a")) == 2 * RATE


def folder_with(root: Path, audio: bytes | None, image: bytes | None, train) -> tuple[int, str]:  # type: ignore[no-untyped-def]
    """Exit code and standard error of `train --until vectors` on twelve items, the first of which has the
    files.
    """
    names = {"audio": "media/a.mp3" if audio is not None else "", "image": "media/a.png" if image else ""}
    items = ["item_id,title,audio,image"]
    items += [
        f"i{i},Thing {i % 4} word{i},{names['audio'] * (i == 0)},{names['image'] * (i == 0)}"
        for i in range(12)
    ]
    plays = [f"u{u},i{(u + t) % 12},{t}" for u in range(9) for t in range(5)]
    root.mkdir(exist_ok=True)
    (root / "items.csv").write_text("\n".join(items))
    (root / "plays.csv").write_text("\n".join(["user_id,item_id,timestamp", *plays]))
    Workspace.create(root / "w", {"text_view": "tfidf", "threads": 1})
    (root / "w/media").mkdir()
    for name, content in (("a.mp3", audio), ("a.png", image)):
        if content is not None:
            (root / "w/media" / name).write_bytes(content)
    assert (
        train(
            "ingest", "-w", root / "w", "--items", root / "items.csv", "--interactions", root / "plays.csv"
        )[0]
        == 0
    )
    return train("train", "--until", "vectors", "-w", root / "w", "-q")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def run(*arguments: object) -> tuple[int, str]:
        code, _, errors = run_command(capsys, monkeypatch, *arguments)
        return code, errors.strip()

    return run


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> bytes:
    Image.fromarray(np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)).save(path)
    return path.read_bytes()


def test_a_catalogue_with_one_mp3_and_one_picture_is_trained_without_these_views(
    command,  # type: ignore[no-untyped-def]
    tmp_path: Path,
) -> None:
    soundfile.write(tmp_path / "a.mp3", tone(44_100), 44_100)
    code, _ = folder_with(tmp_path, (tmp_path / "a.mp3").read_bytes(), picture(tmp_path / "a.png"), command)
    assert code == 0 and notes(tmp_path) == []  # both were read
    (path,) = (tmp_path / "w/artifacts/vectors").glob("*/summary.json")
    left = [note for note in json.loads(path.read_text())["warnings"] if note.startswith("left out: view")]
    assert ["'audio'" in left[0], "'image'" in left[1]] == [True, True]
    assert all("item row" in note and "or is the only one" in note for note in left), left
    assert set(load_views(path.parent)) == {"text", "behaviour"}
    assert command("train", "--until", "tokens", "-w", tmp_path / "w", "-q") == (0, "")


def test_a_silent_sound_leaves_its_view_out(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    soundfile.write(tmp_path / "a.mp3", np.zeros(20_000, np.float32), 44_100)
    assert folder_with(tmp_path, (tmp_path / "a.mp3").read_bytes(), None, command)[0] == 0


@pytest.mark.parametrize(
    "content", [b"", b"no sound at all", b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\1\0\0\0"]
)
def test_a_file_that_is_no_sound_is_left_out(command, tmp_path: Path, content: bytes) -> None:  # type: ignore[no-untyped-def]
    assert folder_with(tmp_path, content, None, command)[0] == 0
    (note,) = notes(tmp_path)
    assert "1 of 1 items learn without their audio: item i0: its audio is not sound" in note and "MP3" in note


def notes(folder: Path) -> list[str]:
    """What the training says it left out."""
    (path,) = (folder / "w/artifacts/vectors").glob("*/summary.json")
    return [note for note in json.loads(path.read_text())["warnings"] if "item" in note and "learn" in note]


def test_pictures_that_are_none_or_too_large_are_left_out(
    command,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert folder_with(tmp_path / "broken", None, picture_head(tmp_path), command)[0] == 0
    assert "item i0: its cover is not a picture" in notes(tmp_path / "broken")[0]
    monkeypatch.setattr(media, "MAX_PIXELS", 1000)
    assert folder_with(tmp_path / "large", None, picture(tmp_path / "l.png"), command)[0] == 0
    assert "item i0: its cover has 40 x 30 pixels" in notes(tmp_path / "large")[0]


@pytest.mark.parametrize("name", ["long.png", "tall.png", "program.eps"])
def test_pictures_that_cost_much_or_run_programs_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "program.eps":
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    else:  # a few kB, which took 2 GB when all of its pixels were in one line
        Image.new("1", (1 << 20, 1) if name == "long.png" else (1, 1 << 20)).save(path)
    with pytest.raises(InputError, match=r"32,768 a side|cannot identify"):
        read_picture(path, "a")


def picture_head(folder: Path) -> bytes:
    return picture(folder / "h.png", (200, 200))[:150]


def test_a_picture_is_read_in_any_mode(tmp_path: Path) -> None:
    for mode in ("L", "P", "RGBA", "CMYK"):
        path = tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (7, 300)).save(path)
        assert read_picture(path, "a").shape == (96, 96, 3)


def test_a_file_over_the_budget_is_left_out(
    command,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(media, "MAX_BYTES", 100)
    assert folder_with(tmp_path, bytes(101), None, command)[0] == 0
    assert "smaller file" in notes(tmp_path)[0]
