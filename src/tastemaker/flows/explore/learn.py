"""Learn candidates on the first part of a log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tastemaker.errors import InputError
from tastemaker.explore.estimate.weights import on_support
from tastemaker.explore.gate import GateSettings
from tastemaker.explore.ledger import Ledger
from tastemaker.explore.table import split
from tastemaker.explore.units import too_few
from tastemaker.flows.explore.runs import PARTS, plain_source, save_run
from tastemaker.flows.explore.tables import Source, load
from tastemaker.flows.pipeline import Report
from tastemaker.store.files import plain


def learn(
    source: Source, out: Path, objective: str, shares: tuple[float, ...], key: str, steps: int, report: Report
) -> dict[str, Any]:
    """A path on S1, the points of it that S2 says a ladder should start from, and from each a sequence of
    candidates towards new items, as an off-policy run in `out`.

    `passed` is false, with the reason, where a check of the log failed or no row has a reward: then there is
    no run.
    """
    from tastemaker.explore.learn.path import PathSettings, bases, learn_path
    from tastemaker.explore.learn.softmax import Settings
    from tastemaker.explore.learn.space import Features, build_candidates

    if out.exists():
        raise InputError(f"{out}: exists already; choose another --out, a run is written once")
    report("learn", 0, 3, "reading")
    loaded = load(source)
    checks = loaded.preflight()
    if checks.refusal:
        return _refused(checks.refusal)
    settings = PathSettings(objective=objective, shares=shares, learner=Settings(steps=steps), parts=PARTS)  # type: ignore[arg-type]
    parts = split(loaded.log, PARTS, key)
    few = too_few(parts.certify.units(source.unit), "S3, the part kept to certify on,")
    if few and "units" not in source.accept:
        return _refused(f"refused: units: {few}. Or go on with --accept units")
    if not parts.learn.rewarded:
        return _refused(
            f"refused: none of the {len(parts.learn):,} rows to learn on has a reward; collect more rows"
            " first"
        )
    space = Features(loaded.vectors, loaded.prefixes, loaded.log.pool is not None)
    report("learn", 1, 3, f"{len(parts.learn):,} rows, {len(loaded.existing):,} actions")
    trained = learn_path(space.rows(parts.learn), settings, key)
    report("learn", 2, 3, "choosing")
    gate = GateSettings(cap=Ledger.cap, unit=source.unit)
    starts = bases(trained, parts.choose, space, loaded.existing, gate)
    points = [trained[start] for start in starts]
    save_run(out, loaded, points, shares, key, plain(settings) | {"source": plain_source(source)})
    choose, rungs, lines = parts.choose, [], list[str]()
    for start, point in zip(starts, points, strict=True):
        lines.append(f"from lambda {settings.lambdas[start]:g}, point {start + 1} of {len(trained)}:")
        for policy in build_candidates(space, point, loaded.existing, shares):
            rungs.append(float(1 - on_support(choose, policy, loaded.existing).mean()))
            lines.append(f"  candidate {len(rungs)}: novelty {rungs[-1]:.3f}")
    report("learn", 3, 3, "done")
    text = (
        f"run {out}: {len(rungs)} candidates on a ladder of {len(points)} x {len(rungs) // len(points)}, by"
        " value and novelty"
    )
    return {
        "passed": True,
        "run": str(out),
        "lambda": settings.lambdas[starts[0]],
        "lambdas": [settings.lambdas[start] for start in starts],
        "candidates": len(rungs),
        "novelty": rungs,
        "checks": list(checks.lines),
        "text": "\n".join([text, *lines, *checks.lines]),
    }


def _refused(reason: str) -> dict[str, Any]:
    return {"passed": False, "reason": reason, "text": reason}
