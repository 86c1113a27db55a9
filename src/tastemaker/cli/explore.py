"""`tastemaker explore`: from a click log to a policy that may go live."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tastemaker.cli.keys import note
from tastemaker.cli.options import Report, TimeUnit, command, group
from tastemaker.errors import InputError

app = group(
    "Try new items safely: what a log supports, policies that give room to new items, certificates, and a"
    " ledger.\n\nA log has one row a shown action: action, reward, propensity, context columns, and user_id"
    " where users return. The catalogue has action, vector (or v0, v1 ...), and prefix and new where they are"
    " known.\n\n  tastemaker explore support log.parquet --actions items.parquet --context x0,x1\n\n "
    " tastemaker explore learn log.parquet --actions items.parquet --context x0,x1 --out run\n\n  tastemaker"
    " explore certify log.parquet --actions items.parquet --context x0,x1 --run run --ledger book.sqlite\n\n "
    " tastemaker explore deploy --run run --ledger book.sqlite --rounds 10000\n\nA person is counted once,"
    " whatever their rows have in common (--unit says otherwise). A log is checked before anything is"
    " concluded; a check that fails refuses, unless --accept names it.\n\nInstead of a log, -w WORKSPACE"
    " joins the slates it served to the events that followed. Exit codes: 0 done or passed, 1 refused (the"
    " reason is printed), 2 bad input."
)

Log = Annotated[Path | None, typer.Argument(help="The log: Parquet, CSV or JSON lines.")]
Workspace = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="In place of files: a workspace, its served slates and ledger."),
]
Actions = Annotated[Path | None, typer.Option(help="The catalogue; without it, the logged actions alone.")]
Context = Annotated[str, typer.Option(help="Names of the context columns, comma-separated.")]
Column = Annotated[
    list[str] | None,
    typer.Option(help="A role and its column, for example reward=click; repeat. reference: pi0's."),
]
RMax = Annotated[float, typer.Option(help="Largest reward a row can have.")]
FitLogger = Annotated[
    bool, typer.Option("--fit-logger", help="Estimate missing propensities; everything is then labelled so.")
]
Unit = Annotated[
    str,
    typer.Option(help="user, request or row: what is independent (default: the first of them the log has)."),
]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        help=(
            "A check that may fail: weights, propensities, duplicates, catalogue, units or time; repeat. It"
            " stands on the result."
        )
    ),
]
Places = Annotated[
    int, typer.Option(min=1, help="Of a workspace: how many places of each list count, from the first.")
]
PolicyName = Annotated[
    str,
    typer.Option(
        help="uniform, target (a policy of your own, by --column target=NAME), or the folder of a run."
    ),
]
Run = Annotated[
    Path, typer.Option("--run", "--study", help="The off-policy run: the folder that `learn` wrote.")
]
Ledger = Annotated[
    Path | None, typer.Option(help="SQLite file of promises and deployments (default: the workspace's).")
]
Delta = Annotated[float, typer.Option(help="Error probability.")]


def _source(
    log: Log = None,
    workspace: Workspace = None,
    actions: Actions = None,
    context: Context = "",
    column: Column = None,
    r_max: RMax = 1.0,
    fit_logger: FitLogger = False,
    unit: Unit = "",
    accept: Accept = None,
    places: Places = 1,
    time_unit: TimeUnit = None,
) -> Any:
    from tastemaker.flows.explore.tables import Source

    pairs = [tuple(text.split("=", 1)) for text in column or []]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError("--column takes role=name, for example --column reward=click")
    names = tuple(name.strip() for name in context.split(",") if name.strip())
    source = Source(log, actions, workspace, names, tuple(pairs), r_max, fit_logger)  # type: ignore[arg-type]
    return replace(source, unit=unit, accept=tuple(accept or ()), places=places)


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{option} {text}: give numbers separated by commas") from None


@command(app, source=_source)
def support(
    source: Any,
    policy: Annotated[
        str | None,
        typer.Option(
            help="How much of it the log covers: uniform, target (a column, --column target=NAME), or a run."
        ),
    ] = None,
    candidate: Annotated[
        int | None, typer.Option(help="Which candidate of the run (default: the most novel).")
    ] = None,
    c: Annotated[
        float, typer.Option(help="Share of the logger's value that a certificate will promise.")
    ] = 0.95,
    delta: Delta = 0.05,
) -> Any:
    """What the log can and cannot support, before anything is estimated.

    Example: tastemaker explore support clicks.csv --column action=item_id --column reward=click --policy
    uniform
    """
    from tastemaker.flows.explore import estimates

    return estimates.support(source, policy, candidate, c, delta)


@command(app, fails="passed", source=_source)
def estimate(
    source: Any,
    policy: PolicyName = "uniform",
    candidate: Annotated[
        int | None, typer.Option(help="Which candidate of the run (default: the most novel).")
    ] = None,
    delta: Delta = 0.05,
    estimator: Annotated[
        list[str] | None,
        typer.Option(help="Only this one; repeat. Installed plugins count (default: all the log allows)."),
    ] = None,
) -> Any:
    """A policy's value by every estimator the log allows, each with its lower bounds and assumptions, and the
    same on the first and the second half of the time.

    The row `paired` is no value: it estimates V - 0.95 V0, what a certificate tests.

    Example: tastemaker explore estimate log.parquet --actions items.parquet --context x0,x1 --policy run

    Example: tastemaker explore estimate men.csv.gz --column action=item_id --column reward=click --column
    propensity=propensity_score --policy uniform
    """
    from tastemaker.flows.explore import estimates

    return estimates.estimate(source, policy, candidate, delta, estimator or ())


@command(app)
def power(
    lift: Annotated[float, typer.Option(help="How much better the policy is than the logger: .1 is 10 %.")],
    click_rate: Annotated[float, typer.Option(help="Mean reward of the logger; rewards are 0 or 1.")],
    candidates: Annotated[
        int, typer.Option(help="Candidate policies, any of which may be the good one.")
    ] = 1,
    effective: Annotated[
        float,
        typer.Option(help="Share of its rows that a log is worth for it (effective rows in `support`)."),
    ] = 0.5,
    rows_each: Annotated[int, typer.Option(help="Rows of one person.")] = 1,
    c: Annotated[float, typer.Option(help="Share of the logger's value to promise.")] = 0.95,
    delta: Delta = 0.05,
    gates: Annotated[int, typer.Option(help="Gates there will ever be.")] = 5,
    sure: Annotated[float, typer.Option(help="Probability of the certificate.")] = 0.8,
) -> Any:
    """How many rows a certificate takes, before anything is logged.

    Example: tastemaker explore power --lift 0.2 --click-rate 0.02 --candidates 3
    """
    from tastemaker.explore.ledger.ledger import Ledger as Terms
    from tastemaker.explore.power import Effect
    from tastemaker.flows.explore import estimates

    effect = Effect(lift, click_rate, effective, rows_each)
    return estimates.power(effect, candidates, Terms(c, min(0.9, c), delta, gates), sure)


@command(app, fails="passed", source=_source)
def learn(
    report: Report,
    source: Any,
    out: Annotated[Path, typer.Option(help="Folder of the run; it must be new.")] = Path("run"),
    objective: Annotated[
        str,
        typer.Option(
            help="clipped_ips, ips, dr, cql or log_likelihood. Default: dr for what the server logged, else"
            " clipped_ips."
        ),
    ] = "",
    shares: Annotated[
        str, typer.Option(help="Shares of new items to try, ascending.")
    ] = "0,0.02,0.05,0.1,0.15,0.2,0.3",
    key: Annotated[str, typer.Option(help="Key of the split: the same key gives the same split.")] = "0",
    steps: Annotated[int, typer.Option(min=1, help="Training steps of the first path point.")] = 100,
) -> Any:
    """Learn candidates on half of the log, from the logger towards new items; no row that will certify them
    is touched.

    Example: tastemaker explore learn log.parquet --actions items.parquet --context x0,x1 --out run
    """
    from tastemaker.flows.explore.estimates import learn as learn_candidates

    return learn_candidates(source, out, objective, _numbers(shares, "--shares"), key, steps, report)


@command(app, fails="passed", source=_source)
def certify(
    report: Report,
    source: Any,
    run: Run = Path("run"),
    policy: Annotated[
        str,
        typer.Option(
            help=(
                "target: instead of a run, a policy of your own by --column target=NAME, made without these"
                " rows."
            )
        ),
    ] = "",
    key: Annotated[str, typer.Option(help="Key of the split for --policy target.")] = "0",
    out: Annotated[Path, typer.Option(help="Folder of the certificate: JSON, Markdown, HTML.")] = Path(
        "certificate"
    ),
    ledger: Ledger = None,
    c: Annotated[
        float | None,
        typer.Option(help="Share of the logger's value to promise; set once, when the ledger begins: .95."),
    ] = None,
    floor: Annotated[
        float | None, typer.Option(help="Share that no single deployment may fall below; set once: .90.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="Error probability of the whole ledger; set once: .05.")
    ] = None,
    gates: Annotated[int | None, typer.Option(help="Gates there will ever be; set once: 5.")] = None,
    most_rows: Annotated[
        int | None,
        typer.Option(
            min=1, help="A person of more rows counts as that many (default: the most on S1 and S2)."
        ),
    ] = None,
    support: Annotated[str, typer.Option(help="logged or prefix: what counts for new items.")] = "logged",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds the deployment is planned for.")] = 10_000,
) -> Any:
    """Open the held-out rows once and say which candidates may go live; they are spent afterwards, whatever
    their order, the key of the split or the ledger.

    Rows that a deployment served need what pi0 gave the shown action: a column reference_propensity, or
    --column reference=NAME.

    Example: tastemaker explore certify log.parquet --actions items.parquet --context x0,x1 --run run --ledger
    book.sqlite
    """
    from tastemaker.flows.explore.certify import GateRequest
    from tastemaker.flows.explore.certify import certify as open_gate
    from tastemaker.flows.explore.ledger_store import LedgerStore

    terms = {"c": c, "floor": floor, "delta": delta, "K": gates, "r_max": source.r_max}
    if policy not in ("", "target"):
        raise InputError(f"--policy {policy}: certify takes `target`, or the candidates of --run")
    request = GateRequest(terms, support, rounds, most_rows, key if policy else None)  # type: ignore[arg-type]
    store = LedgerStore.of(source.workspace, ledger)
    return open_gate(source, run, out, store, request, report)


@command(app, fails="passed")
def deploy(
    run: Run = Path("run"),
    certificate: Annotated[Path, typer.Option(help="The folder that `certify` wrote.")] = Path("certificate"),
    workspace: Workspace = None,
    ledger: Ledger = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds it is planned for.")] = 10_000,
    candidate: Annotated[
        int | None, typer.Option(min=1, help="Number of the candidate (default: the most novel that passed).")
    ] = None,
    novelty: Annotated[
        float | None, typer.Option(help="Instead: the one of highest lower bound at this novelty or more.")
    ] = None,
) -> Any:
    """Enter a certified policy in the ledger; refused without a passed certificate.

    With -w the workspace's server shows it from the next request on, beside pi0, for as many requests as are
    planned.

    Example: tastemaker explore deploy --run run --certificate certificate --ledger book.sqlite --novelty 0.05
    """
    from tastemaker.flows.explore.certify import Wish
    from tastemaker.flows.explore.certify import deploy as admit
    from tastemaker.flows.explore.ledger_store import LedgerStore

    store, wish = LedgerStore.of(workspace, ledger), Wish(candidate, novelty)
    result = admit(run, certificate, store, rounds, wish)
    if workspace is not None and result["passed"]:
        note(workspace, "policy deployed", f"{result['policy'][:12]}, {rounds:,} rounds")
    return result


@command(app)
def ledger(
    workspace: Workspace = None,
    ledger: Ledger = None,
    settle: Annotated[
        Path | None,
        typer.Option(help="Bank these served rows, but for the part that --key keeps to certify on."),
    ] = None,
    settle_live: Annotated[
        bool, typer.Option("--settle-live", help="Bank what the workspace has served since the last time.")
    ] = False,
    key: Annotated[
        str, typer.Option(help="Key of the split, the one that `learn` will be given for these rows.")
    ] = "0",
    hand_back: Annotated[
        bool, typer.Option("--hand-back", help="Enter that pi0 serves everything again.")
    ] = False,
    r_max: RMax = 1.0,
    column: Column = None,
) -> Any:
    """What was promised, earned, spent and is left.

    Example: tastemaker explore ledger --ledger book.sqlite --settle served.parquet
    """
    from tastemaker.flows.explore.ledger_store import LedgerStore
    from tastemaker.flows.explore.live import bank_served, show

    store = LedgerStore.of(workspace, ledger)
    if settle is not None or settle_live:
        source = _source(settle, workspace if settle_live else None, column=column, r_max=r_max)
        return bank_served(source, store, key)
    result = show(store, hand_back)
    if workspace is not None and hand_back:
        note(workspace, "policy handed back", result["entries"][-1]["policy"][:12])
    return result


@command(app, fails="passed")
def watch(
    log: Annotated[
        Path | None, typer.Argument(help="Live rows, oldest first (default: the workspace's).")
    ] = None,
    workspace: Workspace = None,
    ledger: Ledger = None,
    floor: Annotated[
        float, typer.Option(help="Share of the logger's value below which to raise the alarm.")
    ] = 0.90,
    reference: Annotated[
        float | None, typer.Option(help="A known V0, instead of the holdout's rows.")
    ] = None,
    delta: Delta = 0.05,
    hand_back: Annotated[
        bool, typer.Option("--hand-back", help="At an alarm, enter in the ledger that pi0 serves again.")
    ] = False,
    r_max: RMax = 1.0,
    column: Column = None,
    unit: Unit = "",
) -> Any:
    """Look at live rows as often as you like: exit 1 when the reward is surely below the floor.

    With -w and no log: all that the last deployment has served, as it comes. Where persons return, the rows
    are summed by person and looked at after 256 rows, and then whenever half as many again have come.

    Example: tastemaker explore watch served.parquet --ledger book.sqlite --hand-back
    """
    from tastemaker.flows.explore.ledger_store import LedgerStore
    from tastemaker.flows.explore.live import AlarmSettings
    from tastemaker.flows.explore.live import watch as look_at_rows

    source = _source(log, workspace if log is None else None, column=column, r_max=r_max)
    known = reference is not None and source.workspace is None and not hand_back
    store = None if known else LedgerStore.of(workspace, ledger)
    result = look_at_rows(source, store, AlarmSettings(floor, reference, delta, unit), hand_back)
    if workspace is not None and result["handed_back"]:
        note(workspace, "policy handed back", f"{result['handed_back'][:12]}, at an alarm")
    return result | {"passed": result["alarm"] is None}
