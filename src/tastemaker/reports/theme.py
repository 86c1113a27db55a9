"""One look for every figure and page: colours that colour-blind readers tell apart, and the styles built on
them.
"""

from __future__ import annotations

from typing import Any

# Placeholders that the page replaces by CSS variables, so that figures follow light and dark mode.
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

RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.labelsize": 10.0,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "axes.facecolor": "none",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}
