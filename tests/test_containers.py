"""The container files, read and run without an engine: what they copy is there, and their commands work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.store import Workspace
from tastemaker.store.database import Database, Keys

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy"
LONE = {
    "FROM",
    "WORKDIR",
    "RUN",
    "COPY",
    "USER",
    "ENV",
    "VOLUME",
    "EXPOSE",
    "HEALTHCHECK",
    "ENTRYPOINT",
    "CMD",
}


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, in their order, lines that go on joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (FOLDER / "Dockerfile").read_text()).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in lines]


def only(name: str) -> str:
    (value,) = [value for known, value in instructions() if known == name]
    return value


def test_what_the_image_is_made_of_is_there() -> None:
    steps = instructions()
    assert {name for name, _ in steps} <= LONE and steps[0][0] == "FROM"
    assert re.search(r":\d", only("FROM"))  # an image of a version
    copied = [source for name, rest in steps if name == "COPY" for source in rest.split()[:-1]]
    assert {"src", "pyproject.toml"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {needed["readme"], *needed["license-files"]} <= set(copied)
    extras = set(re.findall(r'"\.\[([\w,]+)\]"', " ".join(rest for name, rest in steps if name == "RUN")))
    assert extras and {extra for group in extras for extra in group.split(",")} <= set(
        needed["optional-dependencies"]
    )
    pinned = re.search(r"torch==([\d.]+)", " ".join(rest for _, rest in steps))
    assert pinned is not None and f"torch=={pinned[1]}" in (ROOT / "Makefile").read_text()
    order = [name for name, _ in steps]
    assert order.index("USER") > max(place for place, name in enumerate(order) if name in ("RUN", "COPY"))


def composed() -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "compose.yaml").read_text()))


def test_the_services_fit_together() -> None:
    file = composed()
    services, volumes = file["services"], set(file["volumes"])
    for name, service in services.items():
        assert ("image" in service) != ("build" in service), name
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= volumes
        assert set(service.get("depends_on", ())) <= set(services)
        for waited, about in service.get("depends_on", {}).items():
            assert about["condition"] == "service_healthy" and "healthcheck" in services[waited]
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")  # to nobody else until somebody decides so
    built = services["server"]["build"]
    assert (FOLDER / built["context"] / built["dockerfile"]).resolve() == FOLDER / "Dockerfile"
    assert only("VOLUME") in services["server"]["volumes"][0]
    assert services["server"]["ports"][0].endswith(f":{only('EXPOSE')}")
    text = (FOLDER / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{[^}]*\}", text)) == {"${POSTGRES_PASSWORD:?choose a password}"}


@pytest.mark.parametrize("whose", ["image", "composition"])
def test_the_commands_serve_a_workspace_and_the_check_sees_it(
    whose: str, tmp_path: Path, untouched_workspace: Path
) -> None:
    folder = tmp_path / "workspace"
    shutil.copytree(untouched_workspace, folder)
    command = json.loads(only("CMD")) if whose == "image" else composed()["services"]["server"]["command"]
    assert json.loads(only("ENTRYPOINT")) == ["tastemaker"]
    environment = {only("ENV").partition("=")[0]: str(folder)}
    refused = CliRunner().invoke(app, command, env=environment)  # nobody may reach a server without keys
    assert refused.exit_code and "tastemaker admin keys add" in str(refused.exception)
    database = Database(Workspace.open(folder).database)
    Keys(database).add("app", "backend")
    database.close()
    free = ["--port", "0"]
    words = [word for word in command if word not in ("--port", "8765")] + free
    with subprocess.Popen(
        [sys.executable, "-m", "tastemaker", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        try:
            assert process.stdout is not None
            url = next(word for line in process.stdout for word in line.split() if word.startswith("http"))
            check = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
            script = check[-1].replace("http://127.0.0.1:8765", url).replace("timeout=5", "timeout=300")
            assert script != check[-1]
            subprocess.run([sys.executable, *check[1:-1], script], check=True, timeout=600)
        finally:
            process.kill()
    gone = subprocess.run(
        [sys.executable, *check[1:-1], script], capture_output=True, check=False, timeout=600
    )
    assert gone.returncode  # a server that is not there is seen too
