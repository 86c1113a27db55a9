"""Large work over parts: in order, resumed, the same bytes from this process and from a Ray cluster of which
a machine dies.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.engine import mapped
from tastemaker.errors import BusyError, InputError
from tastemaker.store import Workspace


def doubled(numbers):
    """A batch function."""
    return pa.table({"n": [2 * number for number in numbers]})


def work(workspace, batch, parts, key="k", report=lambda *_: None):
    return [table["n"].to_pylist() for table in mapped(batch, parts, workspace, "doubling", key, report)]


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "w")


def left(workspace):
    return sorted((workspace.root / "cache" / "parts").glob("*"))


def test_results_come_in_order_and_nothing_stays_behind(workspace):
    reports = []
    assert work(workspace, doubled, [[1, 2], [], [3]], report=lambda *row: reports.append(row)) == [
        [2, 4],
        [],
        [6],
    ]
    assert [row[1:3] for row in reports] == [(0, 3), (1, 3), (2, 3), (3, 3)] and not left(workspace)


def test_finished_parts_are_kept_and_what_depends_on_other_things_is_not_used(workspace):
    seen = []

    def stops(numbers):
        seen.append(numbers)
        if numbers == [3] and not seen.count([3]) > 1:
            raise KeyboardInterrupt
        return doubled(numbers)

    with pytest.raises(KeyboardInterrupt):
        work(workspace, stops, [[1], [2], [3]])
    assert work(workspace, stops, [[1], [2], [3]]) == [[2], [4], [6]] and seen == [[1], [2], [3], [3]]
    with pytest.raises(KeyboardInterrupt):
        seen.clear()
        work(workspace, stops, [[1], [3]], key="a")
    assert len(left(workspace)) == 1
    assert work(workspace, stops, [[1], [3]], key="b") == [[2], [6]] and seen.count([1]) == 2


def test_an_engine_that_is_not_installed_is_named(workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    on_ray = replace(workspace, settings=replace(workspace.settings, engine="ray"))
    with pytest.raises(InputError, match=r"pip install 'tastemaker\[ray\]'"):
        work(on_ray, doubled, [[1]])


@pytest.fixture
def cluster():
    """Two machines of one core each, as far as Ray can tell."""
    pytest.importorskip("ray", reason="pip install 'tastemaker[ray]' (240 MB)")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield cluster, cluster.add_node(num_cpus=1)
    finally:
        cluster.shutdown()


@pytest.mark.filterwarnings("default")
def test_a_machine_that_dies_costs_its_own_parts_and_the_bytes_are_the_same(
    workspace, tmp_path, monkeypatch, cluster
):
    ray_cluster, second = cluster
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster.address)
    calls, dying = str(tmp_path / "calls"), second.node_id
    Path(calls).mkdir()

    def slow(numbers):
        """Doubles; nobody goes on before the second machine is at a part, and that one waits to be killed."""
        import ray

        place = Path(calls)
        (place / f"{numbers[0]}-{time.monotonic_ns()}").touch()
        if ray.get_runtime_context().get_node_id() == dying:
            (place / "started").touch()
            while True:
                time.sleep(0.05)
        while not (place / "started").exists():
            time.sleep(0.05)
        return pa.table({"n": [2 * number for number in numbers]})

    def kill():
        while not (Path(calls) / "started").exists():
            time.sleep(0.05)
        ray_cluster.remove_node(second, allow_graceful=False)

    parts = [[number] for number in range(8)]
    killer = threading.Thread(target=kill)
    killer.start()
    on_ray = replace(workspace, settings=replace(workspace.settings, engine="ray"))
    assert work(on_ray, slow, parts) == work(workspace, doubled, parts)
    killer.join()
    counts = [len(list(Path(calls).glob(f"{number}-*"))) for number in range(8)]
    assert sorted(counts) == [1] * 7 + [2]


@pytest.mark.filterwarnings("default")
def test_what_a_part_raises_is_told_as_it_is(workspace, monkeypatch, cluster):
    monkeypatch.setenv("RAY_ADDRESS", cluster[0].address)

    def refuses(numbers):
        raise InputError(f"part {numbers[0]}: no")

    def dies(numbers):
        os._exit(1)

    on_ray = replace(workspace, settings=replace(workspace.settings, engine="ray"))
    with pytest.raises(InputError, match=r"^part 7: no$"):
        work(on_ray, refuses, [[7]])
    with pytest.raises(BusyError, match="give workers more memory"):
        work(on_ray, dies, [[7]])


@pytest.mark.filterwarnings("default")
def test_what_workers_cannot_hold_is_spilled_to_disk(workspace, tmp_path):
    ray = pytest.importorskip("ray", reason="pip install 'tastemaker[ray]' (240 MB)")
    small = {"object_store_memory": 75 * 2**20, "object_spilling_directory": str(tmp_path / "spilled")}
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="error", **small)
    parts = [np.full(2**22, number) for number in range(6)]  # of 32 MB, four of them at once
    spilled = []

    def same(numbers):
        return pa.table({"n": numbers})

    def look(*_):
        done = subprocess.run(
            ["du", "-sb", tmp_path / "spilled"], capture_output=True, text=True, check=False
        )
        spilled.append(int(done.stdout.split()[0]))

    try:
        on_ray = replace(workspace, settings=replace(workspace.settings, engine="ray"))
        for number, table in enumerate(mapped(same, parts, on_ray, "large", "k", look)):
            assert (table["n"].to_numpy() == parts[number]).all()
    finally:
        ray.shutdown()
    assert max(spilled) >= 2**25


@pytest.mark.filterwarnings("default")
def test_a_worker_without_memory_is_tried_again_and_then_told_in_one_line(workspace, monkeypatch):
    pytest.importorskip("ray", reason="pip install 'tastemaker[ray]' (240 MB)")
    little = {"usage_threshold": "0.001", "monitor_refresh_ms": "50"}
    for name, value in little.items():  # any worker takes too much of this machine
        monkeypatch.setenv(f"RAY_memory_{name}", value)
    monkeypatch.setenv("RAY_task_oom_retry_delay_base_ms", "1")
    script = (
        "import sys, time; from dataclasses import replace; import pyarrow as pa;"
        "from tastemaker.engine import mapped; from tastemaker.errors import BusyError;"
        "from tastemaker.store import Workspace\n"
        "def works(part):\n"
        "    open(sys.argv[1] + '/calls', 'a').write('x')\n"
        "    time.sleep(60)\n"
        "w = Workspace.open(sys.argv[1]); w = replace(w, settings=replace(w.settings, engine='ray'))\n"
        "try: list(mapped(works, [1], w, 'l', 'k', lambda *_: None))\n"
        "except BusyError as error: print(error)\n"
    )
    line = [sys.executable, "-c", script, str(workspace.root)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    assert "memory" in done.stdout and "finished parts are kept" in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.filterwarnings("default")
def test_lists_for_everybody_are_the_same_bytes_from_two_machines(untouched_workspace, tmp_path, cluster):
    shop = shutil.copytree(untouched_workspace, tmp_path / "w")

    def run(name):
        line = [
            sys.executable,
            "-m",
            "tastemaker",
            "recommend",
            "-w",
            str(untouched_workspace),
            "--all",
            "-q",
        ]
        environment = os.environ | {"RAY_ADDRESS": cluster[0].address}
        out = tmp_path / f"{name}.parquet"
        done = subprocess.run(
            [*line, "--out", str(out)], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        return out.read_bytes()

    first = run("local")
    settings = shop / "tastemaker.toml"
    settings.write_text(settings.read_text().replace('engine = "local"', 'engine = "ray"'))
    assert run("ray") == first
