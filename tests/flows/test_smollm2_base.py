"""`base = "smollm2"`: converted once, into the workspace, and read from there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tastemaker.errors import ModelError
from tastemaker.flows.stages.models import _extended


def test_the_setting_converts_into_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def convert(folder: Path) -> Path:
        asked.append(folder)
        return folder

    monkeypatch.setattr("tastemaker.lm.smollm2.convert", convert)
    workspace = SimpleNamespace(
        root=tmp_path, settings=SimpleNamespace(base="smollm2", keep_tokens=0, seed=0)
    )
    with pytest.raises(ModelError, match="smollm2"):  # the stand-in wrote nothing that could be loaded
        _extended(SimpleNamespace(workspace=workspace), (4, 4))  # type: ignore[arg-type]
    assert asked == [tmp_path / "models" / "smollm2"]
