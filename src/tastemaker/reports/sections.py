"""The sections of a report: each takes its part of the report's values and gives markup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tastemaker.reports.figures import Drawing
from tastemaker.reports.markup import Safe, figure, join, table, tag
from tastemaker.reports.plots import primary_of
from tastemaker.reports.read import mapping, need, number, row, sequence

TERMS: dict[str, str] = {
    "R@k (recall)": (
        "Share of users whose held-out item is among the first k recommended. With one held-out item a user"
        " it is also the hit rate."
    ),
    "N@k (NDCG)": (
        "Like recall, but a hit counts 1 / log2(1 + rank): 1 at the top, .63 second, .29 tenth, 0 after k."
    ),
    "Full ranking": (
        "The held-out item competes with every item of the catalogue that is allowed, not with a sample."
    ),
    "95 % interval": (
        "Users are drawn again with replacement 1,000 times; the interval spans the middle 95 % of the means."
        " It says how much rests on who these users happen to be, not on the seed of a training run."
    ),
    "Paired difference": (
        "The mean over users of this method minus the baseline, both on the same user. Colour marks an "
        "interval that leaves out 0."
    ),
    "Leave-one-out": (
        "Each user's last event is the test target, the one before it the validation target; the rest trains."
    ),
    "Split in time": (
        "Everything before one moment trains and what users did after it is predicted. No model sees any "
        "user's future."
    ),
    "Semantic ID": (
        "A few codes per item, from coarse to fine, learnt from what the item is; the language model"
        " generates them."
    ),
    "Code use": (
        "Share of a level's codes that at least one item has; unused (dead) codes waste the address space."
    ),
    "Uniqueness": (
        "Distinct Semantic IDs over items, or the share of items that share theirs with no other; both are"
        " given."
    ),
    "Effective vocabulary": (
        "The fewest items that together fill 95 % of the recommended slots: how much of the catalogue "
        "people get to see."
    ),
    "Alarm": (
        "A cheap check that catches a broken recommender whose averages look plausible, for example one that"
        " shows everyone the same list."
    ),
}
Drawings = Mapping[str, Drawing]


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _difference(name: str, item: Any, where: str) -> Safe:
    """`+.0012 [.0003, .0021]`, coloured where the interval leaves out 0."""
    r = row(name, item, where)
    kind = "up" if r.low > 0 else "down" if r.high < 0 else None
    return tag("small", tag("span", _signed(r.value), class_=kind), f" [{_signed(r.low)}, {_signed(r.high)}]")


def headline(metrics: Any, drawn: Drawings) -> Safe:
    """The table of methods with intervals and paired differences, the verdict in words, and two forest
    plots.
    """
    names = [str(n) for n in sequence(need(metrics, "names", "metrics"), "metrics.names")]
    methods = [
        mapping(m, "metrics.methods")
        for m in sequence(need(metrics, "methods", "metrics"), "metrics.methods")
    ]
    baseline, primary = metrics.get("baseline"), primary_of(metrics)
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
            _comparisons(metrics, primary),
            table(["Method", *names], rows),
            tag("p", tag("small", explain), class_="wide"),
            _grid(drawn, "results-"),
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


def _comparisons(metrics: Mapping[str, Any], primary: str) -> Safe:
    """The first method against each other one, in words; nothing where there are no comparisons."""
    listed = sequence(metrics.get("comparisons", []), "metrics.comparisons")
    return tag("ul", *(_judged(mapping(one, "metrics.comparisons"), primary) for one in listed))


def _judged(comparison: Mapping[str, Any], primary: str) -> Safe:
    name = str(need(comparison, "against", "metrics.comparisons"))
    d = row(name, mapping(need(comparison, "differences", name), name)[primary], f"against '{name}'")
    judged = "better than" if d.low > 0 else "worse than" if d.high < 0 else "not told apart from"
    kind = "up" if d.low > 0 else "down" if d.high < 0 else None
    numbers = f" ({_signed(d.value)} [{_signed(d.low)}, {_signed(d.high)}])"
    return tag("li", tag("span", f"{judged} {name}", class_=kind), numbers)


def alarms(values: Any, _: Drawings) -> Safe:
    """Checks that were run, raised ones first."""
    items = [mapping(item, "alarms") for item in sequence(values, "alarms")]
    lines = [
        tag(
            "li",
            tag(
                "span",
                "quiet" if entry.get("ok") else "raised",
                class_="tag ok" if entry.get("ok") else "tag raised",
            ),
            tag(
                "div",
                tag("b", need(entry, "name", "alarms")),
                tag("div", entry.get("text", ""), class_="muted"),
            ),
        )
        for entry in sorted(items, key=lambda item: bool(item.get("ok")))
    ]
    return tag("ul", *lines, class_="alarms")


def slices(_: Any, drawn: Drawings) -> Safe:
    """One figure a way of slicing the users, with the number of users under each label."""
    return _grid(drawn, "slices-")


def reach(values: Any, drawn: Drawings) -> Safe:
    """How much of the catalogue is shown: effective vocabulary, distinct items, and coverage curves."""
    total = number(values.get("items", 0), "coverage.items")
    rows: list[tuple[str | None, list[object]]] = []
    for m in values["methods"]:
        counts = [
            number(m[key], f"coverage.{key}") if key in m else None for key in ("effective", "distinct")
        ]
        cells: list[object] = [need(m, "name", "coverage.methods")]
        cells += [
            "–" if c is None else f"{c:,.0f}" + (f" ({c / total:.1%})" if total else "") for c in counts
        ]
        rows.append((None, cells))
    caption = (
        "A mark on each curve shows the effective vocabulary: the items that fill 95 % of the slots. Right is"
        " broader."
    )
    return join(
        [
            table(["Method", "Effective vocabulary", "Distinct items"], rows),
            _grid(drawn, "coverage", {"coverage": caption}),
        ]
    )


def semantic_ids(values: Any, drawn: Drawings) -> Safe:
    """Facts of the Semantic IDs, use of codes by level, and how many items share theirs."""
    facts = [
        tag("div", tag("dt", key), tag("dd", _plain(item)))
        for key, item in mapping(values.get("facts", {}), "sids.facts").items()
    ]
    captions = {"sids-codes": "Stronger colour: more items. Orange: codes that no item has."}
    return join([tag("dl", *facts, class_="facts") if facts else "", _grid(drawn, "sids-", captions)])


def training(values: Any, drawn: Drawings) -> Safe:
    """Training curves, one figure a stage or quantity."""
    return _grid(
        drawn,
        "training-",
        {f"training-{n + 1}": str(value.get("caption", "")) for n, value in enumerate(values)},
    )


def _grid(drawn: Drawings, prefix: str, captions: Mapping[str, str] | None = None) -> Safe:
    """The figures whose names start with `prefix`, side by side where there is room."""
    chosen = [
        figure(item, name, (captions or {}).get(name, ""))
        for name, item in drawn.items()
        if name.startswith(prefix)
    ]
    return tag("div", *chosen, class_="figures") if chosen else Safe("")


def pairs(values: Any, _: Drawings) -> Safe:
    """Settings or provenance: name and value, one level of groups with headings."""
    flat = {
        key: item
        for key, item in mapping(values, "settings or provenance").items()
        if not isinstance(item, Mapping)
    }
    groups = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    parts = [table([], [(None, [key, _plain(item)]) for key, item in flat.items()], "pairs")] if flat else []
    for key, group in groups.items():
        parts += [
            tag("h3", key),
            table([], [(None, [name, _plain(v)]) for name, v in group.items()], "pairs"),
        ]
    return join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return str(value)


def commands(values: Any, _: Drawings) -> Safe:
    """Commands that reproduce the report."""
    return tag("pre", tag("code", "\n".join(str(item) for item in sequence(values, "commands"))))


def terms(extra: Any) -> Safe:
    """Definitions of the words used, those of the report after the common ones."""
    return tag(
        "dl",
        *(join([tag("dt", k), tag("dd", v)]) for k, v in {**TERMS, **mapping(extra, "terms")}.items()),
        class_="terms",
    )
