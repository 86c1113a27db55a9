"""Workspaces: settings validated to the nearest legal name, one lock whose holder is named, versions, and the
doctor.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tastemaker.errors import ArtifactError, InputError
from tastemaker.store import doctor
from tastemaker.store.database import Database
from tastemaker.store.doctor import Finding, diagnose
from tastemaker.store.files import write_text
from tastemaker.store.ingest import ingest_files
from tastemaker.store.settings import ADVANCED, FIELDS, FORMAT, SETTINGS_FILE, TOP, Settings
from tastemaker.store.tables import write_table
from tastemaker.store.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "ws")


def test_a_new_workspace_has_every_setting_with_its_comment(workspace: Workspace) -> None:
    text = (workspace.root / SETTINGS_FILE).read_text()
    given = tomllib.loads(text)
    below = given.pop(ADVANCED)
    assert given | below == {"format": FORMAT} | asdict(Settings()) and len(TOP) <= 16
    assert all(f"# {field.metadata['comment']}\n{name} = " in text for name, field in FIELDS.items())
    assert Workspace.open(workspace.root) == workspace
    assert [path.is_dir() for path in (workspace.data, workspace.artifacts.root, workspace.runs)] == [
        True
    ] * 3
    with pytest.raises(InputError, match="is a workspace already"):
        Workspace.create(workspace.root)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_text_survives_the_settings_file(tmp_path: Path, title: str) -> None:
    file = tmp_path / "one" / SETTINGS_FILE
    file.unlink(missing_ok=True)
    assert Workspace.create(tmp_path / "one", {"title": title, "seed": 7}).settings.title == title
    assert Workspace.open(tmp_path / "one").settings.seed == 7


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sede = 1", "unknown setting 'sede'; did you mean 'seed'?"),
        ("seed = -1", "'seed' is -1; it must lie between 0 and"),
        ("seed = 1.5", "'seed' is 1.5; it must be a whole number, as in seed = 0"),
        ("seed = true", "must be a whole number"),
        ("remove_seen = 1", "must be a true or false"),
        ("learning_rate = nan", "must lie between"),
        ('tokenizer = "kmeans"', "must be one of rkmeans, rqvae"),
        ("seed = ", "is not valid TOML"),
        ("[server]", "unknown setting 'server'"),
    ],
)
def test_a_bad_setting_is_one_line_with_the_remedy(workspace: Workspace, line: str, says: str) -> None:
    write_text(workspace.root / SETTINGS_FILE, f"format = 1\n{line}\n")
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        Workspace.open(workspace.root)
    assert SETTINGS_FILE in str(caught.value) and "\n" not in str(caught.value)
    assert diagnose(workspace.root)[0].level == "error"


def test_settings_that_an_editor_begins_with_a_mark_are_read(tmp_path: Path) -> None:
    file = Workspace.create(tmp_path / "w").root / "tastemaker.toml"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert Workspace.open(tmp_path / "w").settings.seed == 0


def test_settings_may_be_left_out_and_whole_numbers_serve_as_fractions(workspace: Workspace) -> None:
    write_text(workspace.root / SETTINGS_FILE, "format = 1\nlearning_rate = 1\n")
    opened = Workspace.open(workspace.root)
    assert opened.settings == Settings(learning_rate=1.0)


def test_no_workspace_newer_workspace_and_no_format(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(InputError, match=r"is not a Tastemaker workspace .*`tastemaker init "):
        Workspace.open(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()
    write_text(workspace.root / SETTINGS_FILE, f"format = {FORMAT + 1}\nsomething_new = 1\n")
    with pytest.raises(InputError, match=rf"newer Tastemaker \(format {FORMAT + 1}.*upgrade"):
        Workspace.open(workspace.root)
    write_text(workspace.root / SETTINGS_FILE, "seed = 1\n")
    with pytest.raises(InputError, match="needs the line `format = 1`"):
        Workspace.open(workspace.root)
    write_text(tmp_path / "file", "")
    with pytest.raises(InputError, match="is a file"):
        Workspace.create(tmp_path / "file")


def test_tables_are_asked_for_before_ingest(workspace: Workspace) -> None:
    with pytest.raises(ArtifactError, match="run `tastemaker ingest`"):
        workspace.table("items")
    for pointer in ('{"folder": "../../etc"}', "{", "[]", '{"folder": 1}'):
        write_text(workspace.data / "current.json", pointer)
        with pytest.raises(ArtifactError, match=r"current.json: damaged"):
            workspace.table("items")


def test_runs_never_share_a_folder(workspace: Workspace) -> None:
    folders = [workspace.new_run("train") for _ in range(3)]
    assert len(set(folders)) == 3
    assert all((folder / "settings.json").exists() for folder in folders)


def test_opening_clears_leftovers_away(workspace: Workspace) -> None:
    left = workspace.data / ".items.0123abcd.tmp.parquet"
    left.write_bytes(b"half")
    assert (
        next(finding for finding in diagnose(workspace.root) if finding.subject == "leftovers").level
        == "warn"
    )
    Workspace.open(workspace.root)
    assert not left.exists()


HOLDER = """
import sys
from tastemaker.store.workspace import Workspace
with Workspace.open(sys.argv[1]).lock("training"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_the_second_process_is_told_who_holds_the_lock(workspace: Workspace) -> None:
    assert workspace.holder() is None
    command = [sys.executable, "-c", HOLDER, str(workspace.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(
                ArtifactError, match=rf"process {first.pid} on .* for training: .*`kill {first.pid}`"
            ) as caught,
            workspace.lock("ingest"),
        ):
            pass
        assert "\n" not in str(caught.value)
        holder = workspace.holder()
        assert holder is not None and (holder["pid"], holder["purpose"]) == (first.pid, "training")
        assert any(
            f"process {first.pid}" in finding.message
            for finding in diagnose(workspace.root)
            if finding.subject == "lock"
        )
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    assert workspace.holder() is None
    with workspace.lock("ingest"):
        assert workspace.holder() == workspace.holder() is not None
    assert workspace.holder() is None


def test_the_lock_is_released_by_an_error(workspace: Workspace) -> None:
    with pytest.raises(ZeroDivisionError), workspace.lock("training"):
        raise ZeroDivisionError
    with (
        workspace.lock("training"),
        pytest.raises(ArtifactError, match=f"process {os.getpid()}"),
        workspace.lock("training"),
    ):
        pass


def test_a_holder_that_has_not_signed_yet_is_still_a_holder(workspace: Workspace) -> None:
    descriptor = os.open(workspace.root / "tastemaker.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(ArtifactError, match=r"process \? on \?"), workspace.lock("training"):
        pass
    os.close(descriptor)


def _levels(findings: list[Finding]) -> dict[str, str]:
    return {
        finding.subject: finding.level for finding in findings if not finding.subject.startswith("package")
    }


def test_the_doctor_finds_a_sound_workspace_sound(workspace: Workspace, tmp_path: Path) -> None:
    write_table(tmp_path / "items.parquet", pa.table({"item_id": ["a", "b"]}))
    write_table(tmp_path / "events.parquet", pa.table({"user_id": ["u"], "item_id": ["a"], "position": [0]}))
    ingest_files(workspace, tmp_path / "items.parquet", tmp_path / "events.parquet")
    workspace.artifacts.put("codebook", "0" * 32, lambda folder: write_text(folder / "a", "x"))
    Database(workspace.database).close()
    before = sorted(workspace.root.rglob("*"))
    findings = diagnose(workspace.root, least_free=0)
    assert set(_levels(findings).values()) == {"ok"}, [str(finding) for finding in findings]
    assert sorted(workspace.root.rglob("*")) == before
    assert all("\n" not in str(finding) for finding in findings)


def test_the_doctor_names_every_damage_and_its_remedy(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "items.parquet", pa.table({"item_id": ["a", "b"]}))
    folder = ingest_files(workspace, tmp_path / "items.parquet").folder
    (folder / "items.parquet").write_bytes(b"junk")
    artifact = workspace.artifacts.put("codebook", "0" * 32, lambda path: write_text(path / "a", "x"))
    (artifact / "a").write_text("y")
    workspace.artifacts.partial("model", "1" * 32)
    workspace.database.write_bytes(b"not a database" * 99)
    monkeypatch.setattr(
        doctor, "PACKAGES", (doctor.Package("no-such-package", "nothing", "pip install no-such-package"),)
    )
    findings = diagnose(workspace.root, least_free=2**62)
    assert _levels(findings) == {
        "settings": "ok",
        "table items": "error",
        "table interactions": "error",
        "artifact codebook": "error",
        "artifacts": "warn",
        "database": "error",
        "leftovers": "ok",
        "disk": "warn",
        "lock": "ok",
    }
    assert all(finding.remedy for finding in findings if finding.level != "ok")
    assert any(str(artifact / "a") in finding.message for finding in findings)
    assert any("`pip install no-such-package`" in finding.remedy for finding in findings)
    assert _levels(diagnose(workspace.root, full=False))["artifacts"] == "warn"


def test_the_doctor_is_polite_where_there_is_no_workspace(tmp_path: Path) -> None:
    assert diagnose(tmp_path)[0].level == "error"
    assert "tastemaker init" in diagnose(tmp_path)[0].remedy


def test_importing_the_store_loads_no_model_library() -> None:
    code = (
        "import sys, tastemaker.store; sys.exit(bool({'torch', 'transformers', 'sklearn', 'pandas'} &"
        " sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
