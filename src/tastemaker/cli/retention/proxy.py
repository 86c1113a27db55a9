"""`tastemaker retention proxy`: a model of the answer for every impression, calibrated, with thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tastemaker.cli.keys import note
from tastemaker.cli.options import HERE, Out, Report, Seed, Workspace, command, group
from tastemaker.errors import InputError

app = group(
    "A proxy of the survey answer: fit, calibrate, choose thresholds, score.\n\nUsers are cut by a keyed"
    " hash: half to fit on, a quarter to calibrate on, a quarter for thresholds and reports: give the same"
    " table to every step.\n\n  tastemaker retention simulate listeners --out world\n\n  tastemaker retention"
    " proxy fit world/rows.parquet --feature base_score --feature p_like --feature item_rate --out fitted\n\n"
    "  tastemaker retention proxy calibrate fitted world/rows.parquet --out calibrated\n\n  tastemaker"
    " retention proxy thresholds calibrated world/rows.parquet --out ready\n\n  tastemaker retention proxy"
    " score ready world/rows.parquet --out scored.parquet\n\nOr all of it on the answers that a server"
    " gathered, and let the proxy rank:\n\n  tastemaker retention proxy live -w shop\n\n  tastemaker"
    " retention proxy withdraw -w shop   # and take it back\n\nExit codes: 0 done and the claim holds, 1 it"
    " does not or cannot be told (the proxy is written, the reason printed), 2 bad input."
)

Folder = Annotated[Path, typer.Argument(help="A folder that an earlier step wrote.")]
Rows = Annotated[Path, typer.Argument(help="Parquet, CSV or JSON lines: features, the answer, user_id.")]


@command(app)
def fit(
    report: Report,
    rows: Rows,
    feature: Annotated[list[str], typer.Option(help="A feature column; repeat. The order is kept.")],
    out: Out = Path("proxy"),
    answer: Annotated[
        str, typer.Option(help="The answer column, 1 to 5, empty where there is none.")
    ] = "return",
    weight: Annotated[str | None, typer.Option(help="The column of non-response weights.")] = None,
    l2: Annotated[float, typer.Option(help="Penalty on the slopes of standardised features.")] = 1e-3,
    cohort: Annotated[
        str | None, typer.Option(help="A column: calibration is shown in each of its values.")
    ] = None,
    unit: Annotated[
        str, typer.Option("--unit", "--user", help="The column of people, whose rows may hang together.")
    ] = "user_id",
    window: Annotated[str, typer.Option(help="When the answers were given, kept with the proxy.")] = "",
    seed: Seed = 0,
) -> Any:
    """Fit on half of the users and show calibration on others.

    Example: tastemaker retention proxy fit rows.parquet --feature p_like --feature p_skip --cohort low_signal
    --out fitted
    """
    from tastemaker.flows.retention.proxy import fit as run
    from tastemaker.retention.proxy.model import ProxySettings

    settings = ProxySettings(tuple(feature), answer, weight, l2, window=window, unit=unit)
    return run(rows, out, report, settings, cohort, seed)


@command(app)
def calibrate(
    report: Report,
    proxy: Folder,
    rows: Rows,
    out: Out = Path("proxy-calibrated"),
    method: Annotated[str, typer.Option(help="none, platt, temperature, beta or isotonic.")] = "platt",
) -> Any:
    """Fit calibrators on users the proxy was not fitted on, and show calibration by cohort on a third group.

    Example: tastemaker retention proxy calibrate fitted rows.parquet --method beta --out calibrated
    """
    from tastemaker.flows.retention.proxy import fit_calibration

    return fit_calibration(proxy, rows, out, report, method)


@command(app)
def thresholds(
    report: Report,
    proxy: Folder,
    rows: Rows,
    out: Out = Path("proxy-thresholds"),
    positive: Annotated[float, typer.Option(help="Precision promised where answers are called good.")] = 0.8,
    negative: Annotated[float, typer.Option(help="Precision promised where answers are called bad.")] = 0.6,
    alpha: Annotated[float, typer.Option(help="How often a promise may be broken.")] = 0.05,
) -> Any:
    """The loosest thresholds whose precision is guaranteed; none where the data cannot promise it (exit 1).

    Example: tastemaker retention proxy thresholds calibrated rows.parquet --positive .8 --negative .6 --out
    ready
    """
    from tastemaker.flows.retention.proxy import thresholds as run

    return run(proxy, rows, out, report, {"pos": positive, "neg": negative}, alpha)


@command(app)
def drift(
    report: Report,
    proxy: Annotated[
        Path | None, typer.Argument(help="A folder that an earlier step wrote; without it the workspace's.")
    ] = None,
    rows: Annotated[
        Path | None, typer.Argument(help="Rows answered since it was judged: features and the answer.")
    ] = None,
    workspace: Workspace = HERE,
    out: Out = Path("proxy-drift"),
) -> Any:
    """Do fresh answers still come as the proxy says? Levels and slope against what they were when it was
    judged, and the thresholds' promise.

    Exit code 1 when fresh answers show that they do not, or are too few to tell: fit it again.
    Examples: tastemaker retention proxy drift -w shop

    tastemaker retention proxy drift ready march.parquet
    """
    from tastemaker.flows.retention.live.fit import watch_live
    from tastemaker.flows.retention.proxy import drift as run

    if proxy is not None and rows is None:
        raise InputError(
            "give the rows answered since as well: proxy drift PROXY ROWS, or -w WORKSPACE alone"
        )
    if proxy is None or rows is None:
        return watch_live(workspace, out, report)
    return run(proxy, rows, out, report)


@command(app)
def score(
    report: Report,
    proxy: Folder,
    rows: Annotated[Path, typer.Argument(help="A table with the proxy's features.")],
    out: Annotated[Path, typer.Option(help="The table to write.")] = Path("scored.parquet"),
) -> Any:
    """Add p_pos, p_neg and retention (p_pos - lambda p_neg) to every row.

    Example: tastemaker retention proxy score ready impressions.parquet --out scored.parquet
    """
    from tastemaker.flows.retention.proxy import score as run

    return run(proxy, rows, out, report)


@command(app)
def live(
    report: Report,
    workspace: Workspace = HERE,
    least: Annotated[int, typer.Option(min=40, help="Answers needed before anything is fitted.")] = 400,
    deploy: Annotated[
        bool, typer.Option("--deploy/--no-deploy", help="Let it rank when nothing speaks against it.")
    ] = True,
) -> Any:
    """Weigh, fit, calibrate and judge a proxy on the workspace's own answers; a running server ranks by it at
    once.

    Exit code 1, with the reason, while there are too few answers or the proxy knows nothing of unseen users.
    Example: tastemaker retention proxy live -w shop
    """
    from tastemaker.flows.retention.live.fit import fit_live

    result = fit_live(workspace, report, least, deploy)
    if result["deployed"]:
        note(workspace, "proxy deployed", result["proxy"])
    return result


@command(app)
def withdraw(
    workspace: Workspace = HERE,
    to: Annotated[
        str, typer.Option(help="Let this earlier proxy rank again: its fingerprint, or the start of it.")
    ] = "",
) -> Any:
    """Take the deployed proxy back; a running server keeps the model's own order from the next request on.

    Exit code 1 when none is deployed. Example: tastemaker retention proxy withdraw -w shop
    """
    from tastemaker.flows.retention.live.fit import withdraw_proxy

    result = withdraw_proxy(workspace, to)
    if result["deployed"]:
        note(workspace, "proxy put back", result["deployed"])
    elif result["withdrawn"]:
        note(workspace, "proxy withdrawn", result["withdrawn"])
    return result
