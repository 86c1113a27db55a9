"""A workspace: one folder with a catalogue's tables, artifacts, runs, database and a settings file."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

import tastemaker.schema as schema
from tastemaker.errors import ArtifactError, BusyError, InputError
from tastemaker.store.artifacts import Artifacts
from tastemaker.store.database.postgres import lease
from tastemaker.store.database.session import Address
from tastemaker.store.files import locked, sweep, write_bytes, write_json, write_text
from tastemaker.store.folders import read_file, sealed, unsealed, verify_folder
from tastemaker.store.settings import (
    FORMAT,
    SETTINGS_FILE,
    Settings,
    parse_settings,
    read_settings,
    settings_text,
)
from tastemaker.store.tables import read_table
from tastemaker.store.tombstones import Tombstones

_log = logging.getLogger("tastemaker")
TABLES = {"items": schema.ITEMS, "interactions": schema.INTERACTIONS}


@dataclass(frozen=True)
class Workspace:
    """An opened workspace: `settings` has every field, defaults filled in."""

    root: Path
    settings: Settings

    @classmethod
    def create(cls, path: Path | str, settings: Mapping[str, Any] | None = None) -> Workspace:
        """Make the folder and its settings file, with `settings` other than the defaults, and open it.

        Raises InputError when there is a workspace already, or a setting is unknown or illegal.
        """
        root = Path(path).expanduser()
        file = root / SETTINGS_FILE
        if file.exists():
            raise InputError(f"{root}: is a workspace already; use it as it is, or choose another folder")
        if root.exists() and not root.is_dir():
            raise InputError(f"{root}: is a file; choose a folder for the workspace")
        write_text(file, settings_text(parse_settings({"format": FORMAT} | dict(settings or {}), file)))
        return cls.open(root)

    @classmethod
    def open(cls, path: Path | str) -> Workspace:
        """Open a workspace, and clear away what killed writers left behind.

        Raises InputError when `path` is no workspace, was made by a newer version, or has an illegal setting.
        """
        root = Path(path).expanduser()
        workspace = cls(root, read_settings(root))
        for folder in (workspace.data, workspace.artifacts.root, workspace.runs):
            folder.mkdir(parents=True, exist_ok=True)
        sweep(root)
        workspace._tell_changes()
        return workspace

    def _tell_changes(self) -> None:
        """Say which settings changed since the workspace was last opened, by somebody or by a disk."""
        path, now, before = self.data / "settings.json", asdict(self.settings), dict[str, Any]()
        try:
            before = unsealed(path.read_bytes())
        except FileNotFoundError:
            pass
        except ValueError:
            _log.warning("%s: damaged, so nobody can say which settings changed; it is written anew", path)
        changes = ", ".join(
            f"{name} is {value!r}, was {before[name]!r}"
            for name, value in now.items()
            if name in before and before[name] != value
        )
        if changes:
            _log.warning("%s changed since it was last read: %s", self.root / SETTINGS_FILE, changes)
        if before != now:
            with suppress(ArtifactError):  # a workspace that may only be read
                write_bytes(path, sealed(now))

    @property
    def data(self) -> Path:
        """Folder of the ingested tables."""
        return self.root / "data"

    @property
    def artifacts(self) -> Artifacts:
        """Content-addressed results."""
        return Artifacts(self.root / "artifacts")

    @property
    def runs(self) -> Path:
        """One folder a run: settings, metrics as JSON lines, figures, report."""
        return self.root / "runs"

    @property
    def database(self) -> Path | Address:
        """File of everything that changes (events, slates, deployments), or the server that holds it."""
        if self.settings.database:
            return Address(self.settings.database)
        return self.root / "tastemaker.sqlite"

    @property
    def tombstones(self) -> Tombstones:
        """Who asked to be forgotten."""
        return Tombstones.of(self.root)

    def tables_folder(self, tables: str = "") -> Path:
        """Folder of the tables in use, which `data/current.json` points to, or of those of this fingerprint.

        Raises ArtifactError when nothing was ingested yet, the pointer is damaged, or these tables are gone.
        """
        if tables:
            folder = self.data / f"tables-{tables}"
            if not folder.is_dir():
                raise ArtifactError(f"{folder}: these tables are gone; run `tastemaker ingest` again")
            return folder
        pointer = self.data / "current.json"
        try:
            name = unsealed(pointer.read_bytes(), ("folder",))["folder"]
        except FileNotFoundError:
            raise ArtifactError(
                f"{self.root}: has no tables yet; run `tastemaker ingest` with your items and interactions"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise ArtifactError(f"{pointer}: damaged; run `tastemaker ingest` again") from None
        if not isinstance(name, str) or not re.fullmatch(r"tables-[0-9a-f]{32}", name):
            raise ArtifactError(f"{pointer}: damaged; run `tastemaker ingest` again")
        return self.data / name

    def use_tables(self, tables: str) -> None:
        """Let the tables of this fingerprint be those in use, under the lock of `changing_tables`."""
        write_bytes(self.data / "current.json", sealed({"folder": self.tables_folder(tables).name}))

    def has_tables(self) -> bool:
        """Whether anything was ingested yet."""
        return (self.data / "current.json").exists()

    def table(self, name: str, full: bool = True, tables: str = "") -> pa.Table:
        """The table `items` or `interactions`, in use or of earlier `tables`; `full=False`: no checksums."""
        folder = self.tables_folder(tables)
        verify_folder(folder, full)
        return read_table(folder / f"{name}.parquet", TABLES[name])

    def event_rules(self, tables: str = "") -> schema.EventRules:
        """How events of the tables in use, or of earlier `tables`, are read, as ingest understood them."""
        if not tables and not self.has_tables():
            return schema.EventRules()
        try:
            about = json.loads(read_file(self.tables_folder(tables), "events.json"))
        except FileNotFoundError:  # tables of version 0.1
            return schema.EventRules()
        wanted = about["wanted"]
        return schema.EventRules(tuple(about["scale"]), None if wanted is None else frozenset(wanted))

    def tables_fingerprint(self) -> str:
        """Fingerprint of the tables in use: the input of every artifact made from them."""
        return self.tables_folder().name.removeprefix("tables-")

    def new_run(self, purpose: str) -> Path:
        """A new, empty folder under `runs/`, named by time and purpose."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        for attempt in range(1000):
            folder = self.runs / f"{stamp}-{purpose}{f'-{attempt + 1}' if attempt else ''}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            write_json(
                folder / "settings.json", {"purpose": purpose, "started": stamp, **asdict(self.settings)}
            )
            return folder
        raise ArtifactError(f"{self.runs}: 1000 runs began in this second; wait and run the command again")

    def holder(self) -> dict[str, Any] | None:
        """Who holds the training lock now: purpose, pid, host, since, command; None when nobody does."""
        try:
            descriptor = os.open(self.root / "tastemaker.lock", os.O_RDWR)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            return _holder(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def lock(self, purpose: str, command: str = "") -> Iterator[None]:
        """Hold the workspace's one training lock; the operating system releases it when the process ends,
        however it ends. Among machines that share a PostgreSQL, also the lease `training` there.

        command: what others are told runs here, and a kill leaves on disk; default: the command line.

        Raises BusyError when another process holds it: says who, where, since when and for what.
        """
        descriptor = os.open(self.root / "tastemaker.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _try_lock(descriptor):
                who = _holder(descriptor)
                raise BusyError(
                    f"{self.root}: {describe_holder(who)} holds the lock; wait for it to end, or stop it with"
                    f" `kill {who.get('pid', 'PID')}`: its work resumes later"
                )
            note = {"purpose": purpose, "pid": os.getpid(), "host": socket.gethostname()}
            note["command"] = command or " ".join(sys.argv)[:200]
            note["since"] = datetime.now(UTC).isoformat(timespec="seconds")
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(note).encode(), 0)
            with self.lease("training", purpose) as check:
                yield
                check()
            os.truncate(descriptor, 0)
        finally:
            os.close(descriptor)

    @contextmanager
    def lease(self, name: str, purpose: str = "", wait: bool = False) -> Iterator[Callable[[], None]]:
        """Hold `name` among the machines that share a server's database (`postgres.lease`); else nothing."""
        if isinstance(self.database, Address):
            with lease(self.database, name, purpose or name, wait) as check:
                yield check
        else:
            yield lambda: None

    @contextmanager
    def changing_tables(self) -> Iterator[None]:
        """Hold the lock under which the tables in use and the tombstones change; waits for who has it."""
        with locked(self.data / "tables.lock"):
            yield


def describe_holder(who: Mapping[str, Any]) -> str:
    """In words, what `Workspace.holder` returns."""
    pid, host, since, purpose = (who.get(name, "?") for name in ("pid", "host", "since", "purpose"))
    return f"process {pid} on {host} (since {since}, for {purpose}: {who.get('command', '?')})"


def _try_lock(descriptor: int) -> bool:
    """Try for the lock a few times: `holder` of another process takes it for an instant to look."""
    for pause in (0.02, 0.05, 0.0):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(pause)
    return False


def _holder(descriptor: int) -> dict[str, Any]:
    try:
        return dict(json.loads(os.pread(descriptor, 65536, 0)))
    except (ValueError, TypeError):  # between taking the lock and signing it
        return {}
