"""`tastemaker converse plan | run | resume | retry | status`: conversations, each finished once, whatever
happens in between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.chat import (
    FAILURES,
    Budget,
    Cache,
    Chat,
    Engine,
    EngineSettings,
    Journal,
    Limits,
    Meter,
    PaceSettings,
    Price,
    Progress,
    Request,
    Sampling,
    Unit,
    forecast,
    map_units,
)
from tastemaker.converse.agents import checks, prompts
from tastemaker.converse.agents.dialogue import Ask, converse
from tastemaker.converse.agents.plan import conversation_id, user_row
from tastemaker.converse.audits.turns import Known, check
from tastemaker.converse.record import Conversation
from tastemaker.converse.rows import to_row
from tastemaker.converse.rules import RuleChat
from tastemaker.errors import ArtifactError, InputError
from tastemaker.flows.converse.settings import RULES, RunFolder, RunSettings
from tastemaker.flows.converse.world.models import open_chat
from tastemaker.flows.converse.world.setting import Setting, open_setting
from tastemaker.flows.pipeline import Report
from tastemaker.schema import CONVERSATIONS
from tastemaker.store import Workspace, append_line, read_lines, replacing, write_bytes, write_json
from tastemaker.store.files import plain

TRIAL = 6
ROW_GROUP = 64


@dataclass(frozen=True)
class Paying:
    """What a run may spend, at what price."""

    limits: Limits = field(default_factory=Limits)
    price: Price | None = None
    at_once: int = 16


def ask_with(engine: Engine, settings: RunSettings, unit: str, subject: str) -> Ask:
    """A role's question put to the engine: the prompt is rendered from the view, which also travels beside
    it.
    """
    sampling = Sampling(temperature=settings.temperature, max_tokens=settings.max_tokens)

    def ask(role: str, view: Any, answer: Any, checked: Any) -> Any:
        request = Request(
            prompts.render(view),
            answer,
            sampling,
            subject=subject,
            unit=unit,
            kind=role,
            view=view,
            choices=checks.choices(view),
        )
        return engine.call(request, checked)

    return cast(Ask, ask)


def units(setting: Setting) -> list[Unit[int]]:
    """One unit a conversation."""
    users, seed = setting.listeners.user_ids, setting.settings.seed
    name = setting.settings_hash
    return [
        Unit(conversation_id(name, at), users[user_row(seed, at, len(users))], at)
        for at in range(setting.settings.n)
    ]


def work_on(setting: Setting, engine: Engine, folder: RunFolder | None) -> Callable[[Unit[int]], Any]:
    """What makes one conversation: play it, check it, keep its attachments; its value is its row."""
    known = Known(setting.world.catalogue, setting.world.tools.match, setting.world.lexicon)

    def work(unit: Unit[int]) -> Any:
        plan = setting.plan(unit.value)
        made = converse(plan, setting.world, ask_with(engine, setting.settings, unit.id, unit.subject))
        if folder is not None:
            _keep_media(setting, folder, made)
        return to_row(replace(made, checks=check(made, known)))

    return work


def _keep_media(setting: Setting, folder: RunFolder, made: Conversation) -> None:
    """Attachments as files named by their content."""
    row = setting.world.catalogue.row
    for turn in made.turns:
        for change in turn.delta:
            if change.medium == "text" or change.reference is not None or change.op == "drop":
                continue
            media = setting.artefacts.attach(change.medium, row[str(change.clause.value)])
            if media is not None:
                path = folder.media / f"{media.sha256}.{media.media_type.rsplit('/', 1)[-1]}"
                if not path.exists():
                    write_bytes(path, media.data)


def open_engine(setting: Setting, chat: Chat, folder: RunFolder, paying: Paying, resume: Any) -> Engine:
    """Cache, journal and budget of a data set's folder. Rules are free: only finished conversations are
    kept.
    """
    free = setting.settings.model == RULES
    lines = read_lines(folder.journal) if folder.journal.exists() else []
    journal = Journal(partial(append_line, folder.journal), lines, setting.identity, resume)
    usage, calls = journal.spent()
    budget = Budget(paying.limits, paying.price, usage, calls)
    pace = (
        PaceSettings(start=1, most=1)
        if free
        else PaceSettings(start=min(4, paying.at_once), most=paying.at_once)
    )
    engine_settings = EngineSettings(
        pace=pace, keep_calls=not free, open_units=1 if free else 2, seed=setting.settings.seed
    )
    return Engine(
        chat, cache=Cache(folder.cache, write_bytes), journal=journal, budget=budget, settings=engine_settings
    )


def plan_run(folder: Path, settings: RunSettings, paying: Paying, report: Report) -> dict[str, Any]:
    """A few conversations tried with rules and scaled up: calls, tokens with and without prefix reuse, money,
    time.
    """
    setting = open_setting(folder, settings, report)
    meter = Meter(RuleChat(setting.world.lexicon, settings.seed))
    engine = Engine(meter, settings=EngineSettings(pace=PaceSettings(start=1, most=1), keep_calls=False))
    tried = replace(setting, settings=replace(settings, n=min(TRIAL, settings.n)))
    for at, _ in enumerate(map_units(engine, work_on(tried, engine, None), units(tried)), start=1):
        report("trial", at, tried.settings.n, "")
    expected = forecast(meter.calls, settings.n, price=paying.price, at_once=paying.at_once)
    fields = {name: asdict(one) for name, one in setting.world.catalogue.fields.items()}
    goals = {"feasible": [one.name for one in setting.sampler.feasible], "skipped": setting.sampler.skipped}
    result = {
        "settings": asdict(settings),
        "settings_hash": setting.settings_hash,
        "forecast": asdict(expected),
        "goals": goals,
    }
    covered = expected.covered(paying.limits)
    return dict(plain(result | {"fields": fields, "covered": covered})) | {
        "text": _plan_text(setting, expected, covered)
    }


def _plan_text(setting: Setting, expected: Any, covered: int) -> str:
    catalogue, sampler = setting.world.catalogue, setting.sampler
    lines = [
        f"{len(catalogue):,} items, {len(setting.listeners.user_ids):,} listeners; fields one can ask by:"
    ]
    for one in catalogue.fields.values():
        values = ", ".join(one.values[:6]) if one.values else f"{one.low:g} to {one.high:g}"
        lines.append(f"  {one.name:<15} {one.kind:<7} {one.coverage:>4.0%} of items  {values}")
    lines.append(f"goals: {len(sampler.feasible)} of 44 templates can be filled")
    reasons: dict[str, list[str]] = {}
    for name, why in sampler.skipped.items():
        reasons.setdefault(why, []).append(name)
    lines += [f"  skipped {', '.join(names)}: {why}" for why, names in reasons.items()]
    used, longest = expected.usage, expected.longest
    lines.append(
        f"{expected.units:,} conversations: about {expected.calls:,} calls, {used.input:,} input tokens"
        f" ({used.cached:,} of them re-read prefixes), {used.output:,} output tokens (at most"
        f" {longest.output:,})"
    )
    if expected.money is not None:
        low, middle, high = expected.money
        lines.append(
            f"cost: {low:.2f} {expected.currency} with prefix reuse, {middle:.2f} without, at most {high:.2f}"
            f" (price of {expected.price_as_of})"
        )
    fast, slow = (seconds / 60 for seconds in expected.seconds)
    lines.append(f"time: {fast:.0f} to {slow:.0f} min at an endpoint of usual speed; rules need no endpoint")
    if not covered:
        lines.append("limits: smaller than one conversation; raise them")
    elif covered < expected.units:
        lines.append(
            f"limits: enough for about {covered:,} of {expected.units:,} conversations; `resume` with larger"
            " ones goes on"
        )
    return "\n".join(lines)


def generate(
    folder: Path,
    name: str,
    settings: RunSettings,
    paying: Paying,
    resume: str,
    report: Report,
    retry: Collection[str] = (),
    chat: Chat | None = None,
) -> dict[str, Any]:
    """Make every conversation that is not finished, and the table of all that are.

    resume: "never" refuses a folder that holds a run, "same" goes on if the settings are equal, "always" in
    any case.
    retry: kinds of failures to try again ("all" for every kind). chat: a back end to use in place of the one
    the settings name.

    Raises
    ------
    InputError, StoppedEarly, BudgetReached
        bad settings; ended before its end, with what is finished kept.
    """
    kinds = tuple(FAILURES) if "all" in retry else tuple(retry)
    if unknown := set(kinds) - set(FAILURES):
        raise InputError(
            f"failure kind '{', '.join(sorted(unknown))}' is not known; choose from {', '.join(FAILURES)}"
        )
    setting = open_setting(folder, settings, report)
    place = RunFolder.of(setting.workspace, name)
    chat = chat or open_chat(settings.model, setting.world.lexicon, settings.seed)
    if not place.settings.exists():  # before the journal begins: a run killed in between can be resumed
        write_json(place.settings, asdict(settings))
    engine = open_engine(setting, chat, place, paying, resume)
    write_json(place.settings, asdict(settings))
    told, work = _reporter(report), work_on(setting, engine, place)
    outcomes = map_units(engine, work, units(setting), retry=kinds, report=told, noun="conversation")
    failed: dict[str, str] = {}
    with table_writer(place.table) as write:
        try:
            for outcome in outcomes:
                if outcome.failure is None:
                    write(outcome.value)
                else:
                    failed[outcome.id] = f"{outcome.failure}: {outcome.detail}"
        finally:
            outcomes.close()  # type: ignore[attr-defined]
    return _finished(setting, place, engine, failed)


def _reporter(report: Report) -> Callable[[Progress], None]:
    def tell(now: Progress) -> None:
        money = "" if now.money is None else f", {now.money:.2f} spent"
        failed = f", {now.failed} failed" if now.failed else ""
        note = (
            f"{now.usage.input + now.usage.output:,} tokens{money}{failed}, {now.under_way} of {now.allowed}"
            " calls under way"
        )
        report("conversations", now.finished, now.total, note)

    return tell


def _finished(setting: Setting, place: RunFolder, engine: Engine, failed: dict[str, str]) -> dict[str, Any]:
    done = setting.settings.n - len(failed)
    text = f"{done:,} conversations in {place.table}"
    if failed:
        why = "; ".join(sorted(set(failed.values()))[:3])
        text += f"; {len(failed)} failed: {why}. Try them again with `tastemaker converse retry`"
    usage = engine.budget.usage
    text += f"\n{engine.budget.calls:,} calls, {usage.input:,} input and {usage.output:,} output tokens"
    return {
        "workspace": str(setting.workspace.root),
        "table": str(place.table),
        "conversations": done,
        "failed": failed,
        "calls": engine.budget.calls,
        "usage": asdict(usage),
        "money": engine.budget.money,
        "text": text,
    }


@contextmanager
def table_writer(path: Path) -> Iterator[Callable[[Any], None]]:
    """Writes rows to a Parquet file a row group at a time; what was written stands even when the run ends
    early.
    """
    rows: list[Any] = []
    failure: BaseException | None = None
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, CONVERSATIONS, compression="zstd") as writer,
    ):

        def flush() -> None:
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, CONVERSATIONS))
                rows.clear()

        def write(row: Any) -> None:
            rows.append(row)
            if len(rows) >= ROW_GROUP:
                flush()

        try:
            yield write
        except BaseException as error:
            failure = error
        flush()
    if failure is not None:
        raise failure


def status(folder: Path, name: str) -> dict[str, Any]:
    """How far a data set is: finished, failed by kind, spent, in doubt."""
    workspace = Workspace.open(folder)
    place = RunFolder.of(workspace, name)
    if not place.journal.exists():
        raise ArtifactError(
            f"{place.root}: holds no conversations; begin with `tastemaker converse run -w {folder} --name"
            f" {name}`"
        )
    settings = saved_settings(place)
    journal = Journal(lambda line: None, read_lines(place.journal), {}, "always")
    done = sum(outcome == "done" for outcome in journal.units.values())
    usage, calls = journal.spent()
    failures = dict(journal.failures())
    told = (
        "; ".join(f"{count} {kind} ({FAILURES.get(kind, kind)})" for kind, count in failures.items())
        or "none"
    )
    text = f"{done:,} of {settings.n:,} conversations finished; failed: {told}"
    text += f"\n{calls:,} paid calls, {usage.input + usage.output:,} tokens"
    if journal.doubtful:
        text += f"; {len(journal.doubtful)} calls were cut off and may have been billed"
    return {
        "name": name,
        "finished": done,
        "asked": settings.n,
        "failed": failures,
        "calls": calls,
        "usage": asdict(usage),
        "doubtful": len(journal.doubtful),
        "settings": asdict(settings),
        "text": text,
    }


def saved_settings(place: RunFolder) -> RunSettings:
    """What a data set was begun with."""
    import json

    if not place.settings.exists():
        raise ArtifactError(f"{place.root}: holds no data set; `tastemaker converse run` makes one")
    return RunSettings(**json.loads(place.settings.read_text()))
