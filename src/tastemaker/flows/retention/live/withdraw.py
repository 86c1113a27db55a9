"""Taking a deployed proxy back: lists keep the model's own order, or an earlier proxy ranks again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tastemaker.errors import InputError
from tastemaker.flows.retention.live.ranking import KIND, WITHDRAWN, deployed, load_deployed
from tastemaker.store import Database, Workspace


def withdraw_proxy(workspace: Path, to: str = "") -> dict[str, Any]:
    """`tastemaker proxy withdraw`: from the next request on no proxy ranks, or the earlier one that `to` is
    the start of.

    Recorded beside the deployments, which are kept, so the same proxy can be put back. Exit code 1 when none
    is deployed. Raises InputError when `to` names none that was deployed here, ArtifactError when its files
    are gone.
    """
    opened = Workspace.open(workspace)
    database = Database(opened.database)
    try:
        mark = deployed(database)
        if mark is None and not to:
            return {
                "withdrawn": None,
                "deployed": None,
                "text": "no proxy is deployed: nothing to withdraw",
                "exit_code": 1,
            }
        back = _earlier(database, to) if to else WITHDRAWN
        if to:
            load_deployed(opened, back)
        database.deploy(KIND, back, datetime.now(UTC), f"instead of {mark}" if mark else "put back")
    finally:
        database.close()
    now = f"proxy {back} ranks" if to else "lists keep the model's own order"
    lines = [f"{f'proxy {mark} withdrawn: ' if mark else ''}{now} from the next request on"]
    if opened.settings.experiment:
        lines.append(
            f"the test '{opened.settings.experiment}' is still set: from now on its treatment is not what"
            " it was; end it"
        )
    return {"withdrawn": mark, "deployed": back or None, "text": "\n".join(lines), "exit_code": 0}


def _earlier(database: Database, start: str) -> str:
    marks = dict.fromkeys(
        one.fingerprint for one in database.deployments() if one.kind == KIND and one.fingerprint
    )
    found = [one for one in marks if one.startswith(start)]
    if len(found) != 1:
        many = "none" if not found else f"{len(found)}"
        raise InputError(
            f"--to {start}: {many} of the proxies deployed here; they are {', '.join(marks) or 'none'}"
        )
    return found[0]
