"""Keys of the server's callers, hashed at rest, and the log of what operators did."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from tastemaker.errors import InputError
from tastemaker.store.database.database import Database
from tastemaker.store.database.events import micros, moment

ROLES = {
    "app": "your backend: slates, events and answers of everybody; mints tokens for one person",
    "operator": "whatever an app may, erasing people, and the log of what operators did",
    "read": "reads everything but writes nothing",
}


@dataclass(frozen=True)
class Key:
    """A key of one caller; `hash` is the SHA-256 of its secret, which has 256 random bits."""

    key_id: str
    name: str
    role: str
    hash: str
    created: datetime
    revoked: datetime | None = None

    def opens(self, secret: str) -> bool:
        """Whether this is the secret of a key in force; takes equally long for each wrong one."""
        return hmac.compare_digest(_hash(secret), self.hash) and self.revoked is None


@dataclass(frozen=True)
class Entry:
    """One operator action: who, when, what."""

    timestamp: datetime
    actor: str
    action: str
    detail: str

    def plain(self) -> dict[str, str]:
        """As JSON values."""
        return {
            "timestamp": self.timestamp.isoformat(),
            "actor": self.actor,
            "action": self.action,
            "detail": self.detail,
        }


class Keys:
    """The keys of a workspace's `Database`; every call is one durable transaction. Raises as `Database`.

    serving: whether this process is a server, for the log.
    """

    serving: ClassVar[bool] = False

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, role: str, name: str) -> str:
        """A new key, which is told here and never again: `tm-<id>-<secret>`.

        Raises InputError for a role that is none, or a name that another key has.
        """
        if role not in ROLES:
            raise InputError(f"role '{role}' is unknown; choose {', '.join(ROLES)}")
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise InputError("a key's name has 1 to 100 printable characters; give another with --name")
        if any(key.name == name for key in self.all()):
            raise InputError(f"a key named '{name}' is there already; give another name with --name")
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        at = datetime.now(UTC)
        self._database.insert("keys", key_id=key_id, name=name, role=role, hash=_hash(secret), created_at=at)
        return f"tm-{key_id}-{secret}"

    def all(self) -> list[Key]:
        """Every key that was ever made, the oldest first."""
        columns = ("key_id", "name", "role", "hash", "created_at", "revoked_at")
        rows = self._database.select("keys", columns, "ORDER BY created_at, key_id")
        return [
            Key(key_id, name, role, digest, moment(created), None if revoked is None else moment(revoked))
            for key_id, name, role, digest, created, revoked in rows
        ]

    def revoke(self, which: str) -> Key:
        """Take a key back, by its id or name; so are the tokens that it minted.

        Raises InputError when no such key is in force.
        """
        key = next((key for key in self.all() if which in (key.key_id, key.name) and not key.revoked), None)
        if key is None:
            raise InputError(f"no key in force is called '{which}'; see `tastemaker admin keys list`")
        with self._database.transaction() as connection:
            sql = "UPDATE keys SET revoked_at = ? WHERE key_id = ?"
            connection.execute(sql, (micros(datetime.now(UTC)), key.key_id))
        return key

    def signing(self) -> str:
        """The secret that tokens are signed with."""
        return self._database.secret("tokens")

    @classmethod
    def account(cls) -> str:
        """This process as an actor: what it is, and the account of the machine that it runs under."""
        typed = "tastemaker.cli.main" in sys.modules
        program = "server" if cls.serving else "command line" if typed else "Python"
        try:
            return f"{program}, {getpass.getuser()}"
        except (KeyError, OSError):  # an account without a name
            return program

    def note(self, actor: str, action: str, detail: str = "") -> None:
        """Log what an operator did; `detail` names no person."""
        at = datetime.now(UTC)
        self._database.insert("audit", timestamp=at, actor=actor, action=action, detail=detail)

    def entries(self) -> list[Entry]:
        """What operators did, the oldest first."""
        columns = ("timestamp", "actor", "action", "detail")
        rows = self._database.select("audit", columns, "ORDER BY entry_id")
        return [Entry(moment(row[0]), *row[1:]) for row in rows]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
