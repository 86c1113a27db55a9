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

CSS = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--muted:#5d6673;--line:#d5dae1;--soft:#eef2f7;
--good:#00704f;--bad:#b23c00;--c1:#0072b2;--c2:#d55e00;--c3:#009e73;--c4:#b8558c;--c5:#b87f00;--c6:#2f94cf}
@media(prefers-color-scheme:dark){:root{--bg:#101317;--card:#181c22;--ink:#e9ebee;--muted:#a2abb8;--line:#333b46;--soft:#212832;
--good:#4fd1a5;--bad:#ff9a62;--c1:#4aa8e0;--c2:#ff8a3d;--c3:#2fc79b;--c4:#e59cc4;--c5:#f0b93a;--c6:#8fd0f7}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{max-width:1100px;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .3rem;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:0 0 .9rem;letter-spacing:-.01em}section>h2:not(:first-child){margin-top:1.7rem}
h3{font-size:1rem;margin:1.2rem 0 .4rem}
p{margin:.4rem 0;max-width:72ch}
.muted,small{color:var(--muted)}small{font-size:.82rem}
nav{margin:1rem 0 1.5rem;display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;font-size:.92rem}
a{color:var(--c1);text-decoration-thickness:.06em;text-underline-offset:.18em}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.3rem 1.4rem;margin:0 0 1.2rem}
.notice{border-left:4px solid var(--c5);background:var(--soft);border-radius:6px;padding:.55rem .9rem;margin:.6rem 0;
max-width:none}
.wide{max-width:none}
.verdict{font-size:1.06rem;margin:.2rem 0 .9rem;max-width:none}
.scroll{overflow-x:auto;margin:0 -.2rem .6rem;padding:0 .2rem}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.93rem;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.5rem .7rem;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--card);white-space:normal;min-width:8.5rem}
.words tr>:first-child{min-width:0}
.words tr>:last-child{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:5.5rem}
@media(max-width:480px){.words tr>*{padding:.5rem .3rem}}
thead th{font-weight:600;color:var(--muted);border-bottom-width:2px}
tbody th{font-weight:500}tr:last-child>*{border-bottom:0}
tr.ours>*{background:var(--soft)}tr.ours>:first-child{background:var(--soft);box-shadow:inset 3px 0 var(--c1);font-weight:650}
td b{font-weight:650}td small{display:block;line-height:1.35}
.up{color:var(--good);font-weight:600}.down{color:var(--bad);font-weight:600}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:1.2rem 1.6rem;align-items:start}
figure{margin:.4rem 0;min-width:0;max-width:540px}figure svg{width:100%;height:auto;display:block}
figure svg text{font-family:inherit!important}figcaption{color:var(--muted);font-size:.86rem;margin-top:.2rem}
.alarms{list-style:none;padding:0;margin:0;display:grid;gap:.5rem}
.alarms li{display:grid;grid-template-columns:5.2rem 1fr;gap:.8rem;align-items:baseline}
.tag{font-size:.78rem;font-weight:650;border:1px solid currentColor;border-radius:99px;padding:.08rem .55rem;text-align:center}
.tag.ok{color:var(--good)}.tag.raised{color:var(--bad)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:0 0 1rem}
.facts div{background:var(--soft);border-radius:8px;padding:.55rem .8rem}.facts dt{color:var(--muted);font-size:.82rem}
.facts dd{margin:0;font-size:1.15rem;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
table.pairs td{text-align:left;white-space:normal;overflow-wrap:anywhere}
table.pairs th{text-align:left;width:34%;color:var(--muted)}
pre{background:var(--soft);border-radius:8px;padding:.8rem 1rem;overflow-x:auto;font-size:.88rem;margin:.4rem 0}
dl.terms dt{font-weight:650;margin-top:.7rem}dl.terms dd{margin:.1rem 0 0;max-width:78ch}
@media(max-width:560px){main{padding:1.2rem .7rem 3rem}section{padding:1rem .9rem;border-radius:10px}h1{font-size:1.5rem}
th,td{padding:.45rem .5rem}.alarms li{grid-template-columns:1fr;gap:.2rem;justify-items:start}}
@media print{section{break-inside:avoid;border:0;padding:0}nav{display:none}}
"""
