"""`tastemaker converse plan | run | resume | retry | status`: conversations, each finished once."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from tastemaker.chat import (
    FAILURES,
    Budget,
    Cache,
    CallError,
    Chat,
    Engine,
    EngineSettings,
    Journal,
    Limits,
    PaceSettings,
    Price,
    Progress,
    Request,
    Sampling,
    StoppedEarly,
    Unit,
    Usage,
    map_units,
)
from tastemaker.chat.budget import estimated_input, estimated_output
from tastemaker.chat.journal import Resume
from tastemaker.converse.agents import checks, prompts
from tastemaker.converse.agents.dialogue import Ask, converse
from tastemaker.converse.agents.plan import conversation_id, user_row
from tastemaker.converse.audits.turns import check
from tastemaker.converse.record import Conversation, to_row
from tastemaker.converse.rules import RuleChat
from tastemaker.engine import mapped
from tastemaker.errors import ArtifactError, InputError
from tastemaker.flows.converse.dataset import saved_settings, table_writer
from tastemaker.flows.converse.env import ConversationEnv, open_chat, open_env
from tastemaker.flows.converse.people import collected_status, is_collected
from tastemaker.flows.converse.settings import RULES, RunFolder, RunSettings
from tastemaker.flows.pipeline import Report
from tastemaker.store import Workspace, append_line, read_lines, write_bytes, write_json
from tastemaker.store.files import plain

PART = 64  # conversations that a worker plays at a time
TRIAL = 6  # conversations that a plan tries by rules
SHOWN_FAILURES = 3


@dataclass(frozen=True)
class Session:
    """How one session of a run is done: what may be spent in all of them, at what price, calls at once.

    resume: "never" refuses a folder that holds a run, "same" goes on if the settings are equal, "always" in
    any case. retry: kinds of failures to try again, "all" for every kind. chat: a back end in place of the
    one that the settings name.
    """

    limits: Limits = field(default_factory=Limits)
    price: Price | None = None
    at_once: int = 16
    resume: Resume = "never"
    retry: Sequence[str] = ()
    chat: Chat | None = None

    def __post_init__(self) -> None:
        """At least one call at once; kinds of failures that exist."""
        if self.at_once < 1:
            raise InputError(f"at_once is {self.at_once}: let one call at least be under way")
        if unknown := set(self.retry) - {*FAILURES, "all"}:
            raise InputError(
                f"failure kind '{', '.join(sorted(unknown))}' is not known; choose from {', '.join(FAILURES)}"
            )

    @property
    def retried(self) -> tuple[str, ...]:
        """The kinds of failures to try again."""
        return tuple(FAILURES) if "all" in self.retry else tuple(self.retry)


def ask_with(answer_to: Callable[[Request[Any], Any], Any], settings: RunSettings, unit: Unit[int]) -> Ask:
    """A role's question as a request: the prompt is rendered from the view, which also travels beside it."""
    sampling = Sampling(temperature=settings.temperature, max_tokens=settings.max_tokens)

    def ask(role: str, view: Any, answer: Any, checked: Any) -> Any:
        request = Request(
            prompts.render(view),
            answer,
            sampling,
            subject=unit.subject,
            unit=unit.id,
            kind=role,
            view=view,
            choices=checks.choices(view),
            tools=prompts.tools_of(view),
        )
        return answer_to(request, checked)

    return cast(Ask, ask)


def units(env: ConversationEnv) -> list[Unit[int]]:
    """One unit a conversation."""
    users, seed = env.listeners.user_ids, env.settings.seed
    name = env.settings_hash
    return [
        Unit(conversation_id(name, index), users[user_row(seed, index, len(users))], index)
        for index in range(env.settings.n)
    ]


def work_on(env: ConversationEnv, engine: Engine, folder: RunFolder) -> Callable[[Unit[int]], Any]:
    """What makes one conversation: play it, check it, keep its attachments; its value is its row."""

    def work(unit: Unit[int]) -> Any:
        ask = ask_with(engine.call, env.settings, unit)
        conversation = converse(env.plan(unit.value), env.world, ask)
        _keep_media(env, folder, conversation)
        return to_row(replace(conversation, checks=check(conversation, env.known)))

    return work


@dataclass(frozen=True)
class Played:
    """The batch function: places of conversations that rules play -> each as JSON, null where it failed."""

    root: str
    name: str
    settings: RunSettings

    def __call__(self, places: tuple[int, ...]) -> pa.Table:
        """A column `row`."""
        all_units, work = _playing(self)
        rows = []
        for place in places:
            try:
                rows.append(json.dumps(plain(work(all_units[place]))))
            except CallError:
                rows.append("null")
        return pa.table({"row": pa.array(rows, pa.string())})

    def elsewhere(
        self, work: Callable[[Unit[int]], Any], env: ConversationEnv, known: Collection[str], report: Report
    ) -> Callable[[Unit[int]], Any]:
        """`work`, done by the workspace's engine for all conversations that are not finished."""
        places = [unit.value for unit in units(env) if unit.id not in known]
        parts = [tuple(places[start : start + PART]) for start in range(0, len(places), PART)]
        key = repr((self, env.identity, env.settings_hash))
        tables = mapped(self, parts, env.workspace, "conversations played", key, report)
        first = next(tables, None)  # all of them are played by now
        texts = (
            text for table in chain([first] if first else [], tables) for text in table["row"].to_pylist()
        )
        results = zip(places, texts, strict=True)

        def row_of(unit: Unit[int]) -> Any:
            row = next(json.loads(text) for place, text in results if place == unit.value)
            return work(unit) if row is None else row

        return row_of


@lru_cache(maxsize=1)
def _playing(played: Played) -> tuple[list[Unit[int]], Callable[[Unit[int]], Any]]:
    """What a worker plays with, loaded once."""
    env = open_env(Path(played.root), played.settings, lambda *_: None)
    chat = open_chat(RULES, env.world.lexicon, played.settings.seed)
    engine = Engine(
        chat, settings=EngineSettings(PaceSettings(most=1), keep_calls=False, seed=played.settings.seed)
    )
    return units(env), work_on(env, engine, RunFolder.of(env.workspace, played.name))


def _keep_media(env: ConversationEnv, folder: RunFolder, conversation: Conversation) -> None:
    """Attachments as files named by their content."""
    row = env.world.catalogue.row
    for turn in conversation.turns:
        for change in turn.delta:
            if not change.attached:
                continue
            media = env.artefacts.attach(change.medium, row[str(change.clause.value)])
            if media is not None:
                path = folder.media / f"{media.sha256}.{media.media_type.rsplit('/', 1)[-1]}"
                if not path.exists():
                    write_bytes(path, media.data)


def open_engine(env: ConversationEnv, chat: Chat, folder: RunFolder, session: Session) -> Engine:
    """Cache, journal and budget of a data set's folder; of rules, only finished conversations are kept."""
    free = env.settings.model == RULES
    lines = read_lines(folder.journal) if folder.journal.exists() else []
    journal = Journal(partial(append_line, folder.journal), lines, env.identity, session.resume)
    budget = Budget(session.limits, session.price, *journal.billed())
    settings = EngineSettings(
        PaceSettings(most=1 if free else session.at_once), keep_calls=not free, seed=env.settings.seed
    )
    return Engine(
        chat, cache=Cache(folder.cache, write_bytes), journal=journal, budget=budget, settings=settings
    )


def plan_run(workspace: Path, settings: RunSettings, session: Session, report: Report) -> dict[str, Any]:
    """A few conversations tried with rules and scaled up: calls, tokens, money; and what can be asked for."""
    env = open_env(workspace, settings, report)
    expected = forecast(env, session.price, report)
    fields = {name: asdict(about) for name, about in env.world.catalogue.fields.items()}
    goals = {"feasible": [goal.name for goal in env.sampler.feasible], "skipped": env.sampler.skipped}
    result = {
        "settings": asdict(settings),
        "settings_hash": env.settings_hash,
        "forecast": expected,
        "goals": goals,
        "fields": fields,
        "covered": _covered(expected, session.limits),
    }
    return dict(plain(result)) | {"text": _plan_text(env, result)}


def forecast(env: ConversationEnv, price: Price | None, report: Report) -> dict[str, Any]:
    """Expected units, calls, usage and money of the whole run, from a few conversations played by rules."""
    rules = RuleChat(env.world.lexicon, env.settings.seed)
    tried = units(replace(env, settings=replace(env.settings, n=min(TRIAL, env.settings.n))))
    calls, usage = 0, Usage()

    def answer_to(request: Request[Any], checked: Any) -> Any:
        nonlocal calls, usage
        text = rules.complete(request).text
        calls += 1
        usage += Usage(estimated_input(request), estimated_output(text))
        return request.answer.model_validate_json(text)

    for number, unit in enumerate(tried, start=1):
        converse(env.plan(unit.value), env.world, ask_with(answer_to, env.settings, unit))
        report("trial", number, len(tried), "")
    scale = env.settings.n / len(tried)
    total = Usage(round(usage.input * scale), round(usage.output * scale))
    return {
        "units": env.settings.n,
        "calls": round(calls * scale),
        "usage": asdict(total),
        "money": None if price is None else price.of(total),
        "currency": None if price is None else price.currency,
        "price_as_of": None if price is None else price.as_of.isoformat(),
    }


def _covered(expected: dict[str, Any], limits: Limits) -> int:
    """How many of the conversations are likely to be finished within `limits`."""
    needs = (
        (limits.calls, expected["calls"]),
        (limits.tokens, sum(expected["usage"].values())),
        (limits.money, expected["money"]),
    )
    shares = [limit / need for limit, need in needs if limit is not None and need]
    return int(expected["units"] * min([1.0, *shares]))


def _plan_text(env: ConversationEnv, result: dict[str, Any]) -> str:
    catalogue, sampler, expected = env.world.catalogue, env.sampler, result["forecast"]
    lines = [f"{len(catalogue):,} items, {len(env.listeners.user_ids):,} listeners; fields one can ask by:"]
    for about in catalogue.fields.values():
        values = ", ".join(about.values[:6]) if about.values else f"{about.low:g} to {about.high:g}"
        lines.append(f"  {about.name:<15} {about.kind:<7} {about.coverage:>4.0%} of items  {values}")
    lines.append(f"goals: {len(sampler.feasible)} of 44 templates can be filled")
    reasons: dict[str, list[str]] = {}
    for name, why in sampler.skipped.items():
        reasons.setdefault(why, []).append(name)
    lines += [f"  skipped {', '.join(names)}: {why}" for why, names in reasons.items()]
    n, usage = expected["units"], expected["usage"]
    lines.append(
        f"{n:,} conversations: about {expected['calls']:,} calls, {usage['input']:,} input and"
        f" {usage['output']:,} output tokens; rules need no endpoint"
    )
    if expected["money"] is not None:
        lines.append(
            f"cost: about {expected['money']:.2f} {expected['currency']} (price of {expected['price_as_of']})"
        )
    if not result["covered"]:
        lines.append("limits: smaller than one conversation; raise them")
    elif result["covered"] < n:
        lines.append(
            f"limits: enough for about {result['covered']:,} of {n:,} conversations; `resume` with larger"
            " ones goes on"
        )
    return "\n".join(lines)


def generate(
    workspace: Path, name: str, settings: RunSettings, session: Session, report: Report
) -> dict[str, Any]:
    """Make every conversation that is not finished, and the table of all that are.

    Raises InputError for bad settings or a collected data set; StoppedEarly or BudgetReached when it ended
    before its end, with what is finished kept, or not one conversation finished.
    """
    folder = RunFolder.of(Workspace.open(workspace), name)
    if is_collected(folder):
        raise InputError(
            f"data set '{name}' is what people said, collected; generate one under another --name, or bring"
            f" this one up to date with `tastemaker converse collect -w {workspace} --name {name}`"
        )
    env = open_env(workspace, settings, report)
    chat = session.chat or open_chat(settings.model, env.world.lexicon, settings.seed)
    if not folder.settings.exists():  # before the journal begins: a run killed in between can be resumed
        write_json(folder.settings, asdict(settings))
    engine = open_engine(env, chat, folder, session)
    write_json(folder.settings, asdict(settings))
    work = work_on(env, engine, folder)
    if settings.model == RULES and session.chat is None and env.workspace.settings.engine != "local":
        finished = engine.journal.units if engine.journal else ()
        played = Played(str(env.workspace.root.resolve()), name, settings)
        work = played.elsewhere(work, env, finished, report)
    outcomes = map_units(
        engine,
        work,
        units(env),
        retry=session.retried,
        report=_heartbeat(report),
        unit_label="conversation",
    )
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        stack.callback(outcomes.close)  # type: ignore[attr-defined]
        write: Callable[[Any], None] | None = None
        for outcome in outcomes:
            if outcome.failure is None:
                write = write or stack.enter_context(table_writer(folder.table))
                write(outcome.value)
            else:
                failed[outcome.id] = f"{outcome.failure}: {outcome.detail}"
    if write is None:
        raise StoppedEarly(
            f"none of {settings.n:,} conversations was finished: {_reasons(failed)}. `tastemaker converse"
            f" retry -w {workspace} --name {name}` tries them again"
        )
    return _summary(env, folder, engine, failed)


def _heartbeat(report: Report) -> Callable[[Progress], None]:
    def tell(now: Progress) -> None:
        money = "" if now.money is None else f", {now.money:.2f} spent"
        failed = f", {now.failed} failed" if now.failed else ""
        note = f"{now.usage.total:,} tokens{money}{failed}, {now.under_way} of {now.allowed} calls under way"
        report("conversations", now.finished, now.total, note)

    return tell


def _reasons(failed: dict[str, str]) -> str:
    return "; ".join(sorted(set(failed.values()))[:SHOWN_FAILURES])


def _summary(
    env: ConversationEnv, folder: RunFolder, engine: Engine, failed: dict[str, str]
) -> dict[str, Any]:
    count, budget = env.settings.n - len(failed), engine.budget
    text = f"{count:,} conversations in {folder.table}"
    if failed:
        text += f"; {len(failed)} failed: {_reasons(failed)}. Try them again with `tastemaker converse retry`"
    text += (
        f"\n{budget.calls:,} calls, {budget.usage.input:,} input and {budget.usage.output:,} output tokens"
    )
    if budget.price is not None:
        text += f", {budget.money:.2f} {budget.price.currency}"
    return {
        "workspace": str(env.workspace.root),
        "table": str(folder.table),
        "conversations": count,
        "failed": failed,
        "calls": budget.calls,
        "usage": asdict(budget.usage),
        "money": budget.money,
        "text": text,
    }


def status(workspace: Path, name: str) -> dict[str, Any]:
    """How far a data set is: finished, failed by kind, spent, unconfirmed; what a collected one holds."""
    store = Workspace.open(workspace)
    folder = RunFolder.of(store, name)
    if is_collected(folder):
        return collected_status(store, name)
    if not folder.journal.exists():
        raise ArtifactError(
            f"{folder.root}: holds no conversations; begin with `tastemaker converse run -w {workspace}"
            f" --name {name}`"
        )
    settings = saved_settings(folder)
    journal = Journal(lambda line: None, read_lines(folder.journal), {}, "always")
    finished = sum(outcome == "done" for outcome in journal.units.values())
    usage, calls = journal.billed()
    failures = dict(journal.failures())
    listed = "; ".join(f"{count} {kind} ({FAILURES.get(kind, kind)})" for kind, count in failures.items())
    text = f"{finished:,} of {settings.n:,} conversations finished; failed: {listed or 'none'}"
    text += f"\n{calls:,} paid calls, {usage.total:,} tokens"
    if journal.unconfirmed:
        text += f"; {len(journal.unconfirmed)} calls were cut off and may have been billed"
    return {
        "name": name,
        "finished": finished,
        "asked": settings.n,
        "failed": failures,
        "calls": calls,
        "usage": asdict(usage),
        "unconfirmed": len(journal.unconfirmed),
        "settings": asdict(settings),
        "text": text,
    }
