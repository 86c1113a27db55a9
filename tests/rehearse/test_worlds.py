"""The recipe that lives in every kind of world: what it reads back, and what it does not."""

from __future__ import annotations

import json
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from recipes.rehearsal import worlds

from tastemaker.errors import InputError
from tastemaker.rehearse.rehearse import RehearsalSettings, slug
from tastemaker.rehearse.town import Diary, Visit
from tastemaker.store import Workspace


class Lived(Exception):
    """A world would be lived now."""


@pytest.mark.parametrize("other", [("--seed", "1"), ("--workspace", "elsewhere")])
def test_worlds_of_another_seed_or_workspace_are_not_read_back(
    other: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def live(*_: Any) -> None:
        raise Lived

    monkeypatch.setattr(worlds, "_live", live)
    folders = [str(Workspace.create(tmp_path / name).root) for name in ("shop", "elsewhere")]
    other = (other[0], folders[1]) if other[1] == "elsewhere" else other
    words = ["worlds", "--out", str(tmp_path / "out"), "--workspace", folders[0], "--quick"]
    monkeypatch.setattr("sys.argv", words)
    for _ in range(2):
        with pytest.raises(Lived):
            worlds.main()
    monkeypatch.setattr("sys.argv", [*words, *other])
    with pytest.raises(InputError, match="runs of other settings"):
        worlds.main()


def test_a_crowd_whose_worlds_were_tidied_away_before_it_was_noted_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rehearse(workspace: Path, out: Path, settings: RehearsalSettings, *_: Any) -> None:
        out.mkdir()
        diary = Diary("", [Visit(f"p{person}", 0, 0.5, 10, 0, 0, 3, 1) for person in range(3)])
        for arm in settings.arms:
            (out / f"{slug(arm)}.json").write_text(json.dumps(asdict(diary)))

    monkeypatch.setattr(worlds, "rehearse", rehearse)
    arguments = Namespace(out=tmp_path, days=4, night=2, people=30, seed=0)
    with ThreadPoolExecutor(1) as pool:
        lived = worlds._live(arguments, tmp_path, ("person", 0), pool)
    assert set(lived["returning"]) == {"proxy", worlds.TOGETHER}
