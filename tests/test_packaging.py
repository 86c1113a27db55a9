"""`pip install .` without make: everything that runs is in the wheel, and the installed package starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tastemaker"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project installed by pip into a folder of its own, its dependencies left out."""
    target = tmp_path_factory.mktemp("site")
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *offline]
    subprocess.run([*pip, "--target", target, ROOT], check=True, capture_output=True, timeout=300)
    return target


def run(installed: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_every_file_of_the_package_is_installed(installed: Path) -> None:
    files = {path.relative_to(SOURCE) for path in SOURCE.rglob("*") if path.is_file()}
    wanted = {path for path in files if "__pycache__" not in path.parts}
    named = ("py.typed", "server/static/index.html", "reports/templates/page.html")
    assert set(map(Path, named)) <= wanted
    assert not {path for path in wanted if not (installed / "tastemaker" / path).is_file()}


def test_the_installed_package_starts(installed: Path) -> None:
    where = run(installed, "-c", "import tastemaker; print(tastemaker.__file__)")
    assert Path(where.strip()).is_relative_to(installed)
    assert "tastemaker init shop" in run(installed, "-m", "tastemaker", "--help")
    page = "from tastemaker.reports.evaluation import render; print(render({'title': 'A < B'}))"
    assert "<h1>A &lt; B</h1>" in run(installed, "-c", page)
    scripts = (next(installed.glob("tastemaker-*.dist-info")) / "entry_points.txt").read_text()
    assert "tastemaker = tastemaker.cli.main:main" in scripts
