"""Figures: valid SVG and PNG, the same bytes twice, text alternatives that tell the numbers, and what is
refused.
"""

from functools import cache
from xml.etree import ElementTree

import numpy as np
import pytest

from tastemaker.reports import figures
from tastemaker.reports.figures import Row, Series

ROWS = [Row("SASRec", 0.09, 0.086, 0.094), Row("cash $1 & <more> $2", 0.0125, 0.0119, 0.0131, highlight=True)]
DRAW = {
    "forest": lambda: figures.forest(ROWS, "By method", "R@10", reference=0.0),
    "curves": lambda: figures.curves(
        [Series("a", [1, 2], [3.0, 1.0]), Series("b", [1], [2.0])], "Loss", "step", "loss"
    ),
    "dots": lambda: figures.dots(["0", "1–5"], {"a": [ROWS[0], None], "b": ROWS}, "Slices", "events", "R@10"),
    "coverage": lambda: figures.coverage({"a": [0.5, 0.94, 0.95, 1.0]}, "Coverage"),
    "code_use": lambda: figures.code_use([[3, 0, 1], list(range(300))], "Codes"),
    "group_sizes": lambda: figures.group_sizes({1: 6, 2: 1, 9: 1, 11: 1}, "Groups"),
}


@pytest.mark.parametrize("kind", DRAW)
def test_a_figure_is_an_svg_and_a_png_the_same_each_time(kind: str) -> None:
    figure, other = drawn(kind), DRAW[kind]()
    assert figure == other
    assert ElementTree.fromstring(figure.svg).tag.endswith("svg")
    assert figure.png.startswith(b"\x89PNG") and len(figure.png) > 4_000
    assert "".join(ElementTree.fromstring(figure.svg).itertext()).strip()  # text stays text


def test_names_are_shown_as_they_are() -> None:
    assert "cash $1 & <more> $2" in "".join(ElementTree.fromstring(drawn("forest").svg).itertext())


@cache
def drawn(kind: str) -> figures.Drawing:
    return DRAW[kind]()


def test_text_alternatives_tell_the_numbers() -> None:
    assert "SASRec 0.0900 [0.0860, 0.0940]" in drawn("forest").text
    assert "a ends at 1; b ends at 2" in drawn("curves").text
    assert "a 0.0900, none" in drawn("dots").text
    assert "2 of 3, 299 of 300" in drawn("code_use").text
    assert drawn("group_sizes").text.endswith("1: 21.4%, 2: 7.1%, 8+: 71.4%")


def test_the_effective_vocabulary_is_marked_where_the_share_is_covered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Series] = []
    monkeypatch.setattr(figures, "curves", lambda series, *_, **__: seen.extend(series))
    long = np.minimum(1.0, np.arange(1, 10_001) / 9_000)
    figures.coverage({"a": [0.5, 0.94, 0.95, 1.0], "long": long, "none": []}, "Coverage")
    assert [s.name for s in seen] == ["a", "long"]
    assert seen[0].marks == [(3.0, 0.95)] and seen[1].marks[0][0] == 8_550
    assert len(seen[1].x) <= 400 and seen[1].x[0] == 1 and seen[1].x[-1] == 10_000
