"""Figures of an evaluation as bytes, in one look, with colours that colour-blind readers tell apart: plain
numbers in, SVG and PNG out, the same bytes for the same numbers.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Placeholders that the page replaces by CSS variables, so that figures follow light and dark mode; in STYLE
# too.
INK, MUTED, LINE = "#1b1f24", "#5d6673", "#d5dae1"
# Okabe and Ito's palette (jfly.uni-koeln.de/color), the order chosen so that neighbours differ in lightness
# as well.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "D", "^", "v", "P")
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    **{colour: f"--c{n + 1}" for n, colour in enumerate(SERIES)},
}

STYLE = Path(__file__).parent / "templates" / "figures.mplstyle"
WIDTH = 4.8  # inches: fills half a page, and its text can still be read when a phone shrinks it
_MOST_CELLS = 128


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG and as PNG bytes, and a sentence that says what it shows to those who cannot see it."""

    svg: bytes
    png: bytes
    text: str


@dataclass(frozen=True)
class Row:
    """A value with its interval, and whether it is the one to look at."""

    name: str
    value: float
    low: float
    high: float
    highlight: bool = False


@dataclass(frozen=True)
class Series:
    """A named line through points x, y of equal number."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    marks: Sequence[tuple[float, float]] = field(default=())


@contextmanager
def _canvas(height: float, text: str) -> Iterator[tuple[Axes, Callable[[], Drawing]]]:
    """Axes in the common style, and a function that turns them into a Drawing."""
    with mpl.rc_context({"svg.hashsalt": text}, STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)

        def draw() -> Drawing:
            vector, pixels = io.BytesIO(), io.BytesIO()
            figure.savefig(vector, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
            figure.set_layout_engine("none")  # keep the places just found: finding them is most of the time
            figure.savefig(pixels, format="png", dpi=160, metadata={"Software": None})
            return Drawing(vector.getvalue(), pixels.getvalue(), text)

        yield figure.subplots(), draw


def _short(value: float, _: Any = None) -> str:
    """A tick label without needless digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def forest(rows: Sequence[Row], title: str, label: str, *, reference: float | None = None) -> Drawing:
    """Values with intervals, a row a method, first on top; `reference` draws a line to compare with."""
    text = f"{title}: " + "; ".join(f"{r.name} {r.value:.4f} [{r.low:.4f}, {r.high:.4f}]" for r in rows)
    with _canvas(0.95 + 0.34 * len(rows), text) as (axes, draw):
        for place, row in enumerate(rows):
            colour = SERIES[0] if row.highlight else MUTED
            width, ends = 2.6 if row.highlight else 1.8, [row.low, row.high]
            axes.plot(ends, [place, place], color=colour, linewidth=width, solid_capstyle="round")
            axes.plot([row.value], [place], "o", color=colour, markersize=7 if row.highlight else 5.5)
            number = f"{row.value:+.4f}".replace("-", "−") if reference == 0 else f"{row.value:.4f}"
            look = (INK, "bold") if row.highlight else (MUTED, "normal")
            _label_right(axes, number, place, 4, color=look[0], fontweight=look[1])
        if reference is not None:
            axes.axvline(reference, color=INK, linewidth=1, linestyle=(0, (3, 3)))
        axes.set_yticks(range(len(rows)), [textwrap.fill(r.name, 24) for r in rows])
        for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_color(INK)
            tick.set_fontweight("bold" if row.highlight else "normal")
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_title(title)
        axes.set_xlabel(label)
        return draw()


def curves(
    series: Sequence[Series],
    title: str,
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    share: bool = False,
) -> Drawing:
    """Lines over one axis: curves, coverage. Points in `Series.marks` get dots; `share`: y from 0 to 1."""
    ends = "; ".join(f"{s.name} ends at {s.y[-1]:.4g}" for s in series if len(s.y))
    rows = _legend_shape([s.name for s in series])[1] if len(series) > 1 else 0
    with _canvas(2.65 + 0.17 * rows, f"{title}: {ends}") as (axes, draw):
        for place, item in enumerate(series):
            colour = SERIES[place % len(SERIES)]
            axes.plot(
                item.x, item.y, color=colour, label=item.name, linestyle="-" if place < len(SERIES) else "--"
            )
            for x, y in item.marks:
                axes.plot([x], [y], MARKERS[place % len(MARKERS)], color=colour, markersize=7)
        if log_x:
            axes.set_xscale("log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(_short))
        axes.yaxis.set_major_formatter(FuncFormatter((lambda v, _: f"{v:.0%}") if share else _short))
        if share:
            axes.set_ylim(0, 1.03)
        _finish(axes, title, x_label, y_label, legend=len(series) > 1)
        return draw()


def dots(
    labels: Sequence[str], groups: Mapping[str, Sequence[Row | None]], title: str, x_label: str, y_label: str
) -> Drawing:
    """Values with intervals by slice: a column a label, a colour a method; None: a slice without users."""
    parts = [
        f"{name} {', '.join('none' if r is None else f'{r.value:.4f}' for r in rows)}"
        for name, rows in groups.items()
    ]
    height = 2.75 + 0.17 * _legend_shape(list(groups))[1]
    with _canvas(height, f"{title} for {', '.join(labels)}: " + "; ".join(parts)) as (axes, draw):
        spread = min(0.16, 0.7 / max(len(groups), 1))
        for place, (name, rows) in enumerate(groups.items()):
            colour, shift = SERIES[place % len(SERIES)], (place - (len(groups) - 1) / 2) * spread
            at = [(n + shift, r) for n, r in enumerate(rows) if r is not None]
            for x, r in at:
                axes.plot([x, x], [r.low, r.high], color=colour, linewidth=1.6)
            marker, values = MARKERS[place % len(MARKERS)], [r.value for _, r in at]
            axes.plot([x for x, _ in at], values, marker, color=colour, label=name, markersize=5.5)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        _finish(axes, title, x_label, y_label, legend=True)
        return draw()


def coverage(shares: Mapping[str, npt.ArrayLike], title: str, *, share: float = 0.95) -> Drawing:
    """How few items fill the slots: by method the share of slots that n items cover, most recommended first.

    `shares`: name -> non-decreasing array ending at 1, entry n - 1 for n items (`stats.coverage_curve`). A
    dot marks the effective vocabulary, where `share` is covered. Long curves are thinned to 400 points,
    evenly in the logarithm.
    """
    series = []
    for name, values in shares.items():
        curve = np.asarray(values, dtype=np.float64)
        if not len(curve):
            continue
        keep = np.unique(np.geomspace(1, len(curve), 400).round().astype(np.int64)) - 1
        mark = int(np.searchsorted(curve, share * (1 - 1e-12)))
        marks = [(float(mark + 1), float(curve[mark]))] if mark < len(curve) else []
        series.append(Series(name, (keep + 1).tolist(), curve[keep].tolist(), marks))
    return curves(series, title, "items, most recommended first", "share of slots", log_x=True, share=True)


def code_use(levels: Sequence[Sequence[int]], title: str) -> Drawing:
    """A strip a level: codes from most to least used, stronger for more items, dead codes in warning colour.

    `levels`: for each level the number of items of each of its K_l codes. Levels of more than 128 codes are
    shown in 128 groups of neighbours; a group is dead when all its codes are.
    """
    labels = [f"{sum(c > 0 for c in level)} of {len(level)}" for level in levels]
    text = f"{title}: codes in use by level: {', '.join(labels)}"
    with _canvas(0.8 + 0.42 * len(levels), text) as (axes, draw):
        for place, counts in enumerate(levels):
            parts = np.array_split(np.sort(counts)[::-1], min(len(counts), _MOST_CELLS))
            cells = np.array([part.mean() for part in parts])
            strength = 0.12 + 0.88 * (cells / max(cells.max(), 1e-12)) ** 0.5
            colours = [(SERIES[0], float(s)) if s > 0.12 else (SERIES[1], 1.0) for s in strength]
            starts = np.arange(len(cells)) / len(cells)
            axes.barh(place, 1 / len(cells), left=starts, height=0.72, color=colours, linewidth=0)
        axes.set_yticks(range(len(levels)), [f"level {n + 1}" for n in range(len(levels))])
        for place, words in enumerate(labels):
            _label_right(axes, words, place, 5, color=MUTED)
        axes.set_ylim(len(levels) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        axes.set_xlabel("codes, most used first")
        axes.tick_params(axis="y", length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_title(title)
        return draw()


def group_sizes(sizes: Mapping[int, int], title: str) -> Drawing:
    """How many items share their Semantic ID: bars of items by the size of their group; 8 and more together.

    `sizes`: group size -> number of groups of that size.
    """
    items = [sum(size * n for size, n in sizes.items() if (min(size, 8) == place)) for place in range(1, 9)]
    total = max(sum(items), 1)
    names = [*(str(n) for n in range(1, 8)), "8+"]
    text = f"{title}: " + ", ".join(
        f"{name}: {n / total:.1%}" for name, n in zip(names, items, strict=True) if n
    )
    with _canvas(2.6, text) as (axes, draw):
        axes.bar(names, [n / total for n in items], color=[SERIES[0], *[SERIES[4]] * 7], width=0.72)
        for place, n in enumerate(items):
            if n:
                above: dict[str, Any] = {"xytext": (0, 3), "textcoords": "offset points", "ha": "center"}
                axes.annotate(f"{n / total:.1%}", (place, n / total), fontsize=9, **above)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0%}"))
        axes.set_ylim(0, max(n / total for n in items) * 1.14)
        _finish(axes, title, "items with the same Semantic ID", "share of items", legend=False)
        axes.tick_params(axis="x", length=0)
        return draw()


def _label_right(axes: Axes, text: str, place: float, gap: int, **look: Any) -> None:
    """A text right of the axes, at a height of the data."""
    where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(text, (1.0, place), xytext=(gap, 0), va="center", fontsize=9, **where, **look)


def _finish(axes: Axes, title: str, x_label: str, y_label: str, *, legend: bool) -> None:
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(axis="y")
    axes.spines["left"].set_color(LINE)
    if legend:
        axes.figure.legend(
            loc="outside lower center", ncols=_legend_shape(axes.get_legend_handles_labels()[1])[0]
        )


def _legend_shape(labels: Sequence[str]) -> tuple[int, int]:
    """Columns that fit, and rows: a line holds some 61 characters, a handle takes five."""
    for columns in (3, 2, 1):
        widths = [
            max((len(label) for label in part), default=0) + 5
            for part in np.array_split(np.array(labels), columns)
        ]
        if sum(widths) <= 61:
            break
    return columns, -(-len(labels) // columns)
