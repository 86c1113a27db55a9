"""`tastemaker admin keys`, from the first key to the log of what was done with it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from tests.conftest import run_command


def test_a_key_is_told_once_listed_revoked_and_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = partial(run_command, capsys, monkeypatch)
    shop = tmp_path / "shop"
    assert run("init", shop)[0] == 0
    assert "no keys" in run("admin", "keys", "list", "-w", shop)[1]
    code, output, _ = run("admin", "keys", "add", "-w", shop, "--role", "app", "--name", "backend", "--json")
    key = json.loads(output)["key"]
    assert code == 0 and key.startswith("tm-") and len(key.split("-")[2]) == 64
    listed = run("admin", "keys", "list", "-w", shop)[1]
    assert "backend" in listed and "app" in listed and key.split("-")[2] not in listed
    code, _, errors = run("admin", "keys", "add", "-w", shop, "--role", "king")
    assert code == 2 and errors == "tastemaker: role 'king' is unknown; choose app, operator, read\n"
    assert "there already" in run("admin", "keys", "add", "-w", shop, "--name", "backend")[2]
    assert "answers nobody" in run("admin", "keys", "revoke", "backend", "-w", shop)[1]
    assert "no key in force" in run("admin", "keys", "revoke", "backend", "-w", shop)[2]
    actions = [
        entry["action"] for entry in json.loads(run("admin", "keys", "log", "-w", shop, "--json")[1])["log"]
    ]
    assert actions == ["key added", "key revoked"]
