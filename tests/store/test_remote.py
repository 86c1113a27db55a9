"""Tables at URLs: memory:// here, s3:// against moto's server where that is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import fsspec
import pyarrow.parquet as pq
import pytest

import tastemaker
from tastemaker.errors import InputError
from tastemaker.serving.batch import recommend_all
from tastemaker.store.remote import explained, fetched, uploaded


def quiet(*_):
    pass


def test_tables_are_read_from_a_url_and_lists_written_to_one(tiny_files, untouched_workspace, tmp_path):
    memory = fsspec.filesystem("memory")
    for name in ("items", "interactions"):
        memory.put_file(str(tiny_files / f"{name}.parquet"), f"/shop/{name}.parquet")
    workspace = tastemaker.Workspace.create(tmp_path / "w")
    workspace.ingest("memory://shop/items.parquet", "memory://shop/interactions.parquet")
    assert workspace.result["items"]["source"] == "memory://shop/items.parquet"
    shop = shutil.copytree(untouched_workspace, tmp_path / "shop")
    report = recommend_all(shop, "memory://shop/lists.parquet", 5, {}, quiet)
    with fetched("memory://shop/lists.parquet") as path:
        lists = pq.read_table(path)
    assert lists.num_rows == report["rows"] and set(lists["position"].to_pylist()) == set(range(5))


def test_what_is_not_there_is_told_by_its_url(tmp_path):
    for place in ("memory://nowhere/items.csv", f"file://{tmp_path}/items.csv"):
        with (
            pytest.raises(InputError, match=r"^\w+://.*items.csv: cannot be read") as failure,
            fetched(place),
        ):
            pass
        assert "no such file" in str(failure.value) and not re.search(
            "bucket|credentials", str(failure.value)
        )
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/shop/broken.csv", b"item_id,title\n")
    workspace = tastemaker.Workspace.create(tmp_path / "w")
    with pytest.raises(InputError, match=r"^memory://shop/broken.csv"):
        workspace.ingest("memory://shop/broken.csv", None)
    with pytest.raises(InputError, match="pip install"), fetched("gs://shop/items.csv"):
        pass


def test_the_package_that_lacks_is_named():
    lacks = ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")
    with (
        pytest.raises(InputError, match=r"^https://a\.example/i\.csv: .*pip install aiohttp`$"),
        explained("https://a.example/i.csv", "read"),
    ):
        raise ImportError('HTTPFileSystem requires "requests" and "aiohttp" to be installed') from lacks


def test_an_upload_appears_whole_or_not_at_all():
    memory = fsspec.filesystem("memory")
    with pytest.raises(RuntimeError), uploaded("memory://shop/half.parquet") as path:
        path.write_bytes(b"half")
        raise RuntimeError
    assert not memory.exists("/shop/half.parquet")


@contextmanager
def moto():
    """The environment of programs that use moto's server as S3, and a client of it."""
    pytest.importorskip("moto.server", reason="pip install 'moto[server]' s3fs")
    s3fs = pytest.importorskip("s3fs", reason="pip install 'moto[server]' s3fs")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    environment = os.environ | keys | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    try:
        yield (
            environment,
            s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=environment["AWS_ENDPOINT_URL"]),
        )
    finally:
        server.stop()


@pytest.mark.filterwarnings("default")
def test_a_bucket_is_read_and_written_and_one_that_vanishes_is_one_line(
    tiny_files, untouched_workspace, tmp_path
):
    def run(*words):
        line = [sys.executable, "-m", "tastemaker", *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)

    shop = shutil.copytree(untouched_workspace, tmp_path / "shop")
    with moto() as (environment, bucket):
        bucket.mkdir("shop")
        bucket.put(str(tiny_files / "items.parquet"), "shop/items.parquet")
        bucket.put(str(tiny_files / "interactions.parquet"), "shop/interactions.parquet")
        run("init", str(tmp_path / "w"))
        files = ("--items", "s3://shop/items.parquet", "--interactions", "s3://shop/interactions.parquet")
        read = run("ingest", "-w", str(tmp_path / "w"), *files)
        assert read.returncode == 0, read.stderr
        out = ("recommend", "-w", str(shop), "--all", "--out", "s3://shop/lists.parquet", "-q")
        assert run(*out).returncode == 0
        with bucket.open("shop/lists.parquet") as file:
            assert pq.read_table(file).num_rows > 0
        bucket.rm("shop", recursive=True)
        for words in (("ingest", "-w", str(tmp_path / "w"), *files), out):
            gone = run(*words)
            assert gone.returncode == 2 and len(gone.stderr.strip().splitlines()) == 1
            assert "s3://shop/" in gone.stderr and "bucket" in gone.stderr
