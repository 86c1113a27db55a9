"""The proxy of the answer: fit, calibrate, choose thresholds, score, each step from one folder into another;
and what re-ranking stored candidates by it would do, and which strength to choose.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from tastemaker.errors import ArtifactError, InputError, in_file
from tastemaker.flows.pipeline import Report
from tastemaker.flows.retention.tables import warn_of_slips, write_claim
from tastemaker.retention.adjust.rules import Capped, Constrained, Hinge, Rule, Step, Value
from tastemaker.retention.proxy.claim import calibration_claim, drift_claim, slopes_table, threshold_claim
from tastemaker.retention.proxy.judge import calibrate_proxy, calibration, choose_thresholds
from tastemaker.retention.proxy.model import (
    Proxy,
    ProxySettings,
    check_rows,
    fit_proxy,
    from_parts,
    predict,
    rows_of,
    slope_intervals,
    to_parts,
)
from tastemaker.store import read_table, verify_folder, write_folder, write_json, write_table
from tastemaker.store.tables import read_typed

FOLDER = "proxy"


def save_proxy(proxy: Proxy, folder: Path) -> Path:
    """Write `folder` once, sealed: proxy.json, coefficients.parquet. ArtifactError when it exists."""
    values, table = to_parts(proxy)
    with write_folder(folder, {"kind": "proxy"}) as temporary:
        write_json(temporary / "proxy.json", values)
        write_table(temporary / "coefficients.parquet", table)
    return folder


def load_proxy(folder: Path) -> Proxy:
    """The checked proxy in `folder` or its subfolder 'proxy'. ArtifactError: missing or damaged."""
    place = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    if not place.is_dir():
        raise ArtifactError(f"{folder}: there is no proxy; run `tastemaker retention proxy fit` first")
    verify_folder(place)
    return from_parts(
        json.loads((place / "proxy.json").read_text()), read_table(place / "coefficients.parquet")
    )


def fit(
    rows: Path,
    out: Path,
    report: Report,
    settings: ProxySettings,
    cohort: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """`tastemaker retention proxy fit`: on half of the users, with its calibration on users it never saw."""
    report(FOLDER, 0, 3, "reading")
    table, name = read_typed(rows), str(rows)
    check_rows(table, settings, name)
    warn_of_slips(table, settings.features, name)
    training = rows_of(table, "fit", seed, settings.unit, name)
    report(FOLDER, 1, 3, "fitting")
    fitted = fit_proxy(training, settings, name)
    slopes = slope_intervals(training, settings, seed, name)
    proxy = replace(fitted, about=dict(fitted.about) | {"seed": seed, "cohort": cohort or ""})
    report(FOLDER, 2, 3, "calibration on other users")
    unseen = rows_of(table, "calibrate", seed, settings.unit, name)
    claim = calibration_claim(calibration(proxy, unseen, cohort, seed, name), proxy)
    return _finish(proxy, replace(claim, tables=(*claim.tables, *slopes_table(slopes))), out, report)


def fit_calibration(
    folder: Path, rows: Path, out: Path, report: Report, method: str = "platt"
) -> dict[str, Any]:
    """`tastemaker retention proxy calibrate`: on a quarter of the users, shown on another quarter."""
    report(FOLDER, 0, 3, "reading")
    proxy, table, name = load_proxy(folder), read_typed(rows), str(rows)
    check_rows(table, proxy.settings, name)
    seed, unit, cohort = proxy.about["seed"], proxy.settings.unit, proxy.about["cohort"] or None
    report(FOLDER, 1, 3, "fitting the calibrators")
    fresh = calibrate_proxy(proxy, rows_of(table, "calibrate", seed, unit, name), method, name)
    report(FOLDER, 2, 3, "calibration on other users")
    unseen = rows_of(table, "test", seed, unit, name)
    after, before = (calibration(each, unseen, cohort, seed, name) for each in (fresh, proxy.calibrated({})))
    return _finish(fresh, calibration_claim(after, fresh, before), out, report)


def thresholds(
    folder: Path,
    rows: Path,
    out: Path,
    report: Report,
    targets: Mapping[str, float] | None = None,
    alpha: float = 0.05,
) -> dict[str, Any]:
    """`tastemaker retention proxy thresholds`: on users that neither fitted nor calibrated it."""
    report(FOLDER, 0, 3, "reading")
    proxy, table = load_proxy(folder), read_typed(rows)
    check_rows(table, proxy.settings, str(rows))
    unseen = rows_of(table, "test", proxy.about["seed"], proxy.settings.unit, str(rows))
    report(FOLDER, 1, 3, "walking the thresholds")
    chosen = choose_thresholds(proxy, unseen, targets, alpha, str(rows))
    return _finish(chosen, threshold_claim(chosen), out, report)


def score(folder: Path, rows: Path, out: Path, report: Report) -> dict[str, Any]:
    """`tastemaker retention proxy score`: the table with p_pos, p_neg and retention (their value) added."""
    report(FOLDER, 0, 2, "reading")
    proxy, table = load_proxy(folder), read_typed(rows)
    report(FOLDER, 1, 2, "scoring")
    p_pos, p_neg = predict(proxy, table, name=str(rows))
    scored = {"p_pos": p_pos, "p_neg": p_neg, "retention": proxy.value(p_pos, p_neg)}
    for name, values in scored.items():
        table = (table.drop_columns([name]) if name in table.column_names else table).append_column(
            name, pa.array(values)
        )
    write_table(out, table)
    report(FOLDER, 2, 2, "")
    return {
        "rows": table.num_rows,
        "table": str(out),
        "text": f"{table.num_rows:,} rows scored: {out}",
        "exit_code": 0,
    }


def drift(folder: Path, rows: Path, out: Path, report: Report) -> dict[str, Any]:
    """`tastemaker retention proxy drift`, on fresh answers; exit code 1 when off, or too few answers."""
    report("drift", 0, 1, "reading")
    claim = drift_claim(load_proxy(folder), read_typed(rows), str(rows))
    summary = write_claim(claim, out)
    report("drift", 1, 1, "")
    return summary


def _finish(proxy: Proxy, claim: Any, out: Path, report: Report) -> dict[str, Any]:
    saved = save_proxy(proxy, out / FOLDER)
    summary = write_claim(claim, out)
    report(FOLDER, 3, 3, "")
    text = f"{summary['text']}\nproxy: {saved}"
    return summary | {"proxy": str(saved), "text": text}


RULES: dict[str, type[Step | Hinge | Value | Constrained]] = {
    "step": Step,
    "hinge": Hinge,
    "value": Value,
    "constrained": Constrained,
}


def rule_of(name: str, settings: Mapping[str, str], most: int | None = None) -> Rule:
    """The rule `name` with `settings` (field -> number), at most `most` positions. Raises InputError."""
    if name not in RULES:
        raise InputError(f"rule '{name}' is unknown; choose {', '.join(RULES)}")
    legal = [field for field in RULES[name].__dataclass_fields__ if field not in ("rule", "part")]
    values: dict[str, float] = {}
    for field, text in settings.items():
        if field not in legal:
            raise InputError(f"rule '{name}' has no setting '{field}'; its settings are {', '.join(legal)}")
        try:
            values[field] = float(text)
        except ValueError:
            raise InputError(f"setting {field}={text}: give a number") from None
    rule_class: Any = RULES[name]
    rule = rule_class(**values)
    return cast(Rule, rule) if most is None else Capped(rule, most)


def preview_rule(
    scored: Path, rule: Rule, name: str, out: Path, report: Report, k: int = 10
) -> dict[str, Any]:
    """Apply a rule to `scored` (request_id, item_id, score ...): adjusted.parquet and report in `out`."""
    from tastemaker.retention.adjust.apply import adjust
    from tastemaker.retention.adjust.effects import preview

    report("adjust", 0, 2, "applying the rule")
    with in_file(scored):
        table = read_typed(scored)
        write_table(out / "adjusted.parquet", adjust(table, rule))
        report("adjust", 1, 2, "effects and ablations")
        _, claim = preview(table, rule, name, k)
    summary = write_claim(claim, out)
    report("adjust", 2, 2, "")
    return summary | {"adjusted": str(out / "adjusted.parquet")}


def tune_rule(
    scored: Path, cap: float, out: Path, report: Report, k: int = 10, penalty: float = 1.0
) -> dict[str, Any]:
    """The largest global weight whose mean engagement loss is at most `cap`, with its report in `out`."""
    from tastemaker.retention.adjust.effects import preview, tune_weight, tuned_claim

    report("tune", 0, 2, "trying weights")
    with in_file(scored):
        table = read_typed(scored)
        rule, loss = tune_weight(table, cap, penalty)
        report("tune", 1, 2, "effects of what was found")
        _, claim = preview(table, rule, "value", k)
    claim = tuned_claim(claim, rule, loss, cap)
    summary = write_claim(claim, out)
    report("tune", 2, 2, "")
    return summary | {"weight": rule.weight, "loss": loss}
