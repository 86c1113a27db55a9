"""From the survey answers of a workspace to a deployed proxy, or the reason why not yet; and taking it
back.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import InputError
from tastemaker.flows.deploy import renew
from tastemaker.flows.pipeline import Report
from tastemaker.flows.retention.live.deployed import KIND, WITHDRAWN, deployed, load_deployed
from tastemaker.flows.retention.report import write_claim
from tastemaker.retention.prompts import QUESTION
from tastemaker.retention.proxy import Proxy, ProxySettings, fit_proxy, to_parts
from tastemaker.retention.proxy.claim import (
    calibrate_proxy,
    calibration,
    calibration_claim,
    choose_thresholds,
    far_off,
)
from tastemaker.retention.proxy.parts import rows_of
from tastemaker.retention.weights import response_weights
from tastemaker.store import Database, Surveys, Workspace, fingerprint, write_json, write_table
from tastemaker.store.database.surveys import ASKED

LEAST = 400
COVARIATES = ("activity", "popularity", "user_likes")
SIMULATED = re.compile(r"^simulated-")
NAME = "surveys of the workspace"


def export_surveys(workspace: Path, out: Path) -> dict[str, Any]:
    """`tastemaker retention survey export`: every question shown, with its answer and the features logged
    with its slate.
    """
    database = Database(Workspace.open(workspace).database)
    table = Surveys(database).rows()
    database.close()
    write_table(out, table)
    answered = table.num_rows - table["answer"].null_count
    text = f"{table.num_rows:,} questions shown, {answered:,} answered: {out}"
    return {"table": str(out), "shown": table.num_rows, "answered": answered, "text": text}


def fit_live(workspace: Path, report: Report, least: int = LEAST, deploy: bool = True) -> dict[str, Any]:
    """`tastemaker retention proxy live`: weigh, fit, calibrate and choose thresholds on the workspace's own
    answers, then let it rank.

    Half of the users fit, a quarter calibrates, a quarter judges. Refused with the reason (exit code 1,
    nothing deployed): fewer than `least` answers, answers that cannot be learnt from, a proxy that knows no
    more of unseen users' answers than their average, or one whose probabilities are shown to be wrong.
    """
    opened = Workspace.open(workspace)
    report(KIND, 0, 4, "reading the answers")
    database = Database(opened.database)
    rows = _rows(Surveys(database))
    database.close()
    answers = rows.num_rows - rows["answer"].null_count
    if answers < least:
        return _refused(
            f"{answers:,} answers so far, of {rows.num_rows:,} questions shown; {least - answers:,} more are"
            " needed"
        )
    try:
        rows, weighing = _weighed(rows)
        report(KIND, 1, 4, "fitting")
        proxy, claim, skill, wrong = _fitted(rows, opened.settings.seed, answers)
    except InputError as error:
        return _refused(f"{answers:,} answers cannot be learnt from: {error}")
    report(KIND, 2, 4, "saving")
    mark = _save(opened, proxy, rows)
    written = write_claim(claim, opened.new_run(KIND))
    report(KIND, 3, 4, "deploying")
    if deploy and wrong is None:
        database.deploy(KIND, mark, datetime.now(UTC), f"{answers} answers")
        database.close()
        renew(opened)
    report(KIND, 4, 4, "")
    state = (
        f"not deployed: {wrong}"
        if wrong
        else "deployed: it ranks from the next request on"
        if deploy
        else "not deployed"
    )
    text = (
        f"{answers:,} answers; {weighing}; log loss on unseen users {skill:.3f} of knowing only their average"
    )
    message = {"answers": answers, "proxy": mark, "skill": skill, "deployed": deploy and wrong is None}
    return (
        written
        | message
        | {
            "text": f"{written['text']}\n{text}\nproxy {mark} {state}",
            "exit_code": 0 if wrong is None else 1,
        }
    )


def _rows(surveys: Surveys) -> pa.Table:
    """Questions of the survey whose slate logged its features, those first, without rows that lack one."""
    rows = surveys.rows()
    rows = rows.filter(pc.equal(rows["question"], QUESTION))
    for name in [item for item in rows.column_names if item not in ASKED]:
        rows = rows.filter(pc.is_valid(rows[name]))
    return rows


def _weighed(rows: pa.Table) -> tuple[pa.Table, str]:
    """Rows with a weight that makes those who answered stand for everyone asked, and how in words."""
    try:
        weights = response_weights(rows, COVARIATES)
        weight, text = (
            weights.weight,
            (
                f"{weights.response_rate:.0%} of those asked answered, weighted to match on {len(COVARIATES)}"
                " counts"
            ),
        )
    except InputError as error:
        weight, text = (
            1.0 / rows["asked_probability"].to_numpy(),
            f"weighted by the chance of being asked alone ({error})",
        )
    return rows.append_column("weight", pa.array(weight)), text


def _fitted(rows: pa.Table, seed: int, answers: int) -> tuple[Proxy, Any, float, str | None]:
    """The calibrated proxy with thresholds, the claim about users it never saw, its normalised entropy there,
    and why it must not rank.
    """
    features = tuple(name for name in rows.column_names if name not in (*ASKED, "weight"))
    days = sorted(str(row.date()) for row in rows["timestamp"].to_pylist())
    window = f"{days[0]} to {days[-1]}"
    settings = ProxySettings(features, answer="answer", weight="weight", l2=0.01, window=window)
    training = rows_of(rows, "fit", seed, name=NAME)
    simulated = sum(
        bool(SIMULATED.match(user))
        for user in rows.filter(pc.is_valid(rows["answer"]))["user_id"].to_pylist()
    )
    means = {name: pc.mean(training[name]).as_py() for name in features}
    about = {
        "seed": seed,
        "user": "user_id",
        "cohort": "",
        "answers": answers,
        "simulated": simulated,
        "means": means,
    }
    proxy = replace(fit_proxy(training, settings, NAME), about=about)
    proxy = calibrate_proxy(proxy, rows_of(rows, "calibrate", seed, name=NAME), "platt", NAME)
    unseen = rows_of(rows, "test", seed, name=NAME)
    proxy = choose_thresholds(proxy, unseen, name=NAME)
    tables = calibration(proxy, unseen, None, "user_id", seed, NAME)
    claim = calibration_claim(tables, proxy)
    if simulated:
        text = f"{simulated:,} of the {answers:,} answers were given by simulated listeners."
        claim = replace(claim, assumptions=(text, *claim.assumptions))
    skill = tables["pos"][0].ne
    return proxy, claim, skill, _objection(skill, far_off(tables))


def _objection(skill: float, far: bool) -> str | None:
    """Why a proxy must not rank; None where nothing speaks against it."""
    if not skill < 1:
        return "it knows no more of unseen users' answers than their average; gather more answers"
    if far:
        return "its probabilities do not come true on unseen users; see the report"
    return None


def _save(workspace: Workspace, proxy: Proxy, rows: pa.Table) -> str:
    """Write the artifact and return its fingerprint, which follows from the answers and the settings."""
    digest = hashlib.sha256(json.dumps(rows.to_pylist(), default=str).encode()).hexdigest()[:32]
    values, table = to_parts(proxy)
    mark = fingerprint(KIND, {"surveys": digest}, values["settings"])

    def build(folder: Path) -> None:
        write_json(folder / "proxy.json", values)
        write_table(folder / "coefficients.parquet", table)

    workspace.artifacts.put(KIND, mark, build, inputs={"surveys": digest}, settings=values["settings"])
    return mark


def _refused(reason: str) -> dict[str, Any]:
    return {"deployed": False, "reason": reason, "text": f"no proxy yet: {reason}", "exit_code": 1}


def withdraw_proxy(workspace: Path, to: str = "") -> dict[str, Any]:
    """`tastemaker retention proxy withdraw`: from the next request on no proxy ranks, or the earlier one that
    `to` is the start of.

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
    renew(opened)
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
        deployment.fingerprint
        for deployment in database.deployments()
        if deployment.kind == KIND and deployment.fingerprint
    )
    results = [mark for mark in marks if mark.startswith(start)]
    if len(results) != 1:
        many = "none" if not results else f"{len(results)}"
        raise InputError(
            f"--to {start}: {many} of the proxies deployed here; they are {', '.join(marks) or 'none'}"
        )
    return results[0]
