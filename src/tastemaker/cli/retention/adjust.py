"""`tastemaker retention adjust`: see what a rule would do before anybody is served by it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tastemaker.cli.options import Out, Report, command, group, pairs

app = group(
    "Re-rank by the retention proxy, offline: what changes, for whom, at which price.\n\nA table of"
    " candidates (Parquet, CSV or JSON lines) has request_id, item_id, score and p_pos (and p_neg where the"
    " proxy gives it); creator, cohort, attributes, user_id are used where they exist.\n\n  tastemaker"
    " retention adjust preview scored.parquet --rule hinge --set a=4 --most 5 --out preview\n\n  tastemaker"
    " retention adjust tune scored.parquet --cap 0.02 --out tuned\n\nEach writes report.html, report.md and"
    " report.json. Exit codes: 0 the proxy gains, 1 it does not (the reason is printed), 2 bad input."
)

Scored = Annotated[Path, typer.Argument(help="The candidates.")]
Top = Annotated[int, typer.Option("--top", "-k", min=1, help="How many items a person sees.")]


@command(app)
def preview(
    report: Report,
    scored: Scored,
    rule: Annotated[str, typer.Option(help="step (as published), hinge, value or constrained.")] = "hinge",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the rule, for example alpha=0.5; repeat."),
    ] = None,
    dial: Annotated[list[str] | None, typer.Option("--dial", hidden=True)] = None,  # as 0.1 spelt it
    most: Annotated[
        int | None, typer.Option(min=0, help="Cap: no item moves more positions than this.")
    ] = None,
    out: Out = Path("adjust-preview"),
    top: Top = 10,
) -> Any:
    """Apply one rule: churn, exposure, diversity, proxy gained, engagement given up, and each half of the
    rule alone.

    Example: tastemaker retention adjust preview scored.parquet --rule constrained --set eps=0.02
    """
    from tastemaker.flows.retention.proxy import preview_rule, rule_of

    chosen = rule_of(rule, pairs([*(assignments or []), *(dial or [])], "--set"), most)
    return preview_rule(
        scored, chosen, rule if most is None else f"{rule} capped at {most}", out, report, top
    )


@command(app)
def tune(
    report: Report,
    scored: Scored,
    cap: Annotated[float, typer.Option(help="Largest mean share of the engagement range to give up.")] = 0.02,
    penalty: Annotated[
        float, typer.Option(min=0, help="Weight of a predicted negative answer against a positive one.")
    ] = 1.0,
    out: Out = Path("adjust-tuned"),
    top: Top = 10,
) -> Any:
    """Find one weight for all requests: the largest whose mean engagement loss stays within --cap.

    Example: tastemaker retention adjust tune scored.parquet --cap 0.02
    """
    from tastemaker.flows.retention.proxy import tune_rule

    return tune_rule(scored, cap, out, report, top, penalty)
