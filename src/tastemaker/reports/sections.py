"""The sections of a report: each takes its part of the report's values and gives markup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tastemaker.reports import figures
from tastemaker.reports.figures import Row, Series
from tastemaker.reports.markup import Safe, figure, join, table, tag
from tastemaker.reports.read import mapping, need, number, numbers, row, sequence
from tastemaker.reports.terms import TERMS


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _difference(name: str, one: Any, where: str) -> Safe:
    """`+.0012 [.0003, .0021]`, coloured where the interval leaves out 0."""
    r = row(name, one, where)
    kind = "up" if r.low > 0 else "down" if r.high < 0 else None
    return tag("small", tag("span", _signed(r.value), class_=kind), f" [{_signed(r.low)}, {_signed(r.high)}]")


def headline(metrics: Any) -> Safe:
    """The table of methods with intervals and paired differences, the verdict in words, and two forest plots."""
    names = [str(n) for n in sequence(need(metrics, "names", "metrics"), "metrics.names")]
    methods = [mapping(m, "metrics.methods") for m in sequence(need(metrics, "methods", "metrics"), "metrics.methods")]
    baseline, primary = metrics.get("baseline"), str(metrics.get("primary", names[0] if names else ""))
    rows: list[tuple[str | None, list[object]]] = []
    for method in methods:
        title = str(need(method, "name", "metrics.methods"))
        cells: list[object] = [join([title, tag("small", " (baseline)")]) if title == baseline else title]
        cells += [_cell(method, n, f"method '{title}', {n}") for n in names]
        rows.append(("ours" if method.get("highlight") else None, cells))
    paired = f", and the paired difference to {baseline} with its own" if baseline else ""
    explain = f"Small print under each value: its 95 % interval{paired}."
    return join(
        [
            _verdict(methods, primary, baseline),
            table(["Method", *names], rows),
            tag("p", tag("small", explain), class_="wide"),
            _forests(methods, primary, baseline),
        ]
    )


def _cell(method: Mapping[str, Any], name: str, where: str) -> object:
    values, differences = (mapping(method.get(part, {}), where) for part in ("values", "differences"))
    if name not in values:
        return "–"
    r = row(name, values[name], where)
    parts: list[object] = [tag("b", f"{r.value:.4f}"), tag("small", f"[{r.low:.4f}, {r.high:.4f}]")]
    return join([*parts, _difference(name, differences[name], where)] if name in differences else parts)


def _verdict(methods: list[Mapping[str, Any]], primary: str, baseline: Any) -> Safe:
    parts = []
    for method in methods:
        values, differences = method.get("values", {}), method.get("differences", {})
        if not method.get("highlight") or primary not in values:
            continue
        r = row(str(method["name"]), values[primary], f"method '{method['name']}'")
        words: list[object] = [
            tag("b", r.name),
            f" reaches {primary} ",
            tag("b", f"{r.value:.4f}"),
            f" [{r.low:.4f}, {r.high:.4f}]",
        ]
        if baseline and primary in differences:
            d = row(r.name, differences[primary], f"method '{r.name}'")
            judged = "better than" if d.low > 0 else "worse than" if d.high < 0 else "not told apart from"
            kind = "up" if d.low > 0 else "down" if d.high < 0 else None
            words += [
                ", ",
                tag("span", f"{judged} {baseline}", class_=kind),
                f" ({_signed(d.value)} [{_signed(d.low)}, {_signed(d.high)}])",
            ]
        parts.append(tag("p", *words, ".", class_="verdict"))
    return join(parts)


def _forests(methods: list[Mapping[str, Any]], primary: str, baseline: Any) -> Safe:
    def rows(part: str) -> list[Row]:
        return [
            row(str(m["name"]), m[part][primary], f"method '{m['name']}'", highlight=bool(m.get("highlight")))
            for m in methods
            if primary in m.get(part, {})
        ]

    drawn = []
    if values := rows("values"):
        drawn.append(figure(figures.forest(values, f"{primary} by method", f"{primary}, 95 % interval"), "values"))
    if differences := rows("differences"):
        label = f"difference in {primary}, same users, 95 % interval"
        drawn.append(figure(figures.forest(differences, f"Against {baseline}", label, reference=0.0), "differences"))
    return tag("div", *drawn, class_="figures")


def alarms(values: Any) -> Safe:
    """Checks that were run, raised ones first."""
    items = [mapping(one, "alarms") for one in sequence(values, "alarms")]
    lines = [
        tag(
            "li",
            tag("span", "quiet" if one.get("ok") else "raised", class_="tag ok" if one.get("ok") else "tag raised"),
            tag("div", tag("b", need(one, "name", "alarms")), tag("div", one.get("text", ""), class_="muted")),
        )
        for one in sorted(items, key=lambda one: bool(one.get("ok")))
    ]
    return tag("ul", *lines, class_="alarms")


def slices(values: Any) -> Safe:
    """One figure a way of slicing the users, with the number of users under each label."""
    drawn = []
    for place, one in enumerate(sequence(values, "slices")):
        title, metric = str(need(one, "name", "slices")), str(need(one, "metric", "slices"))
        parts = [mapping(group, f"slice '{title}'") for group in sequence(need(one, "groups", "slices"), "slices.groups")]
        labels = [f"{need(p, 'label', 'slices')}\nn = {number(need(p, 'n', 'slices'), 'slices.n'):,.0f}" for p in parts]
        names = list(dict.fromkeys(str(name) for p in parts for name in mapping(p.get("values", {}), "slices.values")))
        groups = {n: [row(n, p["values"][n], title) if n in p.get("values", {}) else None for p in parts] for n in names}
        drawn.append(figure(figures.dots(labels, groups, f"{metric} by {title}", title, metric), f"slice{place}"))
    return tag("div", *drawn, class_="figures")


def reach(values: Any) -> Safe:
    """How much of the catalogue is shown: effective vocabulary, distinct items, and coverage curves."""
    methods = [mapping(m, "coverage.methods") for m in sequence(need(values, "methods", "coverage"), "coverage.methods")]
    total = values.get("items")
    rows: list[tuple[str | None, list[object]]] = []
    for m in methods:
        counts = [number(m[key], f"coverage.{key}") if key in m else None for key in ("effective", "distinct")]
        cells: list[object] = [need(m, "name", "coverage.methods")]
        cells += ["–" if c is None else f"{c:,.0f}" + (f" ({c / total:.1%})" if total else "") for c in counts]
        rows.append((None, cells))
    curves = {str(m["name"]): numbers(m["curve"], "coverage.curve") for m in methods if m.get("curve")}
    parts = [table(["Method", "Effective vocabulary", "Distinct items"], rows)]
    if curves:
        caption = "A dot marks the effective vocabulary: the items that fill 95 % of the slots. Further right is broader."
        parts.append(
            tag("div", figure(figures.coverage(curves, "Coverage of the catalogue"), "coverage", caption), class_="figures")
        )
    return join(parts)


def semantic_ids(values: Any) -> Safe:
    """Facts of the Semantic IDs, use of codes by level, and how many items share theirs."""
    facts = [
        tag("div", tag("dt", key), tag("dd", _plain(one))) for key, one in mapping(values.get("facts", {}), "sids.facts").items()
    ]
    drawn = []
    if levels := values.get("levels"):
        counts = [[int(c) for c in numbers(one, "sids.levels")] for one in sequence(levels, "sids.levels")]
        caption = "Stronger colour: more items. Orange: codes that no item has."
        drawn.append(figure(figures.code_use(counts, "Codes in use"), "codes", caption))
    if sizes := values.get("group_sizes"):
        by_size = {int(size): int(number(n, "sids.group_sizes")) for size, n in mapping(sizes, "sids.group_sizes").items()}
        drawn.append(figure(figures.group_sizes(by_size, "Items that share a Semantic ID"), "groups"))
    return join([tag("dl", *facts, class_="facts") if facts else "", tag("div", *drawn, class_="figures")])


def training(values: Any) -> Safe:
    """Training curves, one figure a stage or quantity."""
    drawn = []
    for place, one in enumerate(sequence(values, "training")):
        title = str(need(one, "name", "training"))
        lines = [
            Series(
                str(need(s, "name", title)),
                numbers(need(s, "x", title), f"{title}.x"),
                numbers(need(s, "y", title), f"{title}.y"),
            )
            for s in sequence(need(one, "series", "training"), "training.series")
        ]
        drawing = figures.curves(lines, title, str(one.get("x", "step")), str(one.get("y", "loss")))
        drawn.append(figure(drawing, f"training{place}", str(one.get("caption", ""))))
    return tag("div", *drawn, class_="figures")


def pairs(values: Any, where: str) -> Safe:
    """Settings or provenance: name and value, one level of groups with headings."""
    flat = {key: one for key, one in mapping(values, where).items() if not isinstance(one, Mapping)}
    groups = {key: one for key, one in values.items() if isinstance(one, Mapping)}
    parts = [table([], [(None, [key, _plain(one)]) for key, one in flat.items()], "pairs")] if flat else []
    for key, one in groups.items():
        parts += [tag("h3", key), table([], [(None, [name, _plain(v)]) for name, v in one.items()], "pairs")]
    return join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value)
    return str(value)


def commands(values: Any) -> Safe:
    """Commands that reproduce the report."""
    return tag("pre", tag("code", "\n".join(str(one) for one in sequence(values, "commands"))))


def terms(extra: Any) -> Safe:
    """Definitions of the words used, those of the report after the common ones."""
    return tag(
        "dl", *(join([tag("dt", k), tag("dd", v)]) for k, v in {**TERMS, **mapping(extra, "terms")}.items()), class_="terms"
    )
