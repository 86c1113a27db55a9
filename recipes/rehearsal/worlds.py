"""The whole loop in ten worlds: does any part do harm where it cannot help?

`tastemaker rehearse` in each kind of world (people return for what they like; by their nature alone; tastes
drift; programs push items), with several crowds each, on the demo's tunes. A part's effect is the paired
difference in the true chance to return to the same world without it; over the crowds of a kind it is shown
as mean and Student's interval.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from recipes.common import Journal, parser, read_arguments, show_table
from tastemaker.cli.progress import progress
from tastemaker.flows.demo import build_demo
from tastemaker.rehearse.crowd import WORLDS
from tastemaker.rehearse.rehearse import RehearsalSettings, rehearse
from tastemaker.rehearse.town import Schedule

NAME = "worlds"
NOTE = (
    "Points of the true chance to return, against the same world without the part; Student over crowds. Built"
    " in: item: people return for what they liked; person: by their nature alone, so a proxy is useless and"
    " nothing can help; drift: as item, tastes turn by a twentieth a day; poison: as item, and one user in a"
    " hundred is a program that pushes the three least liked items."
)
CROWDS = {"item": 3, "person": 3, "drift": 2, "poison": 2}


def main() -> None:
    """Every crowd of every world; then the table."""
    options = parser(main, "one crowd a world, 40 people, 4 days, 100 tunes")
    options.add_argument(
        "--days", type=int, default=10, help="days of each world; a training after every fourth"
    )
    options.add_argument("--people", type=int, default=80, help="people of each crowd")
    options.add_argument("--workspace", type=Path, help="a trained workspace (default: the demo, built anew)")
    arguments = read_arguments(options, NAME)
    days, people = (4, 40) if arguments.quick else (arguments.days, arguments.people)
    journal = Journal(arguments.out, {"quick": arguments.quick, "days": days, "people": people})
    workspace = arguments.workspace or arguments.out / "demo"
    keys = [[world, crowd] for world in WORLDS for crowd in range(1 if arguments.quick else CROWDS[world])]

    def live(key: list[Any]) -> dict[str, Any]:
        world, crowd = key
        settings = RehearsalSettings(
            people, arguments.seed + crowd, world, schedule=Schedule(days, night=4 if days > 4 else 2)
        )
        out = arguments.out / f"{world}-{crowd}"
        # The first model depends on the crowd's seed alone: it is trained once, whatever world it lives in.
        trained = next(arguments.out.glob(f"*-{crowd}/ready"), None)
        if trained is not None and not (out / "ready").exists():
            shutil.copytree(trained.parent / "base", out / "base", dirs_exist_ok=True)
            shutil.copyfile(trained, out / "ready")
        with progress(True) as report:
            return rehearse(workspace, out, settings, report)

    if not workspace.exists():
        with progress(False) as report:
            build_demo(workspace, "tunes", 100 if arguments.quick else 200, report)
    lived = journal.run(keys, live, "worlds")
    rows = []
    for world in WORLDS:
        results = [result for key, result in zip(keys, lived, strict=True) if key[0] == world]
        tables = [{table["title"]: table for table in result["tables"]} for result in results]
        title = "What each part did to the true chance to return, in points"
        parts = [row[0] for row in tables[0][title]["rows"]]
        for place, part in enumerate(parts):
            effects = [float(table[title]["rows"][place][1]["value"]) for table in tables]
            rows.append({"world": world, "part": part, "crowds": len(effects), "points": _mean(effects)})
        alarms = sum(row[-2] for table in tables for row in table["The same crowd in each world"]["rows"])
        rows.append({"world": world, "part": "false alarms", "crowds": len(results), "points": str(alarms)})
    show_table(arguments.out, rows, "The whole loop in each world", NOTE)


def _mean(effects: list[float]) -> str:
    if len(effects) < 2:
        return f"{effects[0]:+.2f}"
    half = student.ppf(0.975, len(effects) - 1) * np.std(effects, ddof=1) / np.sqrt(len(effects))
    return f"{np.mean(effects):+.2f} [{np.mean(effects) - half:+.2f}, {np.mean(effects) + half:+.2f}]"


if __name__ == "__main__":
    main()
