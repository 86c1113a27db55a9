"""`tastemaker adjust`: what a rule would do to stored candidates, and which strength to choose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tastemaker.errors import InputError
from tastemaker.flows.pipeline import Report
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.adjust.rules import Capped, Constrained, Hinge, Mmr, Rule, Step, Value
from tastemaker.store import write_table
from tastemaker.store.tables import read_typed

RULES: dict[str, type[Step | Hinge | Value | Constrained | Mmr]] = {
    "step": Step,
    "hinge": Hinge,
    "value": Value,
    "constrained": Constrained,
    "mmr": Mmr,
}


def rule_of(name: str, settings: Mapping[str, str], most: int | None = None) -> Rule:
    """The rule called `name` with `settings` (field -> number), capped at `most` positions where given.
    Raises InputError.
    """
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
    """Apply a rule to `scored` (request_id, item_id, score, p_pos ...): adjusted.parquet and the report in
    `out`.
    """
    from tastemaker.flows.retention.tables import in_file
    from tastemaker.retention.adjust.apply import adjust
    from tastemaker.retention.adjust.effects import preview

    report("adjust", 0, 2, "applying the rule")
    with in_file(scored):
        table = read_typed(scored)
        write_table(out / "adjusted.parquet", adjust(table, rule))
        report("adjust", 1, 2, "effects and ablations")
        _, claim = preview(table, rule, name, k)
    written = write_claim(claim, out)
    report("adjust", 2, 2, "")
    return written | {"adjusted": str(out / "adjusted.parquet"), "exit_code": claim.exit_code}


def tune_rule(
    scored: Path, cap: float, out: Path, report: Report, k: int = 10, penalty: float = 1.0
) -> dict[str, Any]:
    """The largest global weight whose mean engagement loss stays within `cap`, by dual updates, with its
    report in `out`.
    """
    from tastemaker.flows.retention.tables import in_file
    from tastemaker.retention.adjust.effects import preview, tune_weight, tuned_claim

    report("tune", 0, 2, "dual updates")
    with in_file(scored):
        table = read_typed(scored)
        tuned = tune_weight(table, cap, penalty)
        report("tune", 1, 2, "effects of what was found")
        _, claim = preview(table, tuned.rule, "value", k)
    claim = tuned_claim(claim, tuned, cap)
    written = write_claim(claim, out)
    report("tune", 2, 2, "")
    return written | {"weight": tuned.rule.weight, "loss": tuned.loss, "exit_code": claim.exit_code}
