"""The settings of a data set of conversations, and where its files lie in the workspace."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tastemaker.converse.agents.plan import PlanSettings
from tastemaker.errors import InputError
from tastemaker.store import Workspace

RULES, PEOPLE = "rules", "people"  # who speaks in a data set that no model made
ATTACHED = {"audio": ("wav", "audio/wav"), "image": ("png", "image/png")}
"""Kind of attachment -> ending of its file, and its media type."""


@dataclass(frozen=True)
class RunSettings:
    """What decides the bytes of a data set. turns: "8" or "3-12"; model: rules, or NAME@URL of an
    OpenAI-compatible endpoint, or one for each role of "role=NAME,..."; media: kinds of attachment the model
    takes; pool: catalogue, or session (the published leak).
    """

    n: int = 200
    seed: int = 0
    turns: str = "8"
    model: str = RULES
    nothing: float = 0.06
    pool: str = "catalogue"
    media: str = "audio,image"
    temperature: float = 0.7
    max_tokens: int = 512
    tools: bool = False

    def __post_init__(self) -> None:
        """At least one conversation; turns as a number or a range; known media; a model's numbers."""
        if self.n < 1:
            raise InputError(f"{self.n} conversations: ask for at least one")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed {self.seed}: give a whole number from 0 to {2**32 - 1}")
        if not re.fullmatch(r"\d+(-\d+)?", self.turns):
            raise InputError(f"turns '{self.turns}': give a number as 8, or a range as 3-12")
        if unknown := set(self.kinds) - {"audio", "image"}:
            raise InputError(f"media '{', '.join(sorted(unknown))}': choose from audio, image, or none")
        if not self.temperature >= 0 or self.max_tokens < 1:
            raise InputError(
                f"temperature {self.temperature}, max_tokens {self.max_tokens}: give 0 or more, and 1 or more"
            )
        if self.tools and self.model == RULES:
            raise InputError("--tools needs a --model that makes tool calls; rules read the words themselves")
        self.plan()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The media as a tuple."""
        return () if self.media in ("", "none") else tuple(kind.strip() for kind in self.media.split(","))

    def plan(self) -> PlanSettings:
        """The settings of plans."""
        first, _, last = self.turns.partition("-")
        turns = (int(first), int(last or first))
        return PlanSettings(
            seed=self.seed,
            turns=turns,
            nothing=self.nothing,
            tools=self.tools,
            pool=self.pool,
        )

    def identity(self, tables: str, vectors: str) -> dict[str, Any]:
        """All that the bytes follow from but the number of conversations: more leave the first ones as is."""
        values = {name: value for name, value in asdict(self).items() if name != "tools" or value}
        return {**values, "n": None, "tables": tables, "vectors": vectors, "version": 1}


class RunFolder:
    """Where one data set lies: conversations/<name> in the workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = root / "settings.json"  # what the run was begun with
        self.journal = root / "journal.jsonl"  # every attempt and every finished conversation
        self.cache = root / "cache"  # validated answers
        self.table = root / "conversations.parquet"
        self.media = root / "media"  # attachments by content hash
        self.audit = root / "audit.json"  # the last audit
        self.judgements = root / "judgements.json"  # the last judging
        self.judging = root / "judging"  # journals and answers of judges that are paid for
        self.page = root / "report.html"  # the page that earlier versions wrote
        self.exports = root / "exports"  # one file an export

    @classmethod
    def of(cls, workspace: Workspace, name: str) -> RunFolder:
        """The folder of the data set `name`; InputError for a name that is no plain word."""
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,63}", name):
            raise InputError(f"data set name '{name}': use letters, digits, dots, dashes")
        return cls(workspace.root / "conversations" / name)

    def attachment(self, kind: str, sha256: str) -> Path:
        """One attachment's file."""
        return self.media / f"{sha256}.{ATTACHED[kind][0]}"
