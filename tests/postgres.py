"""A private PostgreSQL on loopback for the tests that run on both databases."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALL = "no PostgreSQL; install it with `apt-get install postgresql`"


def programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the PATH, or where Debian puts them."""
    path = shutil.which("initdb")
    if path is not None:
        return Path(path).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


def _plain(*command: str) -> None:
    """Run a program as somebody without rights: PostgreSQL refuses to run as root."""
    user = {"user": "nobody", "group": "nogroup", "extra_groups": ()} if os.getuid() == 0 else {}
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **user)  # type: ignore[call-overload]
    assert done.returncode == 0, (command, done.stdout, done.stderr)


class Cluster:
    """A server with one superuser, `tests`, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.folder, self.port, self.made = programs(), folder, 0, 0
        self._run("initdb", "-D", f"{folder}/data", "-U", "tests", "--auth=trust", "--data-checksums", "-N")
        while not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            try:
                self.start()
            except AssertionError:  # somebody took the port meanwhile
                if "in use" not in (folder / "log").read_text():
                    raise
                self.port = 0

    def _run(self, program: str, *words: str) -> None:
        _plain(f"{self.bin}/{program}", *words)

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        where = ("-D", f"{self.folder}/data", "-l", f"{self.folder}/log")
        self._run("pg_ctl", *where, "-o", options, "-w", "-t", "300", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "-w", "-t", "300", "stop")

    def execute(self, sql: str) -> None:
        import psycopg

        with psycopg.connect(self.address, autocommit=True) as session:
            session.execute(sql.encode())

    @property
    def address(self) -> str:
        return f"postgresql://tests@127.0.0.1:{self.port}/postgres"

    def fresh(self) -> str:
        """The address of an empty schema."""
        self.made += 1
        name = f"t{self.made}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.address}?options=-csearch_path%3D{name}"


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A server that is gone afterwards; its folder is one that anybody may enter, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="tastemaker-postgres-") as folder:
        if os.getuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        opened = Cluster(Path(folder))
        try:
            yield opened
        finally:
            opened.stop()
