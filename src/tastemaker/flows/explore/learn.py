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
from tastemaker.flows.explore.study import PARTS, plain_source, save_study
from tastemaker.flows.explore.tables import Source, load
from tastemaker.flows.pipeline import Report
from tastemaker.store import write_table
from tastemaker.store.files import plain


def learn(
    source: Source, out: Path, objective: str, shares: tuple[float, ...], key: str, steps: int, report: Report
) -> dict[str, Any]:
    """A path on S1, its best point by S2, and the ladder from it towards new items, as a study in `out`.

    `passed` is false, with the reason, where no row has a reward: then there is no study.
    """
    from tastemaker.explore.learn.certified import PathSettings, choose, climb
    from tastemaker.explore.learn.fit import learn_path
    from tastemaker.explore.learn.softmax import Settings
    from tastemaker.explore.learn.space import Features

    if out.exists():
        raise InputError(f"{out}: exists already; choose another --out, a study is written once")
    report("learn", 0, 3, "reading")
    loaded = load(source)
    settings = PathSettings(objective=objective, shares=shares, learner=Settings(steps=steps), parts=PARTS)  # type: ignore[arg-type]
    s1, s2, _, _ = split(loaded.log, PARTS, key)
    if not s1.rewarded:
        why = f"refused: none of the {len(s1):,} rows to learn on has a reward; collect more rows first"
        return {"passed": False, "reason": why, "text": why}
    space = Features(loaded.vectors, loaded.prefixes)
    report("learn", 1, 3, f"{len(s1):,} rows, {len(loaded.ids):,} actions")
    trained = learn_path(space.rows(s1), settings.lambdas, settings.objective, settings.learner, key)
    report("learn", 2, 3, "choosing")
    best = choose(trained, s2, space, loaded.existing, GateSettings(cap=Ledger.cap))
    save_study(out, loaded, best, shares, key, plain(settings) | {"source": plain_source(source)})
    ladder = climb(space, best, loaded.existing, shares)
    novelty = [float(1 - one.mass(s2.context, loaded.existing).mean()) for one in ladder]
    report("learn", 3, 3, "done")
    point = settings.lambdas[[one is best for one in trained].index(True)]
    lines = [f"candidate {n}: novelty {nu:.3f}" for n, nu in enumerate(novelty, start=1)]
    text = (
        f"study {out}: path point lambda = {point:g} of {len(trained)}, {len(ladder)} candidates\n"
        + "\n".join(lines)
    )
    return {
        "passed": True,
        "study": str(out),
        "lambda": point,
        "candidates": len(ladder),
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
    table = pa.table({"action": [loaded.ids[one] for one in new], "share": share, "plays": share * budget})
    write_table(out, table)
    best = np.argsort(-share)[:5]
    head = ", ".join(f"{loaded.ids[new[one]]} {share[one]:.3f}" for one in best)
    text = (
        f"{out}: {len(new):,} new actions share {budget:,.0f} plays; at least {share.min() * budget:.3g}"
        f" each; most: {head}"
    )
    rows = {loaded.ids[new[one]]: float(share[one]) for one in range(len(new))}
    return {"table": str(out), "new_actions": len(new), "budget": budget, "shares": rows, "text": text}
