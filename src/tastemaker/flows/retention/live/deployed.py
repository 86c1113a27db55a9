"""Which survey proxy ranks in a workspace, as its database says."""

from __future__ import annotations

from tastemaker.errors import ArtifactError
from tastemaker.flows.retention.proxy import load_proxy
from tastemaker.retention.proxy import Proxy
from tastemaker.store import Database, Workspace

KIND, WITHDRAWN = "proxy", ""  # a deployment of no proxy takes back the one before
SHARES = {"control": 0.5, "treatment": 0.5}  # of people in the running test


def deployed(database: Database) -> str | None:
    """The fingerprint of the newest deployed proxy; None before the first one, and after it was withdrawn."""
    return next((row.fingerprint for row in database.deployments() if row.kind == KIND), WITHDRAWN) or None


def learnt_from(proxy: Proxy) -> str:
    """What the proxy was fitted on, in words that keep simulated listeners apart from people."""
    simulated, fitted = int(proxy.about.get("simulated", 0)), proxy.n
    answers = int(proxy.about.get("answers", fitted))
    gathered = f" of {answers:,} gathered" if answers > fitted else ""
    share = "all" if simulated >= fitted else f"{simulated:,}"
    return f"{fitted:,} survey answers{gathered}" + (f", {share} of simulated listeners" if simulated else "")


def load_deployed(workspace: Workspace, mark: str) -> Proxy:
    """The proxy `mark` of a workspace. Raises ArtifactError naming the command that makes one."""
    try:
        return load_proxy(workspace.artifacts.get(KIND, mark))
    except ArtifactError as error:
        raise ArtifactError(
            f"{error}; make one with `tastemaker retention proxy live -w {workspace.root}`"
        ) from None
