"""From a workspace to the parts that answer; everything is read here, nothing while serving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from tastemaker.errors import TastemakerError
from tastemaker.flows.deploy import in_service
from tastemaker.flows.deployment import Deployment
from tastemaker.flows.retention.live.context import Context
from tastemaker.flows.search import Searcher
from tastemaker.serving.draw import Drawer, Rounds
from tastemaker.serving.explain import Explainer
from tastemaker.serving.history import People
from tastemaker.serving.rerank import Reranker
from tastemaker.serving.serve import Parts
from tastemaker.store import Database, Offers, Workspace
from tastemaker.store.database.postgres import SILENCE

Clock = Callable[[], datetime]
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Shared:
    """What stays when deployments are swapped: database, clock of slates, rounds of certified policies."""

    database: Database
    clock: Clock
    rounds: Rounds

    @classmethod
    def of(cls, workspace: Workspace, clock: Clock | None = None, common: Any = None) -> Shared:
        """Those of a workspace, by the database's clock or another; `common`: rounds of all processes."""
        database = Database(workspace.database, SILENCE)
        return cls(database, clock or database.now, common.rounds if common else Rounds(database))


class Erased:
    """Whether a person was erased; looked up anew when the workspace's tombstones change."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._seen, self._tombstones = workspace, -1, workspace.tombstones

    def __call__(self, user_id: str) -> bool:
        """Whether the person was."""
        try:
            changed = self._tombstones.path.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        if changed != self._seen:
            self._seen, self._tombstones = changed, self._workspace.tombstones
        return self._tombstones.holds(user_id)


def load_serving(workspace: Workspace, load: Callable[[Deployment], Loaded]) -> Loaded:
    """What `load` makes of the deployment in service: of the next one, where an erasure put that in its place
    and removed what the first was made of.

    Raises ArtifactError when nothing was trained yet, or a part of what is in service is damaged or gone.
    """
    deployment = in_service(workspace)
    while True:
        try:
            return load(deployment)
        except (TastemakerError, OSError):
            replaced, deployment = deployment, in_service(workspace)
            if deployment.name == replaced.name:
                raise


def load_parts(workspace: Workspace, shared: Shared, deployment: Deployment) -> Parts:
    """The parts of a deployment. Raises ArtifactError naming a part that is damaged or gone."""
    searcher = Searcher.of(deployment)
    data, database = searcher.data, shared.database
    interactions = workspace.table("interactions", tables=deployment.catalogue)
    return Parts(
        deployment.name,
        searcher,
        People(data, interactions, database, Erased(workspace)),
        Reranker(workspace, Context(data, interactions, data.histories), database),
        Drawer(workspace, searcher, database, shared.rounds),
        Explainer(data),
        Offers(database),
        shared.clock,
    )
