"""From a workspace's survey answers to a deployed proxy, or the reason why not yet; and taking it back."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import ArtifactError, InputError, many
from tastemaker.experiment.assign import position
from tastemaker.flows.deploy import renew
from tastemaker.flows.pipeline import Report
from tastemaker.flows.retention.live.context import (
    KIND,
    WITHDRAWN,
    deployed,
    learnt_from,
    load_deployed,
)
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.proxy.claim import calibration_claim, drift_claim, far_off, slopes_table
from tastemaker.retention.proxy.judge import (
    calibrate_proxy,
    calibration,
    choose_thresholds,
    judge,
    skill,
    value_slope,
)
from tastemaker.retention.proxy.model import (
    PARTS,
    Proxy,
    ProxySettings,
    fit_proxy,
    rows_of,
    slope_intervals,
    to_parts,
)
from tastemaker.retention.report import ClaimReport
from tastemaker.retention.surveys import HEARD_SHARE, QUESTION, never_salt
from tastemaker.retention.weights.claim import FEWEST, SMALLEST
from tastemaker.retention.weights.weigh import asked_of_shown, response_weights
from tastemaker.schema import ANONYMOUS
from tastemaker.stats.intervals import Interval
from tastemaker.store import Database, Surveys, Workspace, fingerprint, write_json, write_table
from tastemaker.store.database.events import now
from tastemaker.store.database.surveys import SURVEY_COLUMNS
from tastemaker.store.remote import uploaded


def question_rows(surveys: Surveys) -> pa.Table:
    """Questions of the survey whose slate logged its features, those first, without rows that lack one."""
    rows = surveys.rows()
    return complete(rows.filter(pc.equal(rows["question"], QUESTION)))


def complete(rows: pa.Table) -> pa.Table:
    """The rows that have every feature, which is every column that is none of a question's."""
    for name in [name for name in rows.column_names if name not in SURVEY_COLUMNS]:
        rows = rows.filter(pc.is_valid(rows[name]))
    return rows


def shown_rows(workspace: Workspace, database: Database) -> pa.Table:
    """One row an item of a list that somebody saw, with the features logged then, played, asked (0 or 1) and
    the answer; people who are never asked, and those nobody knows, left out.
    """
    shown = complete(Surveys(database).shown())
    settings, rules, salt = workspace.settings, workspace.event_rules(), never_salt(workspace.settings.seed)
    users, questions = shown["user_id"].to_pylist(), question_rows(Surveys(database))
    met = set(questions["user_id"].to_pylist())  # whatever ask_holdout says today
    askable = {
        user: user in met or (user != ANONYMOUS and bool(position(user, salt) >= settings.ask_holdout))
        for user in set(users)
    }
    shown = shown.filter(pa.array([askable[user] for user in users], pa.bool_()))
    keys = list(zip(shown["request_id"].to_pylist(), shown["item_id"].to_pylist(), strict=True))
    events = database.events_table()
    wished = {
        (request, item)
        for request, item, kind, value in zip(
            *(events[name].to_pylist() for name in ("request_id", "item_id", "kind", "value")), strict=True
        )
        if request is not None and rules.reward(kind, value) >= HEARD_SHARE
    }
    places = zip(questions["request_id"].to_pylist(), questions["item_id"].to_pylist(), strict=True)
    answers = dict(zip(places, questions["answer"].to_pylist(), strict=True))
    columns = {
        "played": [float(key in wished or key in answers) for key in keys],
        "asked": [float(key in answers) for key in keys],
        "answer": [answers.get(key) for key in keys],
    }
    for name, values in columns.items():
        kind = pa.int64() if name == "answer" else pa.float64()
        shown = shown.append_column(name, pa.array(values, kind))
    return shown


LEAST = 400
COVARIATES = ("activity", "popularity", "user_likes")
SHOWN = (*COVARIATES, "item_likes", "place")  # what also decides what is played, and so asked about
SIMULATED = re.compile(r"^simulated-")
NAME = "surveys of the workspace"
NO_PROXY = "no proxy is deployed: nothing to watch"


def export_surveys(workspace: Path, out: str | Path) -> dict[str, Any]:
    """`tastemaker retention survey export`: each question with its answer and its slate's features."""
    with Database(Workspace.open(workspace).database) as database:
        table = Surveys(database).rows()
    with uploaded(out) as path:
        write_table(path, table)
    answered = table.num_rows - table["answer"].null_count
    text = f"{many(table.num_rows, 'question shown', 'questions shown')}, {answered:,} answered: {out}"
    return {"table": str(out), "shown": table.num_rows, "answered": answered, "text": text}


def fit_live(workspace: Path, report: Report, least: int = LEAST, deploy: bool = True) -> dict[str, Any]:
    """`tastemaker retention proxy live`: weigh, fit, calibrate and choose thresholds on the workspace's own
    answers, then let it rank.

    Half of the users fit, a quarter calibrates, a quarter judges. Refused with the reason (exit code 1,
    nothing deployed): fewer than `least` answers, answers that cannot be learnt from, a proxy that is not
    shown to know more of unseen people's answers than their average, or one whose probabilities are shown to
    be wrong. What the answers since say of the proxy that ranks until now is in `before`.
    """
    opened = Workspace.open(workspace)
    report(KIND, 0, 4, "reading the answers")
    database = Database(opened.database)
    rows = question_rows(Surveys(database))
    answers = rows.num_rows - rows["answer"].null_count
    before, shown = _watched(opened, database, rows), shown_rows(opened, database)
    database.close()
    if answers < least:
        return _refused(
            f"{many(answers, 'answer')} so far, of"
            f" {many(rows.num_rows, 'question shown', 'questions shown')}; {least - answers:,} more are"
            " needed"
        )
    try:
        rows, weighing = weighed(rows, shown)
        report(KIND, 1, 4, "fitting")
        learnt = learn_proxy(rows, opened.settings.seed)
    except InputError as error:
        return _refused(f"{many(answers, 'answer')} cannot be learnt from: {error}")
    report(KIND, 2, 4, "saving")
    mark = _save(opened, learnt.proxy, rows)
    training = rows_of(rows, "fit", opened.settings.seed, name=NAME)
    slopes = slope_intervals(training, learnt.proxy.settings, opened.settings.seed, NAME)
    claim = replace(learnt.claim, tables=(*learnt.claim.tables, *slopes_table(slopes)))
    summary = write_claim(claim, opened.new_run(KIND))
    report(KIND, 3, 4, "deploying")
    ranks = deploy and not learnt.objection
    if ranks:
        database.deploy(KIND, mark, now(), many(answers, "answer"))
        database.close()
        renew(opened)
    report(KIND, 4, 4, "")
    state = "deployed: it ranks from the next request on" if ranks else "not deployed"
    skill = learnt.skill
    lines = [
        summary["text"],
        (
            f"{learnt_from(learnt.proxy)}; {weighing}; on {skill.n:,} unseen people it takes away"
            f" {skill.value:.1%} [{skill.low:.1%}, {skill.high:.1%}] of the log loss of knowing only their"
            " average"
        ),
        *([f"the proxy until now: {before}"] if before else []),
        f"proxy {mark} {state}{f': {learnt.objection}' if learnt.objection else ''}",
    ]
    return summary | {
        "answers": answers,
        "fitted": learnt.proxy.n,
        "proxy": mark,
        "skill": skill.value,
        "skill_low": skill.low,
        "skill_high": skill.high,
        "deployed": ranks,
        "reason": learnt.objection or "",
        "before": before,
        "text": "\n".join(lines),
        "exit_code": 1 if learnt.objection else 0,
    }


def watch_live(workspace: Path, out: Path, report: Report) -> dict[str, Any]:
    """`tastemaker retention proxy drift` on a workspace: the proxy that ranks, on the answers given since it
    was deployed, whatever rule ranks by it.

    Exit code 1 when they show that it is off, or are too few to tell, or when none is deployed.
    """
    opened = Workspace.open(workspace)
    report("drift", 0, 1, "reading the answers")
    mark, since = fresh_answers(opened)
    if mark is None or since is None:
        reason = f"proxy {mark}: no answer since it was deployed" if mark else NO_PROXY
        return {"proxy": mark, "reason": reason, "text": reason, "exit_code": 1}
    claim = drift_claim(load_deployed(opened, mark), weighed(since)[0], NAME)
    settings = dict(claim.settings) | {"proxy": mark, "adjust": opened.settings.adjust}
    summary = write_claim(replace(claim, settings=settings), out)
    report("drift", 1, 1, "")
    return summary | {"proxy": mark}


def fresh_answers(workspace: Workspace) -> tuple[str | None, pa.Table | None]:
    """The proxy that ranks and what was asked since it was deployed; None for none, or no answer yet."""
    with Database(workspace.database) as database:
        mark = deployed(database)
        if mark is None:
            return None, None
        since = _since(database, question_rows(Surveys(database)))
    return mark, since if since["answer"].null_count < since.num_rows else None


def _since(database: Database, rows: pa.Table) -> pa.Table:
    """The rows asked since the newest deployment of a proxy."""
    newest = database.newest_deployment(KIND)
    start = newest.timestamp if newest else datetime.max.replace(tzinfo=UTC)
    return rows.filter(pc.greater(rows["timestamp"], pa.scalar(start, rows["timestamp"].type)))


def _watched(workspace: Workspace, database: Database, rows: pa.Table) -> str:
    """What answers since its deployment say of the proxy that ranks, in one sentence; "" without any."""
    mark = deployed(database)
    if mark is None:
        return ""
    try:
        claim = drift_claim(load_deployed(workspace, mark), weighed(_since(database, rows))[0], NAME)
    except (InputError, ArtifactError):
        return ""
    return f"{claim.verdict}. {claim.because}"


def weighed(rows: pa.Table, shown: pa.Table | None = None) -> tuple[pa.Table, str]:
    """Rows with a weight, and how they got it in words: one that makes those who answered stand for
    everything shown, where `shown` is given and that can be told; else for everyone asked; else the chance of
    being asked alone.
    """
    words = []
    if shown is not None:
        try:
            matched = asked_of_shown(shown, SHOWN)
            chance = dict(zip(_keys(matched), matched["asked_probability"].to_pylist(), strict=True))
            place = rows.column_names.index("asked_probability")
            known = pa.array([chance.get(key) for key in _keys(rows)], pa.float64())
            staged = rows.set_column(place, "asked_probability", known)
            weights = response_weights(staged, SHOWN)
            if weights.ess >= max(FEWEST, SMALLEST * weights.answered):
                played = int(pc.sum(shown["played"]).as_py())
                text = (
                    f"{shown.num_rows:,} rows shown, {played:,} played, {rows.num_rows:,} asked,"
                    f" {weights.answered:,} of those asked answered: weighted to match everything shown on"
                    f" {len(SHOWN)} counts (worth {weights.ess:.0f} answers)"
                )
                return rows.append_column("weight", pa.array(weights.weight)), text
            words.append(f"a few weights would decide (worth {weights.ess:.0f} answers)")
        except InputError as error:
            words.append(f"not weighted to what was shown ({error})")
    try:
        weights = response_weights(rows, COVARIATES)
        weight = weights.weight
        words.append(f"{weights.response_rate:.0%} of those asked answered, weighted to match everyone asked")
    except InputError as error:
        weight = 1.0 / rows["asked_probability"].to_numpy()
        words.append(f"weighted by the chance of being asked alone ({error})")
    return rows.append_column("weight", pa.array(weight)), "; ".join(words)


def _keys(rows: pa.Table) -> list[tuple[str, str]]:
    return list(zip(rows["request_id"].to_pylist(), rows["item_id"].to_pylist(), strict=True))


@dataclass(frozen=True)
class Learnt:
    """A calibrated proxy, the claim about people it never saw, its skill there, why it must not rank."""

    proxy: Proxy
    claim: ClaimReport
    skill: Interval
    objection: str


def learn_proxy(rows: pa.Table, seed: int | str) -> Learnt:
    """Fit, calibrate and judge on three groups of people. rows: `question_rows` with a column `weight`;
    every column that is no survey column is a feature.

    Raises InputError when the answers cannot be learnt from.
    """
    features = tuple(name for name in rows.column_names if name not in (*SURVEY_COLUMNS, "weight"))
    days = sorted(str(row.date()) for row in rows["timestamp"].to_pylist())
    window = f"{days[0]} to {days[-1]}"
    settings = ProxySettings(features, answer="answer", weight="weight", l2=0.01, window=window)
    training, middle, unseen = (rows_of(rows, part, seed, name=NAME) for part in PARTS)
    fitted = fit_proxy(training, settings, NAME)
    people = training.filter(pc.is_valid(training["answer"]))["user_id"].to_pylist()
    simulated = sum(bool(SIMULATED.match(user)) for user in people)
    means = {name: pc.mean(training[name]).as_py() for name in features}
    answers = rows.num_rows - rows["answer"].null_count
    about = {"seed": seed, "cohort": "", "answers": answers, "simulated": simulated, "means": means}
    proxy = calibrate_proxy(replace(fitted, about=dict(fitted.about) | about), middle, "platt", NAME)
    proxy = choose_thresholds(proxy, unseen, name=NAME)
    tables = calibration(proxy, unseen, None, seed, NAME)
    claim = calibration_claim(tables, proxy)
    if simulated:
        text = f"{simulated:,} of the {proxy.n:,} answers fitted on were given by simulated listeners."
        claim = replace(claim, assumptions=(text, *claim.assumptions))
    judged = judge(proxy, unseen, NAME)
    known = skill(judged)
    return Learnt(proxy, claim, known, _objection(known, value_slope(judged, proxy), far_off(tables)))


def _objection(known: Interval, slope: Interval, far: bool) -> str:
    """Why a proxy must not rank; empty where nothing speaks against it. Ranking needs answers that rise with
    the predicted value: their slope on it, by person, must be shown to lie above 0.
    """
    if known.reason:
        return f"{known.reason}; gather more answers"
    if not slope.low > 0:
        return (
            "it is not shown to know more of unseen people's answers than their average (slope of the"
            f" answers on the predicted value {slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}]); gather"
            " more answers"
        )
    return "its probabilities do not come true on unseen people; see the report" if far else ""


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
    is deployed. Raises InputError if `to` was never deployed here, ArtifactError if its files are gone.
    """
    opened = Workspace.open(workspace)
    with Database(opened.database) as database:
        mark = deployed(database)
        if mark is None and not to:
            text = "no proxy is deployed: nothing to withdraw"
            return {"withdrawn": None, "deployed": None, "text": text, "exit_code": 1}
        back = _earlier(database, to) if to else WITHDRAWN
        if to:
            load_deployed(opened, back)
        database.deploy(KIND, back, now(), f"instead of {mark}" if mark else "put back")
    renew(opened)
    order = f"proxy {back} ranks" if to else "lists keep the model's own order"
    lines = [f"{f'proxy {mark} withdrawn: ' if mark else ''}{order} from the next request on"]
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
