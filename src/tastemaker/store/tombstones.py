"""Tombstones: who asked to be forgotten, as keyed hashes, so that no later ingest brings them back."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import ArtifactError
from tastemaker.store.artifacts import Artifact, Artifacts
from tastemaker.store.files import canonical, replacing, sha256_bytes
from tastemaker.store.folders import sealed, unsealed

TOMBSTONES_FILE = "tombstones.json"


@dataclass(frozen=True)
class Removal:
    """What a filter left out: rows, and the number of people they were about."""

    rows: int = 0
    people: int = 0

    def __str__(self) -> str:
        """One line for the user."""
        who = "1 person who" if self.people == 1 else f"{self.people} people who"
        return f"{self.rows} rows left out: they are about {who} asked to be forgotten"


@dataclass(frozen=True)
class Tombstones:
    """people: HMAC-SHA256 of each id under `key`, drawn once a workspace; ids are kept nowhere.

    held: fingerprints of the tables and conversations that one of them was in; what was learnt from these is
    outdated. unfinished: of the people, those whose erasure was begun and has not ended. The key lies beside
    the hashes, so whoever has the file can test an id they guess; they cannot list the ids.
    """

    path: Path
    key: str
    people: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    unfinished: frozenset[str] = frozenset()

    @classmethod
    def of(cls, root: Path) -> Tombstones:
        """Those of the workspace at `root`; none yet when there is no file.

        Raises ArtifactError when the file is damaged.
        """
        path = root / TOMBSTONES_FILE
        try:
            document = unsealed(path.read_bytes(), ("format", "key", "people", "held"))
            sets = (frozenset(document.get(name, ())) for name in ("people", "held", "unfinished"))
            return cls(path, str(document["key"]), *sets)
        except FileNotFoundError:
            return cls(path, secrets.token_hex(32))
        except (ValueError, KeyError, TypeError):
            raise ArtifactError(
                f"{path}: damaged, so nobody can say who asked to be forgotten; restore it from a copy"
            ) from None

    def holds(self, user_id: str) -> bool:
        """Whether the person asked to be forgotten."""
        return self._hash(user_id) in self.people

    def add(self, user_id: str, fingerprints: Iterable[str]) -> Tombstones:
        """With one more person, their erasure unfinished; on disk, readable by the owner alone, on return."""
        mark = frozenset((self._hash(user_id),))
        fingerprints = self.held | frozenset(fingerprints)
        return self._saved(
            replace(self, people=self.people | mark, held=fingerprints, unfinished=self.unfinished | mark)
        )

    def finish(self, user_id: str) -> Tombstones:
        """With the person's erasure ended."""
        return self._saved(replace(self, unfinished=self.unfinished - {self._hash(user_id)}))

    def finished(self, user_id: str) -> bool:
        """Whether nothing is left to be done of the person's erasure."""
        return self._hash(user_id) not in self.unfinished

    def _saved(self, updated: Tombstones) -> Tombstones:
        sets = {name: sorted(getattr(updated, name)) for name in ("people", "held", "unfinished")}
        with replacing(self.path) as temporary:
            temporary.chmod(0o600)
            temporary.write_bytes(sealed({"format": 2, "key": updated.key, **sets}))
        return updated

    def without(self, table: pa.Table, column: str = "user_id") -> tuple[pa.Table, Removal]:
        """The rows of `table` about anybody else, in their order, and what was left out."""
        if not self.people:
            return table, Removal()
        people = pc.unique(table[column]).drop_null().to_pylist()
        forgotten = [user_id for user_id in people if self.holds(user_id)]
        mask = pc.is_in(table[column], value_set=pa.array(forgotten, table[column].type))
        others = table.filter(pc.invert(mask))
        return others, Removal(table.num_rows - others.num_rows, len(forgotten))

    def mark(self) -> dict[str, str]:
        """What names the set of people among the inputs of tables; nothing while nobody was forgotten."""
        return {"forgotten": sha256_bytes(canonical(sorted(self.people)))} if self.people else {}

    def _hash(self, user_id: str) -> str:
        return hmac.new(bytes.fromhex(self.key), user_id.encode(), hashlib.sha256).hexdigest()


def outdated(artifacts: Artifacts, fingerprints: Iterable[str]) -> list[Artifact]:
    """Finished artifacts made, directly or through others, from inputs of these `fingerprints`."""
    marks, stale, fresh = set(fingerprints), list[Artifact](), artifacts.finished()
    inputs = {artifact: set(artifact.about.get("inputs", {}).values()) for artifact in fresh}
    while affected := [artifact for artifact in fresh if inputs[artifact] & marks]:
        marks |= {artifact.fingerprint for artifact in affected}
        stale += affected
        fresh = [artifact for artifact in fresh if artifact not in affected]
    return stale
