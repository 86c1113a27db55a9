"""Learn candidates on the first part of a log; share exploration among new items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import InputError
from tastemaker.explore.design import DesignSettings, allocate
from tastemaker.explore.gate import GateSettings
from tastemaker.explore.ledger import Ledger
from tastemaker.explore.table import split
from tastemaker.flows.explore.runs import PARTS, plain_source, save_run
from tastemaker.flows.explore.tables import Source, load
from tastemaker.flows.pipeline import Report
from tastemaker.store import write_table
from tastemaker.store.files import plain


def learn(
    source: Source, out: Path, objective: str, shares: tuple[float, ...], key: str, steps: int, report: Report
) -> dict[str, Any]:
    """A path on S1, its best point by S2, and the candidate sequence from it towards new items, as an
    off-policy run in `out`.

    `passed` is false, with the reason, where no row has a reward: then there is no run.
    """
    from tastemaker.explore.learn.path import Features, PathSettings, build_candidates, choose, learn_path
    from tastemaker.explore.learn.softmax import Settings

    if out.exists():
        raise InputError(f"{out}: exists already; choose another --out, a run is written once")
    report("learn", 0, 3, "reading")
    loaded = load(source)
    settings = PathSettings(objective=objective, shares=shares, learner=Settings(steps=steps), parts=PARTS)  # type: ignore[arg-type]
    parts = split(loaded.log, PARTS, key)
    if not parts.learn.rewarded:
        why = (
            f"refused: none of the {len(parts.learn):,} rows to learn on has a reward; collect more rows"
            " first"
        )
        return {"passed": False, "reason": why, "text": why}
    space = Features(loaded.vectors, loaded.prefixes)
    report("learn", 1, 3, f"{len(parts.learn):,} rows, {len(loaded.existing):,} actions")
    trained = learn_path(space.rows(parts.learn), settings, key)
    report("learn", 2, 3, "choosing")
    best = choose(trained, parts.choose, space, loaded.existing, GateSettings(cap=Ledger.cap))
    save_run(out, loaded, best, shares, key, plain(settings) | {"source": plain_source(source)})
    candidates = build_candidates(space, best, loaded.existing, shares)
    context = parts.choose.context
    novelty = [float(1 - policy.mass(context, loaded.existing).mean()) for policy in candidates]
    report("learn", 3, 3, "done")
    place = [weights is best for weights in trained].index(True)
    point = settings.lambdas[place]
    lines = [f"candidate {number}: novelty {nu:.3f}" for number, nu in enumerate(novelty, start=1)]
    text = (
        f"run {out}: point {place + 1} of the path's {len(trained)} (lambda = {point:g}),"
        f" {len(candidates)} candidates\n" + "\n".join(lines)
    )
    return {
        "passed": True,
        "run": str(out),
        "lambda": point,
        "candidates": len(candidates),
        "novelty": novelty,
        "text": text,
    }


def design(source: Source, out: Path, budget: float, cap: float, min_plays: float) -> dict[str, Any]:
    """How `budget` plays of new items are best shared, given what the log has taught; a table in `out`."""
    import pyarrow as pa

    loaded = load(source)
    new = np.flatnonzero(~loaded.existing)
    if not len(new):
        raise InputError("every action occurs in the log; mark new ones in --actions with a column 'new'")
    known = loaded.vectors[loaded.log.action]
    prior = known.T @ known + np.eye(loaded.vectors.shape[1])
    share = allocate(loaded.vectors[new], budget, cap, DesignSettings(min_plays=min_plays), prior)
    names = [loaded.catalogue.ids[action] for action in new]
    write_table(out, pa.table({"action": names, "share": share, "plays": share * budget}))
    head = ", ".join(f"{names[place]} {share[place]:.3f}" for place in np.argsort(-share)[:5])
    text = (
        f"{out}: {len(new):,} new actions share {budget:,.0f} plays; at least {share.min() * budget:.3g}"
        f" each; most: {head}"
    )
    rows = dict(zip(names, share.tolist(), strict=True))
    return {"table": str(out), "new_actions": len(new), "budget": budget, "shares": rows, "text": text}
