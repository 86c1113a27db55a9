"""`tastemaker admin forget` as a person meets it: look, act, again, and a name nobody knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import run_command


def test_look_act_again_and_nobody(
    tiny_files: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    shop = tmp_path / "shop"
    command = lambda *arguments: run_command(capsys, monkeypatch, *arguments)  # noqa: E731
    sources = ("--items", tiny_files / "items.parquet", "--interactions", tiny_files / "interactions.parquet")
    assert command("init", shop)[0] == command("ingest", "-w", shop, *sources)[0] == 0
    code, out, _ = command("admin", "forget", "-w", shop, "--user", "u005", "--dry-run")
    assert code == 0 and "would be removed" in out and "interactions" in out and "u005" not in out
    code, out, _ = command("admin", "forget", "-w", shop, "--user", "u005", "--json")
    document = json.loads(out)
    assert (
        code == 0
        and not document["dry_run"]
        and [removal["what"] for removal in document["removed"]] == ["interactions"]
    )
    code, out, _ = command("admin", "forget", "-w", shop, "--user", "u005")
    assert code == 0 and "forgotten before" in out
    code, out, _ = command("ingest", "-w", shop, *sources)
    assert code == 0 and f"{document['removed'][0]['count']} rows left out" in out
    code, out, err = command("admin", "forget", "-w", shop, "--user", "u999")
    assert code == 2 and not out and len(err.splitlines()) == 1 and "is about this person" in err
