"""`pip install .` without make: everything that runs is in the wheel, and the installed package starts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from recipes.safety.locked import LOCK, faults, locked, wanted

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


def test_extras_bring_what_their_settings_need(installed: Path) -> None:
    """`pip install 'tastemaker[server,ray,postgres]'` as the docs say it."""
    about = (next(installed.glob("tastemaker-*.dist-info")) / "METADATA").read_text()
    extras = set(re.findall(r"(?m)^Provides-Extra: (\w+)$", about))
    assert {"server", "ray", "postgres", "s3", "mcp", "otel"} <= extras
    for package, extra in (("ray", "ray"), ("s3fs", "s3"), (r"psycopg\[binary\]", "postgres")):
        assert re.search(rf"(?m)^Requires-Dist: {package}\S*; extra == '{extra}'$", about), about


def test_two_builds_are_equal(tmp_path: Path) -> None:
    built = []
    for name in ("first", "second"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / name]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
        built.append(next((tmp_path / name).glob("*.whl")))
    assert built[0].name == built[1].name and built[0].read_bytes() == built[1].read_bytes()


def test_every_pin_is_locked_with_its_hashes() -> None:
    lock = LOCK.read_text()
    assert len(wanted()) > 100 and not faults(lock)
    name, (version, _) = next(iter(locked(lock).items()))
    assert faults(lock.replace("--hash=", "--hush=")) == [
        f"{package}=={v} has no hash" for package, v in wanted().items()
    ]
    assert faults(lock.replace(f"{name}=={version}", f"{name}==0.0.0")) == [
        f"{name}==0.0.0 is pinned at {version}"
    ]
    assert faults(f"{lock}other==1.0 --hash=sha256:{'0' * 64}\n") == ["other is not pinned"]


def test_an_audit_that_reached_no_data_is_none(tmp_path: Path) -> None:
    pinned = [{"name": name, "version": version} for name, version in wanted().items()]
    report = tmp_path / "audit.json"
    cases: list[tuple[list[dict[str, Any]], str]] = [
        ([row | {"vulns": []} for row in pinned], "no known vulnerability"),
        ([row | {"vulns": []} for row in pinned[1:]], f"NOT DONE for 1 of {len(pinned)}"),
        ([row | {"skip_reason": "not found"} for row in pinned], f"NOT DONE for {len(pinned)}"),
        ([row | {"vulns": [{"id": "CVE-1"}]} for row in pinned[:1]], "1 known vulnerabilities"),
        ([], f"NOT DONE for {len(pinned)}"),
    ]
    for number, (rows, words) in enumerate(cases):
        report.write_text(json.dumps({"dependencies": rows}))
        command = [sys.executable, "-m", "recipes.safety.locked", "audit", report]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert words in done.stdout and done.returncode == bool(number), done
